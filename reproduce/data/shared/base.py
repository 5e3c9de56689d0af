"""What the pipeline asks of a data set; its own module in `reproduce.data.sets` knows the rest."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.errors import UserError
from reproduce.intake.download import Downloads
from reproduce.schema import Strict

# one row for each image: its concept `values` int64 [n, K], and what else its data set needs to render it
Table = Mapping[str, np.ndarray]
# concept -> its value in each image: int64 [n] for a class, bool [n] for an attribute, float [n, D] for a measurement
Readings = dict[str, Tensor]
IMAGES_AT_A_TIME = 500  # through a network that is not trained: more needs memory and is no faster
Count = Annotated[int, Field(ge=2)]
_MAX_NAMED = 16


@dataclass(frozen=True)
class HeldoutPairs:
    """Rows `first` and `second` of the held-out table, which share concept `factor`; int64 `[m]` each."""

    first: np.ndarray
    second: np.ndarray
    factor: np.ndarray


class DataSet(Strict, ABC):
    """The section `dataset` of a config file: which images there are, and how they become network inputs.

    `dequantise`: one draw of noise for each image (official `iin/data.py`), one for each pixel, or none.
    """

    name: str
    image_size: Literal[32, 64]
    dequantise: Literal["image", "pixel", "none"]

    @property
    @abstractmethod
    def concepts(self) -> tuple[str, ...]:
        """The concepts' names, in factor order."""

    @property
    def has_attributes(self) -> bool:
        """Whether each concept is an attribute that an image has or lacks; otherwise the first one is a class."""
        return False

    @property
    def n_classes(self) -> int | None:
        """How many classes the first concept has, where that is known without the files and it is a class."""
        return None

    @property
    @abstractmethod
    def counts(self) -> tuple[int, int]:
        """How many training and held-out images there are, as far as that is known without the files."""

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """The names of the files (`paper_configs/sources.yaml`) that `fetch` will obtain."""
        return ()

    @abstractmethod
    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write the images and labels into `folder`; an unfinished decode waits in `work` to be continued."""

    @abstractmethod
    def open(self, folder: Path) -> "ImageData":
        """The data set that `fetch` left in `folder`."""


class ImageData(ABC):
    """A data set, opened.

    Attributes:
        concepts: the factors' names without the residual, in factor order.
        classes: the names of the classes, where a concept is a class and they have names.
        channels: of an image.
        n_outputs: logits of a classifier or judge: one for each class, or one for each attribute.
        n_heldout: how many rows of the held-out table, the first ones, are measured on; pairs may need more.
    """

    concepts: tuple[str, ...]
    classes: tuple[str, ...] | None
    channels: int
    n_outputs: int
    n_heldout: int

    @abstractmethod
    def random_images(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Training images `[n, C, S, S]` in [-1, 1], and what a classifier should say of each.

        The latter is 0 or 1 for each output, float `[n, n_outputs]`.
        """

    @abstractmethod
    def frequencies(self) -> Tensor:
        """The share of training images in which each output should be 1, float `[n_outputs]`."""

    @abstractmethod
    def pool(self, *, size: int | None, seed: int) -> Table:
        """The training images that T learns from: `size` at random, or every one once where it is None."""

    @abstractmethod
    def heldout(self) -> Table:
        """The held-out images."""

    @abstractmethod
    def heldout_pairs(self) -> HeldoutPairs:
        """The fixed test pairs."""

    @abstractmethod
    def render_train(self, table: Table, generator: torch.Generator) -> Tensor:
        """The images `[n, C, S, S]` of rows of `pool`, augmented and dequantised."""

    @abstractmethod
    def render_heldout(self, table: Table) -> Tensor:
        """The images of rows of `heldout`, as they are."""

    @abstractmethod
    def truth(self, table: Table) -> Readings:
        """The true value of each concept."""

    @abstractmethod
    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """What a classifier's `logits` `[n, n_outputs]`, and images where there are any, show of each concept.

        A concept that cannot be read from them is left out.
        """


def same_class_partners(labels: np.ndarray, random: np.random.RandomState) -> np.ndarray:
    """For each image of classes `labels` `[n]`, an image of its class, itself not excluded; int64 `[n]`.

    There is one draw for each image, in order, as in the official code (`iin/data.py`).
    """
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    return np.array([random.choice(members[label]) for label in labels], np.int64)


def heldout_batches(data: ImageData, table: Table) -> Iterator[Tensor]:
    """The images `[n, C, S, S]` of all rows of a held-out table, `IMAGES_AT_A_TIME` together."""
    for start in range(0, len(table["values"]), IMAGES_AT_A_TIME):
        yield data.render_heldout(rows(table, slice(start, start + IMAGES_AT_A_TIME)))


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
    taken: set[int] = set()
    chosen = []
    for name, several in wanted.items():
        own = []
        for value in several:
            if isinstance(value, tuple) and len(value) != values.shape[1]:
                raise UserError(f"{name}: {list(value)} has {len(value)} values, there are {values.shape[1]} concepts")
            shows = (values == value).all(1) if isinstance(value, tuple) else values[:, 0] == value
            free = next((int(i) for i in np.flatnonzero(shows) if int(i) not in taken), None)
            if free is None:
                shown = list(value) if isinstance(value, tuple) else value
                raise UserError(
                    f"{name}: there are not enough held-out images of {shown}; "
                    f"there are {_counted(values, whole=isinstance(value, tuple))}"
                )
            taken.add(free)
            own.append(free)
        chosen.append(own)
    return chosen


def _counted(values: np.ndarray, *, whole: bool) -> str:
    """What there is to choose from, the most frequent first: "412 of [0, 1], 80 of [1, 1]"."""
    kinds, counts = np.unique(values if whole else values[:, :1], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    several = [f"{counts[i]} of {kinds[i].tolist() if whole else kinds[i, 0]}" for i in order[:_MAX_NAMED]]
    return ", ".join(several) + (", …" if len(order) > _MAX_NAMED else "")
