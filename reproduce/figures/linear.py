"""Straight and random walks in z̃, mapped back, beside the same in z."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import headed

_COLORS = {"z_tilde": "#0072B2", "z": "#D55E00"}
_WORDS = {"z_tilde": "in z̃, mapped back", "z": "in z"}


def linear_figure(
    arrays: Mapping[str, np.ndarray], confidence: Mapping[str, Mapping[str, float]], *, dataset: str, variant: str
) -> Figure:
    """`arrays`: see `evaluation.linear.walk_pictures`; `confidence`: see `midpoint_confidence` there.

    `sure_z_tilde` and `sure_z` among the arrays are the judge's largest softmax at each step of random walks.
    """
    steps, columns = arrays["straight_z"].shape[:2]
    figure = plt.figure(figsize=(10.4, 5.1 * steps / columns + 4.9), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[5.1 * steps / columns, 0.75, 3.1])
    for column, (name, words) in enumerate(_WORDS.items()):
        sure = confidence[name]
        title = f"straight {words}: judge sure of {100 * sure['softmax']:.0f} % of midpoints"
        show_images(figure.add_subplot(grid[0, column]), arrays[f"straight_{name}"], title)
        show_images(figure.add_subplot(grid[1, column]), arrays[f"random_{name}"][None], f"random walk {words}")
    plane, sureness = figure.add_subplot(grid[2, 0]), figure.add_subplot(grid[2, 1])
    plane.scatter(arrays["plane_data"][:, 0], arrays["plane_data"][:, 1], s=5, color="#BBBBBB", linewidths=0)
    for name in reversed(_WORDS):
        path = arrays[f"plane_{name}"]
        plane.plot(path[:, 0], path[:, 1], color=_COLORS[name], linewidth=1, label=f"walk {_WORDS[name]}")
        largest = np.sort(arrays[f"sure_{name}"])
        at_least = 100 * (1 - np.arange(len(largest)) / len(largest))
        sureness.plot(largest, at_least, color=_COLORS[name], label=f"walks {_WORDS[name]}")
    plane.set(xlabel="1st principal component of z", ylabel="2nd principal component of z")
    plane.set_title("data (grey) and the two random walks", fontsize=10.5)
    plane.legend(fontsize=8, loc="upper right")
    sureness.axvline(0.9, color="#999999", linewidth=1, linestyle=":", zorder=0)
    sureness.set(xlabel="the judge's largest softmax", ylabel="steps that reach it (%)", ylim=(0, 103))
    sureness.set_title("images on random walks, from each image above", fontsize=10.5)
    sureness.legend(fontsize=8, loc="lower left")
    sigmoid = ", ".join(f"{100 * confidence[name]['sigmoid']:.0f} % {words}" for name, words in _WORDS.items())
    headed(
        figure,
        f"Linear walks, {variant}",
        f"columns from one image (top) to another (bottom); sure: largest softmax at least 0.9 (sigmoid: {sigmoid})",
        dataset,
    )
    return figure
