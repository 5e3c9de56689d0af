"""The rendered stand-ins for photographs, laid down as the photographs are."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import tqdm

from reproduce.data.shared.base import Count
from reproduce.data.shared.labelled import LabelledSet
from reproduce.files import atomic_path, write_array, write_json
from reproduce.intake.download import Downloads

_CHUNK = 250
_SEED = 0  # of the images; a run's seed decides what is made of them


class RenderedSet(LabelledSet):
    """Images that this package draws itself; the held-out ones are numbered after the `n_train` for training."""

    n_train: Count
    n_heldout: Count

    @property
    def counts(self) -> tuple[int, int]:
        """As the config says."""
        return self.n_train, self.n_heldout

    @abstractmethod
    def render(self, *, n: int, seed: int, start: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The `n` images from number `start` on, uint8 `[n, size, size, 3]`, and their labels `[n]` or `[n, K]`."""

    label_names: ClassVar[tuple[str, ...]]  # of the attributes or of the classes

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy`, and the labels' names last."""
        begin, size = 0, self.image_size
        listed = folder / ("attributes.json" if self.has_attributes else "classes.json")
        listed.unlink(missing_ok=True)
        for split, n in (("train", self.n_train), ("heldout", self.n_heldout)):
            labels = []
            with atomic_path(folder / f"{split}_images.npy") as temporary:
                images = np.lib.format.open_memmap(temporary, "w+", np.uint8, (n, size, size, 3))
                for start in tqdm(range(0, n, _CHUNK), desc=f"render {split}", unit_scale=_CHUNK, disable=None):
                    stop = min(start + _CHUNK, n)
                    images[start:stop], part = self.render(n=stop - start, seed=_SEED, start=begin + start, size=size)
                    labels.append(part.reshape(stop - start, -1))
                images.flush()
            write_array(folder / f"{split}_labels.npy", np.concatenate(labels))
            begin += n
        write_json(listed, self.label_names)
