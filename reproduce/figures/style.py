"""The style that every figure shares, and how a figure becomes a file."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from reproduce.files import atomic_path

# Paul Tol's colour-blind-safe set "muted" and its grey
_CLASSES = (
    "#332288", "#88CCEE", "#117733", "#DDCC77", "#CC6677", "#AA4499", "#44AA99", "#999933", "#882255", "#AAAAAA",
)  # fmt: skip

ATTRIBUTE_COLORS = ("#56B4E9", "#D55E00")  # of the images without and with an attribute
MOST_NAMES = 10  # of more classes a figure does not write the names, and their colours are not colour-blind-safe

Arrays = Mapping[str, np.ndarray]  # the arrays of a measurement


def named(arrays: Arrays, prefix: str) -> dict[str, np.ndarray]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def known_values(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images `[n]` have a value of a concept, given all values `[n]`, and these values; an attribute's are bool.

    A missing value is below 0.
    """
    there = truth >= 0 if truth.dtype.kind == "i" else np.ones(len(truth), bool)
    return there, truth[there].astype(bool if truth.dtype == np.int8 else truth.dtype)


def styled() -> AbstractContextManager[None]:
    """A context in which figures have the project's style."""
    return plt.style.context(str(Path(__file__).with_name("style.mplstyle")))


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without version and date, so that equal figures are equal files; and close the figure."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})
    plt.close(figure)


def text_width(text: str, *, fontsize: float, fontweight: str = "normal") -> float:
    """The width of `text` in inches."""
    font = FontProperties(family=plt.rcParams["font.family"], weight=fontweight)
    return TextPath((0, 0), text, size=fontsize, prop=font).get_extents().width / 72


def wrapped(text: str, *, inches: float, fontsize: float, fontweight: str = "normal") -> list[str]:
    """`text` in lines no wider than `inches`; a wider word gets a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if lines[-1] and text_width(longer, fontsize=fontsize, fontweight=fontweight) > inches:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def panels(n: int, *, columns: int, width: float, height: float, margin: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A figure with `n` panels of this size in inches, `columns` in a row; `margin` is added to its width."""
    rows, columns = -(-n // min(columns, n)), min(columns, n)
    size = (width * columns + margin, height * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for ax in axes.flat[n:]:
        ax.set_visible(False)
    return figure, list(axes.flat[:n])


def show_image(ax: Axes, image: np.ndarray) -> None:
    """Show `image`, uint8 `[H, W, channels]`, without ticks."""
    ax.imshow(image.squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)


def class_colors(n: int) -> np.ndarray:
    """A colour for each of `n` classes, RGB in [0, 1], `[n, 3]`; colour-blind-safe up to `n` = 10."""
    if n <= len(_CLASSES):
        return np.array([to_rgb(color) for color in _CLASSES[:n]])
    return plt.get_cmap("turbo")(np.linspace(0.02, 0.98, n))[:, :3]


def apart(values: np.ndarray, least: float) -> np.ndarray:
    """The values, moved as little as needed and in the same order, with a distance of `least` between neighbours."""
    order = np.argsort(values, kind="stable")
    moved = values[order].astype(float)
    for _ in range(50):
        for i in range(len(moved) - 1):
            lack = max(0.0, least - (moved[i + 1] - moved[i]))
            moved[i] -= lack / 2
            moved[i + 1] += lack / 2
    return moved[np.argsort(order)]


def empty_panel(ax: Axes, text: str) -> None:
    """Write in a panel why it has no data."""
    ax.clear()
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    ax.set_facecolor("#F4F4F4")
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=10, color="#555555")


def headed(figure: Figure, title: str, *lines: str) -> None:
    """Write `title`, and in smaller letters `lines`, above the whole `figure`; they are wrapped to its width."""
    width = figure.get_figwidth()
    place = 0.12
    styles = [(title, 13.0, "bold", "black"), *((line, 9.0, "normal", "#555555") for line in lines)]
    for text, fontsize, weight, color in reversed(styles):
        for line in reversed(wrapped(text, inches=width, fontsize=fontsize, fontweight=weight)):
            offset = 1 + place / figure.get_figheight()
            figure.text(0.5, offset, line, ha="center", va="bottom", fontsize=fontsize, fontweight=weight, color=color)
            place += 1.35 * fontsize / 72


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images uint8 `[R, C, S, S, channels]` as one `[H, W, channels]`, with white gaps of a sixteenth of a side."""
    # torchvision's make_grid needs torch, and draws a border around the whole
    gap = max(1, round(images.shape[2] / 16))
    padded = np.pad(images, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    return np.concatenate(np.concatenate(padded, 1), 1)[:-gap, :-gap]


def show_images(ax: Axes, images: np.ndarray, title: str) -> None:
    """Fill a panel with `images` `[R, C, S, S, channels]`, without axes."""
    show_image(ax, mosaic(images))
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=10.5)
