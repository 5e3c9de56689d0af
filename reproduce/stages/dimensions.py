"""dimensions: N_F, the size of each concept's factor, as the variant estimates or names it."""

import sys

import numpy as np
import torch

from reproduce.config import load_experiment, load_variant
from reproduce.data.access import open_dataset
from reproduce.dimensions import PairMoments, equal_chunks
from reproduce.files import write_json
from reproduce.latents import LatentPairs, load_posterior
from reproduce.likelihood import check_dims
from reproduce.paths import Run
from reproduce.seeds import torch_generator

__all__ = ["run"]

_BATCH = 5000


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `dimensions.json`: `dims` and `scores` by factor name; scores are null where the variant names sizes."""
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    site = Run(profile, experiment, variant)
    factors = (*open_dataset(site.data, config.dataset).concepts, "residual")
    posterior = load_posterior(site.latents, "train")
    size = posterior.mean.shape[1]
    scores: tuple[float | None, ...] = (None,) * len(factors)
    if isinstance(choice.dims, tuple):
        dims = choice.dims
    elif choice.dims == "equal":
        dims = equal_chunks(len(factors), size)
    else:
        values = torch.from_numpy(np.load(site.pairs / "pool.npz")["values"])
        draw = LatentPairs(posterior=posterior, values=values, concepts=factors[:-1], weights=None, sample=False)
        moments = PairMoments(n_concepts=len(factors) - 1)
        for start in range(0, config.dimensions.n_pairs, _BATCH):
            n = min(_BATCH, config.dimensions.n_pairs - start)
            moments.update(*draw(n, torch_generator(config.seed, "dimension pairs", start)))
        estimate = moments.estimate(choice.dims)
        scores, dims = estimate.scores, estimate.dims
        if not any(dims[:-1]):
            print(
                f"reproduce: warning: {experiment}, {variant}: every concept gets 0 of {size} dimensions: T learns "
                "no factor and no swap will change anything; the run goes on to show it",
                file=sys.stderr,
            )
    check_dims(dims, size)
    write_json(
        site.dimensions,
        {"dims": dict(zip(factors, dims, strict=True)), "scores": dict(zip(factors, scores, strict=True))},
    )
