"""What z̃ holds: what a linear probe reads from each factor, each factor's statistics, and the likelihood."""

import math
from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.data.shared.base import Readings, is_attribute, known, rows
from reproduce.errors import ReproduceError
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.likelihood import density_nll, pair_nll
from reproduce.models.convolutional import Posterior
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator, torch_generator


class ProbeSettings(Strict):
    """`n_images`: the number of training images that the probes are fitted to."""

    n_images: Annotated[int, Field(ge=100)]


def measure_probe(subject: Subject, settings: ProbeSettings) -> Measured:
    """The metrics `probe` and `chance`."""
    # the pool may be sorted by class
    shuffled = numpy_generator(subject.seed, "probed images").permutation(len(subject.pool["values"]))
    fitted = np.sort(shuffled[: settings.n_images])
    train = subject.to_z_tilde(subject.pool_z[fitted]), subject.data.truth(rows(subject.pool, fitted))
    scores = probe_scores(train, (subject.z_tilde, subject.truth), dims=subject.dims)
    return Measured({"probe": scores, "chance": chance_levels(train[1], subject.truth)})


def probe_scores(
    train: tuple[Tensor, Readings], heldout: tuple[Tensor, Readings], *, dims: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """`scores[f][c]`: how well a linear probe, fitted on `train`, reads concept c from factor f of `heldout`.

    Both are z̃ `[n, N]` and the images' true values. The score of a class is the accuracy of a logistic regression, of
    an attribute the balanced accuracy of a balanced one, of a measurement (a colour) the R² of a least-squares fit. It
    is None for a factor of size 0, and where the training images lack a value that the held-out ones have. Images
    without a value of the concept are left out.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import get_scorer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "class": (LogisticRegression(max_iter=1000), "accuracy"),
        "attribute": (LogisticRegression(max_iter=1000, class_weight="balanced"), "balanced_accuracy"),
        "colour": (LinearRegression(), "r2"),
    }
    scores: dict[str, dict[str, float | None]] = {}
    for factor, part in named_slices(dims).items():
        scores[factor] = dict.fromkeys(train[1])
        for concept, truth in train[1].items():
            fit, test = known(truth), known(heldout[1][concept])
            own, wanted = truth[fit], heldout[1][concept][test]
            if not dims[factor] or not _fittable(own, wanted):
                continue
            kind = "colour" if truth.ndim > 1 else "attribute" if is_attribute(truth) else "class"
            model, score = models[kind]
            probe = make_pipeline(StandardScaler(), model).fit(train[0][fit, part].numpy(), own.numpy())
            scores[factor][concept] = float(get_scorer(score)(probe, heldout[0][test, part].numpy(), wanted.numpy()))
    return scores


def chance_levels(train_truth: Readings, heldout_truth: Readings) -> dict[str, float | None]:
    """The score of a probe whose input says nothing about the concept.

    It is the accuracy of always naming the training images' most frequent class; 0.5 for an attribute, whose accuracy
    is balanced; and 0 for a measurement, the R² of the mean. It is None where no training image has a known class.
    """
    levels: dict[str, float | None] = {
        concept: 0.5 if is_attribute(truth) else 0.0 for concept, truth in train_truth.items()
    }
    for concept, truth in train_truth.items():
        if truth.ndim == 1 and not is_attribute(truth):
            own, wanted = truth[known(truth)], heldout_truth[concept][known(heldout_truth[concept])]
            levels[concept] = (wanted == own.mode().values).double().mean().item() if len(own) else None
    return levels


def _fittable(train: Tensor, heldout: Tensor) -> bool:
    if train.ndim > 1:
        return True
    values = set(train.tolist())
    return len(values) > 1 and len(heldout) > 0 and set(heldout.tolist()) <= values


Statistics = dict[str, dict[str, float | None]]


@torch.no_grad()
def measure_latents(subject: Subject, *, rho: float | None) -> Measured:
    """The metrics `factors`, `nll`, `round_trip` and `round_trip_relative` of latents drawn from the posterior.

    The latents are those of the held-out pairs, and the `nll` has the official form, in nats, whatever form the variant
    was trained with. Without concepts, where `rho` is None, the latents are those of each held-out image.
    """
    error = round_trip(subject)
    posterior, generator = subject.posterior, torch_generator(subject.seed, "heldout posterior")
    if subject.pairs is None or rho is None:
        z_tilde, log_det = subject.transform(posterior.sample(generator))
        exact = z_tilde.double()
        mean, variance = exact.mean().item(), exact.var(0, correction=0).mean().item()
        factors: Statistics = {"residual": {"mean": mean, "variance": variance, "pair_correlation": None}}
        nll = density_nll(z_tilde, log_det)
    else:
        z_a, z_b = (
            Posterior(posterior.mean[member], posterior.logvar[member]).sample(generator)
            for member in (subject.pairs.first, subject.pairs.second)
        )
        factor = torch.from_numpy(subject.pairs.factor)
        (zt_a, log_det_a), (zt_b, log_det_b) = subject.transform(z_a), subject.transform(z_b)
        factors = factor_statistics(zt_a, zt_b, factor, dims=subject.dims)
        nll = pair_nll(zt_a, log_det_a, zt_b, log_det_b, factor, subject.sizes, rho)
    return Measured(
        {
            "factors": factors,
            "nll": float(np.mean(nll.double().numpy())),
            "round_trip": error,
            "round_trip_relative": error / subject.z.std().item(),
        }
    )


def factor_statistics(zt_a: Tensor, zt_b: Tensor, factor: Tensor, *, dims: Mapping[str, int]) -> Statistics:
    """Mean, variance and pair correlation of each factor over held-out pairs, averaged over its components.

    The correlation (E[a·b] - E[a]E[b] over the mean of both variances) is taken over the pairs that share the factor's
    concept, and for the residual over all pairs. The loss aims at 0, 1 and ρ (for the residual 0). All three are None
    for a factor of size 0; the correlation is None for fewer than two pairs, or where a component does not vary.
    """
    statistics: Statistics = {}
    both = torch.cat([zt_a, zt_b]).double()
    for k, (name, part) in enumerate(named_slices(dims).items()):
        shared = factor == k if k < len(dims) - 1 else torch.ones_like(factor, dtype=torch.bool)
        if not dims[name]:
            statistics[name] = dict.fromkeys(("mean", "variance", "pair_correlation"))
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
