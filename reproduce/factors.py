"""Which part of z̃ is which factor: concepts 1 … K, then the residual."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from torch import Tensor

from reproduce.errors import UserError


def factor_slices(dims: Sequence[int]) -> list[slice]:
    """Where each factor lies in z̃: concepts 1 … K, then the residual; a factor of size 0 is an empty slice."""
    if len(dims) == 0 or any(d < 0 for d in dims):
        raise UserError(f"dims={list(dims)}: one size for each factor is needed, none below 0")
    return [slice(a, b) for a, b in pairwise(accumulate(dims, initial=0))]


def check_factor(factor: Tensor, dims: Sequence[int]) -> None:
    """Raise unless every entry of `factor` `[B]` is the index of a concept (the residual is shared by no pair)."""
    n_concepts = len(dims) - 1
    if factor.numel() and (int(factor.min()) < 0 or int(factor.max()) >= n_concepts):
        bad = factor[(factor < 0) | (factor >= n_concepts)][0]
        raise UserError(
            f"factor index {int(bad)} is out of range: with dims={list(dims)} a pair shares one of the "
            f"concepts 0 … {n_concepts - 1}"
        )


def check_dims(dims: Sequence[int], dim: int) -> None:
    """Raise unless `dims` divides z̃ of size `dim` completely."""
    factor_slices(dims)
    if sum(dims) != dim:
        raise UserError(
            f"dims={list(dims)} sum to {sum(dims)}, but z has {dim} dimensions: give the rest to the last, the residual"
        )
