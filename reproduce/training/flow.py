"""Training T: on pairs of latents by the pair likelihood, or on single ones by their likelihood alone."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from reproduce.errors import ReproduceError, UserError
from reproduce.factors import Dims, check_finite
from reproduce.likelihood import Variance, density_nll, pair_nll
from reproduce.models.flow import Flow, FlowSize
from reproduce.schema import validated
from reproduce.seeds import torch_generator
from reproduce.training.distributed import part
from reproduce.training.loop import Log, Resume, Trained, optimise
from reproduce.training.optimisation import FlowTraining

DrawPairs = Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]]
DrawLatents = Callable[[int, torch.Generator], Tensor]

_INITIALIZED_BY = 25  # at least so many latents, as in an official batch: a batch of one has no spread to measure
_INSPECTED = 1000  # the latents, and the values of each component, that noise is decided by
_CONSTANT = 1e-3  # a component is nearly constant below this share of the median component's standard deviation
_REPEATED = 0.1  # a value in more than this share of the latents has a probability of its own, as a ReLU's 0 has
_AUTO_NOISE = 0.01


class FlowSettings(FlowSize, FlowTraining):
    """T's sizes, its optimisation, and how the training is shown; `train_flow` explains them."""

    log_every: PositiveInt = 50
    title: str = "T"


def train_flow(
    draw_pairs: DrawPairs,
    *,
    dims: Dims,
    seed: int = 0,
    variance: Variance = "1-rho^2",
    half: bool = True,
    log: Log | None = None,
    resume: Resume | None = None,
    **settings: Any,
) -> Flow:
    """Train a new `Flow` on pairs that share a concept, and return it.

    Arguments:
        draw_pairs: `draw_pairs(batch_size, generator)` returns `z_a`, `z_b`, `[B, N]` or feature maps `[B, C, H, W]`,
            and `factor` `[B]` int64, the concept that each pair shares, 0 … K-1. It takes all its randomness from the
            CPU generator. Latents are converted to float32. The flow is trained on the device that they lie on. Under
            torchrun every process draws the whole batch and trains on its rows of it.
        dims: the K+1 factor sizes, the residual last; their sum is N, or C. A `DimensionEstimate` has them.
        seed: decides the initial weights, the permutations and the draws.
        variance, half: the form of the likelihood, see `pair_nll`.
        log: a list; the mean loss in nats of every `log_every` steps is appended to it.
        resume: a state file to continue from and to save to; the result equals that of an uninterrupted training.

    Settings, with their defaults and where these come from:
        steps: the number of steps; it has no default (official: 120,000).
        batch_size: the number of pairs per step; 25 (official).
        peak_rate: Adam's largest learning rate; 1.125e-4 (official: 4.5e-6 times the batch size).
        schedule: the course of the learning rate, "linear_decay" or "one_cycle", see `Optimisation.rate`;
            "linear_decay" (official).
        decay_from: the step at which a linear decay begins; five sixths of the steps (official).
        betas: Adam's decay rates; (0.5, 0.9) (official).
        n_blocks, hidden_dim, hidden_depth: the sizes of T, see `Flow`; 12, 512, 2 (official).
        rho: the correlation of the shared factor within a pair, in (0, 1); 0.975 (official).
        noise: the standard deviation of normal noise that is added to the latents in training, relative to that of the
            median component; "auto". That adds 0.01, with a warning, where a component is constant, or has one value in
            over 10 % of the latents, as after a ReLU: T's likelihood would grow there without bound.
        log_every: the number of steps per entry of the log; 50.
        title: the label of the progress bar; "T".

    Raises UserError for a setting that is unknown or wrong, dims that don't sum to N, a factor out of range, a batch
    smaller than the number of processes, and NaN in the first latents; ReproduceError when the loss becomes NaN later.
    """
    chosen = _settings(settings, of="train_flow")

    def mean_nll(flow: Flow, pairs: Sequence[Tensor]) -> Tensor:
        z_a, z_b, factor = pairs
        z_tilde, log_det = flow(torch.cat([z_a, z_b]))
        (zt_a, zt_b), (log_det_a, log_det_b) = z_tilde.chunk(2), log_det.chunk(2)
        nll = pair_nll(zt_a, log_det_a, zt_b, log_det_b, factor, dims, chosen.rho, variance=variance, half=half)
        return nll.mean()

    return _train(draw_pairs, mean_nll, chosen, purpose="training pairs", seed=seed, log=log, resume=resume)


