"""first_stage: the network that is interpreted (E and G), and the judge; shipped, trained, or official."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import torch

from reproduce.code import digest
from reproduce.config import AutoencoderStage, Experiment, Judge, Network, OfficialWeights, all_sources, load_experiment
from reproduce.data.shared.base import ImageData
from reproduce.device import pick_device
from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, sha256, shown, write_text
from reproduce.intake.download import Downloads
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, save_network, trained_on
from reproduce.paths import DOWNLOADS, MIRROR, PRETRAINED, WORK, ExperimentPlaces, experiment_config
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume, log_as_csv
from reproduce.training.perceptual import Perceptual, feature_distance, lpips_distance

N = TypeVar("N", Autoencoder, Classifier)
Log = list[dict[str, float]]
_CHECKSUMS = "sha256.txt"  # of a profile's shipped files, as sha256sum writes it
# neither of the two has the other's weights or batches, nor those of the network whose images it sees
_SEED_OFFSETS = {"judge": 1, "perceptual": 2}


@dataclass(frozen=True)
class _Wanted:
    """One network to provide: its `name` is the file's; `train` makes it of the data and of `inputs`."""

    name: str
    network: Network
    train: Callable[[ImageData, torch.device, Resume], tuple[Autoencoder | Classifier, Log]]
    inputs: Mapping[str, str] = field(default_factory=dict)


@started()
def run(profile: str, experiment: str) -> None:
    """Write `network.safetensors`, and `judge.safetensors` where images are judged; a CSV log for what was trained.

    Where an autoencoder's perceptual term uses the features of a classifier, that one is `perceptual.safetensors`.
    """
    config = load_experiment(profile, experiment)
    places, stage = ExperimentPlaces(profile, experiment), config.first_stage
    if not isinstance(stage, AutoencoderStage):
        _provide(places, config, _Wanted("network", stage, partial(_train_classifier, config=config, name="network")))
        return
    inputs, perceptual = {}, None
    term = stage.objective.perceptual if stage.source == "train" else None
    if term is not None and term.network == "vgg":
        vgg16 = _vgg16()
        inputs = {"vgg16": sha256(vgg16), "lpips": version("lpips")}
        perceptual = partial(lpips_distance, vgg16)
    elif term is not None:
        other = stage.judge.model_copy(update={"source": "train", "precision": "float32"})
        train_other = partial(_train_classifier, config=config, name="perceptual")
        _provide(places, config, _Wanted("perceptual", other, train_other))
        perceptual = partial(_classifier_distance, places.first_stage / "perceptual.safetensors")
    train = partial(_train_autoencoder, config=config, stage=stage, perceptual=perceptual)
    _provide(places, config, _Wanted("network", stage, train, inputs))
    _provide(places, config, _Wanted("judge", stage.judge, partial(_train_classifier, config=config, name="judge")))


def _vgg16() -> Path:
    """VGG16's weights, fetched if need be; several processes wait for the one that fetches."""
    downloads = Downloads(sources=all_sources().sources, folder=DOWNLOADS, mirror=MIRROR)
    downloads.announce(["vgg16"])
    return downloads.obtain("vgg16")


def _classifier_distance(file: Path, device: torch.device) -> Perceptual:
    return feature_distance(load_network(file, Classifier).to(device))


