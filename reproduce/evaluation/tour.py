"""A way through z̃ on which one factor at a time visits other images' values."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from reproduce.factors import factor_slices


@dataclass(frozen=True)
class Tour:
    """`z_tilde` `[F, N]`, and the number of the factor that `moving` `[F]` at each place."""

    z_tilde: Tensor
    moving: np.ndarray


def factor_tour(z_tilde: Tensor, start: int, others: Sequence[int], *, dims: Sequence[int], steps: int) -> Tour:
    """From row `start` of z̃ `[n, N]`: each factor in turn goes straight to that of each of `others`, and back.

    `steps` places to each, the last one there; a factor of size 0 goes nowhere and takes no step.
    """
    stops = [start, *others, start]
    fractions = torch.arange(1, steps + 1, dtype=z_tilde.dtype)[:, None] / steps
    places, moving = [], []
    for k, part in enumerate(factor_slices(dims)):
        if part.start == part.stop:
            continue
        for here, there in pairwise(stops):
            leg = z_tilde[start].repeat(steps, 1)
            leg[:, part] = torch.lerp(z_tilde[here, part][None], z_tilde[there, part][None], fractions)
            places.append(leg)
            moving += [k] * steps
    return Tour(torch.cat(places), np.array(moving))
