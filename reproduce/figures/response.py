"""What a classifier says of one image in many variants of each factor."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.figures.style import FACTOR_COLORS, empty_panel, headed

_MOST_NAMES = 12
_BINS = 60


def response_figure(
    image: np.ndarray,
    own: int,
    classes: np.ndarray,
    log_softmax: np.ndarray,
    *,
    dims: Mapping[str, int],
    numbers: Mapping[str, Mapping[str, float]],
    means: Mapping[str, Mapping[str, float]],
    averaged: int,
    class_names: Sequence[str],
    dataset: str,
    variant: str,
) -> Figure:
    """A row for each factor: how often each class is predicted, and the original class's log-softmax.

    Arguments:
        image: the one input, uint8 `[S, S, C]`; `own`: its predicted class.
        classes, log_softmax: of the variants, `[K+1, n]` each, in the order of `dims`; see `evaluation.response`.
        numbers, means: by factor `sigma`, `flip_rate` and `entropy`, of this input, and the means of `averaged` inputs.
    """
    rows, n = len(dims), classes.shape[1]
    height = 1.65 * rows + 0.7
    figure = plt.figure(figsize=(9.6, height), layout="constrained")
    grid = figure.add_gridspec(rows, 3, width_ratios=[1.55, 4, 4])
    shown = figure.add_subplot(grid[0, 0])
    shown.imshow(image.squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    shown.set(xticks=[], yticks=[])
    shown.grid(False)
    shown.set_title("the input", fontsize=9, fontweight="normal")
    spread = log_softmax[[size > 0 for size in dims.values()]]
    edges = np.linspace(min(float(spread.min()), -1e-3), 0.0, _BINS + 1)
    left: list[Axes] = []
    right: list[Axes] = []
    for row, (factor, size) in enumerate(dims.items()):
        color = FACTOR_COLORS[row % len(FACTOR_COLORS)]
        a, b = figure.add_subplot(grid[row, 1]), figure.add_subplot(grid[row, 2])
        left.append(a)
        right.append(b)
        a.set_ylabel(f"{factor}\n{size} dims", fontweight="bold")
        if size == 0:
            for ax in (a, b):
                empty_panel(ax, "0 dimensions: nothing to vary")
            a.set_ylabel(f"{factor}\n0 dims", fontweight="bold")
            continue
        counts = np.bincount(classes[row], minlength=len(class_names))
        a.bar(np.arange(len(counts)), counts, width=0.8, color=color)
        _log_axis(a, n)
        a.axvline(own, color="#999999", linewidth=1, linestyle=":", zorder=0)
        b.hist(log_softmax[row].clip(edges[0], 0), bins=edges.tolist(), color=color)
        _log_axis(b, n)
        told = (_words("this input", numbers[factor]), _words(f"mean of {averaged} inputs", means[factor]))
        a.set_title("\n".join(told), fontsize=8.5, fontweight="normal")
    for ax in left:
        ax.set_xlim(-0.6, len(class_names) - 0.4)
        if ax.lines:
            ax.set_xticks([])
    few = len(class_names) <= _MOST_NAMES
    ticks = np.arange(len(class_names)) if few else np.linspace(0, len(class_names) - 1, 6).round().astype(int)
    words = [class_names[k] if few else str(k) for k in ticks]
    long = max(map(len, words)) > 2
    left[-1].set_xticks(ticks, words, rotation=45 if long else 0, ha="right" if long else "center")
    left[-1].set_xlabel(f"predicted class, of {n:,} variants")
    right[-1].set_xlabel(f"log-softmax of the original class, {class_names[own]}")
    for ax, size in zip(right, dims.values(), strict=True):
        if size == 0:
            continue
        ax.xaxis.set_major_locator(MaxNLocator(5))
        ax.set_xlim(edges[0], max(0.0, -0.02 * edges[0]))
        if ax is not right[-1]:
            ax.tick_params(labelbottom=False)
    headed(figure, f"Response to each factor, {variant}", dataset)
    return figure


def _words(title: str, numbers: Mapping[str, float]) -> str:
    flips, entropy = (f"{100 * numbers[name]:.1f} %" for name in ("flip_rate", "entropy"))
    return f"{title}: σ {numbers['sigma']:.2f} · flips {flips} · entropy {entropy}"


def _log_axis(ax: Axes, n: int) -> None:
    ax.set_yscale("log")
    ax.set_ylim(0.7, 1.6 * n)
