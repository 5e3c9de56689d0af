"""The look that every figure shares, and how a figure becomes a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from reproduce.files import atomic_path

__all__ = ["save", "styled"]


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside this to get the project's style."""
    with plt.style.context(str(Path(__file__).with_name("style.mplstyle"))):
        yield


def save(figure: Figure, path: Path) -> None:
    """As PNG, without the version and date that would make equal figures differ; and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)
