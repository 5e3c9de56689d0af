"""The numbers that every run writes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.evaluation.look import Look, Readings, follows
from reproduce.interpret import exchange
from reproduce.likelihood import factor_slices, pair_nll
from reproduce.models.convolutional import Classifier
from reproduce.models.flow import Flow

__all__ = [
    "accuracy",
    "color_errors",
    "different_pairs",
    "factor_statistics",
    "headline",
    "heldout_nll",
    "probe_scores",
    "reconstruction_rates",
    "round_trip",
    "swap_rates",
    "swap_readings",
]


def different_pairs(n: int, n_pairs: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`n_pairs` targets and sources among `n` images, never an image with itself."""
    if n < 2:
        raise UserError(f"{n} held-out image(s) make no pairs: at least 2 are needed")
    target = torch.randint(n, (n_pairs,), generator=generator)
    step = torch.randint(1, n, (n_pairs,), generator=generator)
    return target, (target + step) % n


@torch.no_grad()
def swap_readings(
    flow: Flow, z_tilde: Tensor, target: Tensor, source: Tensor, *, dims: Sequence[int], look: Look
) -> list[Readings]:
    """For each factor, what is read off the results when targets take that factor from sources.

    Arguments:
        z_tilde: T of the held-out latents `[n, N]`; `target` and `source` `[P]` index them.
    """
    readings = []
    for factor in range(len(dims)):
        mixed = exchange(z_tilde[target], z_tilde[source], factor=factor, dims=dims)
        readings.append(look(flow.inverse(mixed)[0]))
    return readings


def swap_rates(
    readings: Sequence[Readings], truth: Readings, target: Tensor, source: Tensor, *, factors: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """`rates[f][c]`: with factor f swapped, how often concept c is the source's (`source`) and the target's (`target`).

    Over the pairs whose members differ in c. A concept that can't be read off the results, or in which no pair
    differs, is None.
    """
    rates: dict[str, dict[str, Any]] = {}
    for factor, reading in zip(factors, readings, strict=True):
        rates[factor] = {}
        for concept in factors[:-1]:
            a, b = truth[concept][target], truth[concept][source]
            differ = (a != b) if a.ndim == 1 else (a != b).any(1)
            if concept not in reading or not differ.any():
                rates[factor][concept] = None
                continue
            read, a, b = reading[concept][differ], a[differ], b[differ]
            rates[factor][concept] = {
                "source": follows(read, b, a).double().mean().item(),
                "target": follows(read, a, b).double().mean().item(),
            }
    return rates


def reconstruction_rates(
    reading: Readings, truth: Readings, target: Tensor, source: Tensor, *, concepts: Sequence[str]
) -> dict[str, float | None]:
    """How often an unswapped held-out image shows its own value; None where it can't be read off.

    A class: over the images, once each. A measurement: nearer to its own than to its partner's, over the pairs.
    """
    rates: dict[str, float | None] = dict.fromkeys(concepts)
    for concept, read in reading.items():
        own = truth[concept]
        right = read == own if read.ndim == 1 else follows(read[target], own[target], own[source])
        rates[concept] = right.double().mean().item()
    return rates


@torch.no_grad()
def accuracy(classifier: Classifier, images: Tensor, labels: Tensor) -> float:
    """The share of `images` `[n, C, S, S]` whose class `labels` `[n]` the classifier predicts."""
    predicted = torch.cat([classifier(batch).argmax(1) for batch in images.split(500)])
    return (predicted == labels).double().mean().item()


def color_errors(
    reconstruction: Readings,
    readings: Sequence[Readings],
    truth: Readings,
    target: Tensor,
    source: Tensor,
    *,
    factors: Sequence[str],
) -> dict[str, float] | None:
    """Mean RGB distance, in [0, √3], of the measured colour from the one it should be; None where none is seen.

    It should be the source's where the colour factor is swapped, else the target's.
    """
    if "color" not in reconstruction:
        return None
    errors = {"reconstruction": (reconstruction["color"] - truth["color"]).norm(dim=1).double().mean().item()}
    for factor, reading in zip(factors, readings, strict=True):
        wanted = truth["color"][source if factor == "color" else target]
        errors[factor] = (reading["color"] - wanted).norm(dim=1).double().mean().item()
    return errors


def probe_scores(
    train: Tensor,
    train_truth: Mapping[str, Tensor],
    heldout: Tensor,
    heldout_truth: Mapping[str, Tensor],
    *,
    dims: Sequence[int],
    factors: Sequence[str],
) -> dict[str, dict[str, float | None]]:
    """`scores[f][c]`: how well a linear probe, fitted on training z̃, reads concept c from factor f of held-out z̃.

    Accuracy of a logistic regression for a class, R² of a least-squares fit for a measurement (a colour); a factor of
    size 0 has None.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores: dict[str, dict[str, float | None]] = {}
    for factor, part in zip(factors, factor_slices(dims), strict=True):
        scores[factor] = {}
        for concept, truth in train_truth.items():
            if part.start == part.stop:
                scores[factor][concept] = None
                continue
            model = LogisticRegression(max_iter=1000) if truth.ndim == 1 else LinearRegression()
            probe = make_pipeline(StandardScaler(), model).fit(train[:, part].numpy(), truth.numpy())
            score = probe.score(heldout[:, part].numpy(), heldout_truth[concept].numpy())
            scores[factor][concept] = float(score)
    return scores


def factor_statistics(
    zt_a: Tensor, zt_b: Tensor, factor: Tensor, *, dims: Sequence[int], factors: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean, variance and pair correlation of each factor over held-out pairs, averaged over its components.

    The correlation (E[a·b] - E[a]E[b] over the mean of both variances) is taken over the pairs that share the
    factor's concept; the residual's, which no pair shares, over all pairs. The loss wants 0, 1 and ρ (residual: 0).
    """
    statistics: dict[str, dict[str, float | None]] = {}
    both = torch.cat([zt_a, zt_b]).double()
    for k, (name, part) in enumerate(zip(factors, factor_slices(dims), strict=True)):
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
            "pair_correlation": (covariance / variance).mean().item() if int(shared.sum()) > 1 else None,
        }
    return statistics


@torch.no_grad()
def round_trip(flow: Flow, z: Tensor) -> float:
    """max |T⁻¹(T(z)) - z| over held-out latents `[n, N]`."""
    return (flow.inverse(flow(z)[0])[0] - z).abs().max().item()


@torch.no_grad()
def heldout_nll(
    flow: Flow, z_a: Tensor, z_b: Tensor, factor: Tensor, *, dims: Sequence[int], rho: float
) -> tuple[float, Tensor, Tensor]:
    """Mean pair NLL of held-out latents (official form, nats, whatever the variant trained with), and both z̃."""
    zt_a, log_det_a = flow(z_a)
    zt_b, log_det_b = flow(z_b)
    nll = pair_nll(zt_a, log_det_a, zt_b, log_det_b, factor, dims, rho)
    return float(np.mean(nll.double().numpy())), zt_a, zt_b


def headline(metrics: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, Any]:
    """The few numbers that `dvc metrics show` has room for.

    For each swapped factor, how often its own concept follows the source and every other one stays with the target.
    """
    swaps: dict[str, dict[str, float]] = {}
    for factor, row in metrics["swap"].items():
        swaps[factor] = {}
        for concept, rates in row.items():
            if rates is not None:
                side, verb = ("source", "follows") if concept == factor else ("target", "stays")
                swaps[factor][f"{concept} {verb}"] = rates[side]
    return {"dims": dict(dims), "swap": swaps, "nll": metrics["nll"], "round_trip": metrics["round_trip"]}
