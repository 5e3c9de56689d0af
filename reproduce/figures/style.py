"""The look that every figure shares, and how a figure becomes a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from reproduce.files import atomic_path

__all__ = ["save", "styled", "wrapped"]


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


def wrapped(text: str, *, inches: float, fontsize: float, fontweight: str = "normal") -> list[str]:
    """`text` in lines no wider than `inches`; a longer word is a line of its own."""
    font = FontProperties(family=plt.rcParams["font.family"], weight=fontweight)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        width = TextPath((0, 0), longer, size=fontsize, prop=font).get_extents().width / 72
        if lines[-1] and width > inches:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
