"""Straight and random walks in z̃, mapped back, beside the same in z."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import Arrays, Titles, headed

_COLORS = {"z_tilde": "#0072B2", "z": "#D55E00"}
_WORDS = {"z_tilde": "in z̃, mapped back", "z": "in z"}


def linear_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """`arrays`: see `evaluation.linear.measure`; of `run` the metric `linear` is written above the walks."""
    confidence = run["metrics"]["linear"]
    steps, columns = arrays["straight_z"].shape[:2]
    figure = plt.figure(figsize=(10.4, 5.1 * steps / columns + 4.9), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[5.1 * steps / columns, 0.75, 3.1])
    for column, (name, words) in enumerate(_WORDS.items()):
        title = f"straight {words}: judge sure of {100 * confidence[name]['softmax']:.0f} % of midpoints"
        show_images(figure.add_subplot(grid[0, column]), arrays[f"straight_{name}"], title)
        show_images(figure.add_subplot(grid[1, column]), arrays[f"random_{name}"][None], f"random walk {words}")
    _draw_plane(figure.add_subplot(grid[2, 0]), arrays)
    _draw_sureness(figure.add_subplot(grid[2, 1]), arrays)
    sigmoid = ", ".join(f"{100 * confidence[name]['sigmoid']:.0f} % {words}" for name, words in _WORDS.items())
    headed(
        figure,
        f"Linear walks, {titles.variant}",
        f"columns from one image (top) to another (bottom); sure: largest softmax at least {arrays['threshold']:g}"
        f" (sigmoid: {sigmoid})",
        titles.dataset,
    )
    return figure


def _draw_plane(ax: Axes, arrays: Arrays) -> None:
    ax.scatter(arrays["plane_data"][:, 0], arrays["plane_data"][:, 1], s=5, color="#BBBBBB", linewidths=0)
    for name in reversed(_WORDS):
        path = arrays[f"plane_{name}"]
        ax.plot(path[:, 0], path[:, 1], color=_COLORS[name], linewidth=1, label=f"walk {_WORDS[name]}")
    ax.set(xlabel="1st principal component of z", ylabel="2nd principal component of z")
    ax.set_title("data (grey) and the two random walks", fontsize=10.5)
    ax.legend(fontsize=8, loc="upper right")


def _draw_sureness(ax: Axes, arrays: Arrays) -> None:
    for name in reversed(_WORDS):
        largest = np.sort(arrays[f"sure_{name}"])
        at_least = 100 * (1 - np.arange(len(largest)) / len(largest))
        ax.plot(largest, at_least, color=_COLORS[name], label=f"walks {_WORDS[name]}")
    ax.axvline(float(arrays["threshold"]), color="#999999", linewidth=1, linestyle=":", zorder=0)
    ax.set(xlabel="the judge's largest softmax", ylabel="steps that reach it (%)", ylim=(0, 103))
    ax.set_title("images on random walks, from each image above", fontsize=10.5)
    ax.legend(fontsize=8, loc="lower left")
