"""Random walks in one factor, seen in the latent of the interpreted network."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from reproduce.factors import factor_slices
from reproduce.interpret import vary
from reproduce.models.flow import Flow
from reproduce.seeds import torch_generator


@torch.no_grad()
def factor_walks(
    flow: Flow, z_tilde: Tensor, index: int, *, dims: Sequence[int], steps: int, rho: float, seed: int
) -> list[Tensor | None]:
    """For each factor the latents `[steps + 1, N]` on a walk in it, from row `index` of z̃ `[m, N]` on.

    None for a factor of size 0. See `interpret.ornstein_uhlenbeck`.
    """
    walks: list[Tensor | None] = []
    for k, part in enumerate(factor_slices(dims)):
        if part.start == part.stop:
            walks.append(None)
            continue
        generator = torch_generator(seed, "walk", step=k)
        varied = vary(z_tilde, index, part=part, how="walk", n=steps, rho=rho, generator=generator)
        walks.append(flow.inverse(torch.cat([z_tilde[index : index + 1], varied]))[0])
    return walks


def walk_numbers(classes: np.ndarray) -> dict[str, float]:
    """Of predictions `classes` `[steps + 1]` on a walk: the share that is the start's, and how many occur."""
    return {"stays": float(np.mean(classes[1:] == classes[0])), "classes": len(np.unique(classes))}
