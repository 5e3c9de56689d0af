"""Each factor in one dimension, one factor against another, coloured by a concept."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from reproduce.figures.style import class_colors, empty_panel, headed

_COLUMNS = 2


def embedding_figure(
    places: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
    accuracy: Mapping[str, float | None],
    *,
    class_names: Sequence[str],
    dataset: str,
    variant: str,
) -> Figure:
    """A panel for each concept, two a row: its factor upward, the next factor (of the last: the first) to the right.

    Arguments:
        places: by factor, where its 1-D embedding puts each image, `[n]`; empty for a factor of size 0.
        truth: by concept, int `[n]` for a class, bool for an attribute, float `[n, 3]` in [0, 1] for a colour.
        accuracy: by factor, how often neighbours agree; see `evaluation.embedding.neighbour_accuracy`.
    """
    factors, concepts = list(places), list(truth)
    height = 4.2 if any(places[concept].size for concept in concepts) else 1.5
    columns = min(_COLUMNS, len(concepts))
    rows = -(-len(concepts) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.3 * columns + 0.4, height * rows), layout="constrained", squeeze=False
    )
    for ax in axes.flat[len(concepts) :]:
        ax.set_visible(False)
    for k, (ax, concept) in enumerate(zip(axes.flat, concepts, strict=False)):
        other = factors[1] if len(concepts) == 1 else concepts[(k + 1) % len(concepts)]
        own, beside = places[concept], places[other]
        ax.set(xlabel=f"1-D UMAP of the factor {other}", ylabel=f"1-D UMAP of the factor {concept}")
        if not own.size or not beside.size:
            nothing = [name for name in (concept, other) if not places[name].size]
            empty_panel(ax, "\n".join(f"{name}: 0 dimensions" for name in nothing))
            ax.set_title(f"{concept} against {other}", fontsize=10, fontweight="normal")
            continue
        ax.set(xticks=[], yticks=[])
        points = np.stack([beside, own], 1)
        color_points(ax, points, truth[concept], concept, class_names, upward=True)
    of_class = next((concept for concept, values in truth.items() if values.dtype.kind == "i"), None)
    asked = "an attribute told from its factor" if of_class is None else f"the {of_class} told from the factor"
    names = [f"{name} {100 * value:.1f} %" for name, value in accuracy.items() if value is not None]
    told = [f"{asked}, by 10 nearest neighbours in 1-D: {', '.join(names)}"] if names else []
    headed(figure, f"Embedded factors, {variant}", *told, dataset)
    return figure


def color_points(
    ax: Axes, points: np.ndarray, truth: np.ndarray, concept: str, class_names: Sequence[str], *, upward: bool
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
        name_classes(ax, points, truth, class_names, upward=upward)


def name_classes(
    ax: Axes, points: np.ndarray, classes: np.ndarray, class_names: Sequence[str], *, upward: bool
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
