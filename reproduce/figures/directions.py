"""Images moved along the direction of an attribute."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import headed

_COLUMNS = 2
_WIDTH = 5.2


def directions_figure(
    pictures: Mapping[str, np.ndarray],
    rates: Mapping[str, Sequence[float]],
    *,
    strengths: Sequence[float],
    judged: int,
    dataset: str,
    variant: str,
) -> Figure:
    """A block for each attribute, λ to the right, an image a row.

    Arguments:
        pictures: uint8 `[R, L, S, S, C]`; see `evaluation.directions.direction_pictures`.
        rates: by attribute, the share of `judged` images that are judged to show it at each λ.
    """
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    n_rows, n_strengths = next(iter(pictures.values())).shape[:2]
    height = _WIDTH * n_rows / n_strengths + 0.75
    figure, axes = plt.subplots(
        rows, columns, figsize=(_WIDTH * columns, height * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(pictures) :]:
        ax.set_visible(False)
    for ax, (name, images) in zip(axes.flat, pictures.items(), strict=False):
        show_images(ax, images, f"λ · s of {name}")
        step = (ax.get_xlim()[1] + 0.5) / n_strengths
        words = [f"{amount:g}\n{100 * rate:.0f} %" for amount, rate in zip(strengths, rates[name], strict=True)]
        ax.set_xticks(step * (np.arange(n_strengths) + 0.5), words, fontsize=9)
        ax.tick_params(length=0)
    headed(
        figure,
        f"Attributes as directions in z̃, {variant}",
        "s: mean of images with the attribute minus mean of those without; below: λ, and the share of"
        f" {judged:,} held-out images judged to show it",
        dataset,
    )
    return figure
