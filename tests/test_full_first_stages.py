"""The first stages of the full profile, run through their stage at a tiny width, on made images, without VGG."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from reproduce.config import AutoencoderStage, Experiment, load_experiment
from reproduce.errors import ReproduceError
from reproduce.files import write_array
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.discriminator import Discriminator
from reproduce.models.weights import load_network
from reproduce.paths import CONFIGS, ExperimentPlaces
from reproduce.stages import first_stage as stage
from reproduce.training import first_stage as training
from reproduce.training.optimisation import LinearDecay, NetworkTraining
from reproduce.training.perceptual import Perceptual, feature_distance

EXPERIMENTS = sorted(path.stem for path in (CONFIGS / "full").glob("*.yaml"))
STEPS, START = 300, 200
N_CLASSES = 3


def shortened(config: Experiment) -> Experiment:
    """300 steps of 4 images, a width of 4, a rate to match; the discriminator's start in its place among the steps."""

    def shorter(was: NetworkTraining, steps: int) -> NetworkTraining:
        schedule = was.schedule
        if isinstance(schedule, LinearDecay):
            schedule = LinearDecay(decay_from=schedule.decay_from * steps // was.steps)
        changes = {"steps": steps, "schedule": schedule, "batch_size": 4, "initialize_batch": 16, "peak_rate": 3e-4}
        return was.model_copy(update=changes)

    first = config.first_stage
    changes = {"source": "train", "width": 4, "training": shorter(first.training, STEPS)}
    if isinstance(first, AutoencoderStage):
        adversarial = first.objective.adversarial
        assert adversarial is not None
        adversarial = adversarial.model_copy(update={"start": START, "width": 4})
        changes["objective"] = first.objective.model_copy(update={"adversarial": adversarial})
        training = shorter(first.judge.training, 5)
        changes["judge"] = first.judge.model_copy(update={"source": "train", "width": 4, "training": training})
    dataset = config.dataset.model_copy(update={"image_size": 32})
    return config.model_copy(
        update={"first_stage": first.model_copy(update=changes), "dataset": dataset, "device": "cpu"}
    )


def random_images(channels: int, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One of three bright bands, and which."""
    labels = torch.randint(N_CLASSES, (n,), generator=generator)
    x = torch.rand(n, channels, 32, 32, generator=generator) * 0.3 - 0.9
    for label in range(N_CLASSES):
        x[labels == label, :, 10 * label : 10 * label + 10] += 1.5
    return x, torch.eye(N_CLASSES)[labels]


def random_net_distance(_: Path, device: torch.device) -> Perceptual:
    """A small untrained network in the place of VGG."""
    network = Classifier(n_classes=N_CLASSES, width=4, latent_dim=4)
    network.initialize(random_images(3, 16, torch.Generator().manual_seed(0))[0])
    distance = feature_distance(network.to(device))
    return lambda images, others: distance(images.expand(-1, 3, -1, -1), others.expand(-1, 3, -1, -1))


Run = Callable[[str], tuple[Path, Experiment]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the stage for an experiment; gives the folder of its outs, and the config that it ran."""

    def run(experiment: str) -> tuple[Path, Experiment]:
        config = shortened(load_experiment("full", experiment))
        places = ExperimentPlaces("full", experiment)
        for name in ("labels", "images"):
            write_array(places.data / f"train_{name}.npy", np.zeros(1))
        channels = 1 if "mnist" in experiment and config.dataset.name != "colormnist" else 3
        data = SimpleNamespace(
            channels=channels,
            n_outputs=N_CLASSES,
            random_images=partial(random_images, channels),
            frequencies=lambda: torch.full((N_CLASSES,), 1 / N_CLASSES),
        )
        monkeypatch.setattr(stage, "load_experiment", lambda *_: config)
        monkeypatch.setattr(type(config.dataset), "open", lambda *_: data)
        stage.run("full", experiment)
        return places.first_stage, config

    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    monkeypatch.setattr(stage, "WORK", tmp_path / "work")
    monkeypatch.setattr("reproduce.config.DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr("reproduce.config.MIRROR", str(tmp_path / "nothing here"))
    monkeypatch.setattr(stage, "lpips_distance", random_net_distance)
    return run


@pytest.fixture
def discriminators(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Discriminator, list[Tensor]]]:
    """Those that a training makes, each with a copy of its first weights."""
    made: list[tuple[Discriminator, list[Tensor]]] = []

    def make(**options: object) -> Discriminator:
        network = Discriminator(**options)  # type: ignore[arg-type]
        made.append((network, [parameter.detach().clone() for parameter in network.parameters()]))
        return network

    monkeypatch.setattr(training, "Discriminator", make)
    return made


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_300_steps_of_each_config(
    experiment: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    discriminators: list[tuple[Discriminator, list[Tensor]]],
) -> None:
    (tmp_path / "vgg16").touch()
    monkeypatch.setattr(stage, "obtain", lambda name: tmp_path / "vgg16")
    folder, config = run(experiment)
    log = pd.read_csv(folder / "network_training.csv")
    assert log["step"].iloc[-1] == STEPS
    assert np.isfinite(log.to_numpy()).all()
    kind = Autoencoder if isinstance(config.first_stage, AutoencoderStage) else Classifier
    network = load_network(folder / "network.safetensors", kind)
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert (folder / "judge.safetensors").exists() == (kind is Autoencoder)
    before = log[log["step"] <= START]
    assert before["loss"].iloc[-1] < 0.5 * before["loss"].iloc[0]
    if not isinstance(config.first_stage, AutoencoderStage):
        assert list(log) == ["step", "loss", "accuracy"]
        return
    adversarial = ["adversarial", "adversarial_weight", "discriminator", "logits_real"]
    assert list(log) == ["step", "loss", "reconstruction", "perceptual", "nll", "logvar", "kl", *adversarial]
    assert (before[adversarial] == 0).to_numpy().all()
    after = log[log["step"] > START]
    assert (after[adversarial] != 0).to_numpy().all()
    assert log["nll"].iloc[-1] < 0.5 * log["nll"].iloc[0]
    ((discriminator, first),) = discriminators
    for parameter, was in zip(discriminator.parameters(), first, strict=True):
        assert parameter.isfinite().all()
        assert not parameter.equal(was)
    normalised = any(name.endswith("original") for name in discriminator.state_dict())
    assert config.first_stage.objective.adversarial is not None
    assert normalised == config.first_stage.objective.adversarial.spectral_norm


def test_without_vggs_weights_nothing_is_trained_and_the_way_out_is_named(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"VGG16's weights.*could not be fetched.*put it there as"):
        run("colormnist_ae")
    (tmp_path / "downloads" / "vgg16-397923af.pth").write_text("half of it")
    with pytest.raises(ReproduceError, match=r"vgg16-397923af\.pth is not the file that is expected"):
        run("colormnist_ae")
    assert not (tmp_path / "work").exists()


OFFICIAL = {  # configs/*_ae.yaml and *_clf.yaml: disc_start, d_lr_factor, spectral_norm, steps, decay_start
    "mnist": (25001, 1.0, False, 120000, 100001),
    "fashionmnist": (25001, 1.0, False, 120000, 100001),
    "cifar10": (100001, 4.0, True, 600000, 505001),
    "celeba": (100001, 4.0, True, 651080, 505001),
    "celeba_ae": (100001, 4.0, True, 651080, 505001),
    "colormnist_ae": (25001, 1.0, False, 120000, 100001),
    "colormnist_classifier": (None, None, None, 120000, 100001),
}


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name in OFFICIAL])
def test_the_full_configs_have_the_official_values(experiment: str) -> None:
    first = load_experiment("full", experiment).first_stage
    adversarial = first.objective.adversarial if isinstance(first, AutoencoderStage) else None
    found = (
        adversarial and adversarial.start,
        adversarial and adversarial.rate_factor,
        adversarial and adversarial.spectral_norm,
        first.training.steps,
        first.training.schedule.decay_from,
    )
    assert found == OFFICIAL[experiment]
    assert (first.width, first.latent_dim, first.training.batch_size) == (64, 64, 25)
    assert first.training.peak_rate == pytest.approx(25 * 4.5e-6)
    assert (first.training.betas, first.training.gradient_clip) == ((0.5, 0.9), None)
    if isinstance(first, AutoencoderStage):
        objective = first.objective.model_dump(exclude={"adversarial"})
        assert objective == {
            "error": "absolute",
            "perceptual": {"network": "vgg", "weight": 1.0},
            "kl_weight": 1.0,
            "initial_logvar": 0.0,
        }
