"""One factor at a time on its path, beside the image that comes of it, as an animation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from PIL import Image, ImageDraw

from reproduce.figures.style import Arrays, Titles, class_colors, empty_panel, named
from reproduce.files import atomic_path

_IMAGE, _STRIP, _GAP, _HEIGHT, _HEAD = 2.0, 0.85, 0.15, 2.75, 0.6  # inches
_MILLISECONDS = 90
_RADIUS = 6


@dataclass(frozen=True)
class Animation:
    """Pages that follow one another, each shown `slower` times as long as usual."""

    pages: list[Image.Image]
    slower: int = 1

    def save(self, path: Path) -> None:
        """Write an animated WebP that repeats for ever; the same bytes for the same pages."""
        # Pillow's WebP keeps only what changes between pages; matplotlib's writers draw and keep each page whole
        with atomic_path(path) as temporary:
            self.pages[0].save(
                temporary,
                format="WEBP",
                save_all=True,
                append_images=self.pages[1:],
                duration=self.slower * _MILLISECONDS,
                loop=0,
                quality=70,
                method=4,
            )


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


def animations(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> dict[str, Animation]:
    """`factors.webp`, and half as large and for the page `factors_small.webp`; nothing of `run` is shown.

    `arrays`: see `evaluation.grid.measure_factor_path` and `evaluation.embedding.measure_embedding`.
    """
    pages = animation_pages(arrays, titles)
    small = [page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS) for page in pages[::2]]
    return {"factors.webp": Animation(pages), "factors_small.webp": Animation(small, slower=2)}


def animation_pages(arrays: Arrays, titles: Titles) -> list[Image.Image]:
    """A page for each of the decoded `images`: beside it a strip for each factor, where a point moves.

    A strip is coloured by its own concept, the residual's by the first one.
    """
    factors, moving, paths = list(named(arrays, "factor_")), arrays["moving"].tolist(), named(arrays, "path_")
    pages = {k: _page(arrays, k, titles) for k in sorted(set(moving))}
    drawn = []
    for i, (image, k) in enumerate(zip(arrays["images"], moving, strict=True)):
        page = pages[k]
        picture = page.picture.copy()
        shown = Image.fromarray(image.squeeze()).convert("RGB")
        picture.paste(shown.resize((page.side, page.side), Image.Resampling.NEAREST), page.corner)
        draw = ImageDraw.Draw(picture)
        for factor, path in paths.items():
            if path.size:
                x, y = page.spot(factor, float(path[i]))
                box = (x - _RADIUS, y - _RADIUS, x + _RADIUS, y + _RADIUS)
                draw.ellipse(box, fill="white" if factors[k] == factor else "#DDDDDD", outline="black", width=2)
        drawn.append(picture)
    return drawn


def _page(arrays: Arrays, moving: int, titles: Titles) -> _Page:
    places, truth = named(arrays, "factor_"), named(arrays, "concept_")
    width = _IMAGE + (_STRIP + _GAP) * len(places) + 2 * _GAP
    figure = plt.figure(figsize=(width, _HEIGHT), dpi=100)
    bottom, high = _GAP, _HEIGHT - _HEAD - _GAP
    title = f"{titles.dataset}, {titles.variant}"
    figure.text(0.5, 1 - 0.06 / _HEIGHT, title, ha="center", va="top", fontsize=8, color="#555555")
    image_bottom = bottom + (high - _IMAGE) / 2
    axes = {}
    for k, (factor, points) in enumerate(places.items()):
        left = 2 * _GAP + _IMAGE + k * (_STRIP + _GAP)
        ax = figure.add_axes((left / width, bottom / _HEIGHT, _STRIP / width, high / _HEIGHT))
        weight = "bold" if k == moving else "normal"
        if points.size:
            _strip(ax, points, truth.get(factor, next(iter(truth.values()))), n_classes=len(arrays["class_names"]))
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


def _strip(ax: Axes, places: np.ndarray, truth: np.ndarray, *, n_classes: int) -> None:
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
