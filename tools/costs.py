"""What the paper's scale costs at least: `python tools/costs.py` prints the table of docs/paper-scale.md.

The numbers are derived, not measured. The training's own code runs one step on two examples, PyTorch counts its
arithmetic, and the result is scaled to the batch. Reading images, memory traffic and idle time come on top.
"""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from reproduce.config import AutoencoderStage, load_experiment
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.paths import CONFIGS
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.flow import train_flow
from reproduce.training.perceptual import lpips_network

H100, CPU = 67e12, 0.15e12  # FLOP/s in float32: NVIDIA's data sheet, without tensor cores; two cores of a server
# seconds on any GPU: the operations of T's step (official size), which PyTorch starts one by one
T_STARTS = 1250 * 6e-6
BATCH = 2


def step_flop(train: Callable[[int], object]) -> float:
    """Floating-point operations per example in one step: those of `train(2)`, two steps, less those of `train(1)`."""
    found = []
    for steps in (1, 2):
        with FlopCounterMode(display=False) as counter:
            train(steps)
        found.append(counter.get_total_flops())
    return (found[1] - found[0]) / BATCH


@cache
def network_flop(stage: Any, **sizes: int) -> float:
    """Operations per example in a step of an autoencoder with all its terms, or of a classifier with any outputs."""
    objective = getattr(stage, "objective", None)
    network: Any = (Autoencoder if objective else Classifier)(width=stage.width, **sizes)
    lpips: Any = lpips_network(None) if objective else None
    tiny = stage.training.model_copy(update={"batch_size": BATCH, "initialize_batch": BATCH})

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        side = sizes["image_size"]
        return torch.rand(n, sizes["in_channels"], side, side, generator=generator), torch.zeros(n, 10)

    def train(steps: int) -> object:
        options: Any = {"training": tiny.model_copy(update={"steps": steps}), "seed": 0}
        if not objective:
            return train_classifier(network, draw, **options)
        whole = objective.model_copy(update={"adversarial": objective.adversarial.model_copy(update={"start": 0})})
        return train_autoencoder(
            network, draw, objective=whole, perceptual=lambda a, b: lpips(a, b).flatten(), **options
        )

    return step_flop(train)


@cache
def flow_flop(dim: int, **sizes: Any) -> float:
    """Operations per pair in a step of T; the division of z into factors makes no difference."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return torch.randn(n, dim), torch.randn(n, dim), torch.zeros(n, dtype=torch.int64)

    return step_flop(lambda steps: train_flow(draw, dims=(dim, 0), steps=steps, batch_size=BATCH, **sizes))


def rows(name: str) -> Iterator[dict[str, str]]:
    """A line of the table for each training of one experiment of the profile full."""
    config = load_experiment("full", name)
    stage = config.first_stage
    channels = 1 if config.dataset.name in ("mnist", "fashionmnist") else 3
    sizes = {"in_channels": channels, "image_size": config.dataset.image_size}
    found: Any = [(stage.kind, stage.training, network_flop(stage, latent_dim=stage.latent_dim, **sizes))]
    if isinstance(stage, AutoencoderStage):
        found.append(("judge", stage.judge.training, network_flop(stage.judge, **sizes)))
    latents = 2 if config.concepts else 1  # per example
    of_t = flow_flop(stage.latent_dim, **config.flow.model_dump()) * latents / 2
    for title, training, flop in [*found, ("T", config.training, of_t)]:
        step = flop * training.batch_size
        yield {
            "experiment": name,
            "training": title,
            "steps × batch": f"{training.steps:,} × {training.batch_size}",
            "GFLOP per step": short(step / 1e9),
            "H100, hours": short(training.steps * max(step / H100, T_STARTS if title == "T" else 0) / 3600),
            "2 CPU cores, days": short(training.steps * step / CPU / 86400),
        }


def short(value: float) -> str:
    return "< 0.01" if value < 0.01 else f"{value:.2g}" if value < 99 else f"{value:.0f}"


def table() -> str:
    """The table in Markdown."""
    names = sorted(path.stem for path in (CONFIGS / "full").glob("*.yaml"))
    frame = pd.DataFrame([row for name in names for row in rows(name)])
    return frame.to_markdown(index=False, colalign=["left"] * 3 + ["right"] * 3, disable_numparse=True)


if __name__ == "__main__":
    print(table())
