"""first_stage: the networks that are interpreted (E and G), and the judge; shipped or trained."""

import shutil
from collections.abc import Callable
from pathlib import Path

from reproduce.config import Experiment, Weights, load_experiment
from reproduce.data.access import open_dataset
from reproduce.data.colormnist import ColorMNIST
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, sha256, write_text
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.weights import load_network, save_network
from reproduce.paths import PRETRAINED, WORK, Site, experiment_config, shown
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume, log_as_csv

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `network.safetensors`, and `judge.safetensors` where images are judged; a CSV log for what was trained."""
    config = load_experiment(profile, experiment)
    site = Site(profile, experiment)
    kind: type[Autoencoder | Classifier] = Autoencoder if config.first_stage.kind == "autoencoder" else Classifier
    _provide(
        site, "network", kind, config.first_stage, lambda data, resume: _train_network(config, data, resume), config
    )
    if config.judge is not None:
        judge = config.judge
        _provide(site, "judge", Classifier, judge, lambda data, resume: _train_judge(config, data, resume), config)


def shipped_file(profile: str, experiment: str, name: str) -> Path:
    """Where the repo carries the weights of one network."""
    return PRETRAINED / profile / f"{experiment}-{name}.safetensors"


def _provide(
    site: Site,
    name: str,
    kind: type[Autoencoder | Classifier],
    weights: Weights,
    train: Callable[[ColorMNIST, Resume], tuple[Autoencoder | Classifier, list[dict[str, float]]]],
    config: Experiment,
) -> None:
    target = site.first_stage / f"{name}.safetensors"
    if weights.source == "shipped":
        shipped = shipped_file(site.profile, site.experiment, name)
        if not shipped.exists():
            config_file = shown(experiment_config(site.profile, site.experiment))
            raise ReproduceError(
                f"{shown(shipped)} is missing: restore it from the repository, or set `source: train` in {config_file}"
            )
        found = sha256(shipped)
        if found != weights.sha256:
            raise ReproduceError(
                f"{shown(shipped)} is damaged: its sha256 is {found}, the config expects {weights.sha256}; "
                "restore the file from the repository"
            )
        load_network(shipped, kind)
        with atomic_path(target) as temporary:
            shutil.copyfile(shipped, temporary)
        return
    data = open_dataset(site.data, config.dataset)
    recipe = {
        "network": name,
        "weights": weights.model_dump(),
        "dataset": config.dataset.model_dump(),
        "seed": config.seed,
        "images": sha256(site.data / "train_images.npy"),
    }
    resume = Resume(folder=WORK / "first_stage", recipe=recipe, every=weights.training.save_every)
    with resume.locked():
        network, log = train(data, resume)
        save_network(target, network, precision=weights.precision)
        write_text(site.first_stage / f"{name}_training.csv", log_as_csv(log))
    resume.clear()


def _train_network(
    config: Experiment, data: ColorMNIST, resume: Resume
) -> tuple[Autoencoder | Classifier, list[dict[str, float]]]:
    stage = config.first_stage
    size = {
        "in_channels": data.channels,
        "image_size": config.dataset.image_size,
        "width": stage.width,
        "latent_dim": stage.latent_dim,
        "seed": config.seed,
    }
    if stage.objective is not None:
        autoencoder = Autoencoder(**size)
        log = train_autoencoder(
            autoencoder,
            data.random_images,
            objective=stage.objective,
            training=stage.training,
            seed=config.seed,
            resume=resume,
        )
        return autoencoder, log
    classifier = Classifier(n_classes=data.n_classes, **size)
    log = train_classifier(classifier, data.random_images, training=stage.training, seed=config.seed, resume=resume)
    return classifier, log


def _train_judge(config: Experiment, data: ColorMNIST, resume: Resume) -> tuple[Classifier, list[dict[str, float]]]:
    assert config.judge is not None
    seed = config.seed + 1  # never the weights or the batches of the network it judges
    judge = Classifier(
        n_classes=data.n_classes,
        in_channels=data.channels,
        image_size=config.dataset.image_size,
        width=config.judge.width,
        seed=seed,
    )
    log = train_classifier(
        judge, data.random_images, training=config.judge.training, seed=seed, title="judge", resume=resume
    )
    return judge, log
