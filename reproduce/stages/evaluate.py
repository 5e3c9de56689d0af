"""evaluate: the numbers of one run, and the arrays that its figures show."""

import math
import sys
import time
from typing import Any

from reproduce.config import Experiment, load_run, obtain
from reproduce.data.shared.base import HeldoutPairs, rows
from reproduce.device import pick_device
from reproduce.errors import ReproduceError
from reproduce.evaluation.measurements import headline, measure_all
from reproduce.evaluation.samples import Extract, inception_features
from reproduce.evaluation.subject import Subject
from reproduce.files import read_arrays, read_json, write_arrays, write_json
from reproduce.latents import load_posterior
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network
from reproduce.own_network import load_interpreted
from reproduce.paths import ROOT, RunPlaces


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `run.json`, `main.json` and an .npz for each section of the evaluation that has something to show.

    How long that took is added to the run's machine notes, which are no output of the stage.
    """
    started = time.monotonic()
    config, choice = load_run(profile, experiment, variant)
    places = RunPlaces(profile, experiment, variant)
    subject = load_subject(places, config)
    samples = config.evaluation.samples
    inception = _inception(config) if samples is not None and samples.inception else None
    found = measure_all(subject, config.evaluation, rho=config.training.rho, inception=inception)
    for old in places.evaluation.glob("*.npz"):  # of a section that is no longer measured
        old.unlink()
    for name, measured in found.items():
        if measured.arrays:
            write_arrays(places.evaluation / f"{name}.npz", measured.arrays)
    metrics = {key: value for measured in found.values() for key, value in measured.metrics.items()}
    write_json(places.evaluation / "main.json", headline(metrics))
    write_json(
        places.evaluation / "run.json",
        {
            "profile": profile,
            "experiment": experiment,
            "variant": choice.name,
            "seed": choice.seed,
            "dataset": config.title,
            "kind": config.first_stage.role,
            "description": choice.description,
            **read_json(places.dimensions),
            "metrics": metrics,
            "config": {
                **config.model_dump(mode="json"),
                "variant": choice.model_dump(mode="json", exclude={"description"}),
            },
        },
    )
    # DVC does not restore the notes of a training that it did not run here; the published ones have them
    notes: dict[str, Any] = next(
        (read_json(path) for path in (places.machine_notes, places.machine) if path.exists()), {}
    )
    write_json(places.machine_notes, {**notes, "evaluate_seconds": round(time.monotonic() - started, 1)})


def load_subject(places: RunPlaces, config: Experiment) -> Subject:
    """One run's networks, data and latents, as the earlier stages left them."""
    data = config.dataset.open(places.data)
    network = load_interpreted(config.first_stage, weights=places.network, data=data, folder=ROOT)
    judge = places.first_stage / "judge.safetensors"
    posterior, pool = (load_posterior(places.latents, name) for name in ("heldout", "train"))
    shape = tuple(pool.mean.shape[1:])
    positions = math.prod(shape[1:])
    return Subject(
        network=network,
        judge=load_network(judge, Classifier) if isinstance(network, Autoencoder) else network,
        flow=load_network(places.flow / "flow.safetensors", Flow),
        shape=shape,
        dims={name: size * positions for name, size in read_json(places.dimensions)["dims"].items()},
        data=data,
        heldout=rows(read_arrays(places.pairs / "heldout.npz"), slice(data.n_heldout)),
        posterior=Posterior(posterior.mean.flatten(1), posterior.logvar.flatten(1)),
        pairs=HeldoutPairs(**read_arrays(places.pairs / "heldout_pairs.npz")) if config.concepts else None,
        pool=read_arrays(places.pairs / "pool.npz"),
        pool_z=pool.mean.flatten(1),
        seed=config.seed,
        device=pick_device(config.device),
    )


def _inception(config: Experiment) -> Extract | None:
    """Inception's features; None, with a warning, where its weights cannot be had."""
    try:
        return inception_features(obtain("inception"), pick_device(config.device))
    except ReproduceError as error:
        print(
            f"reproduce: warning: there is no FID, since Inception's weights can't be had: {error}. "
            "Once the file is there, run this stage again with dvc repro -f -s evaluate@PROFILE-EXPERIMENT-VARIANT",
            file=sys.stderr,
        )
        return None
