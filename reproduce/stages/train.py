"""train: T, on pairs of latents; or, without concepts, on single ones."""

import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from reproduce.code import digest
from reproduce.config import Experiment, NamedVariant, Pairs, load_run
from reproduce.device import pick_device
from reproduce.files import copy, read_arrays, read_json, sha256, write_json, write_text
from reproduce.latents import LatentPairs, SingleLatents, load_posterior
from reproduce.machine import describe_machine
from reproduce.models.convolutional import Posterior
from reproduce.models.flow import Flow
from reproduce.pairs import ConceptPairs
from reproduce.paths import WORK, RunPlaces
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.flow import train_density, train_flow
from reproduce.training.loop import Log, Resume, log_as_csv


@started()
def run(profile: str, experiment: str, variant: str) -> None:
    """Write `flow.safetensors` and `training.csv`, and into the machine notes the time and the machine that it took."""
    config, choice = load_run(profile, experiment, variant)
    places, device = RunPlaces(profile, experiment, variant), own_device(pick_device(config.device))
    dims = read_json(places.dimensions)["dims"]
    recipe = {  # all that decides the weights of T: two runs with the same recipe have the same T, to the last bit
        **config.model_dump(include={"training", "flow", "pairs"}),
        "variant": {"seed": choice.seed, "variance": choice.variance, "half": choice.half, "dims": dims},
        "inputs": {path.name: sha256(path) for path in sorted(places.latents.glob("train_*.npy"))},
        "pool": sha256(places.pairs / "pool.npz"),
        "device": str(device),
        "processes": processes(),
        "code": digest("train"),
    }
    resume = Resume(folder=WORK / "train" / variant, recipe=recipe)
    latest = WORK / "train" / f"{resume.key}.json"  # the run that has the T of this recipe
    log: Log = []
    began = time.monotonic()
    with resume.locked():
        notes = _copied(read_json(latest), places) if processes() == 1 and latest.exists() else None
        if notes is None:
            flow = _train(config, choice, places, dims=[*dims.values()], device=device, log=log, resume=resume)
            seconds = round(time.monotonic() - began, 1)
            notes = {"train_seconds": seconds, "device": str(device), "processes": processes(), **describe_machine()}
            if is_first():
                place = read_json(places.latents / "layer.json")
                out = places.flow / "flow.safetensors"
                flow.save(out, dims=[*dims.values()], concepts=[*dims][:-1], **place)
                write_text(places.flow / "training.csv", log_as_csv(log))
        if is_first():
            before = read_json(places.machine_notes) if places.machine_notes.exists() else {}
            write_json(
                places.machine_notes, notes | {key: before[key] for key in ("evaluate_seconds",) if key in before}
            )
            known = {"profile": profile, "experiment": experiment, "variant": variant}
            write_json(latest, {"run": known, "flow": sha256(places.flow / "flow.safetensors")})
        any_process(False)  # the others end when all is written


def _copied(latest: dict[str, Any], places: RunPlaces) -> dict[str, Any] | None:
    """Copy the T of another run with the same recipe and return its notes; None where it is gone or has changed.

    Two variants have the same recipe where their estimators give the same sizes.
    """
    twin = RunPlaces(**latest["run"])
    flow, curve = (twin.flow / name for name in ("flow.safetensors", "training.csv"))
    if twin.flow == places.flow or not (flow.exists() and curve.exists()) or sha256(flow) != latest["flow"]:
        return None
    print(
        f"reproduce: {places.experiment}: {places.variant} has the same T as {twin.variant}, which is copied",
        file=sys.stderr,
    )
    for file in (flow, curve):
        copy(file, places.flow / file.name)
    notes = read_json(twin.machine_notes) if twin.machine_notes.exists() else {}
    notes.pop("evaluate_seconds", None)
    return notes | {"copied_from": twin.variant}


def _train(
    config: Experiment,
    choice: NamedVariant,
    places: RunPlaces,
    *,
    dims: Sequence[int],
    device: torch.device,
    log: Log,
    resume: Resume,
) -> Flow:
    latents = load_posterior(places.latents, "train")
    posterior = Posterior(latents.mean.to(device), latents.logvar.to(device))
    settings: dict[str, Any] = {"seed": choice.seed, **config.flow.model_dump(), **config.training.model_dump()}
    settings |= {"log": log, "resume": resume, "title": f"T {places.experiment} {places.variant}"}
    if not isinstance(config.pairs, Pairs):
        return train_density(SingleLatents(posterior), **settings)
    values = torch.from_numpy(read_arrays(places.pairs / "pool.npz")["values"])
    pairs = ConceptPairs(values=values, concepts=config.concepts, **config.pairs.model_dump())
    draw = LatentPairs(pairs, posterior, sample=True)
    return train_flow(draw, dims=dims, variance=choice.variance, half=choice.half, **settings)
