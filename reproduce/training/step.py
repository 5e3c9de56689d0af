"""The step that every training here takes: gradients, their mean over the processes, and Adam."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from reproduce.training.distributed import average
from reproduce.training.loop import Resume, run_steps
from reproduce.training.optimisation import Optimisation


@dataclass(frozen=True)
class Trained:
    """A network, and the name of the loss that it minimises; it joins at `start`, at `rate_factor` times the rate."""

    module: nn.Module
    loss: str = "loss"
    rate_factor: float = 1.0
    start: int = 0


def optimise(
    networks: Mapping[str, Trained],
    values_of: Callable[[int], dict[str, Tensor]],
    training: Optimisation,
    *,
    title: str,
    log_every: int = 50,
    gradient_clip: float | None = None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Train `networks` in place, each with an Adam of its own; return the log, see `run_steps`.

    `values_of(step)` returns the step's losses and what else is logged: scalars, means over this process's rows of the
    batch. All networks take their gradients of that one pass, at the weights that the step began with, and then step.
    """
    weights = {name: list(network.module.parameters()) for name, network in networks.items()}
    optimizers = {
        name: torch.optim.Adam(parameters, lr=training.peak_rate, betas=training.betas, fused=True)
        for name, parameters in weights.items()
    }

    def step(i: int) -> dict[str, Tensor]:
        values = values_of(i)
        active = [name for name, network in networks.items() if i >= network.start]
        for name in active:
            optimizers[name].zero_grad(set_to_none=True)
            values[networks[name].loss].backward(inputs=weights[name], retain_graph=name != active[-1])
        values = {name: value.detach() for name, value in values.items()}
        gradients = [p.grad for name in active for p in weights[name] if p.grad is not None]
        average([*gradients, *values.values()], of=training.batch_size)
        for name in active:
            if gradient_clip is not None:
                nn.utils.clip_grad_norm_(weights[name], gradient_clip)
            for group in optimizers[name].param_groups:
                group["lr"] = training.rate(i) * networks[name].rate_factor
            optimizers[name].step()
        return values

    stateful = {name: network.module for name, network in networks.items()}
    return run_steps(
        step,
        steps=training.steps,
        stateful=stateful | {f"{name}'s optimizer": optimizer for name, optimizer in optimizers.items()},
        title=title,
        log_every=log_every,
        resume=resume,
    )