def _provide(places: ExperimentPlaces, config: Experiment, wanted: _Wanted) -> None:
    """Write one network: a checked copy of the shipped or of the authors' file, or what its training makes."""
    name, network = wanted.name, wanted.network
    target = places.first_stage / f"{name}.safetensors"
    labels = sha256(places.data / "train_labels.npy")
    if network.source == "shipped":
        if is_first():
            _copy(_shipped(places, config, wanted, labels=labels), target)
        return
    if isinstance(network.source, OfficialWeights):
        if is_first():
            _copy(_official(places, config, network.source.checkpoint), target)
        return
    device = own_device(pick_device(config.device))
    recipe = {
        "network": name,
        "settings": network.model_dump(),
        "dataset": config.dataset.model_dump(),
        "seed": config.seed,
        "inputs": {"labels": labels, "images": sha256(places.data / "train_images.npy"), **wanted.inputs},
        "device": str(device),
        "processes": processes(),
        "code": digest("first_stage", data=config.dataset.name),
    }
    resume = Resume(folder=WORK / "first_stage", recipe=recipe)
    with resume.locked():
        trained, log = wanted.train(config.dataset.open(places.data), device, resume)
        if is_first():
            save_network(target, trained, precision=network.precision, trained_on=labels)
            write_text(places.first_stage / f"{name}_training.csv", log_as_csv(log))
        any_process(False)  # the next network may need this one


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def _shipped(places: ExperimentPlaces, config: Experiment, wanted: _Wanted, *, labels: str) -> Path:
    """The shipped file, if it is whole, of the configured sizes, and trained on this training part."""
    folder, network = PRETRAINED / places.profile, wanted.network
    shipped = folder / f"{places.experiment}-{wanted.name}.safetensors"
    where = shown(experiment_config(places.profile, places.experiment))
    if not shipped.exists():
        raise ReproduceError(f"{shown(shipped)} is missing: restore it, or set `source: train` in {where}")
    listed = folder / _CHECKSUMS
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    known = next((line.split()[0] for line in lines if line.split()[1:] == [shipped.name]), None)
    if (found := sha256(shipped)) != known:
        expected = f"{shown(listed)} expects {known}" if known else f"{shown(listed)} does not list it"
        raise ReproduceError(f"{shown(shipped)} is damaged: its sha256 is {found}, {expected}; restore the file")
    sizes = {"width": network.width, "image_size": config.dataset.image_size}
    if not isinstance(network, Judge):
        sizes["latent_dim"] = config.first_stage.latent_dim
    kind = Autoencoder if wanted.name == "network" and config.first_stage.kind == "autoencoder" else Classifier
    _check_sizes(load_network(shipped, kind), sizes, shown(shipped), where)
    # the order of the labels tells one training part from another, whatever the last bits of a rendered image are
    if trained_on(shipped) != labels:
        raise UserError(
            f"{where}: {shown(shipped)} was trained on other images than this data set's training part, so that its "
            "held-out ones would not be held out; set `source: train`, or `dataset` back"
        )
    return shipped


def _official(places: ExperimentPlaces, config: Experiment, checkpoint: str) -> Path:
    """The network that the stage fetch has converted, if it is one for this data set."""
    stage, data = config.first_stage, config.dataset.open(places.data)
    source = places.data / "network.safetensors"
    sizes = {"in_channels": data.channels, "image_size": config.dataset.image_size}
    sizes |= {"width": stage.width, "latent_dim": stage.latent_dim}
    kind: type[Autoencoder | Classifier] = Autoencoder
    if stage.kind == "classifier":
        kind, sizes = Classifier, {**sizes, "n_classes": data.n_outputs}
    where = shown(experiment_config(places.profile, places.experiment))
    _check_sizes(load_network(source, kind), sizes, f"the checkpoint {checkpoint}", where)
    return source


def _check_sizes(network: Autoencoder | Classifier, wanted: Mapping[str, int], name: str, where: str) -> None:
    for key, value in wanted.items():
        if network.config[key] != value:
            raise UserError(f"{where}: {key}={value}; {name} has {network.config[key]}; put it back, or train")


def _train_autoencoder(
    data: ImageData,
    device: torch.device,
    resume: Resume,
    *,
    config: Experiment,
    stage: AutoencoderStage,
    perceptual: Callable[[torch.device], Perceptual] | None,
) -> tuple[Autoencoder, Log]:
    network = Autoencoder(
        in_channels=data.channels,
        image_size=config.dataset.image_size,
        width=stage.width,
        latent_dim=stage.latent_dim,
        seed=config.seed,
    ).to(device)
    log = train_autoencoder(
        network,
        data.random_images,
        objective=stage.objective,
        training=stage.training,
        seed=config.seed,
        perceptual=None if perceptual is None else perceptual(device),
        resume=resume,
    )
    return network, log


def _train_classifier(
    data: ImageData, device: torch.device, resume: Resume, *, config: Experiment, name: str
) -> tuple[Classifier, Log]:
    """The interpreted classifier (`network`), the judge, or the classifier whose features a perceptual term uses."""
    settings: Network = config.first_stage
    sizes = {"in_channels": data.channels, "image_size": config.dataset.image_size}
    frequencies = None
    if name == "network":
        sizes["latent_dim"] = config.first_stage.latent_dim
    elif isinstance(config.first_stage, AutoencoderStage):
        settings = config.first_stage.judge
        frequencies = data.frequencies() if config.first_stage.judge.balanced else None
    seed = config.seed + _SEED_OFFSETS.get(name, 0)
    classifier = Classifier(n_classes=data.n_outputs, width=settings.width, seed=seed, **sizes).to(device)
    log = train_classifier(
        classifier,
        data.random_images,
        training=settings.training,
        seed=seed,
        frequencies=frequencies,
        title="classifier" if name == "network" else name,
        resume=resume,
    )
    return classifier, log
