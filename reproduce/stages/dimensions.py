"""dimensions: N_F, the size of each concept's factor, as the variant estimates or names it."""

import sys
from collections.abc import Sequence

import torch

from reproduce.config import load_run
from reproduce.dimensions import divided, equal_chunks, stream_estimate
from reproduce.errors import UserError
from reproduce.files import read_arrays, read_json, write_json
from reproduce.latents import LatentPairs, load_posterior
from reproduce.pairs import ConceptPairs
from reproduce.paths import RunPlaces


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `dimensions.json`: `dims` and `scores` by factor; scores are null where nothing is estimated.

    Where the variant estimates, `layers` has the shape of each layer and the share of it that each factor gets.
    """
    config, choice = load_run(profile, experiment, variant)
    places = RunPlaces(profile, experiment, variant)
    *concepts, _ = factors = [*read_json(places.pairs / "concepts.json"), "residual"]
    posterior = load_posterior(places.latents, "train")
    size = posterior.mean.shape[1]  # N, or the channels of a feature map
    dims: Sequence[int]
    scores: Sequence[float | None] = [None] * len(factors)
    layers = {}
    if not concepts:
        dims = [size]
    elif isinstance(choice.dims, tuple):
        dims = choice.dims
        if len(dims) != len(factors) or sum(dims) != size:
            raise UserError(
                f"paper_configs/variants.yaml: {choice.name}.dims: {experiment} needs {len(factors)} sizes "
                f"({', '.join(factors)}) that sum to {size}; these are {len(dims)} that sum to {sum(dims)}: {[*dims]}"
            )
    elif choice.dims == "equal":
        dims = equal_chunks(len(factors), size)
    else:
        values = torch.from_numpy(read_arrays(places.pairs / "pool.npz")["values"])
        draw = LatentPairs(ConceptPairs(values=values, concepts=concepts), posterior, sample=False)
        estimate = stream_estimate(
            draw, n_pairs=choice.n_pairs, n_concepts=len(concepts), method=choice.dims, seed=config.seed
        )
        dims, scores = estimate.dims, estimate.scores
        for concept in (concepts[k] for k in estimate.unshared):
            print(
                f"reproduce: warning: {experiment}, {variant}: pairs that share {concept} have no more in common in z "
                "than chance explains; the softmax gives the concept dimensions all the same",
                file=sys.stderr,
            )
        for layer in read_json(places.latents / "layers.json"):
            shares = divided(layer["scores"][choice.dims]).tolist()
            layers[layer["name"]] = {"shape": layer["shape"], "shares": dict(zip(factors, shares, strict=True))}
    if concepts and not any(dims[:-1]):
        print(
            f"reproduce: warning: {experiment}, {variant}: every concept gets 0 of {size} dimensions, so that T learns "
            "no factor and no swap will change anything; the run goes on to show it",
            file=sys.stderr,
        )
    print(f"{experiment}, {variant}: {', '.join(f'{name} {n}' for name, n in zip(factors, dims, strict=True))}")
    sizes = {"dims": dict(zip(factors, dims, strict=True)), "scores": dict(zip(factors, scores, strict=True))}
    write_json(places.dimensions, {**sizes, **({"layers": layers} if layers else {})})
