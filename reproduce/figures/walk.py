"""A random walk in each factor, over the embedded latents of the interpreted classifier."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

from reproduce.figures.embedding import color_points
from reproduce.figures.style import Arrays, Titles, empty_panel, headed, named, panels


def walk_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """A panel for each factor.

    `arrays`: see `evaluation.walk.measure`; of `run` the `dims` are shown and the metric `walk`.
    """
    walks, class_names = named(arrays, "walk_"), arrays["class_names"].tolist()
    start = class_names[int(arrays["start"][0])]
    figure, axes = panels(len(walks), columns=len(walks), width=3.7, height=4.1)
    for ax, (factor, path) in zip(axes, walks.items(), strict=True):
        found = run["metrics"]["walk"][factor]
        if found is None:
            empty_panel(ax, "0 dimensions:\nnowhere to walk")
        else:
            ax.set(xticks=[], yticks=[])
            color_points(ax, arrays["places"], arrays["classes"], "class", class_names=class_names, upward=False)
            ax.plot(path[:, 0], path[:, 1], color="black", linewidth=0.7, alpha=0.75, zorder=1.5)
            ax.scatter(path[1:, 0], path[1:, 1], color="black", s=3, linewidths=0, zorder=1.6)
            ax.scatter(
                path[0, 0], path[0, 1], marker="*", s=170, color="white", edgecolors="black", linewidths=1.2, zorder=4
            )
            ax.set_xlabel(f"{100 * found['stays']:.0f} % of steps stay {start}; classes seen: {found['classes']}")
        ax.set_title(f"walk in {factor} ({run['dims'][factor]} dims)", fontsize=11)
    title = f"Ornstein-Uhlenbeck walk in one factor, {titles.variant}"
    headed(figure, title, f"z in 2-D UMAP, ☆ the input; {titles.dataset}")
    return figure
