"""Between four images, and from the prior."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.mosaic import show_images
from reproduce.figures.style import headed


def samples_figure(arrays: Mapping[str, np.ndarray], *, dataset: str, variant: str) -> Figure:
    """`arrays`: see `evaluation.samples.sample_pictures`."""
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.7), layout="constrained")
    titles = {
        "corners": "between four images, in z̃",
        "direct": "G(z), z ~ N(0, 1)",
        "mapped": "G(T⁻¹(z̃)), z̃ ~ N(0, 1)",
    }
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        show_images(ax, arrays[name], title)
    headed(figure, f"Interpolation and samples, {variant}", dataset)
    return figure
