"""What a swap changes: how often each concept follows the source, and how often it stays with the target."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from reproduce.data.shared.base import Readings, is_attribute, known
from reproduce.errors import UserError
from reproduce.evaluation.subject import Measured, Subject, heldout_batches, joined
from reproduce.interpret import exchange
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.schema import Strict
from reproduce.seeds import torch_generator

_MARGIN = 1e-3  # of a component's range; T⁻¹(T(z)) is z up to rounding


class SwapSettings(Strict):
    """`n_pairs`: the number of pairs of held-out images that swap their factors."""

    n_pairs: PositiveInt


def measure_swap(subject: Subject, settings: SwapSettings) -> Measured:
    """The metrics `swap`, `outside`, `reconstruction`, `judge`, `pairs`, and `<concept>_error` of measured concepts."""
    truth = subject.read_truth
    pairs = evaluation_pairs(truth, settings.n_pairs, torch_generator(subject.seed, "evaluation pairs"))
    plain, (readings, outside) = subject.readout(subject.z), swap_readings(subject, pairs)
    images, itself = heldout_batches(subject.data, subject.heldout), subject.compared_with_itself
    return Measured(
        {
            "swap": swap_rates(readings, truth, pairs),
            "outside": outside,
            "reconstruction": {} if itself else reconstruction_rates(plain, truth, pairs),
            **measurement_errors(plain, readings, truth, pairs=pairs),
            "judge": {} if itself else judge_rates(subject.judge, images, truth, read=subject.read),
            "pairs": settings.n_pairs,
        }
    )


@dataclass(frozen=True)
class EvaluationPairs:
    """The images `target` and `source` of each pair, and the name of the `attribute` that it was drawn for, `[P]`."""

    target: Tensor
    source: Tensor
    attribute: np.ndarray | None

    def differing_in(self, concept: str, truth: Tensor) -> Tensor:
        """bool `[P]`: the pairs that a concept is measured on."""
        if self.attribute is not None and is_attribute(truth):
            return torch.from_numpy(self.attribute == concept)
        differ, there = truth[self.target] != truth[self.source], known(truth)
        return (differ if truth.ndim == 1 else differ.any(1)) & there[self.target] & there[self.source]


def evaluation_pairs(truth: Readings, n_pairs: int, generator: torch.Generator) -> EvaluationPairs:
    """Draw `n_pairs` pairs among the images of `truth`; no image is paired with itself.

    Each attribute gets an equal share of the pairs. Their members differ in it, in half of them in one direction and in
    half in the other. Pairs drawn without regard to the attributes would seldom differ in a rare one.
    """
    n = len(next(iter(truth.values())))
    if n < 2:
        raise UserError(f"{n} held-out image(s) make no pairs: at least 2 are needed")
    attributes = {name: value for name, value in truth.items() if is_attribute(value)}
    if not attributes:
        target = torch.randint(n, (n_pairs,), generator=generator)
        step = torch.randint(1, n, (n_pairs,), generator=generator)
        return EvaluationPairs(target, (target + step) % n, None)
    which, uniform = torch.arange(n_pairs), torch.rand(2, n_pairs, generator=generator, dtype=torch.float64)
    members = torch.empty(2, n_pairs, dtype=torch.int64)
    for k, (name, value) in enumerate(attributes.items()):
        for there in (0, 1):
            having = value.eq(there).nonzero()[:, 0]
            if not len(having):
                raise UserError(f"all or none of the {n} held-out images have {name}: no pair differs in it; take more")
            for role in (0, 1):
                mine = (which % (2 * len(attributes))) == 2 * k + (there ^ role)
                members[role, mine] = having[(uniform[role, mine] * len(having)).long()]
    return EvaluationPairs(members[0], members[1], np.array(list(attributes))[which // 2 % len(attributes)])


def follows(reading: Tensor, own: Tensor, other: Tensor) -> Tensor:
    """Whether each reading is `own` rather than `other`, bool `[B]`: equal as a class, nearer as a measurement."""
    if reading.ndim == 1:
        return reading == own
    return (reading - own).norm(dim=1) < (reading - other).norm(dim=1)


def _share(hits: Tensor, own: Tensor) -> float:
    """The share of `hits`, bool `[B]`; where `own` is an attribute, the mean of the shares with and without it."""
    if not is_attribute(own):
        return hits.double().mean().item()
    return float(np.mean([hits[own == value].double().mean().item() for value in own.unique()]))


def _right_share(read: Tensor, own: Tensor) -> float:
    """The `_share` of images whose value is read right, of those whose value is known."""
    there = known(own)
    return _share((read == own)[there], own[there])


def swap_readings(subject: Subject, pairs: EvaluationPairs) -> tuple[dict[str, Readings], dict[str, float]]:
    """For each factor, the readings of the results when the targets take that factor from the sources.

    Also returned is the share of the components of z* that lie outside the range of that component in the training
    latents, such as negative ones after a ReLU, by more than rounding explains.
    """
    low, high = subject.pool_z.amin(0), subject.pool_z.amax(0)
    margin = _MARGIN * (high - low).clamp(min=float((high - low).median()))
    low, high = low - margin, high + margin
    found: dict[str, list[Readings]] = {name: [] for name in subject.dims}
    outside = dict.fromkeys(subject.dims, 0)
    for some in torch.arange(len(pairs.target)).split(IMAGES_AT_A_TIME):
        target, source = subject.z_tilde[pairs.target[some]], subject.z_tilde[pairs.source[some]]
        for k, name in enumerate(subject.dims):
            z_star = subject.to_z(exchange(target, source, factor=k, dims=subject.sizes))
            found[name].append(subject.readout(z_star))
            outside[name] += int(((z_star < low) | (z_star > high)).sum())
    n = len(pairs.target) * len(low)
    return {name: joined(parts) for name, parts in found.items()}, {name: count / n for name, count in outside.items()}


def swap_rates(
    readings: Mapping[str, Readings], truth: Readings, pairs: EvaluationPairs
) -> dict[str, dict[str, dict[str, float] | None]]:
    """`rates[f][c]`: when factor f is swapped, how often concept c is the `source`'s and how often the `target`'s.

    Only pairs whose members differ in c count; both directions of an attribute count equally. A concept that cannot be
    read, or in which no pair differs, is None.
    """
    rates: dict[str, dict[str, dict[str, float] | None]] = {}
    for factor, reading in readings.items():
        rates[factor] = dict.fromkeys(list(readings)[:-1])
        for concept in rates[factor]:
            differ = pairs.differing_in(concept, truth[concept]) if concept in truth else torch.tensor(False)
            if concept in reading and differ.any():
                a, b = truth[concept][pairs.target[differ]], truth[concept][pairs.source[differ]]
                read = reading[concept][differ]
                follow, stay = follows(read, b, a), follows(read, a, b)
                rates[factor][concept] = {"source": _share(follow, b), "target": _share(stay, a)}
    return rates


def reconstruction_rates(reading: Readings, truth: Readings, pairs: EvaluationPairs) -> dict[str, float | None]:
    """How often an unswapped reconstruction shows its image's own value; None where the value cannot be read.

    For an attribute, the images with it and those without count equally. A measurement is right, over the pairs, where
    it is nearer to the image's own than to its partner's.
    """
    rates: dict[str, float | None] = dict.fromkeys(truth)
    for concept, read in reading.items():
        own = truth[concept]
        if read.ndim == 1:
            rates[concept] = _right_share(read, own)
        else:
            rates[concept] = _share(follows(read[pairs.target], own[pairs.target], own[pairs.source]), own)
    return rates


@torch.no_grad()
def judge_rates(
    judge: nn.Module, images: Iterable[Tensor], truth: Readings, *, read: Callable[[Tensor, None], Readings]
) -> dict[str, float]:
    """The judge's accuracy on batches of `images` `[n, C, S, S]` for each concept that it reads.

    The accuracy for an attribute is balanced.
    """
    logits = torch.cat([judge(batch).cpu() for batch in images])
    readings = read(logits, None)
    return {concept: _right_share(read, truth[concept]) for concept, read in readings.items()}


def measurement_errors(
    plain: Readings, readings: Mapping[str, Readings], truth: Readings, *, pairs: EvaluationPairs
) -> dict[str, dict[str, float]]:
    """`<concept>_error` of each measured concept: the mean Euclidean distance from the value that it should have.

    `reconstruction`: from an unswapped image's own value; by swapped factor: from the source's value where the factor
    is the concept's own, otherwise from the target's.
    """
    errors: dict[str, dict[str, float]] = {}
    for concept, reading in plain.items():
        if reading.ndim == 1:
            continue
        differences = {"reconstruction": reading - truth[concept]}
        for factor, swapped in readings.items():
            wanted = truth[concept][pairs.source if factor == concept else pairs.target]
            differences[factor] = swapped[concept] - wanted
        errors[f"{concept}_error"] = {k: d.norm(dim=1).double().mean().item() for k, d in differences.items()}
    return errors
