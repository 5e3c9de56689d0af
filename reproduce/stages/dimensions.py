"""dimensions: N_F, the size of each concept's factor, as the variant estimates or names it."""

import sys

import torch

from reproduce.config import load_experiment, load_variant
from reproduce.dimensions import equal_chunks, stream_estimate
from reproduce.errors import UserError
from reproduce.files import read_arrays, read_json, write_json
from reproduce.latents import LatentPairs, load_posterior
from reproduce.paths import Run


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `dimensions.json`: `dims` and `scores` by factor name; scores are null where the variant names sizes."""
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    site = Run(profile, experiment, variant)
    factors = (*read_json(site.pairs / "concepts.json"), "residual")
    posterior = load_posterior(site.latents, "train")
    size = posterior.mean.shape[1]
    scores: tuple[float | None, ...] = (None,) * len(factors)
    if isinstance(choice.dims, tuple):
        dims = choice.dims
        if len(dims) != len(factors) or sum(dims) != size:
            raise UserError(
                f"paper_configs/variants.yaml: {variant}.dims: {experiment} needs {len(factors)} sizes "
                f"({', '.join(factors)}) that sum to {size}; {list(dims)} are {len(dims)} that sum to {sum(dims)}"
            )
    elif choice.dims == "equal":
        dims = equal_chunks(len(factors), size)
    else:
        draw = LatentPairs(
            posterior=posterior,
            values=torch.from_numpy(read_arrays(site.pairs / "pool.npz")["values"]),
            concepts=factors[:-1],
            weights=None,
            balanced=False,
            sample=False,
        )
        estimate = stream_estimate(
            draw,
            n_pairs=config.dimensions.n_pairs,
            n_concepts=len(factors) - 1,
            method=choice.dims,
            seed=config.seed,
        )
        scores, dims = estimate.scores, estimate.dims
        if not any(dims[:-1]):
            print(
                f"reproduce: warning: {experiment}, {variant}: every concept gets 0 of {size} dimensions: T learns "
                "no factor and no swap will change anything; the run goes on to show it",
                file=sys.stderr,
            )
    print(f"{experiment}, {variant}: {', '.join(f'{name} {n}' for name, n in zip(factors, dims, strict=True))}")
    write_json(
        site.dimensions,
        {"dims": dict(zip(factors, dims, strict=True)), "scores": dict(zip(factors, scores, strict=True))},
    )
