"""Random generators that depend on a seed, a purpose and a step, and on nothing else.

So a run that continues from step k draws what the uninterrupted run drew at step k.
"""

import zlib

import numpy as np
import torch


def _sequence(seed: int, purpose: str, step: int) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), step])


def torch_generator(seed: int, purpose: str, step: int = 0) -> torch.Generator:
    """A CPU generator for `purpose` at `step`."""
    state = _sequence(seed, purpose, step).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def numpy_generator(seed: int, purpose: str, step: int = 0) -> np.random.Generator:
    """A NumPy generator for `purpose` at `step`."""
    return np.random.default_rng(_sequence(seed, purpose, step))
