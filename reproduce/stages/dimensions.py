"""dimensions: N_F, the size of each concept's factor, as the variant estimates or names it."""

import sys

import torch

from reproduce.config import NamedVariant, load_run
from reproduce.dimensions import equal_chunks, stream_estimate
from reproduce.errors import UserError
from reproduce.files import read_arrays, read_json, write_json
from reproduce.latents import LatentPairs, load_posterior
from reproduce.paths import RunPlaces


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `dimensions.json`: `dims` and `scores` by factor; scores are null where nothing is estimated."""
    config, choice = load_run(profile, experiment, variant)
    places = RunPlaces(profile, experiment, variant)
    factors = (*read_json(places.pairs / "concepts.json"), "residual")
    size = load_posterior(places.latents, "train").mean.shape[1]
    dims, scores = _sizes(places, choice, factors, size=size, seed=config.seed)
    if len(factors) > 1 and not any(dims[:-1]):
        print(
            f"reproduce: warning: {experiment}, {variant}: every concept gets 0 of {size} dimensions, so that T learns "
            "no factor and no swap will change anything; the run goes on to show it",
            file=sys.stderr,
        )
    print(f"{experiment}, {variant}: {', '.join(f'{name} {n}' for name, n in zip(factors, dims, strict=True))}")
    write_json(
        places.dimensions,
        {"dims": dict(zip(factors, dims, strict=True)), "scores": dict(zip(factors, scores, strict=True))},
    )


def _sizes(
    places: RunPlaces, choice: NamedVariant, factors: tuple[str, ...], *, size: int, seed: int
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    """The sizes and scores of `factors`; without concepts the residual is all of z."""
    unscored: tuple[float | None, ...] = (None,) * len(factors)
    if len(factors) == 1:
        return (size,), unscored
    if isinstance(choice.dims, tuple):
        if len(choice.dims) != len(factors) or sum(choice.dims) != size:
            raise UserError(
                f"paper_configs/variants.yaml: {choice.name}.dims: {places.experiment} needs {len(factors)} sizes "
                f"({', '.join(factors)}) that sum to {size}; these are {len(choice.dims)} that sum to "
                f"{sum(choice.dims)}: {list(choice.dims)}"
            )
        return choice.dims, unscored
    if choice.dims == "equal":
        return equal_chunks(len(factors), size), unscored
    draw = LatentPairs(
        posterior=load_posterior(places.latents, "train"),
        values=torch.from_numpy(read_arrays(places.pairs / "pool.npz")["values"]),
        concepts=factors[:-1],
        weights=None,
        balanced=False,
        sample=False,
    )
    estimate = stream_estimate(draw, n_pairs=choice.n_pairs, n_concepts=len(factors) - 1, method=choice.dims, seed=seed)
    return estimate.dims, estimate.scores
