"""first_stage: the networks that are interpreted (E and G), and the judge; shipped, trained, or official."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import torch

from reproduce.config import Experiment, FirstStage, Weights, load_experiment
from reproduce.data.access import open_dataset
from reproduce.data.base import ImageData
from reproduce.device import pick_device
from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, sha256, write_text
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, save_network, trained_on
from reproduce.paths import PRETRAINED, WORK, Site, experiment_config, shown
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume, log_as_csv
from reproduce.training.perceptual import feature_distance

__all__ = ["run"]


N = TypeVar("N", Autoencoder, Classifier)
Train = Callable[[ImageData, torch.device, Resume], tuple[N, list[dict[str, float]]]]


def run(profile: str, experiment: str) -> None:
    """Write `network.safetensors`, and `judge.safetensors` where images are judged; a CSV log for what was trained.

    Where an autoencoder is trained with a perceptual term, the classifier behind it is `perceptual.safetensors`.
    """
    config = load_experiment(profile, experiment)
    site, stage = Site(profile, experiment), config.first_stage
    if stage.kind == "classifier":
        _provide(site, "network", Classifier, stage, config, partial(_train_classifier, config))
        return
    assert config.judge is not None
    perceptual = None
    if stage.source == "train" and stage.objective is not None and stage.objective.perceptual_weight:
        trained = config.judge.model_copy(update={"source": "train", "precision": "float32"})
        _provide(site, "perceptual", Classifier, trained, config, partial(_train_looker, config, "perceptual"))
        perceptual = site.first_stage / "perceptual.safetensors"
    _provide(site, "network", Autoencoder, stage, config, partial(_train_autoencoder, config, perceptual))
    _provide(site, "judge", Classifier, config.judge, config, partial(_train_looker, config, "judge"))


def _provide(site: Site, name: str, kind: type[N], weights: Weights, config: Experiment, train: Train[N]) -> None:
    """Write one network: a checked copy of the shipped file, or what `train` makes."""
    target = site.first_stage / f"{name}.safetensors"
    labels = sha256(site.data / "train_labels.npy")
    if weights.source == "shipped":
        _copy_shipped(site, name, kind, weights, config, labels=labels)
        return
    if weights.source == "official":
        _copy_official(site, kind, config)
        return
    device = pick_device(config.device)
    recipe = {
        "network": name,
        "weights": weights.model_dump(),
        "judge": None if config.judge is None else config.judge.model_dump(),
        "dataset": config.dataset.model_dump(),
        "seed": config.seed,
        "inputs": [labels, sha256(site.data / "train_images.npy")],
        "device": str(device),
    }
    resume = Resume(folder=WORK / "first_stage", recipe=recipe)
    with resume.locked():
        network, log = train(open_dataset(site.data, config.dataset), device, resume)
        save_network(target, network, precision=weights.precision, trained_on=labels)
        write_text(site.first_stage / f"{name}_training.csv", log_as_csv(log))


def _copy_shipped(
    site: Site, name: str, kind: type[Autoencoder | Classifier], weights: Weights, config: Experiment, *, labels: str
) -> None:
    shipped = PRETRAINED / site.profile / f"{site.experiment}-{name}.safetensors"
    where = shown(experiment_config(site.profile, site.experiment))
    if not shipped.exists():
        raise ReproduceError(f"{shown(shipped)} is missing: restore it, or set `source: train` in {where}")
    found = sha256(shipped)
    if found != weights.sha256:
        raise ReproduceError(
            f"{shown(shipped)} is damaged: its sha256 is {found}, {where} expects {weights.sha256}; restore the file"
        )
    wanted = {"width": weights.width, "image_size": config.dataset.image_size}
    if isinstance(weights, FirstStage):
        wanted["latent_dim"] = weights.latent_dim
    _check_sizes(load_network(shipped, kind), wanted, shown(shipped), where)
    # the labels in their order tell a training part from any other, and a rendered image's last bits from no other
    if trained_on(shipped) != labels:
        raise UserError(
            f"{where}: {shown(shipped)} was trained on other images than this data set's training part, so that its "
            "held-out ones would not be held out; set `source: train`, or `dataset` back"
        )
    with atomic_path(site.first_stage / f"{name}.safetensors") as temporary:
        shutil.copyfile(shipped, temporary)


def _copy_official(site: Site, kind: type[Autoencoder | Classifier], config: Experiment) -> None:
    """Take the network that the stage fetch has converted, if it is one for this data set."""
    stage, data = config.first_stage, open_dataset(site.data, config.dataset)
    source = site.data / "network.safetensors"
    wanted = {
        "in_channels": data.channels,
        "image_size": config.dataset.image_size,
        "width": stage.width,
        "latent_dim": stage.latent_dim,
    }
    if kind is Classifier:
        wanted["n_classes"] = data.n_outputs
    where = shown(experiment_config(site.profile, site.experiment))
    _check_sizes(load_network(source, kind), wanted, f"the checkpoint {stage.checkpoint}", where)
    with atomic_path(site.first_stage / "network.safetensors") as temporary:
        shutil.copyfile(source, temporary)


def _check_sizes(network: Autoencoder | Classifier, wanted: Mapping[str, int], name: str, where: str) -> None:
    for key, value in wanted.items():
        if network.config[key] != value:
            raise UserError(f"{where}: {key}={value}; {name} has {network.config[key]}; put it back, or train")


def _train_autoencoder(
    config: Experiment, perceptual: Path | None, data: ImageData, device: torch.device, resume: Resume
) -> tuple[Autoencoder, list[dict[str, float]]]:
    stage = config.first_stage
    assert stage.objective is not None
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
        perceptual=None if perceptual is None else feature_distance(load_network(perceptual, Classifier).to(device)),
        resume=resume,
    )
    return network, log


def _train_classifier(
    config: Experiment, data: ImageData, device: torch.device, resume: Resume
) -> tuple[Classifier, list[dict[str, float]]]:
    stage = config.first_stage
    network = Classifier(
        n_classes=data.n_outputs,
        in_channels=data.channels,
        image_size=config.dataset.image_size,
        width=stage.width,
        latent_dim=stage.latent_dim,
        seed=config.seed,
    ).to(device)
    log = train_classifier(network, data.random_images, training=stage.training, seed=config.seed, resume=resume)
    return network, log


def _train_looker(
    config: Experiment, name: Literal["judge", "perceptual"], data: ImageData, device: torch.device, resume: Resume
) -> tuple[Classifier, list[dict[str, float]]]:
    assert config.judge is not None
    # neither has the other's weights or batches, nor those of the network that it looks at
    seed = config.seed + {"judge": 1, "perceptual": 2}[name]
    looker = Classifier(
        n_classes=data.n_outputs,
        in_channels=data.channels,
        image_size=config.dataset.image_size,
        width=config.judge.width,
        seed=seed,
    ).to(device)
    training = config.judge.training
    frequencies = data.frequencies() if config.judge.balanced else None
    log = train_classifier(
        looker,
        data.random_images,
        training=training,
        seed=seed,
        frequencies=frequencies,
        title=name,
        resume=resume,
    )
    return looker, log
