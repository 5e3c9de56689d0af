"""pairs: which training images there are to pair, their concept values, and the fixed held-out pairs."""

import torch

from reproduce.config import load_experiment
from reproduce.data.access import open_dataset
from reproduce.files import write_arrays
from reproduce.pairs import ConceptPairs
from reproduce.paths import Site

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `pool.npz` (training) and `heldout.npz`; a concept without pairs is refused here."""
    config = load_experiment(profile, experiment)
    site = Site(profile, experiment)
    data = open_dataset(site.data, config.dataset)
    pool = data.pool(size=config.pairs.pool_size, n_colors=config.pairs.n_colors, seed=config.seed)
    ConceptPairs(values=torch.from_numpy(pool["values"]), concepts=data.concepts, weights=config.pairs.weights)
    write_arrays(site.pairs / "pool.npz", pool)
    write_arrays(site.pairs / "heldout.npz", data.heldout())
