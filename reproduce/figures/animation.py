"""One factor at a time on its path, beside the decoded image, as an animation."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image, ImageDraw

from reproduce.figures.style import ATTRIBUTE_COLORS, Arrays, class_colors, empty_panel, known_values, named
from reproduce.files import atomic_path

# inches: the side of the image, which is also a strip's height; a strip's width; the space between; the title's height
_IMAGE, _STRIP, _GAP, _HEAD = 2.0, 0.85, 0.15, 0.6
_DPI = 100
_MILLISECONDS = 90
_RADIUS = 6  # pixels


@dataclass(frozen=True)
class Animation:
    """Pages that are shown in turn, each `slower` times as long as usual."""

    pages: list[Image.Image]
    slower: int = 1

    def save(self, path: Path) -> None:
        """Write a WebP that repeats for ever; equal pages give equal bytes."""
        # Pillow's WebP stores only what changes between pages; matplotlib's writers draw and store every page whole
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


def animations(arrays: Arrays, run: Mapping[str, Any]) -> dict[str, Animation]:
    """`factors.webp`, and for the page `factors_small.webp`, which has half the size and half the pages.

    `arrays`: see `evaluation.grid.measure_factor_path` and `evaluation.embedding.measure_embedding`.
    """
    pages = animation_pages(arrays, run)
    small = [page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS) for page in pages[::2]]
    return {"factors.webp": Animation(pages), "factors_small.webp": Animation(small, slower=2)}


def animation_pages(arrays: Arrays, run: Mapping[str, Any]) -> list[Image.Image]:
    """A page for each of the decoded `images`, with a strip for each factor in which a point moves.

    A strip is coloured by its own concept, the residual's by the first one.
    """
    factors, moving, paths = list(named(arrays, "factor_")), arrays["moving"].tolist(), named(arrays, "path_")
    backgrounds = {k: _background(arrays, k, run) for k in sorted(set(moving))}
    side, corner = round(_DPI * _IMAGE), (round(_DPI * _GAP), round(_DPI * _HEAD))
    pages = []
    for i, (image, k) in enumerate(zip(arrays["images"], moving, strict=True)):
        background, strips = backgrounds[k]
        page = background.copy()
        shown = Image.fromarray(image.squeeze()).convert("RGB")
        page.paste(shown.resize((side, side), Image.Resampling.NEAREST), corner)
        draw = ImageDraw.Draw(page)
        for factor, path in paths.items():
            if path.size:
                x, y = strips[factor].transData.transform((0.5, path[i])).tolist()
                fill = "white" if factors[k] == factor else "#DDDDDD"
                draw.circle((x, page.height - y), _RADIUS, fill=fill, outline="black", width=2)
        pages.append(page)
    return pages


def _background(arrays: Arrays, moving: int, run: Mapping[str, Any]) -> tuple[Image.Image, dict[str, Axes]]:
    """The page without image and points while factor number `moving` moves, and each factor's strip."""
    places, truth = named(arrays, "factor_"), named(arrays, "concept_")
    width, height = _IMAGE + (_STRIP + _GAP) * len(places) + 2 * _GAP, _HEAD + _IMAGE + _GAP
    figure = plt.figure(figsize=(width, height), dpi=_DPI)
    title = f"{run['dataset']}, variant {run['name']}"
    figure.text(0.5, 1 - 0.06 / height, title, ha="center", va="top", fontsize=8, color="#555555")
    strips = {}
    for k, (factor, points) in enumerate(places.items()):
        left = 2 * _GAP + _IMAGE + k * (_STRIP + _GAP)
        ax = figure.add_axes((left / width, _GAP / height, _STRIP / width, _IMAGE / height))
        if points.size:
            concept = factor if factor in truth else next(iter(truth))
            names = arrays.get(f"names_{concept}", arrays["class_names"])
            _strip(ax, points, truth[concept], n_classes=len(names))
        else:
            empty_panel(ax, "0 dims")
        weight, color = ("bold", "black") if k == moving else ("normal", "#777777")
        ax.set_title(factor, fontsize=8.5, fontweight=weight, color=color)
        strips[factor] = ax
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return Image.fromarray(pixels), strips


def _strip(ax: Axes, places: np.ndarray, truth: np.ndarray, *, n_classes: int) -> None:
    """Draw the places upward, spread sideways so that equal ones can be told apart."""
    there, truth = known_values(truth)
    places = places[there]
    spread = 0.15 + 0.7 * ((np.arange(len(places)) * 0.6180339887) % 1)
    if truth.ndim == 2:
        color = truth
    elif truth.dtype == bool:
        color = np.array([to_rgb(color) for color in ATTRIBUTE_COLORS]).round(2)[truth.astype(int)]
    else:
        color = class_colors(n_classes)[truth]
    ax.scatter(spread, places, s=3, c=color, linewidths=0)
    ax.set(xlim=(0, 1), xticks=[], yticks=[])
    ax.grid(False)
