"""The paper's swap grids: the target in the left column, the source of one factor in the top row."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.style import Arrays, show_image, wrapped

_TRANSFERRED = 3  # rows and columns of the paper's class transfer
# the lines of a title: factor, variant, data set
_TITLE: tuple[dict[str, Any], ...] = (
    {"fontsize": 13.0, "fontweight": "bold", "color": "black"},
    {"fontsize": 10.5, "fontweight": "normal", "color": "black"},
    {"fontsize": 8.5, "fontweight": "normal", "color": "#555555"},
)
# the tint of a prediction, by whether it is the target's class and whether it is the source's
_TINTS = {
    (True, False): ("#CFE3F2", "target's class"),
    (False, True): ("#F6C9A8", "source's class"),
    (True, True): ("#DCEBD3", "both"),
    (False, False): ("#BDBDBD", "neither"),
}


def grid_figures(arrays: Arrays, run: Mapping[str, Any]) -> dict[str, Figure]:
    """For each factor `swap_<factor>.png`, or `predictions_<factor>.png` of a classifier.

    `transfer.png`, as in the paper, is the upper left corner of the grid of the factor `class`.
    `arrays`: see `evaluation.grid.measure_grid`; of `run` the `dims` and the network's `kind` are used.
    """
    figures = {}
    for k, (factor, size) in enumerate(run["dims"].items()):
        effect = f"{size} dimensions" if size else "0 dimensions, so nothing is swapped"
        title = (f"{factor} from the top row", f"variant {run['name']}: {effect}", run["dataset"])
        shown = {**arrays, "cells": arrays[f"cells_{k}"]}
        if run["kind"] != "autoencoder":
            figures[f"predictions_{factor}.png"] = _prediction_grid(shown, title)
            continue
        figures[f"swap_{factor}.png"] = _swap_grid(shown, title)
        if factor == "class":
            few = slice(_TRANSFERRED)
            corner = {"targets": shown["targets"][few], "sources": shown["sources"][few]}
            figures["transfer.png"] = _swap_grid({**corner, "cells": shown["cells"][few, few]}, title)
    return figures


def _swap_grid(arrays: Arrays, title: Sequence[str]) -> Figure:
    """Decoded images `cells` `[R, C, S, S, 3]` uint8 under the inputs `sources`, beside the inputs `targets`."""
    figure, axes = _frame(arrays, title)
    for place, ax in np.ndenumerate(axes):
        show_image(ax, arrays["cells"][place])
    return figure


def _prediction_grid(arrays: Arrays, title: Sequence[str]) -> Figure:
    """Predicted classes `cells` `[R, C]`, by name where there are names, in the colour of whose class each is."""
    figure, axes = _frame(arrays, title)
    names, cells = arrays.get("class_names"), arrays["cells"]
    words = [[textwrap.fill(str(k if names is None else names[k]), 12) for k in row] for row in cells]
    longest = max(len(line) for row in words for word in row for line in word.splitlines())
    fontsize = min(17.0, 72 * _cell(arrays["targets"]) / (0.7 * longest))  # a letter's width is at most 0.6 of this
    for (r, c), ax in np.ndenumerate(axes):
        whose = (bool(cells[r, c] == arrays["target_classes"][r]), bool(cells[r, c] == arrays["source_classes"][c]))
        ax.set_facecolor(_TINTS[whose][0])
        ax.text(0.5, 0.5, words[r][c], ha="center", va="center", fontsize=fontsize, transform=ax.transAxes)
    figure.legend(
        [plt.Rectangle((0, 0), 1, 1, color=color) for color, _ in _TINTS.values()],
        [word for _, word in _TINTS.values()],
        loc="upper center",
        ncols=4,
        bbox_to_anchor=(0.5, 0.0),
        fontsize=min(9.0, 2.1 * figure.get_figwidth()),
        handlelength=1.0,
        columnspacing=0.9,
    )
    return figure


def _cell(images: np.ndarray) -> float:
    """The side of a cell in inches: larger images get larger cells."""
    return 0.62 if images.shape[1] <= 32 else 0.8


def _frame(arrays: Arrays, title: Sequence[str]) -> tuple[Figure, np.ndarray]:
    """A figure with the inputs at its borders, and the axes of its cells `[R, C]`."""
    targets, sources = arrays["targets"], arrays["sources"]
    rows, columns, cell = len(targets), len(sources), _cell(targets)
    width = (columns + 1.25) * cell
    lines = []
    head = 0.10  # inches from the top
    for part, style in zip(title, _TITLE, strict=True):
        for line in wrapped(part, inches=width, fontsize=style["fontsize"], fontweight=style["fontweight"]):
            lines.append((line, head, style))
            head += 1.35 * style["fontsize"] / 72
    head += 0.05
    height = (rows + 1.25) * cell + head
    # a thin empty row and column separate the inputs from the results
    borders = {"top": 1 - head / height, "bottom": 0.0, "left": 0.0, "right": 1.0}
    figure, grid = plt.subplots(
        rows + 2,
        columns + 2,
        figsize=(width, height),
        width_ratios=[1, 0.12, *[1] * columns],
        height_ratios=[1, 0.12, *[1] * rows],
        gridspec_kw={"wspace": 0.05, "hspace": 0.05, **borders},
    )
    for line, offset, style in lines:
        figure.text(0.5, 1 - offset / height, line, ha="center", va="top", **style)
    for ax in grid.flat:
        ax.set(xticks=[], yticks=[])
        ax.grid(False)
        ax.spines[:].set_visible(False)
    for ax in [*grid[1, :], *grid[:, 1]]:
        ax.set_visible(False)
    kept = np.delete(np.delete(grid, 1, 0), 1, 1)
    for y, words in ((0.68, "source →"), (0.30, "target ↓")):
        kept[0, 0].text(0.5, y, words, ha="center", va="center", fontsize=7, transform=kept[0, 0].transAxes)
    for ax, image in zip([*kept[1:, 0], *kept[0, 1:]], [*targets, *sources], strict=True):
        show_image(ax, image)
    return figure, kept[1:, 1:]
