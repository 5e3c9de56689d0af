"""first_stage: the network that is interpreted (E and G), and the judge; shipped, trained, or official."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from reproduce.code import digest
from reproduce.config import (
    AnyNetwork,
    AutoencoderStage,
    ClassifierStage,
    Experiment,
    Judge,
    ModuleStage,
    OfficialWeights,
    load_experiment,
    obtain,
)
from reproduce.device import pick_device
from reproduce.errors import ReproduceError, UserError
from reproduce.files import copy, sha256, shown, write_text
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, save_network, trained_on
from reproduce.own_network import load_interpreted, provide
from reproduce.paths import PRETRAINED, ROOT, WORK, ExperimentPlaces, experiment_config
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume, log_as_csv
from reproduce.training.perceptual import Perceptual, feature_distance, lpips_distance

_CHECKSUMS = "sha256.txt"  # of a profile's shipped files, as sha256sum writes it
# each network has its own seed, so that no two share initial weights or batches
_SEED_OFFSETS = {"network": 0, "judge": 1, "perceptual": 2}


@started()
def run(profile: str, experiment: str) -> None:
    """Write `network.safetensors`, and `judge.safetensors` where images are judged; a CSV log for what was trained.

    Where an autoencoder's perceptual term uses the features of a classifier, that one is `perceptual.safetensors`.
    """
    config = load_experiment(profile, experiment)
    places, stage = ExperimentPlaces(profile, experiment), config.first_stage
    if isinstance(stage, ModuleStage):
        if is_first():
            provide(stage, folder=ROOT, out=places.network)
            _check_layer(config, places)
        return
    if isinstance(stage, ClassifierStage):
        _provide(config, places, "network", network=stage)
        _check_layer(config, places)
        return
    term = stage.objective.perceptual
    if stage.source == "train" and term is not None and term.network == "classifier":
        other = stage.judge.model_copy(update={"source": "train", "precision": "float32"})
        _provide(config, places, "perceptual", network=other)
    _provide(config, places, "network", network=stage)
    _provide(config, places, "judge", network=stage.judge)


def _check_layer(config: Experiment, places: ExperimentPlaces) -> None:
    """Raise where the network cannot be divided at the layer that the config names."""
    data = config.dataset.open(places.data)
    load_interpreted(config.first_stage, weights=places.network, data=data, folder=ROOT)


def _provide(config: Experiment, places: ExperimentPlaces, name: str, *, network: AnyNetwork) -> None:
    """Write `<name>.safetensors`: a checked copy of the shipped or of the authors' file, or what its training makes."""
    target = places.first_stage / f"{name}.safetensors"
    labels = sha256(places.data / "train_labels.npy")
    data = config.dataset.open(places.data)
    sizes = {"in_channels": data.channels, "image_size": config.dataset.image_size, "width": network.width}
    if not isinstance(network, Judge):
        sizes["latent_dim"] = network.latent_dim
    if network.network_type is Classifier:
        sizes["n_classes"] = data.n_outputs
    if network.source != "train":
        if is_first():
            copy(_checked_file(places, name, network=network, sizes=sizes, labels=labels), target)
        return
    device = own_device(pick_device(config.device))
    distance_inputs, distance = _perceptual(network, places, device)
    recipe = {
        "network": name,
        "settings": network.model_dump(),
        "dataset": config.dataset.model_dump(),
        "seed": config.seed,
        "inputs": {"labels": labels, "images": sha256(places.data / "train_images.npy"), **distance_inputs},
        "device": str(device),
        "processes": processes(),
        "code": digest("first_stage", data=config.dataset.name),
    }
    resume = Resume(folder=WORK / "first_stage", recipe=recipe)
    with resume.locked():
        seed = config.seed + _SEED_OFFSETS[name]
        options: dict[str, Any] = {"training": network.training, "seed": seed, "resume": resume}
        trained: Autoencoder | Classifier
        if isinstance(network, AutoencoderStage):
            options |= {"objective": network.objective, "perceptual": distance}
            trained = Autoencoder(**sizes, seed=seed).to(device)
            log = train_autoencoder(trained, data.random_images, **options)
        else:
            frequencies = data.frequencies() if isinstance(network, Judge) and network.balanced else None
            options |= {"frequencies": frequencies, "title": "classifier" if name == "network" else name}
            trained = Classifier(**sizes, seed=seed).to(device)
            log = train_classifier(trained, data.random_images, **options)
        if is_first():
            save_network(target, trained, precision=network.precision, trained_on=labels)
            write_text(places.first_stage / f"{name}_training.csv", log_as_csv(log))
        any_process(False)  # the next network may need this one


def _checked_file(
    places: ExperimentPlaces, name: str, *, network: AnyNetwork, sizes: Mapping[str, int], labels: str
) -> Path:
    """The shipped file or the one that the stage fetch has converted, if it has `sizes` and is what it should be."""
    where = shown(experiment_config(places.profile, places.experiment))
    if not isinstance(network.source, OfficialWeights):
        file = PRETRAINED / places.profile / f"{places.experiment}-{name}.safetensors"
        called = shown(file)
        _check_shipped(file, where)
        # the order of the labels tells one training part from another, whatever the last bits of a rendered image are
        if trained_on(file) != labels:
            raise UserError(
                f"{where}: {called} was trained on other images than this data set's training part, so that its "
                "held-out images would not be held out; set `source: train`, or undo the change of `dataset`"
            )
    else:
        file, called = places.data / "network.safetensors", f"the checkpoint {network.source.checkpoint}"
    found = load_network(file, network.network_type).config
    for key, size in sizes.items():
        if found[key] != size:
            raise UserError(f"{where}: {key} is {size}, but {called} has {found[key]}: restore it, or train")
    return file


def _check_shipped(file: Path, where: str) -> None:
    if not file.exists():
        raise ReproduceError(f"{shown(file)} is missing: restore it, or set `source: train` in {where}")
    listed = file.with_name(_CHECKSUMS)
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    known = next((line.split()[0] for line in lines if line.split()[1:] == [file.name]), None)
    if (found := sha256(file)) != known:
        expected = f"{shown(listed)} expects {known}" if known else f"{shown(listed)} does not list it"
        raise ReproduceError(f"{shown(file)} is damaged: its sha256 is {found}, {expected}; restore the file")


def _perceptual(
    network: AnyNetwork, places: ExperimentPlaces, device: torch.device
) -> tuple[dict[str, str], Perceptual | None]:
    """The distance of the autoencoder's perceptual term, if it has one, after the inputs that it depends on."""
    term = network.objective.perceptual if isinstance(network, AutoencoderStage) else None
    if term is None:
        return {}, None
    if term.network == "vgg":
        vgg16 = obtain("vgg16")  # several processes wait for the one that fetches
        return {"vgg16": sha256(vgg16), "lpips": version("lpips")}, lpips_distance(vgg16, device)
    return {}, feature_distance(load_network(places.first_stage / "perceptual.safetensors", Classifier).to(device))
