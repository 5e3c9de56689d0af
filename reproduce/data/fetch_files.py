"""Data sets' files, verified and laid out as torchvision's classes read them (`download=False`)."""

import gzip
import shutil
import zlib
from pathlib import Path
from typing import Literal

from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, shown
from reproduce.intake.archive import extract_members
from reproduce.intake.download import Downloads

FileSet = Literal["mnist", "fashionmnist", "cifar10"]

_CIFAR10 = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
_BATCH_LIMIT = 10**8  # bytes; a batch has 31 million


def fetch_files(name: FileSet, downloads: Downloads) -> Path:
    """The root folder for torchvision's MNIST, FashionMNIST or CIFAR10, with all files in place.

    Files that were unpacked before, or by hand, are taken as they are.

    Raises:
        ReproduceError: a file can't be had, see `reproduce.intake.download.obtain`; a packed file is damaged.
    """
    for source in missing_files(name, downloads):
        packed = downloads.obtain(source)
        if name == "cifar10":
            members = {f"{_CIFAR10}/{batch}": downloads.folder / _CIFAR10 / batch for batch in _BATCHES}
            extract_members(packed, members, limit=_BATCH_LIMIT)
        else:
            _gunzip(packed)
    return downloads.folder


def missing_files(name: FileSet, downloads: Downloads) -> tuple[str, ...]:
    """The sources that `fetch_files` has to obtain or to unpack."""
    if name == "cifar10":
        whole = all((downloads.folder / _CIFAR10 / batch).exists() for batch in _BATCHES)
        return () if whole else ("cifar10",)
    sources = (f"{name}_{part}_{what}" for part in ("train", "test") for what in ("images", "labels"))
    return tuple(source for source in sources if not downloads.path(source).with_suffix("").exists())


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
