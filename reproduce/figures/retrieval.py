"""A few held-out images, and those that are nearest to each of them in each factor."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.style import Arrays, headed, mosaic, named, show_image, text_width

_GAP = 0.22  # inches, between two blocks
_LETTERS = 7.0
_EMPTY = 0xF4  # the grey of an empty panel


def retrieval_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """A block for each query: the query, and in the row of each factor the nearest images, nearest first.

    `arrays`: see `evaluation.retrieval.measure_retrieval`; the `dims` of `run` stand beside the rows.
    """
    queries, nearest = arrays["queries"], named(arrays, "nearest_")
    blank = np.full_like(next(found for found in nearest.values() if found.size), _EMPTY)
    blocks = [mosaic(block) for block in np.stack([found if found.size else blank for found in nearest.values()], 1)]
    side = 0.4 if queries.shape[1] <= 64 else 0.8  # inches, of an image; a query has twice that
    labels = [f"{name}\n{size} dimensions" for name, size in run["dims"].items()]
    left = 2 * side + 0.2 + max(text_width(line, fontsize=_LETTERS) for label in labels for line in label.split("\n"))
    high, wide = (side / queries.shape[1] * pixels for pixels in blocks[0].shape[:2])
    width, height = left + wide, len(queries) * (high + _GAP) - _GAP
    figure = plt.figure(figsize=(width, height))
    for k, (query, block) in enumerate(zip(queries, blocks, strict=True)):
        bottom = height - high - k * (high + _GAP)
        middle = bottom + (high - 2 * side) / 2
        own = figure.add_axes((0, middle / height, 2 * side / width, 2 * side / height))
        ax = figure.add_axes((left / width, bottom / height, wide / width, high / height))
        for one, image in ((own, query), (ax, block)):
            show_image(one, image)
            one.spines[:].set_visible(False)
        rows = len(block) / len(labels) * (np.arange(len(labels)) + 0.5)
        ax.set_yticks(rows, labels, fontsize=_LETTERS)
        ax.tick_params(length=0)
        for row, found in zip(rows, nearest.values(), strict=True):
            if not found.size:
                words = "0 dimensions: all images are equally near"
                ax.text(block.shape[1] / 2, row, words, ha="center", va="center", fontsize=_LETTERS, color="#555555")
    words = "left: a query; rows: its nearest images in each factor"
    headed(figure, f"Nearest images, variant {run['name']}", words, run["dataset"])
    return figure
