"""train: T, on pairs of latents; or, without concepts, on single ones."""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from reproduce.config import DENSITY, Unsupervised, load_experiment, load_unsupervised, load_variant
from reproduce.device import pick_device
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, read_arrays, read_json, sha256, write_json, write_text
from reproduce.latents import LatentPairs, SingleLatents, load_posterior
from reproduce.machine import describe_machine
from reproduce.models.convolutional import Posterior
from reproduce.models.flow import Flow
from reproduce.models.weights import save_network
from reproduce.paths import WORK, Run
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.flow import train_density, train_flow
from reproduce.training.loop import Resume, log_as_csv


@started()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write `flow.safetensors`, `training.csv`, and beside them how long it took, on what."""
    config = load_unsupervised(profile, experiment) if variant == DENSITY else load_experiment(profile, experiment)
    choice = None if variant == DENSITY else load_variant(variant)
    site, device = Run(profile, experiment, variant), own_device(pick_device(config.device))
    latents = load_posterior(site.latents, "train")
    posterior = Posterior(latents.mean.to(device), latents.logvar.to(device))
    recipe = {
        "training": config.training.model_dump(),
        "flow": config.flow.model_dump(),
        "inputs": {path.name: sha256(path) for path in sorted(site.latents.glob("train_*.npy"))},
        "device": str(device),
        "processes": processes(),
    }
    train: Callable[..., Flow]
    if isinstance(config, Unsupervised):
        train = partial(train_density, SingleLatents(posterior), seed=config.seed)
        recipe |= {"seed": config.seed}
    else:
        assert choice is not None
        dims = read_json(site.dimensions)["dims"]
        draw = LatentPairs(
            posterior=posterior,
            values=torch.from_numpy(read_arrays(site.pairs / "pool.npz")["values"]),
            concepts=list(dims)[:-1],
            weights=config.pairs.weights,
            balanced=config.pairs.balanced,
            sample=True,
        )
        settings: dict[str, Any] = {"seed": choice.seed, "variance": choice.variance, "half": choice.half}
        train = partial(train_flow, draw, dims=list(dims.values()), **settings)
        pool = {"weights": config.pairs.weights, "balanced": config.pairs.balanced}
        recipe |= {**settings, **pool, "dims": dims, "pool": sha256(site.pairs / "pool.npz")}
    resume = Resume(folder=WORK / "train" / variant, recipe=recipe)
    log: list[dict[str, float]] = []
    began = time.monotonic()
    with resume.locked():
        if processes() == 1 and (twin := _twin(site, resume.key)) is not None:
            _copy(twin, site)
            return
        budget = {**config.training.model_dump(), **config.flow.model_dump()}
        flow = train(log=log, resume=resume, title=f"T {experiment} {variant}", **budget)
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
