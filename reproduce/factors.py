"""Which part of z̃ is which factor: concepts 1 … K, then the residual; and checks of sizes and latents."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from reproduce.errors import UserError

# the value of a concept in an image of which it is not known; -1 would be taken for a user's own, as in CelebA's lists
MISSING = torch.iinfo(torch.int64).min


def factor_slices(dims: Sequence[int]) -> list[slice]:
    """Where each factor lies in z̃, in their order; a factor of size 0 is an empty slice."""
    if len(dims) == 0 or any(d < 0 for d in dims):
        raise UserError(f"dims={list(dims)}: one size for each factor is needed, none below 0")
    return [slice(a, b) for a, b in pairwise(accumulate(dims, initial=0))]


def check_factor(factor: Tensor, n_concepts: int) -> None:
    """Raise unless every entry of `factor` `[B]` is the index of a concept (the residual is shared by no pair)."""
    if factor.dtype not in (torch.int32, torch.int64):
        raise UserError(f"factor must hold the concepts' indices as int64; it is {factor.dtype}")
    if len(bad := factor[(factor < 0) | (factor >= n_concepts)]):
        raise UserError(
            f"factor index {int(bad[0])} is out of range for n_concepts={n_concepts}: the concepts are numbered from 0"
        )


def check_dims(dims: Sequence[int], dim: int) -> None:
    """Raise unless `dims` divides z̃ of size `dim` completely."""
    factor_slices(dims)
    if sum(dims) != dim:
        raise UserError(
            f"dims={list(dims)} sum to {sum(dims)}, but z has {dim} dimensions: give the rest to the last, the residual"
        )


def check_shape(z: Tensor, dim: int, *, network: str) -> None:
    """Raise unless `z` is `[B, dim]`."""
    if z.ndim != 2 or z.shape[1] != dim:
        raise UserError(f"this {network} takes z [B, {dim}]; it was given {list(z.shape)} (flatten the latent first)")


def check_finite(*latents: Tensor) -> None:
    """Raise where a latent is NaN or infinite."""
    if not all(torch.isfinite(z).all() for z in latents):
        raise UserError("the latents hold NaN or infinity: check the first stage's weights and its input range")
