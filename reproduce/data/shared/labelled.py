"""Images with labels, decoded or rendered once: faces with attributes, animals with a class."""

from abc import abstractmethod
from pathlib import Path

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
from reproduce.errors import ReproduceError
from reproduce.files import read_array, read_json, shown, write_array
from reproduce.seeds import numpy_generator

_SPLITS = ("train", "heldout")


class LabelledSet(DataSet):
    """Images with labels; `flip` adds each training image's mirror image, `augment` deforms it anew each time."""

    flip: bool
    augment: Augmentation | None = None

    @property
    def concepts(self) -> tuple[str, ...]:
        """The class; or, where a subclass says so, the attributes."""
        return ("class",)

    def open(self, folder: Path) -> "LabelledImages":
        """The images with their attributes or their class."""
        kind = AttributeImages if self.has_attributes else ClassImages
        return kind(folder=folder, settings=self)


def write_split(folder: Path, split: str, images: np.ndarray, labels: np.ndarray) -> None:
    """Write one part (train or heldout) for `LabelledImages`: images uint8 `[n, S, S, C]` and labels `[n, K]`."""
    write_array(folder / f"{split}_images.npy", images)
    write_array(folder / f"{split}_labels.npy", labels.astype(np.int64))


def attribute_test_draws(values: np.ndarray, *, n: int = 10_000) -> HeldoutPairs:
    """The pairs that the official code draws for CelebA, given the held-out images' attributes `[m, K]`, 0 or 1.

    The `n` examples are drawn with replacement; each then draws the attribute, and a partner of the same value among
    the examples, itself not excluded. Two generators, both RandomState(1).
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
    """The images and labels that `write_split` wrote; the images are mapped, so that they stay on disk."""

    def __init__(self, *, folder: Path, settings: LabelledSet) -> None:
        self._settings = settings
        self._images = {split: read_array(folder / f"{split}_images.npy", mapped=True) for split in _SPLITS}
        self._labels = {split: read_array(folder / f"{split}_labels.npy") for split in _SPLITS}
        self.n_heldout = len(self._labels["heldout"])
        self.channels = self._images["train"].shape[3]
        for split in _SPLITS:
            if len(self._images[split]) != len(self._labels[split]):
                raise ReproduceError(f"{shown(folder)}: {split} images and labels differ in number: run fetch again")

    def random_images(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` training images, deformed, with `flip` half of them mirrored; what a classifier should say of each."""
        index = torch.randint(len(self._labels["train"]), (n,), generator=generator).numpy()
        flipped = torch.rand(n, generator=generator).numpy() < (0.5 if self._settings.flip else 0)
        images = self._render("train", index, flipped, generator)
        return images, self._targets(torch.from_numpy(self._labels["train"][index]))

    def pool(self, *, size: int | None, seed: int) -> Table:
        """Training images: the `index` of each, whether it is `flipped`, and its concept `values` `[size, K]`.

        `size` of them at random, or every one once (and, with `flip`, once mirrored).
        """
        copies, n = 1 + self._settings.flip, len(self._labels["train"])
        if size is None:
            index, flipped = np.tile(np.arange(n), copies), np.arange(n * copies) >= n
        else:
            generator = numpy_generator(seed, "pool")
            index, flipped = generator.integers(0, n, size), generator.integers(0, copies, size) == 1
        return {"index": index, "flipped": flipped, "values": self._labels["train"][index]}

    def frequencies(self) -> Tensor:
        """The share of training images that have each attribute, or are of each class."""
        return self._targets(torch.from_numpy(self._labels["train"])).double().mean(0).float()

    def heldout(self) -> Table:
        """Every held-out image, none flipped."""
        n = self.n_heldout
        return {"index": np.arange(n), "flipped": np.zeros(n, bool), "values": self._labels["heldout"]}

    def render_train(self, table: Table, generator: torch.Generator) -> Tensor:
        """Training images, dequantised and deformed."""
        return self._render("train", table["index"], table["flipped"], generator)

    def render_heldout(self, table: Table) -> Tensor:
        """Held-out images."""
        return self._render("heldout", table["index"], table["flipped"], None)

    def _render(self, split: str, index: np.ndarray, flipped: np.ndarray, generator: torch.Generator | None) -> Tensor:
        levels = self._images[split][index]
        levels[flipped] = levels[flipped][:, :, ::-1]
        images = torch.from_numpy(levels).permute(0, 3, 1, 2)
        images = images_from_levels(images, self._settings.dequantise, generator)
        if generator is not None and self._settings.augment is not None:
            images = deform(images, self._settings.augment, generator)
        return images

    @abstractmethod
    def _targets(self, labels: Tensor) -> Tensor:
        """Labels `[n, K]` as 0 or 1 for each output, float."""


class AttributeImages(LabelledImages):
    """Each label is an attribute, 0 or 1, and a concept of its own."""

    classes = None

    def __init__(self, *, folder: Path, settings: LabelledSet) -> None:
        super().__init__(folder=folder, settings=settings)
        self.concepts = tuple(read_json(folder / "attributes.json"))
        self.n_outputs = len(self.concepts)

    def heldout_pairs(self) -> HeldoutPairs:
        """As the official code draws CelebA's; see `attribute_test_draws`."""
        return attribute_test_draws(self._labels["heldout"])

    def truth(self, table: Table) -> Readings:
        """Whether each attribute is there, bool `[n]`."""
        return {name: torch.from_numpy(table["values"][:, k] == 1) for k, name in enumerate(self.concepts)}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """An attribute is there where its logit is positive."""
        return {name: logits[:, k] > 0 for k, name in enumerate(self.concepts)}

    def _targets(self, labels: Tensor) -> Tensor:
        return labels.float()


class ClassImages(LabelledImages):
    """The one label is the class, and the one concept."""

    concepts = ("class",)

    def __init__(self, *, folder: Path, settings: LabelledSet) -> None:
        super().__init__(folder=folder, settings=settings)
        self.classes = tuple(read_json(folder / "classes.json"))
        self.n_outputs = len(self.classes)
        self._known = set(np.unique(self._labels["heldout"])) <= set(np.unique(self._labels["train"]))

    def heldout_pairs(self) -> HeldoutPairs:
        """Every held-out image with one of its class; see `class_test_draws`."""
        return class_test_draws(self._labels["heldout"][:, 0])

    def truth(self, table: Table) -> Readings:
        """The class, int64 `[n]`."""
        return {"class": torch.from_numpy(table["values"][:, 0].copy())}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The class with the highest logit; nothing where whole classes are held out, which no classifier has seen."""
        return {"class": logits.argmax(1)} if self._known else {}

    def _targets(self, labels: Tensor) -> Tensor:
        return F.one_hot(labels[:, 0], self.n_outputs).float()


def class_test_draws(labels: np.ndarray) -> HeldoutPairs:
    """Every image of classes `labels` `[n]`, each with a partner of its class, itself not excluded.

    From RandomState(1), as the official code draws its test pairs; it has none for AnimalFaces.
    """
    first = np.arange(len(labels))
    return HeldoutPairs(first, same_class_partners(labels, np.random.RandomState(1)), np.zeros_like(first))
