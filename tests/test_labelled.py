"""Images with labels: attributes and classes, read, mirrored and paired; and how each data set comes onto the disk."""

import csv
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from reproduce.config import all_sources, load_experiment
from reproduce.data.animalfaces import AnimalFaces
from reproduce.data.celeba import CelebA
from reproduce.data.rendered_animals import RenderedAnimals
from reproduce.data.rendered_faces import RenderedFaces
from reproduce.data.shared import base, labelled, photos
from reproduce.data.shared.augment import Augmentation, deform
from reproduce.data.shared.base import DataSet, HeldoutPairs, images_from_levels, rows, same_class_partners
from reproduce.data.shared.labelled import AttributeImages, ClassImages, attribute_test_draws
from reproduce.data.shared.rendered import RenderedSet
from reproduce.errors import ReproduceError, UserError
from reproduce.evaluation.measurements import Evaluation
from reproduce.files import read_array, read_json, sha256, write_array, write_json
from reproduce.intake import decode
from reproduce.intake.download import Downloads
from reproduce.intake.image import render_into
from reproduce.intake.sources import Source
from reproduce.rendered.animals import KINDS, render_animal
from reproduce.rendered.faces import ATTRIBUTES, render_face
from reproduce.seeds import numpy_generator, torch_generator
from reproduce.stages import pairs as pairs_stage

N_TRAIN, N_HELDOUT, SIZE = 40, 25, 8
NAMES = ("Eyeglasses", "Smiling", "Hat")
CLASSES = ("cat", "dog", "fox", "owl")
AUGMENT = Augmentation(rotation=12.0, shear=0.2, scale=0.12, shift=1.5, elastic=0.6)
SETS: dict[str, type[RenderedSet]] = {"rendered_faces": RenderedFaces, "rendered_animals": RenderedAnimals}
FILES = [f"{split}_{what}.npy" for split in ("heldout", "train") for what in ("images", "labels")]


def config(name: str, **changes: Any) -> RenderedSet:
    values: dict[str, Any] = {
        "name": name,
        "n_train": N_TRAIN,
        "n_heldout": N_HELDOUT,
        "image_size": 32,
        "dequantise": "none",
        "flip": False,
        "augment": None,
    }
    return SETS[name](**values | changes)


