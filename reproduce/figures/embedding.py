"""Embedded images: each factor in one dimension, and a random walk in each factor over the latents."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from reproduce.figures.style import Arrays, Titles, class_colors, empty_panel, headed, named, panels


def embedding_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """A panel for each concept, two in a row: its factor upward, the next factor (of the last: the first) to the right.

    `arrays`: see `evaluation.embedding.measure_embedding`; of `run` the metric `embedding` is written above.
    """
    places, truth = named(arrays, "factor_"), named(arrays, "concept_")
    factors, concepts = list(places), list(truth)
    height = 4.2 if any(places[concept].size for concept in concepts) else 1.5
    figure, axes = panels(len(concepts), columns=2, width=4.3, height=height, margin=0.4)
    for k, (ax, concept) in enumerate(zip(axes, concepts, strict=True)):
        other = factors[1] if len(concepts) == 1 else concepts[(k + 1) % len(concepts)]
        own, beside = places[concept], places[other]
        ax.set(xlabel=f"1-D UMAP of the factor {other}", ylabel=f"1-D UMAP of the factor {concept}")
        if not own.size or not beside.size:
            nothing = [name for name in (concept, other) if not places[name].size]
            empty_panel(ax, "\n".join(f"{name}: 0 dimensions" for name in nothing))
            ax.set_title(f"{concept} against {other}", fontsize=10, fontweight="normal")
            continue
        ax.set(xticks=[], yticks=[])
        points, names = np.stack([beside, own], 1), arrays["class_names"].tolist()
        color_points(ax, points, truth[concept], concept, class_names=names, upward=True)
    headed(figure, f"Embedded factors, {titles.variant}", *_accuracies(arrays, run), titles.dataset)
    return figure


def _accuracies(arrays: Arrays, run: Mapping[str, Any]) -> list[str]:
    """How often the neighbours' votes are right, in a line; none where every factor has size 0."""
    found = {name: value for name, value in run["metrics"]["embedding"].items() if value is not None}
    if not found:
        return []
    truth = named(arrays, "concept_")
    of_class = next((concept for concept, values in truth.items() if values.dtype.kind == "i"), None)
    asked = "an attribute told from its factor" if of_class is None else f"the {of_class} told from the factor"
    shares = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items())
    return [f"{asked}, by {arrays['neighbours']} nearest neighbours in 1-D: {shares}"]


def color_points(
    ax: Axes, points: np.ndarray, truth: np.ndarray, concept: str, *, class_names: Sequence[str], upward: bool
) -> None:
    """Draw `points` `[n, 2]` in the colours of their `truth`, and say what these mean.

    `upward`: the classes' names stand at the right, as high as their points; else in their midst.
    """
    if truth.ndim == 2:
        ax.scatter(points[:, 0], points[:, 1], s=9, c=truth, linewidths=0.2, edgecolors="#666666")
        ax.set_title(f"coloured by {concept}", fontsize=10, fontweight="normal")
        return
    if truth.dtype == bool:
        for value, color, word in ((False, "#56B4E9", "without"), (True, "#D55E00", "with")):
            x, y = points[truth == value].T
            ax.scatter(x, y, s=9, color=color, linewidths=0, alpha=0.8, label=f"{word} {concept}")
        ax.legend(  # in the title's place, off the points
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9, markerscale=2, frameon=False,
            columnspacing=1.2, handletextpad=0.2,
        )  # fmt: skip
        return
    ax.scatter(points[:, 0], points[:, 1], s=9, c=class_colors(len(class_names))[truth], linewidths=0)
    ax.set_title(f"coloured by {concept}", fontsize=10, fontweight="normal")
    if len(class_names) <= 10:
        _name_classes(ax, points, truth, class_names=class_names, upward=upward)


def _name_classes(
    ax: Axes, points: np.ndarray, classes: np.ndarray, *, class_names: Sequence[str], upward: bool
) -> None:
    """Write each class's name at the median of its points, or (`upward`) at the right at their median height."""
    present = np.unique(classes)
    middles = np.array([np.median(points[classes == k], 0) for k in present])
    if upward:
        low, high = ax.get_ylim()
        heights = _apart(middles[:, 1], 0.045 * (high - low))
        for k, height in zip(present, heights, strict=True):
            ax.annotate(
                class_names[k],
                (1.02, height),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                fontweight="bold",
                annotation_clip=False,
            )
        return
    for k, (x, y) in zip(present, middles, strict=True):
        ax.text(
            x, y, class_names[k], ha="center", va="center", fontsize=10, fontweight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )  # fmt: skip


def _apart(values: np.ndarray, least: float) -> np.ndarray:
    """The values moved as little as needed, in their order, for neighbours to be `least` apart."""
    order = np.argsort(values, kind="stable")
    moved = values[order].astype(float)
    for _ in range(50):
        for i in range(len(moved) - 1):
            lack = least - (moved[i + 1] - moved[i])
            if lack > 0:
                moved[i] -= lack / 2
                moved[i + 1] += lack / 2
    out = np.empty_like(moved)
    out[order] = moved
    return out


def walk_figure(arrays: Arrays, run: Mapping[str, Any], titles: Titles) -> Figure:
    """A panel for each factor.

    `arrays`: see `evaluation.response.measure_walk`; of `run` the `dims` are shown and the metric `walk`.
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
