"""train_density: T without concepts, on single latents."""

import time

import torch
from torch import Tensor

from reproduce.config import load_unsupervised
from reproduce.device import pick_device
from reproduce.files import sha256, write_json, write_text
from reproduce.latents import load_posterior
from reproduce.machine import describe_machine
from reproduce.models.convolutional import Posterior
from reproduce.models.weights import save_network
from reproduce.paths import WORK, Run
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.flow import train_density
from reproduce.training.loop import Resume, log_as_csv

__all__ = ["run"]


@started()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write `flow.safetensors`, `training.csv`, and beside them how long it took, on what."""
    config = load_unsupervised(profile, experiment)
    site = Run(profile, experiment, variant)
    training, device = config.training, own_device(pick_device(config.device))
    posterior = load_posterior(site.latents, "train")
    mean, logvar = posterior.mean.to(device), posterior.logvar.to(device)

    def draw(n: int, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(mean), (n,), generator=generator).to(device)
        return Posterior(mean[index], logvar[index]).sample(generator)

    recipe = {
        "training": training.model_dump(),
        "flow": config.flow.model_dump(),
        "seed": config.seed,
        "inputs": {path.name: sha256(path) for path in sorted(site.latents.glob("train_*.npy"))},
        "device": str(device),
        "processes": processes(),
    }
    resume = Resume(folder=WORK / "train", recipe=recipe)
    log: list[dict[str, float]] = []
    began = time.monotonic()
    with resume.locked():
        flow = train_density(
            draw,
            seed=config.seed,
            log=log,
            resume=resume,
            title=f"T {experiment}",
            **training.model_dump(),
            **config.flow.model_dump(),
        )
        if is_first():
            save_network(site.flow / "flow.safetensors", flow)
            write_text(site.flow / "training.csv", log_as_csv(log))
            seconds = round(time.monotonic() - began, 1)
            where = {"device": str(device), "processes": processes(), **describe_machine()}
            write_json(site.train_machine, {"train_seconds": seconds, **where})
        any_process(False)  # the others end when all is written
