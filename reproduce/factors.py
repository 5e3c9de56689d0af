"""Which part of z̃ is which factor: concepts 1 … K, then the residual; and checks of sizes and latents."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from reproduce.errors import UserError

# the value of a concept in an image of which it is not known; -1 would be taken for a user's own, as in CelebA's lists
MISSING = torch.iinfo(torch.int64).min


class HasDims(Protocol):
    """An object that holds factor sizes, as `DimensionEstimate` does."""

    @property
    def dims(self) -> tuple[int, ...]: ...


# the K+1 factor sizes, the residual last; a mapping also names the factors
Dims: TypeAlias = Sequence[int] | Mapping[str, int] | HasDims


def factor_slices(dims: Dims) -> list[slice]:
    """Where each factor lies in z̃, in their order; a factor of size 0 is an empty slice."""
    sizes = sizes_of(dims)
    if len(sizes) == 0 or any(size < 0 for size in sizes):
        raise UserError(f"dims={[*sizes]}: one size for each factor is needed, none below 0")
    return [slice(a, b) for a, b in pairwise(accumulate(sizes, initial=0))]


def sizes_of(dims: Dims) -> tuple[int, ...]:
    """The factor sizes alone."""
    if isinstance(dims, Mapping):
        return tuple(dims.values())
    return tuple(dims if isinstance(dims, Sequence) else dims.dims)


def factor_index(factor: int | str, dims: Dims) -> int:
    """The index of `factor`, which is given by its index or, where `dims` is a mapping from names, by its name."""
    names = list(dims) if isinstance(dims, Mapping) else []
    if isinstance(factor, str):
        if factor not in names:
            known = f"it has {', '.join(map(str, names))}" if names else "it has no names: give the factor's index"
            raise UserError(f"factor={factor!r} is not in dims={dims}: {known}")
        return names.index(factor)
    if not 0 <= factor < len(sizes_of(dims)):
        sizes = [*sizes_of(dims)]
        raise UserError(f"factor={factor} is out of range: dims={sizes} has the factors 0 … {len(sizes) - 1}")
    return int(factor)


def check_factor(factor: Tensor, n_concepts: int) -> None:
    """Raise unless every entry of `factor` `[B]` is the index of a concept (the residual is shared by no pair)."""
    if factor.dtype not in (torch.int32, torch.int64):
        raise UserError(f"factor must hold the concepts' indices as int64; it is {factor.dtype}")
    if len(bad := factor[(factor < 0) | (factor >= n_concepts)]):
        raise UserError(
            f"factor index {int(bad[0])} is out of range for n_concepts={n_concepts}: the concepts are numbered from 0"
        )


def check_dims(dims: Dims, dim: int) -> None:
    """Raise unless `dims` divides z̃ of size `dim` completely."""
    if (total := factor_slices(dims)[-1].stop) != dim:
        sizes = [*sizes_of(dims)]
        raise UserError(
            f"dims={sizes} sum to {total}, but z has {dim} dimensions: give the rest to the last, the residual"
        )


def check_shape(z: Tensor, dim: int, *, network: str, maps: bool = False) -> None:
    """Raise unless `z` is `[B, dim]` or, where `maps` are allowed, `[B, dim, H, W]`."""
    if z.ndim not in ((2, 4) if maps else (2,)) or z.shape[1] != dim:
        wanted = f"[B, {dim}] or [B, {dim}, H, W]" if maps else f"[B, {dim}]"
        raise UserError(f"this {network} takes z {wanted}; it was given {list(z.shape)}")


def check_finite(*latents: Tensor) -> None:
    """Raise where a latent is NaN or infinite."""
    if not all(torch.isfinite(z).all() for z in latents):
        raise UserError("the latents hold NaN or infinity: check the first stage's weights and its input range")
