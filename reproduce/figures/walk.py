"""A random walk in each factor, over the embedded latents of the interpreted classifier."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from reproduce.figures.embedding import color_points
from reproduce.figures.style import empty_panel, headed


def walk_figure(
    places: np.ndarray,
    classes: np.ndarray,
    walks: Mapping[str, np.ndarray],
    numbers: Mapping[str, Mapping[str, float] | None],
    *,
    dims: Mapping[str, int],
    start: str,
    class_names: Sequence[str],
    dataset: str,
    variant: str,
) -> Figure:
    """A panel for each factor of `dims`.

    Arguments:
        places, classes: where 2-D UMAP puts the latents of held-out images, `[n, 2]`, and their classes `[n]`.
        walks: by factor, the places on the walk `[steps + 1, 2]`, the start first; empty for a factor of size 0.
        numbers: by factor; see `evaluation.walk.walk_numbers`.
        start: the start's class, by name.
    """
    figure, axes = plt.subplots(1, len(dims), figsize=(3.7 * len(dims), 4.1), layout="constrained", squeeze=False)
    for ax, (factor, size) in zip(axes[0], dims.items(), strict=True):
        path, found = walks[factor], numbers[factor]
        if found is None:
            empty_panel(ax, "0 dimensions:\nnowhere to walk")
        else:
            ax.set(xticks=[], yticks=[])
            color_points(ax, places, classes, "class", class_names, upward=False)
            ax.plot(path[:, 0], path[:, 1], color="black", linewidth=0.7, alpha=0.75, zorder=1.5)
            ax.scatter(path[1:, 0], path[1:, 1], color="black", s=3, linewidths=0, zorder=1.6)
            ax.scatter(
                path[0, 0], path[0, 1], marker="*", s=170, color="white", edgecolors="black", linewidths=1.2, zorder=4
            )
            ax.set_xlabel(f"{100 * found['stays']:.0f} % of steps stay {start}; classes seen: {found['classes']}")
        ax.set_title(f"walk in {factor} ({size} dims)", fontsize=11)
    headed(figure, f"Ornstein-Uhlenbeck walk in one factor, {variant}", f"z in 2-D UMAP, ☆ the input; {dataset}")
    return figure
