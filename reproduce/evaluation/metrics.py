"""The numbers that every run writes."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproduce.data.shared.base import Readings
from reproduce.errors import ReproduceError, UserError
from reproduce.evaluation.look import Look, Read, follows
from reproduce.factors import factor_slices
from reproduce.interpret import exchange
from reproduce.likelihood import pair_nll
from reproduce.models.convolutional import Classifier
from reproduce.models.flow import Flow


@dataclass(frozen=True)
class EvaluationPairs:
    """Images `target` and `source` `[P]`; `attribute` `[P]`: the name of the attribute that a pair was drawn for."""

    target: Tensor
    source: Tensor
    attribute: np.ndarray | None

    def differing_in(self, concept: str, truth: Tensor) -> Tensor:
        """bool `[P]`: the pairs to measure a concept on."""
        if self.attribute is not None and truth.dtype == torch.bool:
            return torch.from_numpy(self.attribute == concept)
        differ = truth[self.target] != truth[self.source]
        return differ if truth.ndim == 1 else differ.any(1)


def evaluation_pairs(truth: Readings, n_pairs: int, generator: torch.Generator) -> EvaluationPairs:
    """`n_pairs` pairs among the images of `truth`, never an image with itself.

    Where concepts are attributes, each in turn gets an equal share of the pairs, whose members differ in it, as many
    in one direction as in the other, and are otherwise any images: left to chance, too few would differ in a rare
    attribute, and pairs drawn for one attribute would not be any images for another.
    """
    n = len(next(iter(truth.values())))
    if n < 2:
        raise UserError(f"{n} held-out image(s) make no pairs: at least 2 are needed")
    attributes = {name: value for name, value in truth.items() if value.dtype == torch.bool}
    if not attributes:
        target = torch.randint(n, (n_pairs,), generator=generator)
        step = torch.randint(1, n, (n_pairs,), generator=generator)
        return EvaluationPairs(target, (target + step) % n, None)
    for name, value in attributes.items():
        if value.all() or not value.any():
            raise UserError(f"all or none of the {n} held-out images have {name}: no pair differs in it; take more")
    which, uniform = torch.arange(n_pairs), torch.rand(2, n_pairs, generator=generator, dtype=torch.float64)
    members = torch.empty(2, n_pairs, dtype=torch.int64)
    for k, value in enumerate(attributes.values()):
        for there in (0, 1):
            having = value.eq(there).nonzero()[:, 0]
            for role in (0, 1):
                mine = (which % (2 * len(attributes))) == 2 * k + (there ^ role)
                members[role, mine] = having[(uniform[role, mine] * len(having)).long()]
    return EvaluationPairs(members[0], members[1], np.array(list(attributes))[which // 2 % len(attributes)])


def _share(hits: Tensor, own: Tensor) -> float:
    """The share of `hits`, bool `[B]`; of an attribute the mean of the shares over its values `own`, each once."""
    if own.dtype != torch.bool:
        return hits.double().mean().item()
    return float(np.mean([hits[own == value].double().mean().item() for value in own.unique()]))


@torch.no_grad()
def swap_readings(
    flow: Flow, z_tilde: Tensor, pairs: EvaluationPairs, *, dims: Sequence[int], look: Look
) -> list[Readings]:
    """For each factor, what is read off the results when targets take that factor from sources.

    Arguments:
        z_tilde: T of the held-out latents `[n, N]`, which the pairs index.
    """
    readings = []
    for factor in range(len(dims)):
        mixed = exchange(z_tilde[pairs.target], z_tilde[pairs.source], factor=factor, dims=dims)
        readings.append(look(flow.inverse(mixed)[0]))
    return readings


def swap_rates(
    readings: Sequence[Readings], truth: Readings, pairs: EvaluationPairs, *, factors: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """`rates[f][c]`: with factor f swapped, how often concept c is the source's (`source`) and the target's (`target`).

    Over the pairs whose members differ in c; of an attribute, both directions count equally. A concept that can't be
    read off the results, or in which no pair differs, is None.
    """
    rates: dict[str, dict[str, Any]] = {}
    for factor, reading in zip(factors, readings, strict=True):
        rates[factor] = {}
        for concept in factors[:-1]:
            differ = pairs.differing_in(concept, truth[concept])
            if concept not in reading or not differ.any():
                rates[factor][concept] = None
                continue
            a, b = truth[concept][pairs.target[differ]], truth[concept][pairs.source[differ]]
            read = reading[concept][differ]
            follow, stay = follows(read, b, a), follows(read, a, b)
            rates[factor][concept] = {"source": _share(follow, b), "target": _share(stay, a)}
    return rates


def reconstruction_rates(
    reading: Readings, truth: Readings, pairs: EvaluationPairs, *, concepts: Sequence[str]
) -> dict[str, float | None]:
    """How often an unswapped held-out image shows its own value; None where it can't be read off.

    A class: over the images, once each; an attribute: the mean over those with and those without it. A measurement:
    nearer to its own than to its partner's, over the pairs.
    """
    rates: dict[str, float | None] = dict.fromkeys(concepts)
    for concept, read in reading.items():
        own = truth[concept]
        right = read == own if read.ndim == 1 else follows(read[pairs.target], own[pairs.target], own[pairs.source])
        rates[concept] = _share(right, own)
    return rates


@torch.no_grad()
def judge_rates(classifier: Classifier, images: Iterable[Tensor], truth: Readings, *, read: Read) -> dict[str, float]:
    """How often the classifier is right about `images`, batches of `[n, C, S, S]`, in each concept that it can tell.

    Counted as in `reconstruction_rates`.
    """
    logits = torch.cat([classifier(batch).cpu() for batch in images])
    return {concept: _share(said == truth[concept], truth[concept]) for concept, said in read(logits, None).items()}


def measurement_errors(
    reconstruction: Readings,
    readings: Sequence[Readings],
    truth: Readings,
    pairs: EvaluationPairs,
    *,
    factors: Sequence[str],
) -> dict[str, dict[str, float]]:
    """`errors[c_error]`: for each measured concept c, its mean distance from what it should be (a colour: in [0, √3]).

    It should be the source's where the factor c is swapped, else the target's; `reconstruction`: with none swapped.
    """
    errors: dict[str, dict[str, float]] = {}
    for concept, plain in reconstruction.items():
        if plain.ndim == 1:
            continue
        own = {"reconstruction": (plain - truth[concept]).norm(dim=1).double().mean().item()}
        for factor, reading in zip(factors, readings, strict=True):
            wanted = truth[concept][pairs.source if factor == concept else pairs.target]
            own[factor] = (reading[concept] - wanted).norm(dim=1).double().mean().item()
        errors[f"{concept}_error"] = own
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

    Accuracy of a logistic regression for a class (for an attribute balanced, in fit and score), R² of a least-squares
    fit for a measurement (a colour). None for a factor of size 0, and where the training images lack a value that the
    held-out ones have.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores: dict[str, dict[str, float | None]] = {}
    for factor, part in zip(factors, factor_slices(dims), strict=True):
        scores[factor] = {}
        for concept, truth in train_truth.items():
            if part.start == part.stop or not _fittable(truth, heldout_truth[concept]):
                scores[factor][concept] = None
                continue
            attribute = truth.dtype == torch.bool
            weights = "balanced" if attribute else None
            model = LogisticRegression(max_iter=1000, class_weight=weights) if truth.ndim == 1 else LinearRegression()
            probe = make_pipeline(StandardScaler(), model).fit(train[:, part].numpy(), truth.numpy())
            inputs, wanted = heldout[:, part].numpy(), heldout_truth[concept].numpy()
            if attribute:
                scores[factor][concept] = float(balanced_accuracy_score(wanted, probe.predict(inputs)))
            else:
                scores[factor][concept] = float(probe.score(inputs, wanted))
    return scores


def chance_levels(train_truth: Readings, heldout_truth: Readings) -> dict[str, float]:
    """What `probe_scores` gives for each concept to a probe that looks at nothing.

    A class: the accuracy of always naming the training images' most frequent one. An attribute: 0.5, since its
    accuracy is balanced. A measurement: 0, the R² of the mean.
    """
    levels = {}
    for concept, truth in train_truth.items():
        if truth.dtype == torch.bool:
            levels[concept] = 0.5
        elif truth.ndim == 1:
            levels[concept] = (heldout_truth[concept] == truth.mode().values).double().mean().item()
        else:
            levels[concept] = 0.0
    return levels


def _fittable(train: Tensor, heldout: Tensor) -> bool:
    if train.ndim > 1:
        return True
    known = set(train.tolist())
    return len(known) > 1 and set(heldout.tolist()) <= known


def factor_statistics(
    zt_a: Tensor, zt_b: Tensor, factor: Tensor, *, dims: Sequence[int], factors: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """Mean, variance and pair correlation of each factor over held-out pairs, averaged over its components.

    The correlation (E[a·b] - E[a]E[b] over the mean of both variances) is taken over the pairs that share the
    factor's concept; the residual's, which no pair shares, over all pairs. The loss wants 0, 1 and ρ (residual: 0).
    None where there is nothing to take it over, or a component doesn't vary.
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
            "pair_correlation": (covariance / variance).mean().item() if len(a) > 1 and variance.all() else None,
        }
    return statistics


