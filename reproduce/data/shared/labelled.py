"""Images with labels on disk: a face has attributes, an animal or a digit has a class."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reproduce.data.shared.augment import Augmentation, deform
from reproduce.data.shared.base import (
    DataSet,
    HeldoutPairs,
    ImageData,
    Readings,
    Table,
    images_from_levels,
    same_class_partners,
)
from reproduce.files import read_json, write_json
from reproduce.seeds import numpy_generator


class LabelledSet(DataSet):
    """Images with labels; `flip` adds each training image's mirror image, `augment` deforms it anew each time."""

    flip: bool
    augment: Augmentation | None = None

    def open(self, folder: Path) -> "LabelledImages":
        return AttributeImages(folder, self) if self.has_attributes else ClassImages(folder, self)

    def names_file(self, folder: Path) -> Path:
        """Where the names of the attributes or of the classes stand."""
        return folder / ("attributes.json" if self.has_attributes else "classes.json")

    @contextmanager
    def names_last(self, folder: Path, names: Sequence[str] | Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Remove the file of names before the block and write it after.

        A data set without this file cannot be opened, so none is opened half-written.
        """
        self.names_file(folder).unlink(missing_ok=True)
        yield
        write_json(self.names_file(folder), names)


def attribute_test_draws(values: np.ndarray, *, n: int = 10_000) -> HeldoutPairs:
    """The pairs that the official code draws for CelebA, given the held-out images' attributes `[m, K]`, 0 or 1.

    The `n` examples are drawn with replacement, from RandomState(1). Each then draws, from another RandomState(1), the
    attribute and a partner of the same value among the examples, itself not excluded.
    """
    index = np.random.RandomState(1).choice(len(values), size=n)
    drawn = values[index]
    having = [[np.flatnonzero(drawn[:, k] == value) for value in (0, 1)] for k in range(values.shape[1])]
    random = np.random.RandomState(1)
    factor, partner = np.empty(n, np.int64), np.empty(n, np.int64)
    for i in range(n):
        factor[i] = random.choice(values.shape[1])
        partner[i] = random.choice(having[factor[i]][drawn[i, factor[i]]])
    return HeldoutPairs(index.astype(np.int64), index[partner].astype(np.int64), factor)


class LabelledImages(ImageData):
    """Images `[n, S, S, C]` and labels `[n, K]`; a table also says which images are `flipped`."""

    _settings: LabelledSet

    def __init__(self, folder: Path, settings: LabelledSet) -> None:
        super().__init__(folder, settings)
        self.channels = self._images["train"].shape[3]
        self._take_names(read_json(settings.names_file(folder)))

    @abstractmethod
    def _take_names(self, names: Any) -> None:
        """Set `concepts`, `classes` and `n_outputs` by what `names_last` wrote."""

    def pool(self, *, size: int | None, seed: int) -> Table:
        """Without a `size`, every training image once, and with `flip` once mirrored."""
        copies, n = 1 + self._settings.flip, len(self._labels["train"])
        if size is None:
            index, flipped = np.tile(np.arange(n), copies), np.arange(n * copies) >= n
        else:
            generator = numpy_generator(seed, "pool")
            index, flipped = generator.integers(0, n, size), generator.integers(0, copies, size) == 1
        return {"index": index, "flipped": flipped, "values": self._labels["train"][index]}

    def heldout(self) -> Table:
        n = self.n_heldout
        return {"index": np.arange(n), "flipped": np.zeros(n, bool), "values": self._labels["heldout"]}

    def _random_columns(self, n: int, generator: torch.Generator) -> Table:
        return {"flipped": torch.rand(n, generator=generator).numpy() < (0.5 if self._settings.flip else 0)}

    def _render(self, split: str, table: Table, generator: torch.Generator | None) -> Tensor:
        levels, flipped = self._images[split][table["index"]], table["flipped"]
        levels[flipped] = levels[flipped][:, :, ::-1]
        images = torch.from_numpy(levels).permute(0, 3, 1, 2)
        images = images_from_levels(images, self._settings.dequantise, generator)
        return deform(images, self._settings.augment, generator)


class AttributeImages(LabelledImages):
    """Each label is an attribute, 0 or 1, and a concept of its own."""

    def _take_names(self, names: Any) -> None:
        self.concepts, self.n_outputs = tuple(names), len(names)

    def heldout_pairs(self) -> HeldoutPairs:
        return attribute_test_draws(self._labels["heldout"])

    def truth(self, table: Table) -> Readings:
        return {name: torch.from_numpy(table["values"][:, k] == 1) for k, name in enumerate(self.concepts)}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """An attribute is there where its logit is positive."""
        return {name: logits[:, k] > 0 for k, name in enumerate(self.concepts)}

    def _targets(self, labels: np.ndarray) -> Tensor:
        return torch.from_numpy(labels).float()


class ClassImages(LabelledImages):
    """The one label is the class, and the one concept."""

    def _take_names(self, names: Any) -> None:
        self.concepts, self.classes, self.n_outputs = ("class",), tuple(names), len(names)

    def heldout_pairs(self) -> HeldoutPairs:
        """Each image with a partner of its class, from RandomState(1).

        The official code draws ColorMNIST's test pairs so; it has none for AnimalFaces.
        """
        first = np.arange(self.n_heldout)
        partners = same_class_partners(self._labels["heldout"][:, 0], np.random.RandomState(1))
        return HeldoutPairs(first, partners, np.zeros_like(first))

    def truth(self, table: Table) -> Readings:
        return {"class": torch.from_numpy(table["values"][:, 0].copy())}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The class with the highest logit; nothing where whole classes are held out, which no classifier has seen."""
        known = np.isin(self._labels["heldout"], self._labels["train"]).all()
        return {"class": logits.argmax(1)} if known else {}

    def _targets(self, labels: np.ndarray) -> Tensor:
        return F.one_hot(torch.from_numpy(labels[:, 0]), self.n_outputs).float()
