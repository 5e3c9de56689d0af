"""Many small images as one."""

import numpy as np
from matplotlib.axes import Axes

_GAP = 1 / 16


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images uint8 `[R, C, S, S, channels]` in their rows and columns, white between: `[H, W, channels]`."""
    rows, columns, side, _, channels = images.shape
    step = side + max(1, round(side * _GAP))
    page = np.full((rows * step - (step - side), columns * step - (step - side), channels), 255, np.uint8)
    for r in range(rows):
        for c in range(columns):
            page[r * step : r * step + side, c * step : c * step + side] = images[r, c]
    return page


def show_images(ax: Axes, images: np.ndarray, title: str = "") -> None:
    """Fill a panel with `images` `[R, C, S, S, channels]`, without axes."""
    ax.imshow(mosaic(images).squeeze(), interpolation="nearest", cmap="gray", vmin=0, vmax=255)
    ax.set(xticks=[], yticks=[])
    ax.grid(False)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title, fontsize=10.5)
