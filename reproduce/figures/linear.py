"""Straight and random walks in z̃, mapped back, beside the same in z."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import headed

__all__ = ["linear_figure"]

_COLORS = {"z_tilde": "#0072B2", "z": "#D55E00"}
_WORDS = {"z_tilde": "in z̃, mapped back", "z": "in z"}


def linear_figure(
    arrays: Mapping[str, np.ndarray], confidence: Mapping[str, Mapping[str, float]], *, dataset: str, variant: str
) -> Figure:
    """`arrays`: see `evaluation.linear.walk_pictures`; `confidence`: see `midpoint_confidence` there."""
    steps, columns = arrays["straight_z"].shape[:2]
    figure = plt.figure(figsize=(10.4, 5.1 * steps / columns + 4.9), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[5.1 * steps / columns, 0.75, 3.1])
    for column, (name, words) in enumerate(_WORDS.items()):
        sure = confidence[name]
        title = f"straight {words}: judge sure of {100 * sure['softmax']:.0f} % of midpoints"
        show_images(figure.add_subplot(grid[0, column]), arrays[f"straight_{name}"], title)
        show_images(figure.add_subplot(grid[1, column]), arrays[f"random_{name}"][None], f"random walk {words}")
    plane, distance = figure.add_subplot(grid[2, 0]), figure.add_subplot(grid[2, 1])
    plane.scatter(arrays["plane_data"][:, 0], arrays["plane_data"][:, 1], s=5, color="#BBBBBB", linewidths=0)
    for name in reversed(_WORDS):
        path = arrays[f"plane_{name}"]
        plane.plot(path[:, 0], path[:, 1], color=_COLORS[name], linewidth=1, label=f"walk {_WORDS[name]}")
        distance.plot(arrays[f"distance_{name}"], color=_COLORS[name], label=f"walk {_WORDS[name]}")
    plane.set(xlabel="1st principal component of z", ylabel="2nd")
    plane.set_title("data (grey) and random walks", fontsize=10.5)
    low, high = np.quantile(arrays["distance_data"], [0.05, 0.95])
    distance.axhspan(low, high, color="#BBBBBB", alpha=0.5, linewidth=0, label="data among themselves (90 %)")
    distance.set_ylim(0, 1.3 * max(high, *(arrays[f"distance_{name}"].max() for name in _WORDS)))
    distance.set(xlabel="step of the random walk", ylabel="distance in z")
    distance.set_title("to the nearest data", fontsize=10.5)
    distance.legend(fontsize=8, loc="upper right", ncols=2)
    sigmoid = ", ".join(f"{100 * confidence[name]['sigmoid']:.0f} % {words}" for name, words in _WORDS.items())
    headed(
        figure,
        f"Linear walks, {variant}",
        f"columns from one image (top) to another (bottom); sure: largest softmax at least 0.9 (sigmoid: {sigmoid})",
        dataset,
    )
    return figure
