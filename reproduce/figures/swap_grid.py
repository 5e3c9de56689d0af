"""The paper's swap grids: the target in the left column, the source of one factor in the top row."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["prediction_grid", "swap_grid"]

_CELL = 0.62  # inches
_FOLLOWED, _STAYED, _NEITHER = "#F6C9A8", "#CFE3F2", "#E4E4E4"


def swap_grid(
    targets: np.ndarray, sources: np.ndarray, cells: np.ndarray, *, factor: str, size: int, dataset: str, variant: str
) -> Figure:
    """Decoded images `cells` `[R, C, S, S, 3]` uint8 under the inputs `sources`, beside the inputs `targets`."""
    figure, axes = _frame(len(targets), len(sources), _title(factor, size, dataset, variant))
    _inputs(axes, targets, sources)
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
) -> Figure:
    """Predicted classes `cells` `[R, C]`, tinted by whether each is the source's or the target's."""
    figure, axes = _frame(len(targets), len(sources), _title(factor, size, dataset, variant))
    _inputs(axes, targets, sources)
    for r, own in enumerate(target_classes):
        for c, other in enumerate(source_classes):
            predicted = cells[r, c]
            tint = _STAYED if predicted == own else _FOLLOWED if predicted == other else _NEITHER
            ax = axes[r + 1, c + 1]
            ax.set_facecolor(tint)
            ax.text(0.5, 0.5, str(predicted), ha="center", va="center", fontsize=17, transform=ax.transAxes)
    handles = [plt.Rectangle((0, 0), 1, 1, color=color) for color in (_STAYED, _FOLLOWED, _NEITHER)]
    figure.legend(
        handles,
        ["target's class", "source's class", "neither"],
        loc="upper center",
        ncols=3,
        bbox_to_anchor=(0.5, 0.0),
        fontsize=9,
        handlelength=1.0,
        columnspacing=1.2,
    )
    return figure


def _title(factor: str, size: int, dataset: str, variant: str) -> str:
    effect = f"{size} dimensions" if size else "0 dimensions: nothing to swap"
    return f"{factor} from the top row\n{variant}: {effect}\n{dataset}"


def _frame(rows: int, columns: int, title: str) -> tuple[Figure, np.ndarray]:
    # a thin empty row and column set the inputs apart from the results
    figure, grid = plt.subplots(
        rows + 2,
        columns + 2,
        figsize=((columns + 1.25) * _CELL, (rows + 1.25) * _CELL + 0.75),
        gridspec_kw={
            "width_ratios": [1, 0.12, *[1] * columns],
            "height_ratios": [1, 0.12, *[1] * rows],
            "wspace": 0.05,
            "hspace": 0.05,
            "top": 1 - 0.75 / ((rows + 1.25) * _CELL + 0.75),
            "bottom": 0.0,
            "left": 0.0,
            "right": 1.0,
        },
    )
    head, dataset = title.rsplit("\n", 1)
    first, second = head.split("\n")
    height = figure.get_figheight()
    figure.text(0.5, 1 - 0.10 / height, first, ha="center", va="top", fontsize=13, fontweight="bold")
    figure.text(0.5, 1 - 0.34 / height, second, ha="center", va="top", fontsize=10.5)
    figure.text(0.5, 1 - 0.54 / height, dataset, ha="center", va="top", fontsize=8.5, color="#555555")
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
    return figure, kept


def _inputs(axes: np.ndarray, targets: np.ndarray, sources: np.ndarray) -> None:
    for r, image in enumerate(targets):
        _show(axes[r + 1, 0], image)
    for c, image in enumerate(sources):
        _show(axes[0, c + 1], image)


def _show(ax: Axes, image: np.ndarray) -> None:
    ax.imshow(image.squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
