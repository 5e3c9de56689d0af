"""pairs: the training images that T learns from, their concept values, and the fixed held-out pairs."""

import torch

from reproduce.config import Pairs, load_experiment
from reproduce.data.shared.base import pick_images
from reproduce.files import write_arrays, write_json
from reproduce.pairs import ConceptPairs
from reproduce.paths import ExperimentPlaces


def run(profile: str, experiment: str) -> None:
    """Write `{pool,heldout}.npz`, `heldout_pairs.npz` and `concepts.json`; refuse a concept without pairs."""
    config = load_experiment(profile, experiment)
    places = ExperimentPlaces(profile, experiment)
    data = config.dataset.open(places.data)
    size = None if config.pool.size == "all" else config.pool.size
    pool, heldout = data.pool(size=size, seed=config.seed), data.heldout()
    if isinstance(config.pairs, Pairs):
        ConceptPairs(values=torch.from_numpy(pool["values"]), concepts=data.concepts, weights=config.pairs.weights)
    for wanted in config.evaluation.images().values():  # what cannot be shown is refused now, not after T is trained
        pick_images(heldout["values"][: data.n_heldout], wanted)
    write_arrays(places.pairs / "pool.npz", pool)
    write_arrays(places.pairs / "heldout.npz", heldout)
    write_arrays(places.pairs / "heldout_pairs.npz", vars(data.heldout_pairs()) if config.concepts else {})
    write_json(places.pairs / "concepts.json", config.concepts)
    print(
        f"{experiment}: {len(pool['values']):,} images to learn from, {data.n_heldout:,} held out, "
        f"{'concept(s) ' + ', '.join(config.concepts) if config.concepts else 'no concepts'}"
    )
