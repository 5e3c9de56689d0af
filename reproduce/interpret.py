"""What T is for: exchange, move along, or walk at random in one factor, and map the result back."""

from typing import Any, Literal

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.factors import Dims, check_dims, factor_index, factor_slices
from reproduce.models.flow import Flow

Vary = Literal["sources", "normal", "walk"]


def exchange(zt_target: Tensor, zt_source: Tensor, *, factor: int | str, dims: Dims, fraction: float = 1.0) -> Tensor:
    """z̃*: the target's z̃ with one factor moved towards that of the source.

    Arguments:
        zt_target: z̃ `[B, N]`, or `[B, C, H, W]`.
        zt_source: as many z̃, or one for all targets.
        factor: 0 … K-1 for a concept, K for the residual, or a name in `dims`; a factor of size 0 changes nothing.
        dims: the K+1 sizes.
        fraction: how far the factor is moved; 0 leaves the target's, 1 takes the source's.
    """
    check_dims(dims, zt_target.shape[1])
    if zt_source.shape not in (zt_target.shape, (1, *zt_target.shape[1:])):
        raise UserError(
            f"targets {[*zt_target.shape]} and sources {[*zt_source.shape]} must have one shape, or there is one source"
        )
    part = factor_slices(dims)[factor_index(factor, dims)]
    mixed = zt_target.clone()
    mixed[:, part] = torch.lerp(zt_target[:, part], zt_source[:, part], fraction)
    return mixed


@torch.no_grad()
def interpolate(flow: Flow, z_target: Any, z_source: Any, *, factor: int | str, dims: Dims, fraction: float) -> Tensor:
    """z* = T⁻¹(T(z)*): the target's latent with one factor moved towards the source's; see `exchange`.

    Latents may be NumPy arrays and of any floating-point type; z* is a tensor of T's type.
    """
    target, source = flow.as_latents(z_target), flow.as_latents(z_source)
    mixed = exchange(flow(target)[0], flow(source)[0], factor=factor, dims=dims, fraction=fraction)
    return flow.inverse(mixed)[0]


def swap(flow: Flow, z_target: Any, z_source: Any, *, factor: int | str, dims: Dims) -> Tensor:
    """z*: the target's latent with `factor` taken from the source; see `interpolate`."""
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