@pytest.fixture(params=SETS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images of noise, dark for training and bright ones held out, with three attributes and with a class."""
    random = numpy_generator(0, "test images")
    for kind in SETS:
        for split, n, low, high in (("train", N_TRAIN, 0, 128), ("heldout", N_HELDOUT, 128, 256)):
            images = random.integers(low, high, (n, SIZE, SIZE, 3), dtype=np.uint8)
            write_array(tmp_path / kind / f"{split}_images.npy", images)
            labels = np.arange(n)[:, None] // [1, 2, 4] % 2 if kind == "rendered_faces" else np.arange(n)[:, None] % 4
            write_array(tmp_path / kind / f"{split}_labels.npy", labels)
    write_json(tmp_path / "rendered_faces" / "attributes.json", NAMES)
    write_json(tmp_path / "rendered_animals" / "classes.json", CLASSES)
    return tmp_path


def opened(folder: Path, name: str, **changes: Any) -> AttributeImages | ClassImages:
    data = config(name, **changes).open(folder / name)
    assert isinstance(data, AttributeImages | ClassImages)
    return data


def stored(folder: Path, name: str, split: str, what: str = "images") -> np.ndarray:
    return np.load(folder / name / f"{split}_{what}.npy")


def shown(levels: np.ndarray) -> Tensor:
    """Images uint8 `[n, S, S, 3]` as the networks see them, without noise."""
    return torch.from_numpy(levels.transpose(0, 3, 1, 2) / 127.5 - 1).float()


def test_attributes_are_concepts_and_a_class_is_one(folder: Path) -> None:
    faces, animals = opened(folder, "rendered_faces"), opened(folder, "rendered_animals")
    assert isinstance(faces, AttributeImages)
    assert isinstance(animals, ClassImages)
    assert (faces.concepts, faces.classes, faces.n_outputs) == (NAMES, None, 3)
    assert (animals.concepts, animals.classes, animals.n_outputs) == (("class",), CLASSES, 4)
    assert faces.channels == animals.channels == 3
    assert faces.n_heldout == animals.n_heldout == N_HELDOUT


@pytest.mark.parametrize("flip", [False, True])
def test_the_pool_is_every_training_image_and_with_flip_its_mirror_image(folder: Path, name: str, flip: bool) -> None:
    data = opened(folder, name, flip=flip)
    pool = data.pool(size=None, seed=0)
    images, labels = (stored(folder, name, "train", what) for what in ("images", "labels"))
    n = N_TRAIN * (2 if flip else 1)
    assert {key: array.shape for key, array in pool.items()} == {
        "index": (n,),
        "flipped": (n,),
        "values": (n, labels.shape[1]),
    }
    assert (pool["index"].dtype, pool["flipped"].dtype, pool["values"].dtype) == (np.int64, bool, np.int64)
    np.testing.assert_array_equal(pool["values"], labels[pool["index"]])
    pairs = list(zip(pool["index"].tolist(), pool["flipped"].tolist(), strict=True))
    assert sorted(pairs) == [
        (i, mirrored) for i in range(N_TRAIN) for mirrored in ((False, True) if flip else (False,))
    ]
    found = data.render_train(pool, torch_generator(0, "unused"))
    for i, (index, mirrored) in enumerate(pairs):
        expected = shown(images[index][None])[0]
        if mirrored:  # left and right, neither top and bottom nor colours
            expected = torch.stack([expected[:, :, SIZE - 1 - x] for x in range(SIZE)], 2)
        torch.testing.assert_close(found[i], expected)


@pytest.mark.parametrize("flip", [False, True])
def test_a_pool_of_a_size_has_training_images_at_random(folder: Path, name: str, flip: bool) -> None:
    data, n = opened(folder, name, flip=flip), 4000
    np.random.seed(0)
    pool = data.pool(size=n, seed=0)
    assert {key: len(array) for key, array in pool.items()} == {"index": n, "flipped": n, "values": n}
    assert (pool["index"].dtype, pool["flipped"].dtype, pool["values"].dtype) == (np.int64, bool, np.int64)
    np.testing.assert_array_equal(pool["values"], stored(folder, name, "train", "labels")[pool["index"]])
    for mirrored, share in ((False, 1 / 2), (True, 1 / 2)) if flip else ((False, 1), (True, 0)):
        counts = np.bincount(pool["index"][pool["flipped"] == mirrored], minlength=N_TRAIN)
        assert len(counts) == N_TRAIN
        assert np.abs(counts - share * n / N_TRAIN).max() <= 5 * (share * n / N_TRAIN) ** 0.5
    np.random.seed(1)
    same, other = (data.pool(size=n, seed=seed) for seed in (0, 1))
    for key in ("index", "flipped") if flip else ("index",):
        np.testing.assert_array_equal(pool[key], same[key])
        assert not np.array_equal(pool[key], other[key])


def test_the_frequencies_are_those_of_the_training_labels(folder: Path) -> None:
    rare = np.zeros((N_TRAIN, 3), np.int64)
    rare[:2, 0] = rare[::4, 1] = 1
    write_array(folder / "rendered_faces" / "train_labels.npy", rare)
    write_array(folder / "rendered_animals" / "train_labels.npy", np.array([[3]] * 10 + [[0]] * 30))
    for name, expected in (("rendered_faces", [0.05, 0.25, 0]), ("rendered_animals", [0.75, 0, 0, 0.25])):
        frequencies = opened(folder, name, flip=True).frequencies()
        assert frequencies.dtype == torch.float32
        torch.testing.assert_close(frequencies, torch.tensor(expected))


def test_augmentation_deforms_training_images_and_no_others(folder: Path, name: str) -> None:
    plain, data = opened(folder, name, flip=True), opened(folder, name, flip=True, augment=AUGMENT)
    pool = plain.pool(size=None, seed=0)
    images = data.render_train(pool, torch_generator(0, "deform"))
    upright = plain.render_train(pool, torch_generator(0, "deform"))
    expected = deform(upright, AUGMENT, torch_generator(0, "deform"))
    torch.testing.assert_close(images, expected)
    assert (images - upright).abs().amax((1, 2, 3)).min() > 0.1
    heldout = plain.heldout()
    assert torch.equal(data.render_heldout(heldout), plain.render_heldout(heldout))
    drawn = data.random_images(200, torch_generator(0, "test"))[0]
    levels = stored(folder, name, "train")
    assert (found_in(drawn, levels) < 0).all()
    assert (found_in(drawn, levels[:, :, ::-1]) < 0).all()


def test_rows_of_the_pool_render_as_in_the_whole_pool(folder: Path, name: str) -> None:
    data = opened(folder, name, flip=True)
    pool = data.pool(size=None, seed=0)
    whole = data.render_train(pool, torch_generator(0, "unused"))
    for part in (slice(30, 55), np.array([70, 3, 3, 41])):
        assert torch.equal(data.render_train(rows(pool, part), torch_generator(0, "unused")), whole[part])


def found_in(images: Tensor, levels: np.ndarray) -> np.ndarray:
    """For each image the one of `levels` that it shows exactly, -1 where it shows none."""
    distance = torch.cdist(images.flatten(1).double(), shown(levels).flatten(1).double())
    best = distance.argmin(1)
    return np.where(distance[torch.arange(len(images)), best].numpy() < 1e-4, best.numpy(), -1)


@pytest.mark.parametrize("flip", [False, True])
def test_random_images_are_training_images_half_of_them_mirrored(folder: Path, name: str, flip: bool) -> None:
    n = 2000
    images, targets = opened(folder, name, flip=flip).random_images(n, torch_generator(0, "test"))
    levels, labels = (stored(folder, name, "train", what) for what in ("images", "labels"))
    plain, mirrored = found_in(images, levels), found_in(images, levels[:, :, ::-1])
    assert ((plain >= 0) ^ (mirrored >= 0)).all()
    assert (mirrored >= 0).mean() == pytest.approx(0.5 if flip else 0, abs=5 * 0.5 / n**0.5 if flip else 0)
    index = np.maximum(plain, mirrored)
    counts = np.bincount(index, minlength=N_TRAIN)
    assert np.abs(counts - n / N_TRAIN).max() < 5 * (n / N_TRAIN) ** 0.5
    assert targets.dtype == torch.float32
    expected = labels[index] if name == "rendered_faces" else np.eye(4)[labels[index, 0]]
    np.testing.assert_array_equal(targets.numpy(), expected)


def test_the_generator_alone_decides_random_images(folder: Path, name: str) -> None:
    data = opened(folder, name, flip=True, dequantise="pixel")
    torch.manual_seed(0)
    one = data.random_images(20, torch_generator(0, "test"))
    torch.manual_seed(1)
    same, other = (data.random_images(20, torch_generator(seed, "test")) for seed in (0, 1))
    assert all(torch.equal(x, y) for x, y in zip(one, same, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("dequantise", ["image", "pixel", "none"])
def test_heldout_images_are_shown_as_they_are(folder: Path, name: str, dequantise: str) -> None:
    data = opened(folder, name, flip=True, dequantise=dequantise)
    heldout = data.heldout()
    np.testing.assert_array_equal(heldout["index"], np.arange(N_HELDOUT))
    assert not heldout["flipped"].any()
    np.testing.assert_array_equal(heldout["values"], stored(folder, name, "heldout", "labels"))
    images = data.render_heldout(heldout)
    torch.testing.assert_close(images, shown(stored(folder, name, "heldout")))
    assert images.dtype == torch.float32
    assert torch.equal(data.render_heldout(rows(heldout, np.array([7, 2]))), images[[7, 2]])


def test_training_images_are_dequantised_as_the_config_says(folder: Path, name: str) -> None:
    levels = torch.from_numpy(stored(folder, name, "train").transpose(0, 3, 1, 2).astype(float))
    for mode in ("image", "pixel"):
        data = opened(folder, name, dequantise=mode)
        images = data.render_train(data.pool(size=None, seed=0), torch_generator(0, "noise"))
        noise = (images.double() + 1) * 128 - levels
        assert noise.min() > -1e-4
        assert noise.max() < 1 + 1e-4
        spread = noise.amax((1, 2, 3)) - noise.amin((1, 2, 3))
        assert spread.max() < 1e-4 if mode == "image" else spread.min() > 0.9
        assert len(noise[:, 0, 0, 0].round(decimals=3).unique()) > 30


def test_levels_become_images_by_one_draw_an_image_one_a_pixel_or_none() -> None:
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8)[:, None, None, None].expand(3, 2, 4, 4)
    plain = torch.tensor([-1.0, -0.6, 1.0])[:, None, None, None].expand(3, 2, 4, 4)
    for dequantise, generator in (("none", torch_generator(0, "noise")), ("image", None), ("pixel", None)):
        torch.testing.assert_close(images_from_levels(levels, dequantise, generator), plain)  # type: ignore[arg-type]
    noise = torch.rand((3, 1, 1, 1), generator=torch_generator(0, "noise"))
    found = images_from_levels(levels, "image", torch_generator(0, "noise"))
    torch.testing.assert_close(found, (levels + noise) / 128 - 1)
    noise = torch.rand((3, 2, 4, 4), generator=torch_generator(0, "noise"))
    found = images_from_levels(levels, "pixel", torch_generator(0, "noise"))
    torch.testing.assert_close(found, (levels + noise) / 128 - 1)


def test_the_truth_of_a_row_is_its_labels(folder: Path, name: str) -> None:
    data = opened(folder, name, flip=True)
    for table in (data.pool(size=None, seed=0), rows(data.heldout(), slice(5, 9))):
        truth = data.truth(table)
        assert list(truth) == list(data.concepts)
        for k, concept in enumerate(data.concepts):
            # an attribute is there or not; a class is a number
            assert truth[concept].dtype == (torch.bool if name == "rendered_faces" else torch.int64)
            assert truth[concept].tolist() == table["values"][:, k].tolist()


def test_an_attribute_is_read_where_its_logit_is_positive_and_a_class_where_it_is_highest(folder: Path) -> None:
    faces, animals = opened(folder, "rendered_faces"), opened(folder, "rendered_animals")
    logits = torch.tensor([[-1.0, 2, 0], [0.1, -9, 3], [-5, -4, -3]])
    for images in (None, torch.zeros(3, 3, 8, 8)):
        read = faces.read(logits, images)
        assert list(read) == list(NAMES)
        assert {key: value.tolist() for key, value in read.items()} == {
            "Eyeglasses": [0, 1, 0],
            "Smiling": [1, 0, 0],
            "Hat": [0, 1, 0],
        }
        assert all(value.dtype == torch.bool for value in read.values())
    read = animals.read(torch.tensor([[-1.0, -2, -3, -0.5], [0, 5, 4, 3]]), None)
    assert list(read) == ["class"]
    assert read["class"].dtype == torch.int64
    assert read["class"].tolist() == [3, 1]


def test_classes_that_training_images_lack_are_not_read(folder: Path) -> None:
    logits, name = torch.tensor([[-1.0, -2, -3, -0.5]]), "rendered_animals"
    for split, remaining, known in (("heldout", [0, 1], True), ("train", [0, 1], True), ("train", [0, 2, 3], False)):
        labels = np.resize(remaining, (N_TRAIN if split == "train" else N_HELDOUT, 1)).astype(np.int64)
        write_array(folder / name / f"{split}_labels.npy", labels)
        for images in (None, torch.zeros(1, 3, 8, 8)):
            assert opened(folder, name).read(logits, images) == ({"class": torch.tensor([3])} if known else {})


def test_heldout_pairs_share_the_value_of_their_concept(folder: Path, name: str) -> None:
    data = opened(folder, name)
    pairs, values = data.heldout_pairs(), data.heldout()["values"]
    for array in (pairs.first, pairs.second, pairs.factor):
        assert array.dtype == np.int64
        assert array.shape == pairs.first.shape
    each = np.arange(len(pairs.factor))
    first, second = values[pairs.first], values[pairs.second]
    np.testing.assert_array_equal(first[each, pairs.factor], second[each, pairs.factor])
    assert set(pairs.factor) == set(range(len(data.concepts)))
    if name == "rendered_faces":
        draws = attribute_test_draws(values)
        for found, expected in (
            (pairs.first, draws.first),
            (pairs.second, draws.second),
            (pairs.factor, draws.factor),
        ):
            np.testing.assert_array_equal(found, expected)
        # and nothing but that concept, of which all come up
        for k in range(3):
            assert not (first == second)[pairs.factor != k, k].all()
    else:
        np.testing.assert_array_equal(pairs.first, np.arange(N_HELDOUT))
        assert (pairs.first != pairs.second).any()
        partners = same_class_partners(values[:, 0], np.random.RandomState(1))
        np.testing.assert_array_equal(pairs.second, partners)


def test_partners_of_a_class_are_any_of_its_images_by_the_official_generator() -> None:
    labels = np.array([3, 0, 3, 3, 0, 7])
    second = same_class_partners(labels, np.random.RandomState(1))
    random = np.random.RandomState(1)
    members = {3: [0, 2, 3], 0: [1, 4], 7: [5]}
    assert second.tolist() == [members[label][random.randint(0, len(members[label]))] for label in labels]
    assert second.dtype == np.int64
    many = same_class_partners(np.repeat([0, 1], 5000), np.random.RandomState(1))
    assert (many[:5000] < 5000).all()
    assert (many[5000:] >= 5000).all()
    assert abs(many[:5000].mean() - 2499.5) < 5 * 5000 / 12**0.5 / 5000**0.5


# --- the official draws


def test_the_official_draws_are_those_of_the_official_code() -> None:
    assert_official(attribute_test_draws(np.random.default_rng(0).integers(0, 2, (1999, 4))), 1999)
    distinct = np.unique(attribute_test_draws(np.zeros((19_962, 1), np.int64)).first)
    assert len(distinct) == 7_765  # counted with the official code


def assert_official(draws: HeldoutPairs, n: int) -> None:
    assert draws.first.dtype == draws.factor.dtype == draws.second.dtype == np.int64
    assert np.array_equal(draws.first, np.random.RandomState(1).choice(n, size=10_000))
    assert np.abs(np.bincount(draws.factor) - 2_500).max() < 200


def test_partners_are_examples_that_share_the_value_drawn_as_the_official_loop_does() -> None:
    labels = np.random.default_rng(1).integers(0, 2, (50, 3))
    draws = attribute_test_draws(labels, n=200)
    assert np.array_equal(labels[draws.first, draws.factor], labels[draws.second, draws.factor])
    assert set(draws.second) <= set(draws.first)
    random = np.random.RandomState(1)
    examples = labels[np.random.RandomState(1).choice(50, size=200)]
    for i in range(200):
        k = random.choice(3)
        partner = random.choice(np.where(examples[:, k] == examples[i, k])[0])
        assert (k, draws.first[partner]) == (draws.factor[i], draws.second[i])


# --- what training sees


def training_bytes(folder: Path, name: str) -> list[bytes]:
    """All that training sees, drawn the same way each time."""
    data = opened(folder, name, flip=True, dequantise="image", augment=AUGMENT)
    images, targets = data.random_images(64, torch_generator(0, "batch"))
    pool = data.pool(size=None, seed=0)
    rendered = data.render_train(pool, torch_generator(0, "pool images"))
    arrays = [images, targets, rendered, data.frequencies(), *data.truth(pool).values()]
    sized = data.pool(size=70, seed=0)
    return [array.numpy().tobytes() for array in arrays] + [a.tobytes() for t in (pool, sized) for a in t.values()]


def heldout_bytes(folder: Path, name: str) -> list[bytes]:
    data = opened(folder, name, flip=True, dequantise="image")
    heldout, pairs = data.heldout(), data.heldout_pairs()
    tables = [*heldout.values(), *vars(pairs).values(), *(value.numpy() for value in data.truth(heldout).values())]
    return [data.render_heldout(heldout).numpy().tobytes(), *(array.tobytes() for array in tables)]


@pytest.mark.parametrize(
    ("split", "unchanged", "changed"),
    [("heldout", training_bytes, heldout_bytes), ("train", heldout_bytes, training_bytes)],
)
def test_neither_part_leaks_into_the_other(
    folder: Path,
    name: str,
    split: str,
    unchanged: Callable[[Path, str], list[bytes]],
    changed: Callable[[Path, str], list[bytes]],
) -> None:
    before, other = unchanged(folder, name), changed(folder, name)
    for what in ("images", "labels"):
        path = folder / name / f"{split}_{what}.npy"
        write_array(path, np.load(path)[::-1] // (2 if what == "images" else 1))
        assert unchanged(folder, name) == before
        assert changed(folder, name) != other
        other = changed(folder, name)


def test_neither_parts_size_decides_what_is_drawn_of_the_other(folder: Path, name: str) -> None:
    before = training_bytes(folder, name)
    for what in ("images", "labels"):
        path = folder / name / f"heldout_{what}.npy"
        write_array(path, np.load(path)[:11])
    assert training_bytes(folder, name) == before
    assert opened(folder, name).n_heldout == len(opened(folder, name).heldout()["index"]) == 11


# --- what is missing or damaged


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "damage", [lambda b: b[:-5], lambda b: b[:40], lambda b: b"", lambda b: b"<html>" + b[6:]], ids=range(4)
)
def test_a_damaged_array_is_named(folder: Path, name: str, file: str, damage: Callable[[bytes], bytes]) -> None:
    path = folder / name / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ReproduceError, match=f"{file} is damaged") as caught:
        opened(folder, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", FILES)
def test_images_and_labels_of_different_number_are_refused(folder: Path, name: str, file: str) -> None:
    path = folder / name / file
    write_array(path, np.load(path)[:-1])
    split = file.partition("_")[0]
    with pytest.raises(ReproduceError, match=f"{split} images and labels differ in number: run fetch again$") as caught:
        opened(folder, name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", [b"", b'["cat", "d', b"<html>"])
def test_damaged_names_are_named(folder: Path, name: str, damage: bytes) -> None:
    file = "attributes.json" if name == "rendered_faces" else "classes.json"
    (folder / name / file).write_bytes(damage)
    with pytest.raises(ReproduceError, match=rf"{file} is damaged") as caught:
        opened(folder, name)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    for file in (*FILES, "attributes.json" if name == "rendered_faces" else "classes.json"):
        path = folder / name / file
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(ReproduceError, match=f"{file} does not exist"):
            opened(folder, name)
        path.write_bytes(data)
    assert opened(folder, name).n_heldout == N_HELDOUT


@pytest.mark.parametrize(
    ("targets", "sources", "shown", "refused"),
    [
        ((3, 0), (1, 1, 2), 3, None),
        ((3, 0), (1, 1, 2), None, None),
        ((3, 0), (4,), 3, r"grid\.sources: there are not enough held-out images of 4"),
        ((3,) * 6, (3,), 3, r"grid\.sources: there are not enough held-out images of 3"),  # there are six
        (((0, 1),), (1,), 3, r"grid\.targets: \[0, 1\] has 2 values, there are 1 concepts"),
        ((3, 0), (1,), 4, r"evaluation\.response\.shown: there are not enough held-out images of 4"),
    ],
)
def test_the_pairs_stage_refuses_images_that_cannot_be_shown(
    folder: Path,
    targets: tuple[Any, ...],
    sources: tuple[int, ...],
    shown: int | None,
    refused: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    many = {"vary": "normal", "n_variants": 2, "n_inputs": 2, "n_variants_each": 2}
    evaluation = {
        "grid": {"targets": targets, "sources": sources},
        "response": None if shown is None else {"shown": shown, **many},
    }
    experiment = load_experiment("embedded", "animalfaces_ae").model_copy(
        update={"dataset": config("rendered_animals"), "evaluation": Evaluation(**evaluation)}
    )
    monkeypatch.setattr("reproduce.paths.ROOT", folder)
    monkeypatch.setattr(pairs_stage, "load_experiment", lambda *_: experiment)
    site = folder / "artifacts" / "profile" / "experiment"
    site.mkdir(parents=True)
    (site / "data").symlink_to(folder / "rendered_animals")
    if refused is None:
        pairs_stage.run("profile", "experiment")
        written = {path.name for path in (site / "pairs").iterdir()}
        assert written == {"pool.npz", "heldout.npz", "heldout_pairs.npz", "concepts.json"}
        return
    with pytest.raises(UserError, match=refused):
        pairs_stage.run("profile", "experiment")
    assert not (site / "pairs").exists()


# --- rendered images


def fetch(settings: DataSet, base: Path) -> Path:
    """Fetch to `base/data`; nothing is downloaded."""
    downloads = Downloads(sources=all_sources().sources, folder=base / "downloads")
    settings.fetch(folder=base / "data", downloads=downloads, work=base / "work")
    assert not (base / "downloads").exists()
    return base / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_rendered_images_are_numbered_and_the_held_out_ones_follow(tmp_path: Path, name: str) -> None:
    folder = fetch(config(name, n_train=9, n_heldout=5), tmp_path)
    names, file, words = (
        (FILES, "attributes.json", ATTRIBUTES) if name == "rendered_faces" else (FILES, "classes.json", KINDS)
    )
    assert set(contents(folder)) == {*names, file}
    assert read_json(folder / file) == list(words)
    render = render_face if name == "rendered_faces" else render_animal
    drawn = [render(number, seed=0, size=32) for number in range(14)]
    images, labels = np.stack([image for image, _ in drawn]), np.array([labels for _, labels in drawn])
    for split, part in (("train", slice(9)), ("heldout", slice(9, 14))):
        found = read_array(folder / f"{split}_images.npy")
        np.testing.assert_array_equal(found, images[part])
        assert (found.dtype, found.shape[1:]) == (np.uint8, (32, 32, 3))
        found = read_array(folder / f"{split}_labels.npy")
        np.testing.assert_array_equal(found, labels[part])
        assert found.dtype == np.int64
    data = config(name).open(folder)
    assert data.concepts == (ATTRIBUTES if name == "rendered_faces" else ("class",))
    assert data.n_outputs == len(words)
    assert data.heldout()["values"].tolist() == labels[9:].tolist()


def test_rendered_images_are_the_same_bytes_twice(tmp_path: Path, name: str) -> None:
    settings = config(name, n_train=5, n_heldout=3)
    first = contents(fetch(settings, tmp_path / "a"))
    assert contents(fetch(settings, tmp_path / "b")) == first
    assert contents(fetch(settings, tmp_path / "a")) == first  # over what is there
    # a larger part begins with the smaller one, and other ones are held out
    larger = fetch(config(name, n_train=7, n_heldout=3), tmp_path / "c")
    np.testing.assert_array_equal(
        read_array(larger / "train_images.npy")[:5], read_array(tmp_path / "a/data/train_images.npy")
    )
    np.testing.assert_array_equal(
        read_array(larger / "train_images.npy")[5:], read_array(tmp_path / "a/data/heldout_images.npy")[:2]
    )


@pytest.mark.parametrize("last", [3, 7])  # among the images for training, and among those held out
def test_an_interrupted_rendering_leaves_nothing_that_can_be_opened(
    tmp_path: Path, name: str, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = SETS[name].render, []

    def interrupted(self: RenderedSet, number: int) -> Any:
        calls.append(number)
        if len(calls) == last:
            raise KeyboardInterrupt
        return original(self, number)

    monkeypatch.setattr(SETS[name], "render", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(config(name, n_train=5, n_heldout=3), tmp_path)
    assert set(contents(tmp_path / "data")) <= {"train_images.npy", "train_labels.npy"}
    assert not contents(tmp_path / "data") or last > 5
    with pytest.raises(ReproduceError, match="does not exist"):
        config(name).open(tmp_path / "data")


# --- photos


PARTS = {"train": range(12), "heldout": range(15, 24)}


def attribute(i: int, name: str) -> int:
    return {"Eyeglasses": i & 1, "Male": i >> 1 & 1, "Smiling": i % 3 // 2}[name]


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """24 images in one colour each: 12 for training, 3 for validation, 9 for testing."""
    root, names = tmp_path / "celeba", ("Eyeglasses", "Male", "Smiling")
    (root / "img_align_celeba").mkdir(parents=True)
    lists: dict[str, list[str]] = {"attr": ["24", " ".join(names)], "eval": []}
    for i in range(24):
        file = f"{i + 1:06d}.jpg"
        Image.new("RGB", (178, 218), (10 * i, 255 - 10 * i, 128)).save(root / "img_align_celeba" / file)
        lists["attr"].append(f"{file} " + " ".join(f"{2 * attribute(i, name) - 1:2d}" for name in names))
        lists["eval"].append(f"{file} {0 if i < 12 else 1 if i < 15 else 2}")
    (root / "list_attr_celeba.txt").write_text("\n".join(lists["attr"]) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(lists["eval"]) + "\n")
    return root


def celeba_config(folder: Path | str | None, **changes: Any) -> CelebA:
    values: dict[str, Any] = {
        "name": "celeba",
        "folder": None if folder is None else str(folder),
        "attributes": ("Smiling", "Eyeglasses"),
        "crop": 160,
        "n_train": "all",
        "n_heldout": "all",
        "image_size": 32,
        "dequantise": "none",
        "flip": False,
        "augment": None,
        "on_unusable": "refuse",
        "antialias": True,
    }
    return CelebA(**values | changes)


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images: a second process would take longer to start than they take."""
    monkeypatch.setattr(decode, "default_workers", lambda: 1)


@pytest.mark.parametrize(("n_train", "n_heldout"), [("all", "all"), (12, 9), (7, 5)])
def test_celeba_becomes_arrays_labels_and_manifests(
    celeba: Path, tmp_path: Path, n_train: int | str, n_heldout: int | str
) -> None:
    settings = celeba_config(celeba, n_train=n_train, n_heldout=n_heldout)
    folder = fetch(settings, tmp_path)
    manifests = [f"{split}_manifest.csv" for split in PARTS]
    assert set(contents(folder)) == {*FILES, *manifests, "attributes.json"}
    assert read_json(folder / "attributes.json") == ["Smiling", "Eyeglasses"]
    for split, n in (("train", n_train), ("heldout", n_heldout)):
        numbers = list(PARTS[split])[: None if isinstance(n, str) else n]
        images, labels = (read_array(folder / f"{split}_{what}.npy") for what in ("images", "labels"))
        assert images.shape == (len(numbers), 32, 32, 3)
        assert np.abs(images[:, 16, 16].astype(int) - [(10 * i, 255 - 10 * i, 128) for i in numbers]).max() <= 3
        expected = [[attribute(i, "Smiling"), attribute(i, "Eyeglasses")] for i in numbers]
        assert labels.tolist() == expected
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
        with (folder / f"{split}_manifest.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [line["name"] for line in lines] == [f"img_align_celeba/{i + 1:06d}.jpg" for i in numbers]
        assert [[int(line["Smiling"]), int(line["Eyeglasses"])] for line in lines] == expected
        assert list(lines[0]) == ["name", "Smiling", "Eyeglasses", "sha256", "note"]
        assert [line["sha256"] for line in lines] == [sha256(celeba / line["name"]) for line in lines]
        assert {line["note"] for line in lines} == {""}
    data = settings.open(folder)
    assert isinstance(data, AttributeImages)
    assert data.concepts == ("Smiling", "Eyeglasses")
    assert data.n_heldout == (9 if isinstance(n_heldout, str) else n_heldout)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_train": 13}, "13 training images are asked for; .* has 12"),
        ({"n_heldout": 10}, "10 test images are asked for; .* has 9"),
        ({"attributes": ("Smilling",)}, "Smilling.*Smiling"),
        ({"folder": "nowhere"}, "nowhere"),
        ({"folder": "~nobody-of-that-name/celeba"}, "nobody-of-that-name/celeba does not exist"),
    ],
)
def test_what_celeba_does_not_have_is_one_line_and_writes_nothing(
    celeba: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        fetch(celeba_config(**{"folder": celeba} | changes), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_a_refused_image_leaves_what_was_there_and_a_converted_one_is_noted(celeba: Path, tmp_path: Path) -> None:
    before = contents(fetch(celeba_config(celeba), tmp_path))
    grey = celeba / "img_align_celeba" / "000016.jpg"  # the first that is held out
    Image.open(grey).convert("L").save(grey)
    with pytest.raises(UserError, match=r"000016\.jpg is not RGB but grey"):
        fetch(celeba_config(celeba), tmp_path)
    assert contents(tmp_path / "data") == before
    after = contents(fetch(celeba_config(celeba, on_unusable="convert"), tmp_path))
    assert {name for name in after if after[name] != before[name]} == {"heldout_images.npy", "heldout_manifest.csv"}
    assert b',"grey, converted to RGB"\n' in after["heldout_manifest.csv"].splitlines(keepends=True)[1]


def unlisted(**urls: str) -> dict[str, Source]:
    """Our sources without their checksums, since the files are made up; with other addresses for some."""
    sources = dict(all_sources().sources)
    for name, source in sources.items():
        changes = {"urls": (urls[name],)} if name in urls else {}
        sources[name] = source.model_copy(update={"md5": None, **changes})
    return sources


def test_without_a_folder_celeba_is_fetched_and_read_where_it_lies(celeba: Path, tmp_path: Path) -> None:
    by_hand = contents(fetch(celeba_config(celeba), tmp_path / "a"))
    mirror = tmp_path / "mirror/torchvision/celeba"
    mirror.mkdir(parents=True)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        shutil.copy(celeba / name, mirror)
    shutil.make_archive(str(mirror / "img_align_celeba"), "zip", celeba, "img_align_celeba")
    downloads = Downloads(sources=unlisted(), folder=tmp_path / "downloads", mirror=str(tmp_path / "mirror"))
    assert celeba_config(celeba).sources(downloads) == ()
    assert sorted(celeba_config(None).sources(downloads)) == [
        "celeba_attributes",
        "celeba_division",
        "celeba_images",
    ]
    celeba_config(None).fetch(folder=tmp_path / "data", downloads=downloads, work=tmp_path / "work")
    fetched = contents(tmp_path / "data")
    assert {name for name in fetched if fetched[name] != by_hand[name]} <= {
        "train_manifest.csv",
        "heldout_manifest.csv",
    }
    # what a user has put beside it is not written over
    assert sorted(path.name for path in downloads.folder.iterdir() if not path.name.startswith(".")) == [
        "checksums.json",
        "torchvision",
    ]


def fill(folder: Path, numbers: range, blue: int) -> None:
    folder.mkdir(parents=True)
    for i in numbers:
        Image.new("RGB", (48, 32), (10 * i, 99, blue)).save(folder / f"{i:03d}.png")


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """20 dogs and 10 cats in class folders; the blue tells the class, the red the number."""
    fill(tmp_path / "animals" / "dogs", range(20), 200)
    fill(tmp_path / "animals" / "cats", range(10), 50)
    return tmp_path / "animals"


def animals_config(folder: Path | str, **changes: Any) -> AnimalFaces:
    values: dict[str, Any] = {
        "name": "animalfaces",
        "folder": str(folder),
        "train_list": None,
        "test_list": None,
        "hold_out": "images",
        "heldout_fraction": 0.2,
        "image_size": 32,
        "dequantise": "none",
        "flip": True,
        "augment": None,
        "on_unusable": "refuse",
        "antialias": True,
    }
    return AnimalFaces(**values | changes)


def test_class_folders_become_arrays_labels_and_manifests(animals: Path, tmp_path: Path) -> None:
    folder = fetch(animals_config(animals), tmp_path)
    manifests = [f"{split}_manifest.csv" for split in PARTS]
    assert set(contents(folder)) == {*FILES, *manifests, "classes.json"}
    assert read_json(folder / "classes.json") == ["cats", "dogs"]
    seen = []
    for split, counts in (("train", [8, 16]), ("heldout", [2, 4])):
        images, labels = (read_array(folder / f"{split}_{what}.npy") for what in ("images", "labels"))
        assert labels.shape == (sum(counts), 1)
        assert np.bincount(labels[:, 0]).tolist() == counts
        with (folder / f"{split}_manifest.csv").open() as file:
            lines = list(csv.DictReader(file))
        for image, label, line in zip(images, labels[:, 0], lines, strict=True):
            assert int(line["class"]) == label
            own, _, number = line["name"].partition("/")
            assert own == ("cats", "dogs")[label]
            assert image[16, 16].tolist() == [10 * int(number.removesuffix(".png")), 99, (50, 200)[label]]
            seen.append(line["name"])
    assert len(set(seen)) == 30
    data = animals_config(animals).open(folder)
    assert isinstance(data, ClassImages)
    assert data.classes == ("cats", "dogs")
    assert len(data.pool(size=None, seed=0)["index"]) == 2 * 24


BEAR, CAT, DOG, FOX = "n02132136", "n02123159", "n02086240", "n02119022"


@pytest.mark.parametrize(
    ("hold_out", "n_train", "n_heldout"),
    [("images", [8, 8, 8, 8], [2, 2, 2, 2]), ("classes", [10, 10], [0, 0, 10, 10])],
)
def test_funits_lists_hold_out_images_or_classes(
    tmp_path: Path, hold_out: str, n_train: list[int], n_heldout: list[int]
) -> None:
    classes = (DOG, FOX, CAT, BEAR)
    for number, name in enumerate(classes):
        (tmp_path / "imagenet" / name).mkdir(parents=True)
        for i in range(10):
            pixels = np.zeros((40, 60, 3), np.uint8)
            pixels[5:25, 30:50] = (10 * i, 99, 50 * number)  # where the box is
            Image.fromarray(pixels).save(tmp_path / "imagenet" / name / f"{name}_{i}.JPEG", "PNG")
    for file, names in (("train", (DOG, FOX)), ("test", (BEAR, CAT))):
        lines = [f"{name}/{name}_{i}.JPEG_30_5_50_25.jpg" for name in names for i in range(10)]
        (tmp_path / f"{file}.txt").write_text("\n".join(lines) + "\n")
    lists = {f"{file}_list": str(tmp_path / f"{file}.txt") for file in ("train", "test")}
    folder = fetch(animals_config(tmp_path / "imagenet", **lists, hold_out=hold_out), tmp_path)
    assert read_json(folder / "classes.json") == list(classes)
    for split, counts in (("train", n_train), ("heldout", n_heldout)):
        images, labels = (read_array(folder / f"{split}_{what}.npy") for what in ("images", "labels"))
        assert np.bincount(labels[:, 0]).tolist() == counts
        np.testing.assert_array_equal(
            images[:, 4:28, 4:28, 2], np.broadcast_to(50 * labels[:, :, None], (len(labels), 24, 24))
        )
        assert (images[:, 4:28, 4:28, 1] == 99).all()


def test_without_a_folder_of_animals_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere") as caught:
        fetch(animals_config(tmp_path / "nowhere"), tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("kind", ["celeba", "animals"])
def test_a_relative_folder_begins_where_the_command_runs(
    celeba: Path, animals: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)  # the command line goes to the checkout
    make = celeba_config if kind == "celeba" else animals_config
    whole = contents(fetch(make(tmp_path / kind), tmp_path / "a"))
    assert contents(fetch(make(kind), tmp_path / "b")) == whole
    # below the home folder, wherever the project is
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(elsewhere)
    assert contents(fetch(make(f"~/{kind}"), tmp_path / "c")) == whole
    with pytest.raises(UserError, match=kind):
        fetch(make(kind), tmp_path / "d")


def test_relative_lists_begin_where_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    (tmp_path / "train.txt").write_text("dogs\n")
    with pytest.raises(UserError, match=r"train\.txt, line 1"):
        fetch(animals_config("imagenet", train_list="train.txt"), tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_funits_lists_are_fetched_where_the_config_names_the_place_for_them(
    animals: Path, tmp_path: Path, there: bool
) -> None:
    folder, addresses = tmp_path / "downloads", {}
    for name in ("train", "test"):
        (tmp_path / f"{name}.txt").write_text(f"list {name}")
        addresses[f"funit_{name}_list"] = str(tmp_path / f"{name}.txt")
    downloads = Downloads(sources=unlisted(**addresses), folder=folder)
    where = folder / "funit" if there else tmp_path
    lists = {f"{name}_list": str(where / f"animals_list_{name}.txt") for name in ("train", "test")}
    settings = animals_config(animals, **lists)
    assert settings.sources(downloads) == (tuple(addresses) if there else ())
    with pytest.raises(
        UserError, match=r"line 1: 'list train' is not" if there else r"animals_list_train\.txt does not"
    ):
        settings.fetch(folder=tmp_path / "data", downloads=downloads, work=tmp_path / "work")
    assert (folder / "funit/animals_list_test.txt").exists() == there


def photos_config(celeba: Path, animals: Path, kind: str) -> DataSet:
    return celeba_config(celeba) if kind == "celeba" else animals_config(animals)


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize(("kind", "n_train"), [("celeba", 12), ("animals", 24)])
def test_an_interrupted_fetch_leaves_no_final_file_and_continues(
    celeba: Path, animals: Path, tmp_path: Path, kind: str, n_train: int, split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = photos_config(celeba, animals, kind)
    whole = contents(fetch(settings, tmp_path / "whole"))
    monkeypatch.setattr(decode, "_CHUNK_IMAGES", 2)
    names: list[str] = []
    last = 6 if split == "train" else n_train + 2

    def interrupted(file: Path, part: Any, recipe: Any, *, offset: int) -> Any:
        if len(names) == last:
            signal.raise_signal(signal.SIGINT)
        names.extend(source.name for source in part)
        return render_into(file, part, recipe, offset=offset)

    monkeypatch.setattr(decode, "render_into", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(settings, tmp_path / "cut")
    # not even the training images, where all of them are decoded
    assert contents(tmp_path / "cut" / "data") == {}
    assert any(path.is_file() for path in (tmp_path / "cut" / "work").rglob("*"))
    done = names
    assert len(done) == last
    names, last = [], -1
    assert contents(fetch(settings, tmp_path / "cut")) == whole
    assert len(set(names) & set(done)) <= 2  # no more than the chunk that was cut off
    assert not (tmp_path / "cut" / "work").exists()


PUBLISHED = ("train_images", "train_labels", "train_manifest", "heldout_images", "heldout_labels", "heldout_manifest")


def interrupt_at(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when the fetch is about to write this of its final files."""
    for module, name in ((base, "write_array"), (photos, "write_text"), (labelled, "write_json")):
        original = getattr(module, name)

        def write(path: Path, value: Any, original: Callable[[Path, Any], None] = original) -> None:
            if path.stem == file:
                raise KeyboardInterrupt
            original(path, value)

        monkeypatch.setattr(module, name, write)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["celeba", "animals"])
def test_until_the_last_file_is_there_no_data_set_can_be_opened(
    celeba: Path, animals: Path, tmp_path: Path, kind: str, again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = photos_config(celeba, animals, kind)
    whole = contents(fetch(settings, tmp_path / "whole"))
    names = "attributes" if kind == "celeba" else "classes"
    for file in (*PUBLISHED, names):
        place = tmp_path / file
        if again:  # over what is there
            fetch(settings, place)
        with monkeypatch.context() as patch:
            interrupt_at(file, patch)
            with pytest.raises(KeyboardInterrupt):
                fetch(settings, place)
        assert not (place / "data" / f"{names}.json").exists()
        with pytest.raises(ReproduceError, match="does not exist"):
            settings.open(place / "data")
        assert contents(fetch(settings, place)) == whole
        assert not (place / "work").exists()
