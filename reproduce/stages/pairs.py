"""pairs: which training images there are to pair, their concept values, and the fixed held-out pairs."""

import torch

from reproduce.config import load_experiment
from reproduce.data.access import open_dataset
from reproduce.data.base import pick_images
from reproduce.files import write_arrays, write_json
from reproduce.pairs import ConceptPairs
from reproduce.paths import Site


def run(profile: str, experiment: str) -> None:
    """Write `{pool,heldout,heldout_pairs}.npz` and `concepts.json`; a concept without pairs is refused here."""
    config = load_experiment(profile, experiment)
    site = Site(profile, experiment)
    data, pairs = open_dataset(site.data, config.dataset), config.pairs
    pool = data.pool(size=pairs.pool_size, n_colors=pairs.n_colors, seed=config.seed)
    ConceptPairs(values=torch.from_numpy(pool["values"]), concepts=data.concepts, weights=pairs.weights)
    heldout = data.heldout()
    # images that can't be shown are refused now, not after T is trained
    measured = heldout["values"][: data.n_heldout]
    pick_images(measured, {"grid.targets": config.grid.targets, "grid.sources": config.grid.sources})
    if (response := config.evaluation.response) is not None:
        pick_images(measured, {"evaluation.response.shown": [response.shown]})
    write_arrays(site.pairs / "pool.npz", pool)
    write_arrays(site.pairs / "heldout.npz", heldout)
    write_arrays(site.pairs / "heldout_pairs.npz", vars(data.heldout_pairs()))
    write_json(site.pairs / "concepts.json", data.concepts)
    print(
        f"{experiment}: {len(pool['values']):,} images to pair, {data.n_heldout:,} held out, "
        f"concept(s) {', '.join(data.concepts)}"
    )
