"""What a classifier predicts for one image in many variations of each factor."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reproduce.figures.style import MOST_NAMES, Arrays, empty_panel, headed, show_image

_BINS = 60


def response_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """A row for each factor: how often each class is predicted, and the original class's log-softmax.

    `arrays`: see `evaluation.response.measure_response`; the `dims` and the metrics `response`, of this input, and
    `response_mean` of `run` are written.
    """
    dims: dict[str, int] = run["dims"]
    names, log_softmax = arrays["class_names"].tolist(), arrays["log_softmax"]
    figure = plt.figure(figsize=(9.6, 1.65 * len(dims) + 0.7), layout="constrained")
    grid = figure.add_gridspec(len(dims), 3, width_ratios=[1.55, 4, 4])
    shown = figure.add_subplot(grid[0, 0])
    show_image(shown, arrays["image"])
    shown.set_title("the input", fontsize=9, fontweight="normal")
    low = min(float(log_softmax[[size > 0 for size in dims.values()]].min()), -1e-3)
    for row, (factor, size) in enumerate(dims.items()):
        left, right = (figure.add_subplot(grid[row, column]) for column in (1, 2))
        if size == 0:
            for ax in (left, right):
                empty_panel(ax, "0 dimensions: nothing to vary")
        else:
            _draw_row(left, right, arrays, row=row, low=low)
            numbers = {"this input": "response", f"mean of {arrays['averaged']} inputs": "response_mean"}
            words = [f"{of}: {_words(run['metrics'][metric][factor])}" for of, metric in numbers.items()]
            left.set_title("\n".join(words), fontsize=8.5, fontweight="normal")
        left.set_ylabel(f"{factor}\n{size} dimensions", fontweight="bold")
        left.set_xlim(-0.6, len(names) - 0.4)
        if row < len(dims) - 1:
            right.tick_params(labelbottom=False)
    _name_classes(left, names)
    left.set_xlabel(f"predicted class of {log_softmax.shape[1]:,} variations")
    right.set_xlabel(f"log-softmax of the class predicted for the input, {names[int(arrays['own'])]}")
    headed(figure, f"Response to each factor, variant {run['name']}", run["dataset"])
    return figure


def _draw_row(left: Axes, right: Axes, arrays: Arrays, *, row: int, low: float) -> None:
    classes, log_softmax = arrays["classes"][row], arrays["log_softmax"][row]
    counts = np.bincount(classes, minlength=len(arrays["class_names"]))
    left.bar(np.arange(len(counts)), counts, width=0.8, color=f"C{row}")
    left.axvline(int(arrays["own"]), color="#999999", linewidth=1, linestyle=":", zorder=0)
    left.set_xticks([])
    right.hist(log_softmax.clip(low, 0), bins=np.linspace(low, 0.0, _BINS + 1).tolist(), color=f"C{row}")
    right.xaxis.set_major_locator(MaxNLocator(5))
    right.set_xlim(low, max(0.0, -0.02 * low))
    for ax in (left, right):
        ax.set_yscale("log")
        ax.set_ylim(0.7, 1.6 * len(classes))


def _name_classes(ax: Axes, names: Sequence[str]) -> None:
    """Write the classes' names below the bars, or some of their numbers where there are many classes."""
    few = len(names) <= MOST_NAMES
    ticks = np.arange(len(names)) if few else np.linspace(0, len(names) - 1, 6).round().astype(int)
    words = [names[k] if few else str(k) for k in ticks]
    long = max(map(len, words)) > 2
    ax.set_xticks(ticks, words, rotation=45 if long else 0, ha="right" if long else "center")


def _words(numbers: Mapping[str, float]) -> str:
    changed, entropy = (f"{100 * numbers[name]:.1f} %" for name in ("flip_rate", "entropy"))
    return f"σ {numbers['sigma']:.2f} · changed {changed} · entropy {entropy}"
