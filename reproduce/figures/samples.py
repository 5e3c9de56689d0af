"""Between four images, and from the prior."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import Arrays, Titles, headed


def samples_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """`arrays`: see `evaluation.samples.sample_pictures`; nothing of `run` is shown."""
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.7), layout="constrained")
    words = {
        "corners": "between four images, in z̃",
        "direct": "G(z), z ~ N(0, 1)",
        "mapped": "G(T⁻¹(z̃)), z̃ ~ N(0, 1)",
    }
    for ax, (name, title) in zip(axes, words.items(), strict=True):
        show_images(ax, arrays[name], title)
    headed(figure, f"Interpolation and samples, {titles.variant}", titles.dataset)
    return figure
