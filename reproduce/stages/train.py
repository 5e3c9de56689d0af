"""train: T, on pairs of latents."""

import shutil
import sys
import time
from dataclasses import replace

import torch

from reproduce.config import load_experiment, load_variant
from reproduce.device import pick_device
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, read_arrays, read_json, sha256, write_json, write_text
from reproduce.latents import LatentPairs, load_posterior
from reproduce.machine import describe_machine
from reproduce.models.convolutional import Posterior
from reproduce.models.weights import save_network
from reproduce.paths import WORK, Run
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.flow import train_flow
from reproduce.training.loop import Resume, log_as_csv

__all__ = ["run"]


@started()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write `flow.safetensors`, `training.csv`, and beside them how long it took, on what."""
    config, choice = load_experiment(profile, experiment), load_variant(variant)
    site = Run(profile, experiment, variant)
    dims = read_json(site.dimensions)["dims"]
    training, device = config.training, own_device(pick_device(config.device))
    posterior = load_posterior(site.latents, "train")
    draw = LatentPairs(
        posterior=Posterior(posterior.mean.to(device), posterior.logvar.to(device)),
        values=torch.from_numpy(read_arrays(site.pairs / "pool.npz")["values"]),
        concepts=list(dims)[:-1],
        weights=config.pairs.weights,
        balanced=config.pairs.balanced,
        sample=True,
    )
    recipe = {
        "training": training.model_dump(),
        "flow": config.flow.model_dump(),
        "weights": config.pairs.weights,
        "balanced": config.pairs.balanced,
        "variant": choice.model_dump(exclude={"description", "dims"}),
        "dims": dims,
        "inputs": {path.name: sha256(path) for path in sorted(site.latents.glob("train_*.npy"))},
        "pool": sha256(site.pairs / "pool.npz"),
        "device": str(device),
        "processes": processes(),
    }
    resume = Resume(folder=WORK / "train" / variant, recipe=recipe)
    log: list[dict[str, float]] = []
    began = time.monotonic()
    with resume.locked():
        if processes() == 1 and (twin := _twin(site, resume.key)) is not None:
            _copy(twin, site)
            return
        flow = train_flow(
            draw,
            dims=list(dims.values()),
            steps=training.steps,
            seed=choice.seed,
            batch_size=training.batch_size,
            peak_rate=training.peak_rate,
            schedule=training.schedule,
            decay_from=training.decay_from,
            betas=training.betas,
            rho=training.rho,
            variance=choice.variance,
            half=choice.half,
            log=log,
            resume=resume,
            title=f"T {experiment} {variant}",
            **config.flow.model_dump(),
        )
        if is_first():
            save_network(site.flow / "flow.safetensors", flow)
            write_text(site.flow / "training.csv", log_as_csv(log))
            seconds = round(time.monotonic() - began, 1)
            where = {"device": str(device), "processes": processes(), **describe_machine()}
            known = {"training": resume.key, "flow": sha256(site.flow / "flow.safetensors")}
            write_json(site.train_machine, {"train_seconds": seconds, **known, **where})
        any_process(False)  # the others end when all is written


def _twin(site: Run, key: str) -> Run | None:
    """Another variant that was trained alike to the last bit, as one is whose estimator gives the same sizes."""
    for file in sorted(site.folder.glob("*/machine.json")):
        twin = replace(site, variant=file.parent.name)
        try:
            known = read_json(file)
        except ReproduceError:  # another process is at it
            continue
        flow = twin.flow / "flow.safetensors"
        if twin != site and known.get("training") == key and flow.exists() and sha256(flow) == known["flow"]:
            return twin
    return None


def _copy(twin: Run, site: Run) -> None:
    print(f"reproduce: {site.experiment}: T of {site.variant} is that of {twin.variant}: copied", file=sys.stderr)
    for name in ("flow.safetensors", "training.csv"):
        with atomic_path(site.flow / name) as temporary:
            shutil.copyfile(twin.flow / name, temporary)
    write_json(site.train_machine, {**read_json(twin.train_machine), "copied_from": twin.variant})
