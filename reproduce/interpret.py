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
    """z̃* `[B, N]`: the target's z̃ with one factor moved towards that of the source.

    Arguments:
        zt_target, zt_source: z̃ `[B, N]`.
        factor: 0 … K-1 for a concept, K for the residual; a factor of size 0 changes nothing.
        dims: the K+1 sizes.
        fraction: how far the factor is moved; 0 leaves the target's, 1 takes the source's.
    """
    check_dims(dims, zt_target.shape[1])
    if zt_target.shape != zt_source.shape:
        raise UserError(
            f"targets {list(zt_target.shape)} and sources {list(zt_source.shape)} must have one shape [B, N]"
        )
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
    """z* = T⁻¹(T(z)*) `[B, N]`: the target's latent with one factor moved towards the source's; see `exchange`."""
    mixed = exchange(flow(z_target)[0], flow(z_source)[0], factor=factor, dims=dims, fraction=fraction)
    return flow.inverse(mixed)[0]


def swap(flow: Flow, z_target: Tensor, z_source: Tensor, *, factor: int, dims: Sequence[int]) -> Tensor:
    """z* `[B, N]`: the target's latent with `factor` taken from the source; see `interpolate`."""
    return interpolate(flow, z_target, z_source, factor=factor, dims=dims, fraction=1.0)


def ornstein_uhlenbeck(start: Tensor, *, steps: int, rho: float, generator: torch.Generator) -> Tensor:
    """The points `[steps, D]` that a random walk from `start` `[D]` visits, without the start itself.

    It is an Ornstein-Uhlenbeck process at equally spaced times: x' = ρ·x + √(1-ρ²)·ε with ε ~ N(0, 1). Its stationary
    distribution is N(0, 1), that of z̃. Source: the paper names the process; this discretisation is exact.
    """
    points = [start]
    noises = (1 - rho**2) ** 0.5 * torch.randn(steps, len(start), generator=generator, dtype=start.dtype)
    for noise in noises.to(start.device):
        points.append(rho * points[-1] + noise)
    return torch.stack(points)[1:]


def vary(
    z_tilde: Tensor, index: int, *, part: slice, how: Vary, n: int, rho: float, generator: torch.Generator
) -> Tensor:
    """`n` variants `[n, N]` of row `index` of z̃ `[m, N]`, which differ only in the factor that lies at `part`.

    Arguments:
        how: "sources" takes the factor of the other rows in random order, and begins again after the last one;
            "normal" draws it from N(0, 1); "walk" starts at the row's own, see `ornstein_uhlenbeck`.
        rho: the walk's correlation between two steps.
    """
    varied = z_tilde[index].expand(n, -1).clone()
    size = part.stop - part.start
    if how == "sources":
        others = len(z_tilde) - 1
        if others < 1:
            raise UserError("a factor is taken from other images: at least 2 images are needed")
        order = torch.randperm(others, generator=generator).repeat(-(-n // others))[:n]
        varied[:, part] = z_tilde[order + (order >= index), part]
    elif how == "normal":
        varied[:, part] = torch.randn(n, size, generator=generator)
    else:
        varied[:, part] = ornstein_uhlenbeck(z_tilde[index, part], steps=n, rho=rho, generator=generator)
    return varied
