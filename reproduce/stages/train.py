"""train: T, on pairs of latents; or, without concepts, on single ones."""

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from reproduce.code import digest
from reproduce.config import Experiment, NamedVariant, Pairs, load_run
from reproduce.device import pick_device
from reproduce.files import atomic_path, read_arrays, read_json, sha256, write_json, write_text
from reproduce.latents import LatentPairs, SingleLatents, load_posterior
from reproduce.machine import describe_machine
from reproduce.models.convolutional import Posterior
from reproduce.models.flow import Flow
from reproduce.models.weights import save_network
from reproduce.paths import WORK, RunPlaces
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.flow import train_density, train_flow
from reproduce.training.loop import Resume, log_as_csv


@started()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write `flow.safetensors`, `training.csv`, and beside DVC's outs how long it took, on what."""
    config, choice = load_run(profile, experiment, variant)
    places, device = RunPlaces(profile, experiment, variant), own_device(pick_device(config.device))
    dims = read_json(places.dimensions)["dims"]
    resume = Resume(folder=WORK / "train" / variant, recipe=_recipe(config, choice, places, dims, device=str(device)))
    log: list[dict[str, float]] = []
    began = time.monotonic()
    with resume.locked():
        if processes() == 1 and _copied(resume, places):
            return
        train = _training(config, choice, places, list(dims.values()), device=device)
        flow = train(log=log, resume=resume, title=f"T {experiment} {variant}")
        if is_first():
            save_network(places.flow / "flow.safetensors", flow)
            write_text(places.flow / "training.csv", log_as_csv(log))
            seconds = round(time.monotonic() - began, 1)
            where = {"device": str(device), "processes": processes(), **describe_machine()}
            write_json(places.machine_notes, {"train_seconds": seconds, **where})
            known = {"variant": variant, "flow": sha256(places.flow / "flow.safetensors")}
            write_json(_trained(resume), {"experiment": experiment, "profile": profile, **known})
        any_process(False)  # the others end when all is written


def _recipe(
    config: Experiment, choice: NamedVariant, places: RunPlaces, dims: dict[str, int], *, device: str
) -> dict[str, Any]:
    """All that decides the weights of T: two runs with the same recipe have the same T, to the last bit."""
    return {
        "training": config.training.model_dump(),
        "flow": config.flow.model_dump(),
        "pairs": config.pairs if config.pairs == "none" else config.pairs.model_dump(),
        "variant": {"seed": choice.seed, "variance": choice.variance, "half": choice.half, "dims": dims},
        "inputs": {path.name: sha256(path) for path in sorted(places.latents.glob("train_*.npy"))},
        "pool": sha256(places.pairs / "pool.npz"),
        "device": device,
        "processes": processes(),
        "code": digest("train"),
    }


def _training(
    config: Experiment, choice: NamedVariant, places: RunPlaces, dims: Sequence[int], *, device: torch.device
) -> Callable[..., Flow]:
    latents = load_posterior(places.latents, "train")
    posterior = Posterior(latents.mean.to(device), latents.logvar.to(device))
    settings: dict[str, Any] = {"seed": choice.seed, **config.flow.model_dump(), **config.training.model_dump()}
    if not isinstance(config.pairs, Pairs):
        return partial(train_density, SingleLatents(posterior), **settings)
    draw = LatentPairs(
        posterior=posterior,
        values=torch.from_numpy(read_arrays(places.pairs / "pool.npz")["values"]),
        concepts=config.concepts,
        weights=config.pairs.weights,
        balanced=config.pairs.balanced,
        sample=True,
    )
    return partial(train_flow, draw, dims=dims, variance=choice.variance, half=choice.half, **settings)


def _trained(resume: Resume) -> Path:
    """Where it is noted which run this recipe was last trained for."""
    return WORK / "train" / "trained" / f"{resume.key}.json"


def _copied(resume: Resume, places: RunPlaces) -> bool:
    """Copy the T of another variant with the same recipe, as where an estimator gives the same sizes; False if none."""
    if not _trained(resume).exists():
        return False
    known = read_json(_trained(resume))
    twin = RunPlaces(known["profile"], known["experiment"], known["variant"])
    flow = twin.flow / "flow.safetensors"
    if twin == places or not flow.exists() or sha256(flow) != known["flow"]:
        return False
    print(f"reproduce: {places.experiment}: T of {places.variant} is that of {twin.variant}: copied", file=sys.stderr)
    for name in ("flow.safetensors", "training.csv"):
        with atomic_path(places.flow / name) as temporary:
            shutil.copyfile(twin.flow / name, temporary)
    notes = read_json(twin.machine_notes) if twin.machine_notes.exists() else {}
    write_json(places.machine_notes, notes | {"copied_from": twin.variant})
    return True
