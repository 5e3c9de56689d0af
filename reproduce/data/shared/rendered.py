"""The rendered stand-ins for photographs; they are written as the photographs are."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import numpy as np
from tqdm import trange

from reproduce.data.shared.base import Count, write_split
from reproduce.data.shared.labelled import LabelledSet
from reproduce.intake.download import Downloads

SEED = 0  # of the images; a run's seed decides what is made of them


class RenderedSet(LabelledSet):
    """Images that this package draws itself; the held-out ones are numbered after the `n_train` for training."""

    n_train: Count
    n_heldout: Count

    label_names: ClassVar[tuple[str, ...]]  # of the attributes or of the classes

    @abstractmethod
    def render(self, number: int) -> tuple[np.ndarray, list[int]]:
        """Image `number`, uint8 `[S, S, 3]`, and its labels: one per attribute, or the class."""

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        with self.names_last(folder, self.label_names):
            for split, first, n in (("train", 0, self.n_train), ("heldout", self.n_train, self.n_heldout)):
                images, labels = np.empty((n, self.image_size, self.image_size, 3), np.uint8), []
                for i in trange(n, desc=f"render {split}", disable=None):
                    images[i], label = self.render(first + i)
                    labels.append(label)
                write_split(folder, split, images=images, labels=np.array(labels))
