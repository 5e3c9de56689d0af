"""Embedded images: each factor in one dimension, and a random walk in each factor over the latents."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from reproduce.figures.style import (
    ATTRIBUTE_COLORS,
    MOST_NAMES,
    Arrays,
    apart,
    class_colors,
    empty_panel,
    headed,
    known_values,
    named,
    panels,
)


def embedding_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """A panel for each concept: its factor upward; the next concept's factor, of the last the first's, to the right.

    `arrays`: see `evaluation.embedding.measure_embedding`; the metric `embedding` of `run` stands above.
    """
    places, truth = named(arrays, "factor_"), named(arrays, "concept_")
    factors, concepts = list(places), list(truth)
    height = 4.2 if any(places[concept].size for concept in concepts) else 1.5
    figure, axes = panels(len(concepts), columns=2, width=4.3, height=height, margin=0.4)
    for k, (ax, concept) in enumerate(zip(axes, concepts, strict=True)):
        other = factors[1] if len(concepts) == 1 else concepts[(k + 1) % len(concepts)]
        ax.set(xlabel=f"1-D UMAP of the factor {other}", ylabel=f"1-D UMAP of the factor {concept}")
        empty = [f"{name}: 0 dimensions" for name in (concept, other) if not places[name].size]
        if empty:
            empty_panel(ax, "\n".join(empty))
            ax.set_title(f"{concept} against {other}", fontsize=10, fontweight="normal")
            continue
        ax.set(xticks=[], yticks=[])
        there, values = known_values(truth[concept])
        points = np.stack([places[other], places[concept]], 1)[there]
        names = arrays.get(f"names_{concept}", arrays["class_names"])
        _draw_points(ax, points, truth=values, concept=concept, n_classes=len(names))
        if values.dtype.kind == "i" and len(names) <= MOST_NAMES:
            middles = _middles(points, values)
            low, high = ax.get_ylim()
            heights = apart(np.array([y for _, y in middles.values()]), 0.045 * (high - low))
            for number, y in zip(middles, heights, strict=True):
                ax.annotate(
                    names[number], (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=9,
                    fontweight="bold", annotation_clip=False,
                )  # fmt: skip
    headed(figure, f"Embedded factors, variant {run['name']}", *_accuracies(arrays, run), run["dataset"])
    return figure


def _accuracies(arrays: Arrays, run: Mapping[str, Any]) -> list[str]:
    """The metric `embedding` in a line; no line where every factor has size 0."""
    found = {name: value for name, value in run["metrics"]["embedding"].items() if value is not None}
    if not found:
        return []
    told = {name: known_values(values)[1] for name, values in named(arrays, "concept_").items() if values.ndim == 1}
    classes = [concept for concept, values in told.items() if values.dtype.kind == "i"]
    if not classes:
        asked = "each attribute from its factor's"
    else:
        asked = f"the {classes[0]} from each factor's" if len(told) == 1 else "each concept from its factor's"
    shares = ", ".join(f"{100 * value:.1f} % (factor {name})" for name, value in found.items())
    return [f"k-NN (k = {arrays['neighbours']}) predicts {asked} 1-D embedding with accuracy {shares}"]


def _draw_points(ax: Axes, points: np.ndarray, *, truth: np.ndarray, concept: str, n_classes: int) -> None:
    """Draw `points` `[n, 2]` in the colours of their `truth`, and write which concept that is."""
    x, y = points.T
    if truth.dtype == bool:
        for value, color, word in zip((False, True), ATTRIBUTE_COLORS, ("no", "yes"), strict=True):
            shown = truth == value
            ax.scatter(x[shown], y[shown], s=9, color=color, linewidths=0, alpha=0.8, label=f"{concept}: {word}")
        ax.legend(  # in the title's place, away from the points
            loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9, markerscale=2, frameon=False,
            columnspacing=1.2, handletextpad=0.2,
        )  # fmt: skip
        return
    if truth.ndim == 2:
        ax.scatter(x, y, s=9, c=truth, linewidths=0.2, edgecolors="#666666")
    else:
        ax.scatter(x, y, s=9, c=class_colors(n_classes)[truth], linewidths=0)
    ax.set_title(f"coloured by {concept}", fontsize=10, fontweight="normal")


def _middles(points: np.ndarray, classes: np.ndarray) -> dict[int, np.ndarray]:
    """The median `[2]` of the points of each class that is present."""
    return {k: np.median(points[classes == k], 0) for k in np.unique(classes).tolist()}


def walk_figure(arrays: Arrays, run: Mapping[str, Any]) -> Figure:
    """A panel for each factor.

    `arrays`: see `evaluation.response.measure_walk`; the `dims` and the metric `walk` of `run` are written.
    """
    walks, names = named(arrays, "walk_"), arrays["class_names"]
    there, classes = known_values(arrays["classes"])
    places = arrays["places"][there]
    start = names[int(arrays["start"][0])]
    figure, axes = panels(len(walks), columns=len(walks), width=3.7, height=4.1)
    for ax, (factor, path) in zip(axes, walks.items(), strict=True):
        found = run["metrics"]["walk"][factor]
        if found is None:
            empty_panel(ax, "0 dimensions: nothing to vary")
        else:
            ax.set(xticks=[], yticks=[])
            _draw_points(ax, places, truth=classes, concept="class", n_classes=len(names))
            middles = _middles(places, classes) if len(names) <= MOST_NAMES else {}
            stroke = [withStroke(linewidth=2.5, foreground="white")]
            for k, (x, y) in middles.items():
                ax.text(x, y, names[k], ha="center", va="center", fontsize=10, fontweight="bold", path_effects=stroke)
            x, y = path.T
            ax.plot(x, y, color="black", linewidth=0.7, alpha=0.75, zorder=1.5)
            ax.scatter(x[1:], y[1:], color="black", s=3, linewidths=0, zorder=1.6)
            ax.scatter(x[0], y[0], marker="*", s=170, color="white", edgecolors="black", linewidths=1.2, zorder=4)
            occur = "1 class occurs" if found["classes"] == 1 else f"{found['classes']} classes occur"
            ax.set_xlabel(f"class {start} is predicted in {100 * found['stays']:.0f} % of the steps;\n{occur}")
        ax.set_title(f"walk in {factor} ({run['dims'][factor]} dimensions)", fontsize=11)
    title = f"Ornstein-Uhlenbeck walk in one factor, variant {run['name']}"
    headed(figure, title, "2-D UMAP of z; the star ☆ is the image where the walk starts", run["dataset"])
    return figure
