"""Many small images as one."""

import numpy as np
from matplotlib.axes import Axes

from reproduce.figures.style import show_image

_GAP = 1 / 16


def mosaic(images: np.ndarray) -> np.ndarray:
    """Images uint8 `[R, C, S, S, channels]` in their rows and columns, white between them: `[H, W, channels]`."""
    # torchvision's make_grid needs torch, and draws a border around the whole
    side = images.shape[2]
    gap = max(1, round(side * _GAP))
    padded = np.pad(images, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    return np.concatenate(np.concatenate(padded, 1), 1)[:-gap, :-gap]


def show_images(ax: Axes, images: np.ndarray, title: str = "") -> None:
    """Fill a panel with `images` `[R, C, S, S, channels]`, without axes."""
    show_image(ax, mosaic(images))
    for spine in ax.spines.values():
        spine.set_visible(False)
    if title:
        ax.set_title(title, fontsize=10.5)
