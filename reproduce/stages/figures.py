"""figures: draws one run; computes nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from reproduce.config import Experiment, load_network_config, load_variant
from reproduce.figures.curves import training_curve
from reproduce.figures.directions import directions_figure
from reproduce.figures.embedding import embedding_figure
from reproduce.figures.linear import linear_figure
from reproduce.figures.response import response_figure
from reproduce.figures.samples import samples_figure
from reproduce.figures.style import save, styled
from reproduce.figures.swap_grid import prediction_grid, swap_grid
from reproduce.figures.video import factor_animation, save_animation
from reproduce.figures.walk import walk_figure
from reproduce.files import read_array, read_arrays, read_json, write_arrays
from reproduce.paths import RunPlaces

_TRANSFERRED = 3  # rows and columns of the paper's class transfer
Arrays = dict[str, np.ndarray]


def run(profile: str, experiment: str, variant: str) -> None:
    """Write swap grids where there are concepts, `training.png`, and what else `evaluate` prepared.

    The latter are `<name>.png` for each `<name>.npz` of `_DRAWN` in the evaluation's folder, which is copied beside it.
    Where images are swapped in their class, `transfer.png` has the upper left corner of that grid, as the paper shows.
    An autoencoder with concepts has `factors.webp` and, for the page, `factors_small.webp`.
    """
    # UserError for a name that isn't known
    with_concepts = isinstance(load_network_config(profile, experiment), Experiment)
    if with_concepts:
        load_variant(variant)
    site = Run(profile, experiment, variant)
    result = read_json(site.metrics)
    words = {"dataset": result["dataset"], "variant": variant}
    with styled():
        if with_concepts:
            _grids(site, result, words)
        log = pd.read_csv(site.flow / "training.csv")
        of = "pairs" if with_concepts else "latents"
        save(training_curve(log, of=of, **words), site.figures / "training.png")
        for name, draw in _DRAWN.items():
            source = site.evaluation / f"{name}.npz"
            if source.exists():
                arrays = read_arrays(source)
                save(draw(arrays, result, words), site.figures / f"{name}.png")
                write_arrays(site.figures / source.name, arrays)
        if with_concepts and result["kind"] == "autoencoder":
            pages = _factors(site, words)
            save_animation(pages, site.figures / "factors.webp")
            write_arrays(site.figures / "factors.npz", read_arrays(site.evaluation / "factors.npz"))
            small = [page.resize((page.width // 2, page.height // 2), Image.Resampling.LANCZOS) for page in pages[::2]]
            save_animation(small, site.figures / "factors_small.webp", slower=2)


def _factors(site: Run, words: dict[str, str]) -> list[Image.Image]:
    arrays, embedded = (read_arrays(site.evaluation / f"{name}.npz") for name in ("factors", "embedding"))
    return factor_animation(
        read_array(site.evaluation / "factors_images.npy"),
        arrays["moving"],
        _named(arrays, "path_"),
        _named(embedded, "factor_"),
        _named(embedded, "concept_"),
        n_classes=len(embedded["class_names"]),
        **words,
    )


def _grids(site: Run, result: Any, words: dict[str, str]) -> None:
    """`swap_<factor>.png`, or `predictions_<factor>.png` of a classifier."""
    grid = read_arrays(site.evaluation / "grid.npz")
    targets, sources = grid["targets"], grid["sources"]
    names = grid["class_names"].tolist() if "class_names" in grid else None
    for k, (factor, size) in enumerate(result["dims"].items()):
        if result["kind"] == "autoencoder":
            figure = swap_grid(targets, sources, grid[f"cells_{k}"], factor=factor, size=size, **words)
            save(figure, site.figures / f"swap_{factor}.png")
            if factor == "class":
                few = slice(_TRANSFERRED)
                cells = grid[f"cells_{k}"][few, few]
                figure = swap_grid(targets[few], sources[few], cells, factor=factor, size=size, **words)
                save(figure, site.figures / "transfer.png")
        else:
            figure = prediction_grid(
                targets,
                sources,
                grid["target_classes"],
                grid["source_classes"],
                grid[f"cells_{k}"],
                class_names=names,
                factor=factor,
                size=size,
                **words,
            )
            save(figure, site.figures / f"predictions_{factor}.png")


def _named(arrays: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}


def _embedding(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    places, truth = _named(arrays, "factor_"), _named(arrays, "concept_")
    names = arrays["class_names"].tolist()
    return embedding_figure(places, truth, result["metrics"]["embedding"], class_names=names, **words)


def _response(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    return response_figure(
        arrays["image"],
        int(arrays["own"]),
        arrays["classes"],
        arrays["log_softmax"],
        dims=result["dims"],
        numbers=result["metrics"]["response"],
        means=result["metrics"]["response_mean"],
        averaged=int(arrays["averaged"]),
        class_names=arrays["class_names"].tolist(),
        **words,
    )


def _walk(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    names = arrays["class_names"].tolist()
    return walk_figure(
        arrays["places"],
        arrays["classes"],
        _named(arrays, "walk_"),
        result["metrics"]["walk"],
        dims=result["dims"],
        start=names[int(arrays["start"][0])],
        class_names=names,
        **words,
    )


def _linear(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    return linear_figure(arrays, result["metrics"]["linear"], **words)


def _samples(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    return samples_figure(arrays, **words)


def _directions(arrays: Arrays, result: Any, words: dict[str, str]) -> Figure:
    pictures, strengths = _named(arrays, "attribute_"), arrays["strengths"].tolist()
    rates = {name: list(shares.values()) for name, shares in result["metrics"]["directions"].items()}
    return directions_figure(pictures, rates, strengths=strengths, judged=int(arrays["judged"]), **words)


_DRAWN: dict[str, Callable[[Arrays, Any, dict[str, str]], Figure]] = {
    "embedding": _embedding,
    "response": _response,
    "linear": _linear,
    "samples": _samples,
    "directions": _directions,
    "walk": _walk,
}
