r"""The negative log-likelihood of a pair that shares one concept.

Source: the paper's loss; official `iin/losses/iin.py` (`FactorLoss`) for 1-ρ², the ½ and the dropped constants.
With z̃ = T(z) and the pair sharing concept F:

.. math::
    \tfrac12\|\tilde z^a\|^2 - \log|T'(z^a)| + \tfrac12\sum_{k\ne F}\|\tilde z^b_k\|^2
    + \tfrac12\frac{\|\tilde z^b_F - \rho\,\tilde z^a_F\|^2}{1-\rho^2} - \log|T'(z^b)|
"""

from typing import Literal

import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.factors import Dims, check_dims, check_factor, sizes_of

Variance = Literal["1-rho^2", "1-rho"]
VARIANCES: tuple[Variance, ...] = ("1-rho^2", "1-rho")


def density_nll(z_tilde: Tensor, log_det: Tensor) -> Tensor:
    """-log p(z) `[B]`, in nats, where z̃, `[B, N]` or `[B, C, H, W]`, is standard normal; ½·N·log 2π is left out."""
    return 0.5 * z_tilde.square().flatten(1).sum(1) - log_det


def pair_nll(  # noqa: PLR0913, PLR0917  (the public call is fixed)
    zt_a: Tensor,
    log_det_a: Tensor,
    zt_b: Tensor,
    log_det_b: Tensor,
    factor: Tensor,
    dims: Dims,
    rho: float = 0.975,
    *,
    variance: Variance = "1-rho^2",
    half: bool = True,
) -> Tensor:
    """-log p(z^a, z^b | F) `[B]`, in nats; N·log 2π and ½·N_F·log(variance) are left out, as in the official code.

    Arguments:
        zt_a, zt_b: z̃ of the two members, `[B, N]` or `[B, C, H, W]`.
        log_det_a, log_det_b: log |det dT/dz| of the two `[B]`.
        factor: the shared concept's index `[B]`, int64, 0 … K-1.
        dims: the K+1 factor sizes, the residual last; they sum to N, or to C. Zero is allowed.
        rho: correlation of the shared factor within a pair, in (0, 1) (the paper's σ_ab; official: 0.975).
        variance: the shared factor's conditional variance, "1-rho^2" (official), or the "1-rho" of some transcriptions.
        half: keep the Gaussian's factor ½ before the squares (official); the paper prints the squares without it.
    """
    if not 0 < rho < 1:
        raise UserError(f"rho={rho}: the correlation within a pair must lie strictly between 0 and 1")
    if variance not in VARIANCES:
        raise UserError(f"variance={variance!r}: choose one of {', '.join(VARIANCES)}")
    per_pair = (log_det_a, log_det_b, factor)
    if zt_a.ndim not in (2, 4) or zt_b.shape != zt_a.shape or any(x.shape != zt_a.shape[:1] for x in per_pair):
        shapes = ", ".join(str(list(x.shape)) for x in (zt_a, zt_b, *per_pair))
        raise UserError(
            f"zt_a, zt_b must be [B, N] or [B, C, H, W], and log_det_a, log_det_b, factor [B]; they are {shapes}"
        )
    check_dims(dims, zt_a.shape[1])
    sizes = sizes_of(dims)
    check_factor(factor, len(sizes) - 1)
    membership = torch.tensor([k for k, size in enumerate(sizes) for _ in range(size)], device=factor.device)
    shared = (membership == factor[:, None]).view(len(factor), -1, *[1] * (zt_a.ndim - 2)).to(zt_a.device)
    spread = 1 - rho**2 if variance == "1-rho^2" else 1 - rho
    square_b = torch.where(shared, (zt_b - rho * zt_a).square() / spread, zt_b.square()).flatten(1).sum(1)
    return (0.5 if half else 1.0) * (zt_a.square().flatten(1).sum(1) + square_b) - log_det_a - log_det_b