def train_density(
    draw: DrawLatents, *, seed: int = 0, log: Log | None = None, resume: Resume | None = None, **settings: Any
) -> Flow:
    """Train a new `Flow` without concepts, by the likelihood of single latents (official `iin/losses/iin.py`, `NLL`).

    `draw(batch_size, generator)` returns z `[B, N]` float32, as `train_flow`'s `draw_pairs` does. The other arguments,
    the settings and the errors are those of `train_flow`; `rho` is accepted and has no effect.
    """
    chosen = _settings(settings, of="train_density")

    def draw_one(n: int, generator: torch.Generator) -> Sequence[Tensor]:
        return (draw(n, generator),)

    def mean_nll(flow: Flow, latents: Sequence[Tensor]) -> Tensor:
        return density_nll(*flow(latents[0])).mean()

    return _train(draw_one, mean_nll, chosen, purpose="training latents", seed=seed, log=log, resume=resume)


def _settings(given: dict[str, Any], *, of: str) -> FlowSettings:
    """`given` as settings; `decay_from` is short for the schedule that names it."""
    if (decay_from := given.pop("decay_from", None)) is not None:
        if given.get("schedule", "linear_decay") != "linear_decay":
            raise UserError(f"{of}: decay_from={decay_from} belongs to schedule='linear_decay'; leave one of them out")
        given["schedule"] = {"decay_from": decay_from}
    return validated(FlowSettings, given, of)


def _train(
    draw: Callable[[int, torch.Generator], Sequence[Tensor]],
    loss_of: Callable[[Flow, Sequence[Tensor]], Tensor],
    settings: FlowSettings,
    *,
    purpose: str,
    seed: int,
    log: Log | None,
    resume: Resume | None,
) -> Flow:
    """Train on `loss_of(flow, batch)`, the mean loss of a batch that `draw` returns, latents first."""
    own = part(settings.batch_size)
    spread = noise_for(_floats(draw(_INSPECTED, torch_generator(seed, f"{purpose}, inspected")))[0], settings.noise)

    def batch_of(n: int, *step: int) -> list[Tensor]:
        batch = _floats(draw(n, torch_generator(seed, purpose, *step)))
        if spread == 0:
            return batch
        generator = torch_generator(seed, "noise", *step)
        return [
            z + spread * torch.randn(z.shape, generator=generator).to(z.device) if z.is_floating_point() else z
            for z in batch
        ]

    first = batch_of(max(settings.batch_size, _INITIALIZED_BY))
    z = first[0]  # the official ActNorm is initialised by the first members of the first batch
    flow = Flow(dim=z.shape[1], **settings.model_dump(include=set(FlowSize.model_fields)), seed=seed)
    flow.to(z.device).initialize(z)

    def values_of(step: int) -> dict[str, Tensor]:
        return {"loss": loss_of(flow, [member[own] for member in batch_of(settings.batch_size, step)])}

    rows = optimise(
        {"flow": Trained(flow)}, values_of, settings, title=settings.title, log_every=settings.log_every, resume=resume
    )
    if log is not None:
        log.extend(rows)
    if bad := [name for name, value in flow.state_dict().items() if not torch.isfinite(value).all()]:
        raise ReproduceError(f"training left NaN or infinity in {bad[0]}; lower the learning rate")
    return flow.eval()


def _floats(batch: Sequence[Any]) -> list[Tensor]:
    """The members of a batch as tensors, latents in PyTorch's default type, which T has too (float32)."""
    tensors = [torch.as_tensor(member) for member in batch]
    return [member.to(torch.get_default_dtype()) if member.is_floating_point() else member for member in tensors]


def noise_for(z: Tensor, noise: float | Literal["auto"]) -> float:
    """The standard deviation of the noise that latents `z` `[B, N]` or `[B, C, H, W]` get; see `train_flow`'s `noise`.

    Warns where "auto" adds some, with the numbers of the components that need it.
    """
    check_finite(z)
    values = z.movedim(1, -1).reshape(-1, z.shape[1])
    if z.ndim == 4:  # positions differ, so those that are inspected are random
        values = values[torch.randperm(len(values), generator=torch_generator(0, "inspected"))[:_INSPECTED]]
    deviation = values.std(0)
    if not len(moving := deviation[deviation > 0]):
        raise UserError("all latents are equal, so T has nothing to learn from: check the images and the layer")
    typical = float(moving.median())
    if noise != "auto":
        return noise * typical
    repeated = (values == values.mode(0).values).float().mean(0) > _REPEATED
    doubtful = (repeated | (deviation <= _CONSTANT * typical)).nonzero()[:, 0].tolist()
    if not doubtful:
        return 0.0
    named = ", ".join(map(str, doubtful[:10])) + (", …" if len(doubtful) > 10 else "")
    warnings.warn(
        f"{len(doubtful)} of the {z.shape[1]} components ({named}) are nearly constant, or have one value in over "
        f"{_REPEATED:.0%} of the latents, so that T's likelihood has no bound: training adds noise of "
        f"{_AUTO_NOISE:.0%} of the median component's standard deviation; `noise` sets another amount",
        stacklevel=2,
    )
    return _AUTO_NOISE * typical
