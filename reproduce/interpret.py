"""What T is for: exchange, move along, or walk at random in one factor, and map the result back."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.factors import check_dims, factor_slices
from reproduce.models.flow import Flow

Vary = Literal["sources", "normal", "walk"]


def exchange(
    zt_target: Tensor, zt_source: Tensor, *, factor: int, dims: Sequence[int], fraction: float = 1.0
) -> Tensor:
    """z̃* `[B, N]`: z̃ of the target with one factor moved to (`fraction` 1), or towards, that of the source.

    Arguments:
        zt_target, zt_source: z̃ `[B, N]`.
        factor: which factor, 0 … K-1 a concept, K the residual; one of size 0 changes nothing.
        dims: the K+1 sizes.
        fraction: 0 leaves the target.
    """
    check_dims(dims, zt_target.shape[1])
    if zt_target.shape != zt_source.shape:
        raise UserError(f"targets {list(zt_target.shape)} and sources {list(zt_source.shape)} must be [B, N] alike")
    if not 0 <= factor < len(dims):
        raise UserError(f"factor={factor} is out of range: dims={list(dims)} has the factors 0 … {len(dims) - 1}")
    part = factor_slices(dims)[factor]
    mixed = zt_target.clone()
    mixed[:, part] = torch.lerp(zt_target[:, part], zt_source[:, part], fraction)
    return mixed


@torch.no_grad()
def interpolate(
    flow: Flow, z_target: Tensor, z_source: Tensor, *, factor: int, dims: Sequence[int], fraction: float
) -> Tensor:
    """z* `[B, N]`: the target's latent with one factor moved towards the source's, linearly in z̃; see `exchange`."""
    mixed = exchange(flow(z_target)[0], flow(z_source)[0], factor=factor, dims=dims, fraction=fraction)
    return flow.inverse(mixed)[0]


def swap(flow: Flow, z_target: Tensor, z_source: Tensor, *, factor: int, dims: Sequence[int]) -> Tensor:
    """z* = T⁻¹(T(z)*) `[B, N]`: the target's latent with `factor` taken from the source; see `exchange`."""
    return interpolate(flow, z_target, z_source, factor=factor, dims=dims, fraction=1.0)


def ornstein_uhlenbeck(start: Tensor, *, steps: int, rho: float, generator: torch.Generator) -> Tensor:
    """The places `[steps, D]` that a random walk from `start` `[D]` visits, the start itself left out.

    An Ornstein-Uhlenbeck process seen at equal times: x' = ρ·x + √(1-ρ²)·ε with ε ~ N(0, 1), whose stationary
    distribution is N(0, 1), z̃'s own. Source: the paper's walks by name; the discretisation is exact.
    """
    noise = (1 - rho**2) ** 0.5 * torch.randn(steps, len(start), generator=generator, dtype=start.dtype)
    places, here = torch.empty_like(noise), start
    for step in range(steps):
        here = rho * here + noise[step]
        places[step] = here
    return places


def vary(
    z_tilde: Tensor, index: int, *, part: slice, how: Vary, n: int, rho: float, generator: torch.Generator
) -> Tensor:
    """`n` variants `[n, N]` of row `index` of z̃ `[m, N]`, which differ in the factor `part` alone.

    Arguments:
        how: the factor is that of another row ("sources": each once, as far as there are enough, at random), is drawn
            from N(0, 1) ("normal"), or walks from the row's own ("walk", see `ornstein_uhlenbeck`).
        rho: of the walk.
    """
    varied = z_tilde[index].expand(n, -1).clone()
    size = part.stop - part.start
    if how == "sources":
        others = len(z_tilde) - 1
        if others < 1:
            raise UserError("a factor is varied by other images' factors: at least 2 images are needed")
        order = torch.randperm(others, generator=generator).repeat(-(-n // others))[:n]
        varied[:, part] = z_tilde[order + (order >= index), part]
    elif how == "normal":
        varied[:, part] = torch.randn(n, size, generator=generator)
    else:
        varied[:, part] = ornstein_uhlenbeck(z_tilde[index, part], steps=n, rho=rho, generator=generator)
    return varied
