"""One factor at a time on its way, beside the image that comes of it, as an animation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image, ImageDraw

from reproduce.figures.style import class_colors, empty_panel
from reproduce.files import atomic_path

_IMAGE, _STRIP, _GAP, _HEIGHT, _HEAD = 2.0, 0.85, 0.15, 2.75, 0.6  # inches
_MILLISECONDS = 90
_RADIUS = 6


@dataclass(frozen=True)
class _Page:
    """What stays the same while a factor moves: the picture, where the image goes, where a place lies in pixels."""

    picture: Image.Image
    corner: tuple[int, int]
    side: int
    axes: Mapping[str, Axes]

    def spot(self, factor: str, place: float) -> tuple[float, float]:
        x, y = self.axes[factor].transData.transform((0.5, place))
        return float(x), self.picture.height - float(y)


def factor_animation(
    images: np.ndarray,
    moving: np.ndarray,
    paths: Mapping[str, np.ndarray],
    places: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    *,
    n_classes: int,
    dataset: str,
    variant: str,
) -> list[Image.Image]:
    """A page for each of the decoded `images` uint8 `[F, S, S, C]`: beside it a strip a factor, where a point moves.

    Arguments:
        moving: the number of the factor on its way `[F]`.
        paths: by factor, where its 1-D embedding puts each image `[F]`; empty for a factor of size 0.
        places, truth: the embedded held-out images, as for `embedding_figure`; a strip is coloured by its own concept,
            the residual's by the first one.
    """
    factors = list(places)
    pages = {
        int(k): _page(factors, int(k), places, truth, n_classes, f"{dataset}, {variant}") for k in np.unique(moving)
    }
    drawn = []
    for i, image in enumerate(images):
        page = pages[int(moving[i])]
        picture = page.picture.copy()
        shown = Image.fromarray(image.squeeze()).convert("RGB")
        picture.paste(shown.resize((page.side, page.side), Image.Resampling.NEAREST), page.corner)
        draw = ImageDraw.Draw(picture)
        for factor, path in paths.items():
            if path.size:
                x, y = page.spot(factor, float(path[i]))
                own = factors[int(moving[i])] == factor
                box = (x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS)
                draw.ellipse(box, fill="white" if own else "#DDDDDD", outline="black", width=2)
        drawn.append(picture)
    return drawn


def _page(
    factors: Sequence[str],
    moving: int,
    places: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    n_classes: int,
    title: str,
) -> _Page:
    width = _IMAGE + (_STRIP + _GAP) * len(factors) + 2 * _GAP
    figure = plt.figure(figsize=(width, _HEIGHT), dpi=100)
    bottom, high = _GAP, _HEIGHT - _HEAD - _GAP
    figure.text(0.5, 1 - 0.06 / _HEIGHT, title, ha="center", va="top", fontsize=8, color="#555555")
    image_bottom = bottom + (high - _IMAGE) / 2
    axes = {}
    for k, factor in enumerate(factors):
        left = 2 * _GAP + _IMAGE + k * (_STRIP + _GAP)
        ax = figure.add_axes((left / width, bottom / _HEIGHT, _STRIP / width, high / _HEIGHT))
        weight = "bold" if k == moving else "normal"
        if places[factor].size:
            _strip(ax, places[factor], truth.get(factor, next(iter(truth.values()))), n_classes)
        else:
            empty_panel(ax, "0 dims")
        ax.set_title(factor, fontsize=8.5, fontweight=weight, color="black" if k == moving else "#777777")
        axes[factor] = ax
    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]
    plt.close(figure)
    side = round(100 * _IMAGE)
    corner = (round(100 * _GAP), picture.height - round(100 * image_bottom) - side)
    return _Page(picture, corner, side, axes)


def _strip(ax: Axes, places: np.ndarray, truth: np.ndarray, n_classes: int) -> None:
    """The places upward, spread sideways so that equal ones can be told apart."""
    spread = 0.15 + 0.7 * ((np.arange(len(places)) * 0.6180339887) % 1)
    if truth.ndim == 2:
        color = truth
    elif truth.dtype == bool:
        color = np.array([[0.34, 0.71, 0.91], [0.84, 0.37, 0.0]])[truth.astype(int)]
    else:
        color = class_colors(n_classes)[truth]
    ax.scatter(spread, places, s=3, c=color, linewidths=0)
    ax.set(xlim=(0, 1), xticks=[], yticks=[])
    ax.grid(False)


def save_animation(pages: Sequence[Image.Image], path: Path, *, slower: int = 1) -> None:
    """As an animated WebP that repeats for ever, a page `slower` times as long; the same bytes for the same pages."""
    with atomic_path(path) as temporary:
        pages[0].save(
            temporary,
            format="WEBP",
            save_all=True,
            append_images=pages[1:],
            duration=slower * _MILLISECONDS,
            loop=0,
            quality=70,
            method=4,
        )
