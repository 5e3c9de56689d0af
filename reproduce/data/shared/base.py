"""What the pipeline asks of a data set: its settings, and the images once it is opened."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.errors import ReproduceError, UserError
from reproduce.factors import MISSING
from reproduce.files import read_array, shown, write_array
from reproduce.intake.download import Downloads
from reproduce.schema import Strict

# one row per image: its `index`, its concept `values` int64 [n, K], each a number from 0 on or `MISSING`, and what else
# its data set needs to render it
Table = Mapping[str, np.ndarray]
# concept -> its value in each image: int64 [n] for a class, bool [n] for an attribute, float [n, D] for a measurement;
# where it is missing, a class is `MISSING`, and an attribute -1, int8 [n]
Readings = dict[str, Tensor]
Count = Annotated[int, Field(ge=2)]
ATTRIBUTE = ("without", "with")  # an attribute's values, 0 and 1; no class has these names, since it has them sorted
_SPLITS = ("train", "heldout")
_MAX_NAMED = 16


@dataclass(frozen=True)
class HeldoutPairs:
    """Rows `first` and `second` of the held-out table, which share concept `factor`; int64 `[m]` each."""

    first: np.ndarray
    second: np.ndarray
    factor: np.ndarray


class DataSet(Strict, ABC):
    """The section `dataset` of a config file: which images there are, and how they become network inputs.

    `dequantise`: one draw of noise per image (official `iin/data.py`), one per pixel, or none.
    """

    name: str
    image_size: Literal[32, 64]
    dequantise: Literal["image", "pixel", "none"]

    # whether each concept is an attribute that an image has or lacks; otherwise the first concept is a class
    has_attributes: ClassVar[bool] = False
    # how many classes the first concept has, where it is a class and the number is known without the files
    n_classes: ClassVar[int | None] = None

    @property
    def has_classes(self) -> bool:
        """Whether a classifier's outputs are classes, those of the first concept."""
        return not self.has_attributes

    @property
    def concepts(self) -> tuple[str, ...]:
        """The concepts' names, in factor order; a data set has its class unless it says otherwise."""
        return ("class",)

    def check(self, *, whole_pool: bool, paired: bool) -> None:
        """ValueError, which names the key, where an experiment asks for what this data set does not have.

        `whole_pool`: T learns from all training images; `paired`: from pairs that share a concept.
        """

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """The names of the files (`paper_configs/sources.yaml`) that `fetch` will obtain."""
        return ()

    @abstractmethod
    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy` into `folder`; an unfinished decode waits in `work`."""

    @abstractmethod
    def open(self, folder: Path) -> "ImageData":
        """The data set that `fetch` left in `folder`."""


class ImageData(ABC):
    """A data set, opened; the images are mapped, so that they stay on disk.

    Attributes:
        concepts: the factors' names without the residual, in factor order.
        classes: the names of a classifier's classes, where its outputs are classes and they have names.
        value_names: the names of the values of each concept that is a class, where there may be several such concepts.
        channels: the number of channels of an image.
        n_outputs: the logits of a classifier or judge: one per class, or one per attribute.
        n_heldout: the number of held-out images that are measured: the first rows of the held-out table. Further rows
            are members of pairs only.
    """

    concepts: tuple[str, ...]
    classes: tuple[str, ...] | None = None
    value_names: Mapping[str, tuple[str, ...]] = {}
    channels: int
    n_outputs: int
    n_heldout: int

    def __init__(self, folder: Path, settings: DataSet) -> None:
        self._settings = settings
        self._images = {split: read_array(folder / f"{split}_images.npy", mapped=True) for split in _SPLITS}
        self._labels = {split: read_array(folder / f"{split}_labels.npy") for split in _SPLITS}
        self.n_heldout = len(self._labels["heldout"])
        for split in _SPLITS:
            if len(self._images[split]) != len(self._labels[split]):
                raise ReproduceError(f"{shown(folder)}: {split} images and labels differ in number: run fetch again")

    def random_images(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training images `[n, C, S, S]` in [-1, 1], and what a classifier should say of each.

        The latter is 0 or 1 per output, float `[n, n_outputs]`.
        """
        index = torch.randint(len(self._labels["train"]), (n,), generator=generator).numpy()
        images = self.render_train({"index": index, **self._random_columns(n, generator)}, generator)
        return images, self._targets(self._labels["train"][index])

    def frequencies(self) -> Tensor:
        """The share of training images in which each output should be 1, float `[n_outputs]`."""
        return self._targets(self._labels["train"]).double().mean(0).float()

    def examples(self) -> Tensor:
        """The first held-out images, at most four, `[n, C, S, S]` in [-1, 1]."""
        return self.render_heldout(rows(self.heldout(), slice(4)))

    @abstractmethod
    def pool(self, *, size: int | None, seed: int) -> Table:
        """The training images that T learns from: `size` at random, or every one once where it is None."""

    @abstractmethod
    def heldout(self) -> Table:
        """The held-out images."""

    @abstractmethod
    def heldout_pairs(self) -> HeldoutPairs:
        """The fixed test pairs."""

    def render_train(self, table: Table, generator: torch.Generator) -> Tensor:
        """The images `[n, C, S, S]` of rows of `pool`, dequantised and deformed."""
        return self._render("train", table, generator)

    def render_heldout(self, table: Table) -> Tensor:
        """The images of rows of `heldout`, as they are."""
        return self._render("heldout", table, None)

    @abstractmethod
    def truth(self, table: Table) -> Readings:
        """The true value of each concept."""

    @abstractmethod
    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """What a classifier's `logits` `[n, n_outputs]`, and images where there are any, show of each concept.

        A concept that cannot be read from them is left out.
        """

    @abstractmethod
    def _random_columns(self, n: int, generator: torch.Generator) -> Table:
        """What `_render` needs beside the index, at random."""

    @abstractmethod
    def _render(self, split: str, table: Table, generator: torch.Generator | None) -> Tensor:
        """The images of a table's rows; with a generator, as training sees them."""

    @abstractmethod
    def _targets(self, labels: np.ndarray) -> Tensor:
        """What a classifier should say of images with these labels; see `random_images`."""


def write_split(folder: Path, split: str, *, images: np.ndarray, labels: np.ndarray) -> None:
    """Write one part (train or heldout) of what `ImageData` opens: uint8 images, and labels as int64."""
    write_array(folder / f"{split}_images.npy", images)
    write_array(folder / f"{split}_labels.npy", labels.astype(np.int64))


def same_class_partners(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """For each image of classes `labels` `[n]`, an image of its class, itself not excluded; int64 `[n]`.

    There is one draw per image, in order, as in the official code (`iin/data.py`).
    """
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    return np.array([random.choice(members[label]) for label in labels], np.int64)


def is_attribute(values: Tensor) -> bool:
    """Whether the true values of a concept are those of an attribute."""
    return values.dtype in (torch.bool, torch.int8)


def known(values: Tensor) -> Tensor:
    """bool `[n]`: the images whose true value of a concept is not missing."""
    if values.ndim > 1 or values.dtype == torch.bool:
        return torch.ones(len(values), dtype=torch.bool)
    return values >= 0


def rows(table: Table, part: slice | np.ndarray) -> Table:
    """The rows `part` of a table."""
    return {key: array[part] for key, array in table.items()}


def to_unit_range(images: Tensor, noise: Tensor | None = None) -> Tensor:
    """Levels 0 … 255 to [-1, 1]; with `noise` in [0, 1), dequantised: (level + noise) / 256."""
    if noise is None:
        return images.float() / 127.5 - 1
    return (images.float() + noise) / 128 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] to levels 0 … 255, rounded to the nearest."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def images_from_levels(levels: Tensor, dequantise: str, generator: torch.Generator | None) -> Tensor:
    """Levels uint8 `[n, C, S, S]` to [-1, 1]; with a generator, dequantised by one draw per image or per pixel.

    Source: official `iin/data.py`, which adds one draw per image.
    """
    if generator is None or dequantise == "none":
        return to_unit_range(levels)
    shape = (len(levels), 1, 1, 1) if dequantise == "image" else tuple(levels.shape)
    return to_unit_range(levels, torch.rand(shape, generator=generator))


def pick_images(values: np.ndarray, wanted: Mapping[str, Sequence[int | tuple[int, ...]]]) -> list[list[int]]:
    """For each list of wanted values, the first images that show them, no image twice.

    Arguments:
        values: concept values `[n, K]`.
        wanted: lists by the config's key: a number is a value of the first concept, a tuple has one for every concept.

    Raises UserError, naming the key, where a tuple has another length, or too few images show a value.
    """
    whole, first = [tuple(row) for row in values.tolist()], values[:, 0].tolist()
    taken: set[int] = set()
    chosen = []
    for name, several in wanted.items():
        own = []
        for value in several:
            if isinstance(value, tuple) and len(value) != values.shape[1]:
                raise UserError(f"{name}: {list(value)} has {len(value)} values, there are {values.shape[1]} concepts")
            there = whole if isinstance(value, tuple) else first
            free = next((i for i, one in enumerate(there) if one == value and i not in taken), None)
            if free is None:
                certain = [one for one in there if MISSING not in (one if isinstance(one, tuple) else (one,))]
                counts = [f"{n} of {_listed(one)}" for one, n in Counter(certain).most_common()]
                few = ", ".join(counts[:_MAX_NAMED]) + (", …" if len(counts) > _MAX_NAMED else "")
                raise UserError(f"{name}: there are not enough held-out images of {_listed(value)}; there are {few}")
            taken.add(free)
            own.append(free)
        chosen.append(own)
    return chosen


def _listed(value: int | tuple[int, ...]) -> int | list[int]:
    return list(value) if isinstance(value, tuple) else value
