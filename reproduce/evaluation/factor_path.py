"""A path through z̃ on which one factor at a time takes other images' values: what the animation shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from reproduce.evaluation.embedding import Embeddings
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.factors import factor_slices

_STEPS = 8  # from one image to the next


@dataclass(frozen=True)
class FactorPath:
    """Points `z_tilde` `[F, N]`, and the number of the factor that is `moving` at each, `[F]`."""

    z_tilde: Tensor
    moving: np.ndarray


def factor_path(z_tilde: Tensor, stops: Sequence[int], *, dims: Sequence[int], steps: int) -> FactorPath:
    """From row `stops[0]` of z̃ `[n, N]`: each factor in turn goes straight to that of each further stop, and back.

    There are `steps` points to each stop, the last one at it; a factor of size 0 takes no step.
    """
    start, fractions = stops[0], torch.arange(1, steps + 1, dtype=z_tilde.dtype)[:, None] / steps
    points, moving = [], []
    for k, part in enumerate(factor_slices(dims)):
        if part.start == part.stop:
            continue
        for here, there in pairwise([*stops, start]):
            leg = z_tilde[start].repeat(steps, 1)
            leg[:, part] = torch.lerp(z_tilde[here, part][None], z_tilde[there, part][None], fractions)
            points.append(leg)
            moving += [k] * steps
    return FactorPath(torch.cat(points), np.array(moving))


def measure_factor_path(subject: Subject, stops: list[int], embeddings: Embeddings) -> tuple[Measured, Measured]:
    """The path from the first of the measured images `stops` to the others, and the images on it.

    `moving` `[F]`: the number of the factor that moves; `path_<factor>` `[F]`: where its embedding places it, empty
    for a factor of size 0. Apart, since they are not published: `images` uint8 `[F, S, S, C]`.
    """
    path = factor_path(subject.z_tilde, stops, dims=subject.sizes, steps=_STEPS)
    arrays = {"moving": path.moving}
    for k, (factor, part) in enumerate(named_slices(subject.dims).items()):
        embedding, own = embeddings[factor], path.moving == k
        arrays[f"path_{factor}"] = np.empty(0)
        if embedding is not None:  # the last point of a factor is its first one again, where it also waits
            placed = embedding.place(path.z_tilde[own][:, part].numpy())[:, 0]
            arrays[f"path_{factor}"] = np.full(len(own), placed[-1])
            arrays[f"path_{factor}"][own] = placed
    return Measured(arrays=arrays), Measured(arrays={"images": subject.pictures(subject.to_z(path.z_tilde))})
