"""How the layers of a network are divided among the concepts, from the first layer to z."""

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.style import apart, headed

_RESIDUAL = "#777777"


def layers_figure(run: Mapping[str, Any]) -> Figure:
    """A line for each factor over the `layers` of `run`: the share that the variant's estimator gives it."""
    layers, factors = run["layers"], list(run["dims"])
    figure, ax = plt.subplots(figsize=(max(4.0, 0.9 * len(layers) + 1.5), 3.4), layout="constrained")
    shares = np.array([[100 * layer["shares"][factor] for factor in factors] for layer in layers.values()])
    top = 1.08 * shares.max()
    for k, (factor, line, height) in enumerate(zip(factors, shares.T, _label_heights(shares[-1], top), strict=True)):
        color = _RESIDUAL if k == len(factors) - 1 else f"C{k}"
        ax.plot(line, color=color, marker="o", markersize=4, clip_on=False)
        ax.annotate(
            f"{factor} {line[-1]:.1f} %", (1.02, height), xycoords=("axes fraction", "data"), va="center", fontsize=9,
            fontweight="bold", color=color, annotation_clip=False,
        )  # fmt: skip
    names = [wrap(name.replace(".", ". "), 12) for name in layers]  # a long name is broken after its dots
    shapes = [" × ".join(map(str, layer["shape"])) for layer in layers.values()]
    words = ["\n".join([*name, shape]).replace(". ", ".") for name, shape in zip(names, shapes, strict=True)]
    ax.set_xticks(range(len(layers)), words, fontsize=8)
    ax.set(ylim=(0, top), ylabel="share of the layer (%)", xlabel="layer, and its channels × height × width")
    headed(figure, f"Dimensions by layer, {run['name']}", run["dataset"])
    return figure


def _label_heights(values: np.ndarray, top: float) -> np.ndarray:
    """Where the labels of lines stand that end at `values`: none overlaps another, and none lies below 0."""
    least = 0.075 * top
    heights = apart(values, least)
    order = np.argsort(heights)
    heights[order] = np.maximum(heights[order], least * np.arange(len(order)))
    return heights
