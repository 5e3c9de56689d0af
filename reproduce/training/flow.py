"""Training T: on pairs of latents by the pair likelihood, or on single ones by their likelihood alone."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reproduce.errors import ReproduceError, UserError
from reproduce.factors import check_dims
from reproduce.likelihood import Variance, density_nll, pair_nll
from reproduce.models.flow import Flow
from reproduce.seeds import torch_generator
from reproduce.training.distributed import average, part
from reproduce.training.loop import Resume, Schedule, learning_rate, run_steps

DrawPairs = Callable[[int, torch.Generator], tuple[Tensor, Tensor, Tensor]]
DrawLatents = Callable[[int, torch.Generator], Tensor]

_INITIALIZED_BY = 25  # latents at least, as many as an official batch: a batch of one has no spread to measure


def train_flow(
    draw_pairs: DrawPairs,
    *,
    dims: Sequence[int],
    steps: int,
    seed: int = 0,
    batch_size: int = 25,
    peak_rate: float = 1.125e-4,
    schedule: Schedule = "linear_decay",
    decay_from: int | None = None,
    betas: tuple[float, float] = (0.5, 0.9),
    n_blocks: int = 12,
    hidden_dim: int = 512,
    hidden_depth: int = 2,
    rho: float = 0.975,
    variance: Variance = "1-rho^2",
    half: bool = True,
    log_every: int = 50,
    log: list[dict[str, float]] | None = None,
    resume: Resume | None = None,
    title: str = "T",
) -> Flow:
    """A `Flow` trained for `steps` on pairs that share a concept; the defaults are the official setting.

    Arguments:
        draw_pairs: `draw_pairs(batch_size, generator)` returns `z_a`, `z_b` `[B, N]` float32 and `factor` `[B]` int64,
            the concept that each pair shares, 0 … K-1. It takes all its randomness from the CPU generator. The flow
            is trained on the device that the latents lie on. Under torchrun every process draws the whole batch and
            trains on its rows of it.
        dims: the K+1 factor sizes, the residual last; their sum is N.
        peak_rate, schedule, decay_from: see `learning_rate`.
        betas: Adam's.
        rho, variance, half: see `pair_nll`.
        log_every, log: the mean loss (nats) over every `log_every` steps is appended to `log`.
        resume: continue from, and save to, a state file; the result equals an uninterrupted run's.

    Raises UserError for dims that don't sum to N, a factor out of range, a `decay_from` beyond `steps`, a batch smaller
    than the number of processes, and NaN in the first latents; ReproduceError when the loss becomes NaN later.
    """
    _check(steps, batch_size, decay_from)
    own = part(batch_size)

    def pairs(n: int, step: int) -> tuple[Tensor, Tensor, Tensor]:
        return draw_pairs(n, torch_generator(seed, "training pairs", step))

    def loss_of(flow: Flow, step: int) -> Tensor:
        z_a, z_b, factor = (member[own] for member in pairs(batch_size, step))
        z_tilde, log_det = flow(torch.cat([z_a, z_b]))
        (zt_a, zt_b), (log_det_a, log_det_b) = z_tilde.chunk(2), log_det.chunk(2)
        return pair_nll(zt_a, log_det_a, zt_b, log_det_b, factor, dims, rho, variance=variance, half=half).mean()

    # the official ActNorm sees the first members of the first batch
    first, partner, _ = pairs(max(batch_size, _INITIALIZED_BY), 0)
    _check_finite(first, partner)
    check_dims(dims, first.shape[1])
    return _train(
        loss_of,
        first,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
        peak_rate=peak_rate,
        schedule=schedule,
        decay_from=decay_from,
        betas=betas,
        n_blocks=n_blocks,
        hidden_dim=hidden_dim,
        hidden_depth=hidden_depth,
        log_every=log_every,
        log=log,
        resume=resume,
        title=title,
    )


def train_density(
    draw: DrawLatents,
    *,
    steps: int,
    seed: int = 0,
    batch_size: int = 25,
    peak_rate: float = 1.125e-4,
    schedule: Schedule = "linear_decay",
    decay_from: int | None = None,
    betas: tuple[float, float] = (0.5, 0.9),
    n_blocks: int = 12,
    hidden_dim: int = 512,
    hidden_depth: int = 2,
    log_every: int = 50,
    log: list[dict[str, float]] | None = None,
    resume: Resume | None = None,
    title: str = "T",
) -> Flow:
    """A `Flow` trained without concepts, by the likelihood of single latents (official `iin/losses/iin.py`, `NLL`).

    Arguments:
        draw: `draw(batch_size, generator)` returns z `[B, N]` float32; as `train_flow`'s `draw_pairs` otherwise.

    The other arguments, their defaults and the errors are `train_flow`'s.
    """
    _check(steps, batch_size, decay_from)
    own = part(batch_size)

    def latents(n: int, step: int) -> Tensor:
        return draw(n, torch_generator(seed, "training latents", step))

    def loss_of(flow: Flow, step: int) -> Tensor:
        return density_nll(*flow(latents(batch_size, step)[own])).mean()

    first = latents(max(batch_size, _INITIALIZED_BY), 0)
    _check_finite(first)
    return _train(
        loss_of,
        first,
        steps=steps,
        seed=seed,
        batch_size=batch_size,
        peak_rate=peak_rate,
        schedule=schedule,
        decay_from=decay_from,
        betas=betas,
        n_blocks=n_blocks,
        hidden_dim=hidden_dim,
        hidden_depth=hidden_depth,
        log_every=log_every,
        log=log,
        resume=resume,
        title=title,
    )


def _check(steps: int, batch_size: int, decay_from: int | None) -> None:
    if steps < 1 or batch_size < 1:
        raise UserError(f"steps={steps}, batch_size={batch_size}: both must be at least 1")
    if decay_from is not None and decay_from >= steps:
        raise UserError(f"decay_from={decay_from}: the rate would never fall within {steps} steps; name an earlier one")


def _check_finite(*latents: Tensor) -> None:
    if not all(torch.isfinite(z).all() for z in latents):
        raise UserError("the latents hold NaN or infinity: check the first stage's weights and its input range")


def _train(
    loss_of: Callable[[Flow, int], Tensor],
    first: Tensor,
    *,
    steps: int,
    seed: int,
    batch_size: int,
    peak_rate: float,
    schedule: Schedule,
    decay_from: int | None,
    betas: tuple[float, float],
    n_blocks: int,
    hidden_dim: int,
    hidden_depth: int,
    log_every: int,
    log: list[dict[str, float]] | None,
    resume: Resume | None,
    title: str,
) -> Flow:
    """`loss_of(flow, step)`: the mean loss of this process's part of the step's batch; `first` sets the ActNorms."""
    flow = Flow(dim=first.shape[1], n_blocks=n_blocks, hidden_dim=hidden_dim, hidden_depth=hidden_depth, seed=seed)
    flow.to(first.device)
    flow.initialize(first)
    optimizer = torch.optim.Adam(flow.parameters(), lr=peak_rate, betas=betas, fused=True)

    def step(i: int) -> dict[str, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(i, steps=steps, peak=peak_rate, schedule=schedule, decay_from=decay_from)
        loss = loss_of(flow, i)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        values = {"loss": loss.detach()}
        average([*(p.grad for p in flow.parameters() if p.grad is not None), *values.values()], of=batch_size)
        optimizer.step()
        return values

    rows = run_steps(
        step,
        steps=steps,
        stateful={"flow": flow, "optimizer": optimizer},
        title=title,
        log_every=log_every,
        resume=resume,
    )
    if log is not None:
        log.extend(rows)
    bad = [name for name, value in flow.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise ReproduceError(f"training left NaN or infinity in {bad[0]}; lower the learning rate")
    return flow.eval()
