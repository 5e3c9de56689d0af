"""The statistics of z̃ on held-out latents, their likelihood, and how exactly T is inverted."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from reproduce.errors import ReproduceError
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.likelihood import density_nll, pair_nll
from reproduce.models.convolutional import Posterior
from reproduce.seeds import torch_generator

Statistics = dict[str, dict[str, float | None]]


def measure_latents(subject: Subject, *, rho: float | None) -> Measured:
    """The metrics `factors`, `nll`, `round_trip` and `round_trip_relative`, whatever T was trained for.

    The latents are drawn from the posterior: of the held-out pairs, or, without concepts, of each held-out image.

    Arguments:
        rho: the correlation within a pair; None without concepts.
    """
    error = round_trip(subject)
    if subject.pairs is None or rho is None:
        factors, nll = density_statistics(subject)
    else:
        factors, nll = pair_statistics(subject, rho)
    relative = error / subject.z.std().item()
    return Measured({"factors": factors, "nll": nll, "round_trip": error, "round_trip_relative": relative})


@torch.no_grad()
def pair_statistics(subject: Subject, rho: float) -> tuple[Statistics, float]:
    """The statistics of each factor over the held-out pairs, and the pairs' mean NLL.

    The NLL has the official form, in nats, whatever form the variant was trained with.
    """
    assert subject.pairs is not None
    posterior, generator = subject.posterior, torch_generator(subject.seed, "heldout posterior")
    z_a, z_b = (
        Posterior(posterior.mean[member], posterior.logvar[member]).sample(generator)
        for member in (subject.pairs.first, subject.pairs.second)
    )
    factor = torch.from_numpy(subject.pairs.factor)
    (zt_a, log_det_a), (zt_b, log_det_b) = subject.flow(z_a), subject.flow(z_b)
    nll = pair_nll(zt_a, log_det_a, zt_b, log_det_b, factor, subject.sizes, rho)
    return factor_statistics(zt_a, zt_b, factor, dims=subject.dims), float(np.mean(nll.double().numpy()))


@torch.no_grad()
def density_statistics(subject: Subject) -> tuple[Statistics, float]:
    """The mean and variance of z̃, averaged over its components, and the latents' mean NLL in nats."""
    z_tilde, log_det = subject.flow(subject.posterior.sample(torch_generator(subject.seed, "heldout posterior")))
    exact = z_tilde.double()
    mean, variance = exact.mean().item(), exact.var(0, correction=0).mean().item()
    nll = float(np.mean(density_nll(z_tilde, log_det).double().numpy()))
    return {"residual": {"mean": mean, "variance": variance, "pair_correlation": None}}, nll


def factor_statistics(zt_a: Tensor, zt_b: Tensor, factor: Tensor, *, dims: Mapping[str, int]) -> Statistics:
    """Mean, variance and pair correlation of each factor over held-out pairs, averaged over its components.

    The correlation (E[a·b] - E[a]E[b] over the mean of both variances) is taken over the pairs that share the
    factor's concept; that of the residual, which no pair shares, over all pairs. The loss wants 0, 1 and ρ (residual:
    0). A number is None where there is nothing to take it over, or where a component does not vary.
    """
    statistics: Statistics = {}
    both = torch.cat([zt_a, zt_b]).double()
    for k, (name, part) in enumerate(named_slices(dims).items()):
        shared = factor == k if k < len(dims) - 1 else torch.ones_like(factor, dtype=torch.bool)
        if part.start == part.stop:
            statistics[name] = {"mean": None, "variance": None, "pair_correlation": None}
            continue
        a, b = zt_a[shared][:, part].double(), zt_b[shared][:, part].double()
        covariance = (a * b).mean(0) - a.mean(0) * b.mean(0)
        variance = (a.var(0, correction=0) + b.var(0, correction=0)) / 2
        statistics[name] = {
            "mean": both[:, part].mean().item(),
            "variance": both[:, part].var(0, correction=0).mean().item(),
            "pair_correlation": (covariance / variance).mean().item() if len(a) > 1 and variance.all() else None,
        }
    return statistics


def round_trip(subject: Subject) -> float:
    """max |T⁻¹(T(z)) - z| over the measured latents; ReproduceError where T gives NaN or infinities."""
    error = (subject.to_z(subject.z_tilde) - subject.z).abs().max().item()
    if not math.isfinite(error):
        raise ReproduceError("T gives NaN or infinite values on held-out latents: it diverged; lower its peak_rate")
    return error
