"""What T is for: exchange, or move along, one factor and map the result back."""

from collections.abc import Sequence

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.likelihood import check_dims, factor_slices
from reproduce.models.flow import Flow

__all__ = ["exchange", "interpolate", "swap"]


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
