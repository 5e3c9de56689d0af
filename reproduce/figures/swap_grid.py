"""The paper's swap grids: the target in the left column, the source of one factor in the top row."""

import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproduce.figures.style import wrapped

# size, weight and colour of the title's parts: factor, variant, data set
_TITLE = ((13.0, "bold", "black"), (10.5, "normal", "black"), (8.5, "normal", "#555555"))
_FOLLOWED, _STAYED, _BOTH, _NEITHER = "#F6C9A8", "#CFE3F2", "#DCEBD3", "#BDBDBD"


def swap_grid(
    targets: np.ndarray, sources: np.ndarray, cells: np.ndarray, *, factor: str, size: int, dataset: str, variant: str
) -> Figure:
    """Decoded images `cells` `[R, C, S, S, 3]` uint8 under the inputs `sources`, beside the inputs `targets`."""
    figure, axes = _frame(targets, sources, _title(factor, size, dataset, variant))
    for r in range(len(targets)):
        for c in range(len(sources)):
            _show(axes[r + 1, c + 1], cells[r, c])
    return figure


def prediction_grid(
    targets: np.ndarray,
    sources: np.ndarray,
    target_classes: np.ndarray,
    source_classes: np.ndarray,
    cells: np.ndarray,
    *,
    factor: str,
    size: int,
    dataset: str,
    variant: str,
    class_names: Sequence[str] | None = None,
) -> Figure:
    """Predicted classes `cells` `[R, C]`, by name where there are names, tinted by whose class each is."""
    figure, axes = _frame(targets, sources, _title(factor, size, dataset, variant))
    words = [[textwrap.fill(class_names[k] if class_names else str(k), 12) for k in row] for row in cells]
    longest = max(len(line) for row in words for word in row for line in word.splitlines())
    fontsize = min(17.0, 72 * _cell(targets) / (0.7 * longest))  # letters are 0.6 of their height wide, or less
    for r, own in enumerate(target_classes):
        for c, other in enumerate(source_classes):
            predicted = cells[r, c]
            tint = {
                (True, True): _BOTH,
                (True, False): _STAYED,
                (False, True): _FOLLOWED,
                (False, False): _NEITHER,
            }[predicted == own, predicted == other]
            ax = axes[r + 1, c + 1]
            ax.set_facecolor(tint)
            ax.text(0.5, 0.5, words[r][c], ha="center", va="center", fontsize=fontsize, transform=ax.transAxes)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (_STAYED, _FOLLOWED, _BOTH, _NEITHER)]
    figure.legend(
        handles,
        ["target's class", "source's class", "both", "neither"],
        loc="upper center",
        ncols=4,
        bbox_to_anchor=(0.5, 0.0),
        fontsize=min(9.0, 2.1 * figure.get_figwidth()),
        handlelength=1.0,
        columnspacing=0.9,
    )
    return figure


def _title(factor: str, size: int, dataset: str, variant: str) -> list[str]:
    effect = f"{size} dimensions" if size else "0 dimensions: nothing to swap"
    return [f"{factor} from the top row", f"{variant}: {effect}", dataset]


def _cell(images: np.ndarray) -> float:
    """The side of a cell in inches: more for images with more to see."""
    return 0.62 if images.shape[1] <= 32 else 0.8


def _frame(targets: np.ndarray, sources: np.ndarray, title: list[str]) -> tuple[Figure, np.ndarray]:
    """A figure with the inputs at its borders, and its axes `[R + 1, C + 1]`."""
    rows, columns, cell = len(targets), len(sources), _cell(targets)
    width = (columns + 1.25) * cell
    lines: list[tuple[str, float, dict[str, Any]]] = []
    head = 0.10  # inches from the top
    for part, (fontsize, weight, color) in zip(title, _TITLE, strict=True):
        for line in wrapped(part, inches=width, fontsize=fontsize, fontweight=weight):
            lines.append((line, head, {"fontsize": fontsize, "fontweight": weight, "color": color}))
            head += 1.35 * fontsize / 72
    head += 0.05
    height = (rows + 1.25) * cell + head
    # a thin empty row and column set the inputs apart from the results
    figure, grid = plt.subplots(
        rows + 2,
        columns + 2,
        figsize=(width, height),
        gridspec_kw={
            "width_ratios": [1, 0.12, *[1] * columns],
            "height_ratios": [1, 0.12, *[1] * rows],
            "wspace": 0.05,
            "hspace": 0.05,
            "top": 1 - head / height,
            "bottom": 0.0,
            "left": 0.0,
            "right": 1.0,
        },
    )
    for line, offset, style in lines:
        figure.text(0.5, 1 - offset / height, line, ha="center", va="top", **style)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        for spine in ax.spines.values():
            spine.set_visible(False)
    for ax in [*grid[1, :], *grid[:, 1]]:
        ax.set_visible(False)
    keep = [i for i in range(rows + 2) if i != 1]
    kept = grid[np.ix_(keep, [i for i in range(columns + 2) if i != 1])]
    kept[0, 0].text(0.5, 0.68, "source →", ha="center", va="center", fontsize=7, transform=kept[0, 0].transAxes)
    kept[0, 0].text(0.5, 0.30, "target ↓", ha="center", va="center", fontsize=7, transform=kept[0, 0].transAxes)
    for r, image in enumerate(targets):
        _show(kept[r + 1, 0], image)
    for c, image in enumerate(sources):
        _show(kept[0, c + 1], image)
    return figure, kept


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image.squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
