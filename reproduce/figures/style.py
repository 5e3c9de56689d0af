"""The look that every figure shares, and how a figure becomes a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from reproduce.files import atomic_path

__all__ = ["FACTOR_COLORS", "RESIDUAL_COLOR", "factor_colors", "save", "styled"]

FACTOR_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
RESIDUAL_COLOR = "#9a9a9a"


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside this to get the project's style."""
    with plt.style.context(str(Path(__file__).with_name("style.mplstyle"))):
        yield


def factor_colors(factors: list[str]) -> dict[str, str]:
    """A colour for each factor, the same in every figure; the residual, which comes last, is grey."""
    return {name: FACTOR_COLORS[i % len(FACTOR_COLORS)] for i, name in enumerate(factors[:-1])} | {
        factors[-1]: RESIDUAL_COLOR
    }


def save(figure: Figure, path: Path) -> None:
    """As PNG, without the version and date that would make equal figures differ; and close it."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)
