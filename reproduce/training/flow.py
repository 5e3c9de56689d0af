"""Training T: on pairs of latents by the pair likelihood, or on single ones by their likelihood alone."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from reproduce.errors import ReproduceError, UserError
from reproduce.factors import check_finite
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


class FlowSettings(FlowSize, FlowTraining):
    """T's sizes, its optimisation, and how the training is shown; `train_flow` explains them."""

    log_every: PositiveInt = 50
    title: str = "T"


def train_flow(
    draw_pairs: DrawPairs,
    *,
    dims: Sequence[int],
    seed: int = 0,
    variance: Variance = "1-rho^2",
    half: bool = True,
    log: Log | None = None,
    resume: Resume | None = None,
    **settings: Any,
) -> Flow:
    """Train a new `Flow` on pairs that share a concept, and return it.

    Arguments:
        draw_pairs: `draw_pairs(batch_size, generator)` returns `z_a`, `z_b` `[B, N]` float32 and `factor` `[B]` int64,
            the concept that each pair shares, 0 … K-1. It takes all its randomness from the CPU generator. The flow
            is trained on the device that the latents lie on. Under torchrun every process draws the whole batch and
            trains on its rows of it.
        dims: the K+1 factor sizes, the residual last; their sum is N.
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
    first = draw(max(settings.batch_size, _INITIALIZED_BY), torch_generator(seed, purpose))
    check_finite(*first)
    z = first[0]  # the official ActNorm is initialised by the first members of the first batch
    flow = Flow(dim=z.shape[1], **settings.model_dump(include=set(FlowSize.model_fields)), seed=seed)
    flow.to(z.device).initialize(z)

    def values_of(step: int) -> dict[str, Tensor]:
        batch = draw(settings.batch_size, torch_generator(seed, purpose, step))
        return {"loss": loss_of(flow, [member[own] for member in batch])}

    rows = optimise(
        {"flow": Trained(flow)}, values_of, settings, title=settings.title, log_every=settings.log_every, resume=resume
    )
    if log is not None:
        log.extend(rows)
    if bad := [name for name, value in flow.state_dict().items() if not torch.isfinite(value).all()]:
        raise ReproduceError(f"training left NaN or infinity in {bad[0]}; lower the learning rate")
    return flow.eval()
