"""first_stage: the networks that are interpreted (E and G), and the judge; shipped, trained, or official."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeVar

import torch

from reproduce.config import FirstStage, NetworkConfig, Weights, load_network_config, load_sources
from reproduce.data.access import open_dataset
from reproduce.data.base import ImageData
from reproduce.device import pick_device
from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, sha256, shown, write_text
from reproduce.intake.download import Downloads
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, save_network, trained_on
from reproduce.paths import DOWNLOADS, MIRROR, PRETRAINED, WORK, Site, experiment_config
from reproduce.training.distributed import any_process, is_first, own_device, processes, started
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume, log_as_csv
from reproduce.training.perceptual import Perceptual, feature_distance, lpips_distance

N = TypeVar("N", Autoencoder, Classifier)
Train = Callable[[ImageData, torch.device, Resume], tuple[N, list[dict[str, float]]]]


@started()
def run(profile: str, experiment: str) -> None:
    """Write `network.safetensors`, and `judge.safetensors` where images are judged; a CSV log for what was trained.

    Where an autoencoder's perceptual term looks through a classifier, that one is `perceptual.safetensors`.
    """
    config = load_network_config(profile, experiment)
    site, stage = Site(profile, experiment), config.first_stage
    if stage.kind == "classifier":
        _provide(site, "network", Classifier, stage, config, partial(_train_classifier, config))
        return
    assert config.judge is not None
    term = stage.objective.perceptual if stage.objective is not None and stage.source == "train" else None
    inputs, perceptual = {}, None
    if term is not None and term.network == "vgg":
        vgg16 = _vgg16()
        inputs = {"vgg16": sha256(vgg16), "lpips": version("lpips")}
        perceptual = partial(lpips_distance, vgg16)
    elif term is not None:
        trained = config.judge.model_copy(update={"source": "train", "precision": "float32"})
        _provide(site, "perceptual", Classifier, trained, config, partial(_train_looker, config, "perceptual"))
        perceptual = partial(_classifier_distance, site.first_stage / "perceptual.safetensors")
    train = partial(_train_autoencoder, config, perceptual)
    _provide(site, "network", Autoencoder, stage, config, train, inputs=inputs)
    _provide(site, "judge", Classifier, config.judge, config, partial(_train_looker, config, "judge"))


def _vgg16() -> Path:
    """VGG16's weights, fetched by need; several processes wait for the one that fetches."""
    downloads = Downloads(sources=load_sources().sources, folder=DOWNLOADS, mirror=MIRROR)
    downloads.announce(["vgg16"])
    return downloads.obtain("vgg16")


def _classifier_distance(file: Path, device: torch.device) -> Perceptual:
    return feature_distance(load_network(file, Classifier).to(device))


def _provide(
    site: Site,
    name: str,
    kind: type[N],
    weights: Weights,
    config: NetworkConfig,
    train: Train[N],
    *,
    inputs: Mapping[str, str] | None = None,
) -> None:
    """Write one network: a checked copy of the shipped file, or what `train` makes of the data and of `inputs`."""
    target = site.first_stage / f"{name}.safetensors"
    labels = sha256(site.data / "train_labels.npy")
    if weights.source == "shipped":
        if is_first():
            _copy_shipped(site, name, kind, weights, config, labels=labels)
        return
    if weights.source == "official":
        if is_first():
            _copy_official(site, kind, config)
        return
    device = own_device(pick_device(config.device))
    recipe = {
        "network": name,
        "weights": weights.model_dump(),
        "judge": None if config.judge is None else config.judge.model_dump(),
        "dataset": config.dataset.model_dump(),
        "seed": config.seed,
        "inputs": {"labels": labels, "images": sha256(site.data / "train_images.npy"), **(inputs or {})},
        "device": str(device),
        "processes": processes(),
    }
    resume = Resume(folder=WORK / "first_stage", recipe=recipe)
    with resume.locked():
        network, log = train(open_dataset(site.data, config.dataset), device, resume)
        if is_first():
            save_network(target, network, precision=weights.precision, trained_on=labels)
            write_text(site.first_stage / f"{name}_training.csv", log_as_csv(log))
        any_process(False)  # the next network may need this one


def _copy_shipped(
    site: Site, name: str, kind: type[Autoencoder | Classifier], weights: Weights, config: NetworkConfig, *, labels: str
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


def _copy_official(site: Site, kind: type[Autoencoder | Classifier], config: NetworkConfig) -> None:
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
    config: NetworkConfig,
    perceptual: Callable[[torch.device], Perceptual] | None,
    data: ImageData,
    device: torch.device,
    resume: Resume,
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
        perceptual=None if perceptual is None else perceptual(device),
        resume=resume,
    )
    return network, log


def _train_classifier(
    config: NetworkConfig, data: ImageData, device: torch.device, resume: Resume
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
    config: NetworkConfig, name: Literal["judge", "perceptual"], data: ImageData, device: torch.device, resume: Resume
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