def density_statistics(z_tilde: Tensor) -> dict[str, float | None]:
    """Mean and variance of z̃ `[n, N]`, averaged over its components; trained towards 0 and 1."""
    exact = z_tilde.double()
    return {
        "mean": exact.mean().item(),
        "variance": exact.var(0, correction=0).mean().item(),
        "pair_correlation": None,
    }


@torch.no_grad()
def round_trip(flow: Flow, z: Tensor) -> float:
    """max |T⁻¹(T(z)) - z| over held-out latents `[n, N]`; ReproduceError where T gives NaN or infinities."""
    error = (flow.inverse(flow(z)[0])[0] - z).abs().max().item()
    if not math.isfinite(error):
        raise ReproduceError("T gives NaN or infinite values on held-out latents: it diverged; lower its peak_rate")
    return error


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

    For each swapped factor, how often its own concept follows the source, and the lowest share in which another one
    stays with the target. Not the NLL: it compares only between runs with the same dimensions, and stands in the run's
    JSON and in the report.
    """
    swaps: dict[str, dict[str, float]] = {}
    for factor, row in metrics["swap"].items():
        own, others = row.get(factor), [rates["target"] for name, rates in row.items() if rates and name != factor]
        swaps[factor] = {} if own is None else {"follows": own["source"]}
        if others:
            swaps[factor]["others stay"] = min(others)
    return {"dims": dict(dims), "swap": swaps, "round_trip": metrics["round_trip"]}
