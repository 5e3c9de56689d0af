"""The stage first_stage takes a shipped network only where it is whole, of the configured size, and of these images."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reproduce.config import load_experiment
from reproduce.errors import ReproduceError, UserError
from reproduce.files import sha256, write_array
from reproduce.models.convolutional import Classifier
from reproduce.models.weights import save_network
from reproduce.paths import ExperimentPlaces
from reproduce.stages import first_stage as stage

OF = ("embedded", "colormnist_classifier")


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A classifier of width 4, listed among the shipped files, and the labels that it was trained on."""
    config = load_experiment(*OF)
    network = config.first_stage.model_copy(update={"source": "shipped", "width": 4, "latent_dim": 6})
    data = SimpleNamespace(channels=3, n_outputs=10)
    dataset = SimpleNamespace(image_size=32, open=lambda folder: data)
    config = config.model_copy(update={"first_stage": network, "dataset": dataset})
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    monkeypatch.setattr(stage, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(stage, "load_experiment", lambda *_: config)
    labels = ExperimentPlaces(*OF).data / "train_labels.npy"
    write_array(labels, np.arange(5))
    file = tmp_path / "pretrained/embedded/colormnist_classifier-network.safetensors"
    save_network(file, Classifier(width=4, latent_dim=6), trained_on=sha256(labels))
    file.with_name("sha256.txt").write_text(f"{sha256(file)}  {file.name}\n")
    return file


def test_a_shipped_network_is_copied(shipped: Path) -> None:
    stage.run(*OF)
    assert (ExperimentPlaces(*OF).first_stage / "network.safetensors").read_bytes() == shipped.read_bytes()


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ("missing", ReproduceError, r"network\.safetensors is missing: restore it, or set `source: train` in"),
        ("damaged", ReproduceError, r"is damaged: its sha256 is \w+, .*sha256\.txt expects \w+; restore the file"),
        ("unlisted", ReproduceError, r"sha256\.txt does not list it"),
        ("size", UserError, r"colormnist_classifier\.yaml: width is 8, but .* has 4: restore it, or train"),
        ("images", UserError, "was trained on other images than this data set's training part"),
    ],
)
def test_a_shipped_network_that_does_not_fit_is_refused(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, change: str, error: type[Exception], words: str
) -> None:
    if change == "missing":
        shipped.unlink()
    elif change == "damaged":
        shipped.write_bytes(shipped.read_bytes()[:-1])
    elif change == "unlisted":
        shipped.with_name("sha256.txt").unlink()
    elif change == "images":
        write_array(ExperimentPlaces(*OF).data / "train_labels.npy", np.arange(4))
    else:
        config = stage.load_experiment(*OF)
        wider = config.model_copy(update={"first_stage": config.first_stage.model_copy(update={"width": 8})})
        monkeypatch.setattr(stage, "load_experiment", lambda *_: wider)
    with pytest.raises(error, match=words) as caught:
        stage.run(*OF)
    assert "\n" not in str(caught.value)
    assert not ExperimentPlaces(*OF).first_stage.exists()
