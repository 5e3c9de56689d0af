"""What T's density gives: samples, straight and random walks, and images moved along the direction of an attribute."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.style import Arrays, headed, named, panels, show_images

_SPACES = {"z_tilde": "in z̃", "z": "in z"}
_WIDTH = 5.2


def samples_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """`arrays`: see `evaluation.samples.sample_pictures`."""
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.7), layout="constrained")
    words = {
        "corners": "between four images, in z̃",
        "direct": "G(z), z ~ N(0, I)",
        "mapped": "G(T⁻¹(z̃)), z̃ ~ N(0, I)",
    }
    for ax, (name, title) in zip(axes, words.items(), strict=True):
        show_images(ax, arrays[name], title)
    headed(figure, f"Interpolation and samples, variant {run['name']}", run["dataset"])
    return figure


def linear_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """`arrays`: see `evaluation.linear.measure_linear`; the metric `linear` of `run` stands above the walks."""
    confidence, threshold = run["metrics"]["linear"], float(arrays["threshold"])
    steps, columns = arrays["straight_z"].shape[:2]
    height = 5.1 * steps / columns
    figure = plt.figure(figsize=(10.4, height + 4.9), layout="constrained")
    grid = figure.add_gridspec(3, 2, height_ratios=[height, 0.75, 3.1])
    for column, (name, words) in enumerate(_SPACES.items()):
        title = f"linear {words}: judge sure at {100 * confidence[name]['softmax']:.0f} % of midpoints"
        show_images(figure.add_subplot(grid[0, column]), arrays[f"straight_{name}"], title)
        show_images(figure.add_subplot(grid[1, column]), arrays[f"random_{name}"][None], f"random walk {words}")
    plane, sureness = (figure.add_subplot(grid[2, column]) for column in range(2))
    plane.scatter(arrays["plane_data"][:, 0], arrays["plane_data"][:, 1], s=5, color="#BBBBBB", linewidths=0)
    for (name, words), color in zip(reversed(_SPACES.items()), ("C1", "C0"), strict=True):
        plane.plot(*arrays[f"plane_{name}"].T, color=color, linewidth=1, label=f"walk {words}")
        largest = np.sort(arrays[f"sure_{name}"])
        at_least = 100 * (1 - np.arange(len(largest)) / len(largest))
        sureness.plot(largest, at_least, color=color, label=f"walks {words}")
    plane.set(xlabel="1st principal component of z", ylabel="2nd principal component of z")
    plane.set_title("data (grey) and the two random walks", fontsize=10.5)
    plane.legend(fontsize=8, loc="upper right")
    sureness.axvline(threshold, color="#999999", linewidth=1, linestyle=":", zorder=0)
    sureness.set(xlabel="the judge's largest softmax", ylabel="steps that reach it (%)", ylim=(0, 103))
    sureness.set_title("random walks from each image above", fontsize=10.5)
    sureness.legend(fontsize=8, loc="lower left")
    sigmoid = " and ".join(f"{100 * confidence[name]['sigmoid']:.0f} % {words}" for name, words in _SPACES.items())
    headed(
        figure,
        f"Linear interpolation and random walks, variant {run['name']}",
        "each column leads from one image (top) to another (bottom);"
        f" the judge is sure if its largest softmax is at least {threshold:g} (by its sigmoid instead: {sigmoid})",
        run["dataset"],
    )
    return figure


def directions_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """A block for each attribute, a row for each image, a column for each λ.

    `arrays`: see `evaluation.linear.measure_directions`; the metric `directions` of `run` stands below the columns.
    """
    pictures, strengths = named(arrays, "attribute_"), arrays["strengths"].tolist()
    n_rows, n_strengths = next(iter(pictures.values())).shape[:2]
    figure, axes = panels(len(pictures), columns=2, width=_WIDTH, height=_WIDTH * n_rows / n_strengths + 0.75)
    for ax, (name, images) in zip(axes, pictures.items(), strict=True):
        show_images(ax, images, f"z̃ + λ · s of {name}")
        step = (ax.get_xlim()[1] + 0.5) / n_strengths
        rates = run["metrics"]["directions"][name].values()
        words = [f"{amount:g}\n{100 * rate:.0f} %" for amount, rate in zip(strengths, rates, strict=True)]
        ax.set_xticks(step * (np.arange(n_strengths) + 0.5), words, fontsize=9)
        ax.tick_params(length=0)
    headed(
        figure,
        f"Attributes as directions in z̃, variant {run['name']}",
        "s is the mean z̃ of images with the attribute minus that of images without it; below each column stand λ and"
        f" the share of {int(arrays['judged']):,} held-out images that are judged to show the attribute",
        run["dataset"],
    )
    return figure
