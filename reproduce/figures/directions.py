"""Images moved along the direction of an attribute."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import Arrays, Titles, headed, named, panels

_WIDTH = 5.2


def directions_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """A block for each attribute, λ to the right, a row for each image.

    `arrays`: see `evaluation.directions.measure`; of `run` the metric `directions` is written below the columns.
    """
    pictures, strengths = named(arrays, "attribute_"), arrays["strengths"].tolist()
    n_rows, n_strengths = next(iter(pictures.values())).shape[:2]
    figure, axes = panels(len(pictures), columns=2, width=_WIDTH, height=_WIDTH * n_rows / n_strengths + 0.75)
    for ax, (name, images) in zip(axes, pictures.items(), strict=True):
        show_images(ax, images, f"λ · s of {name}")
        step = (ax.get_xlim()[1] + 0.5) / n_strengths
        rates = run["metrics"]["directions"][name].values()
        words = [f"{amount:g}\n{100 * rate:.0f} %" for amount, rate in zip(strengths, rates, strict=True)]
        ax.set_xticks(step * (np.arange(n_strengths) + 0.5), words, fontsize=9)
        ax.tick_params(length=0)
    headed(
        figure,
        f"Attributes as directions in z̃, {titles.variant}",
        "s: mean of images with the attribute minus mean of those without; below: λ, and the share of"
        f" {int(arrays['judged']):,} held-out images judged to show it",
        titles.dataset,
    )
    return figure
