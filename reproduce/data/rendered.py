"""The rendered stand-ins for CelebA and AnimalFaces, laid down as the photos are."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from reproduce.config import RenderedConfig
from reproduce.files import atomic_path, write_array, write_json
from reproduce.rendered.animals import KINDS, render_animals
from reproduce.rendered.faces import ATTRIBUTES, render_faces

_CHUNK = 250
_SEED = 0  # of the images; a run's seed decides what is made of them


def fetch_rendered(config: RenderedConfig, *, folder: Path) -> None:
    """Write `{train,heldout}_{images,labels}.npy`, and `attributes.json` or `classes.json`: their names.

    The held-out images are those numbered after the `n_train` for training.
    """
    render = render_faces if config.name == "rendered_faces" else render_animals
    size, begin = config.image_size, 0
    for split, n in (("train", config.n_train), ("heldout", config.n_heldout)):
        labels = []
        with atomic_path(folder / f"{split}_images.npy") as temporary:
            images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (n, size, size, 3))
            for start in tqdm(range(0, n, _CHUNK), desc=f"render {split}", unit_scale=_CHUNK, disable=None):
                count = min(_CHUNK, n - start)
                images[start : start + count], part = render(n=count, seed=_SEED, start=begin + start, size=size)
                labels.append(part.reshape(count, -1))
            images.flush()
        write_array(folder / f"{split}_labels.npy", np.concatenate(labels))
        begin += n
    if config.name == "rendered_faces":
        write_json(folder / "attributes.json", ATTRIBUTES)
    else:
        write_json(folder / "classes.json", KINDS)
