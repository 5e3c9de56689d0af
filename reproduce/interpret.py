"""What T is for: exchange, or move along, one factor and map the result back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.likelihood import check_dims, factor_slices
from reproduce.models.flow import Flow

__all__ = ["interpolate", "swap"]


def _factor_slice(factor: int, dims: Sequence[int]) -> slice:
    if not 0 <= factor < len(dims):
        raise UserError(f"factor={factor} is out of range: dims={list(dims)} has the factors 0 … {len(dims) - 1}")
    return factor_slices(dims)[factor]


@torch.no_grad()
def interpolate(
    flow: Flow, z_target: Tensor, z_source: Tensor, *, factor: int, dims: Sequence[int], fraction: float
) -> Tensor:
    """z* `[B, N]`: the target with one factor moved towards the source's, linearly in z̃.

    Arguments:
        z_target, z_source: `[B, N]`; the target supplies every other factor.
        factor: which factor, 0 … K-1 a concept, K the residual; one of size 0 changes nothing.
        dims: the K+1 sizes.
        fraction: 0 leaves the target, 1 is the full swap.
    """
    check_dims(dims, flow.dim)
    if z_target.shape != z_source.shape:
        raise UserError(f"targets {list(z_target.shape)} and sources {list(z_source.shape)} must be [B, N] alike")
    part = _factor_slice(factor, dims)
    z_tilde = flow(z_target)[0]
    source = flow(z_source)[0][:, part]
    z_tilde[:, part] = torch.lerp(z_tilde[:, part], source, fraction)
    return flow.inverse(z_tilde)[0]


def swap(flow: Flow, z_target: Tensor, z_source: Tensor, *, factor: int, dims: Sequence[int]) -> Tensor:
    """z* = T⁻¹(T(z)*) `[B, N]`: the target's latent with `factor` taken from the source; see `interpolate`."""
    return interpolate(flow, z_target, z_source, factor=factor, dims=dims, fraction=1.0)
