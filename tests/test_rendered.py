"""The rendered faces and animals: the same bytes from the same seed, balanced, and one attribute changes one place."""

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from reproduce.rendered.animals import KINDS, draw_animal, render_animals, sample_animal
from reproduce.rendered.faces import ATTRIBUTES, Face, draw_face, render_faces, sample_face
from reproduce.seeds import numpy_generator

RENDER = [render_faces, render_animals]
Render = Callable[..., tuple[np.ndarray, np.ndarray]]


def faces(n: int) -> list[Face]:
    return [sample_face(numpy_generator(0, "test faces", i)) for i in range(n)]


def toggled(face: Face, name: str) -> Face:
    change: dict[str, Any] = {name: not getattr(face, name)}
    return replace(face, **change)


def changed(a: Face, b: Face) -> np.ndarray:
    """Where the two images differ, `[64, 64]`."""
    return (draw_face(a) != draw_face(b)).any(2)


def chi_square(a: list, b: list) -> tuple[float, int]:
    """The statistic of two columns' independence, and its degrees of freedom."""
    rows, columns = {v: i for i, v in enumerate(sorted(set(a)))}, {v: i for i, v in enumerate(sorted(set(b)))}
    table = np.zeros((len(rows), len(columns)))
    for x, y in zip(a, b, strict=True):
        table[rows[x], columns[y]] += 1
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / table.sum()
    return float(((table - expected) ** 2 / expected).sum()), (len(rows) - 1) * (len(columns) - 1)


@pytest.mark.parametrize("render", RENDER)
def test_the_same_seed_gives_the_same_bytes(render: Render) -> None:
    images, labels = render(n=12, seed=3)
    again, labels_again = render(n=12, seed=3)
    assert images.tobytes() == again.tobytes()
    assert labels.tobytes() == labels_again.tobytes()
    assert images.tobytes() != render(n=12, seed=4)[0].tobytes()


@pytest.mark.parametrize("render", RENDER)
def test_a_slice_is_the_slice_of_the_whole(render: Render) -> None:
    images, labels = render(n=12, seed=3)
    for start, n in ((0, 5), (5, 7), (11, 1)):
        part, part_labels = render(n=n, seed=3, start=start)
        np.testing.assert_array_equal(part, images[start : start + n])
        np.testing.assert_array_equal(part_labels, labels[start : start + n])


@pytest.mark.parametrize("size", [32, 64, 80])
def test_shapes_types_and_ranges(size: int) -> None:
    images, attributes = render_faces(n=6, seed=0, size=size)
    animals, kinds = render_animals(n=6, seed=0, size=size)
    assert images.shape == animals.shape == (6, size, size, 3)
    assert images.dtype == animals.dtype == np.uint8
    assert attributes.shape == (6, len(ATTRIBUTES))
    assert kinds.shape == (6,)
    assert attributes.dtype == kinds.dtype == np.int64
    for image in (*images, *animals):
        assert image.min() < 90
        assert image.max() > 130


@pytest.mark.parametrize("render", RENDER)
def test_no_images_are_an_empty_array(render: Render) -> None:
    images, labels = render(n=0, seed=0)
    assert images.shape == (0, 64, 64, 3)
    assert len(labels) == 0


def test_a_larger_image_shows_the_same() -> None:
    """Sizes change the sampling, not what is drawn."""
    face = faces(1)[0]
    large = draw_face(face, size=128).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(large - draw_face(face)).mean() < 3


def test_attributes_are_balanced_and_independent_of_each_other_and_of_the_rest() -> None:
    sample = faces(2000)
    attributes = np.array([[getattr(face, name.lower()) for name in ATTRIBUTES] for face in sample])
    assert np.abs(attributes.mean(0) - 0.5).max() < 0.06
    others = {
        "hair": [face.hair_style for face in sample],
        "part": [face.part for face in sample],
        "skin": [int(sum(face.skin) > 480) for face in sample],
        "wall": [int(sum(face.scene.wall) > 480) for face in sample],
        "clothes": [face.clothes for face in sample],
        "hat": [face.hat for face in sample],
        "beard": [face.beard for face in sample],
        "yaw": [int(face.scene.yaw > 0) for face in sample],
    }
    columns = dict(zip(ATTRIBUTES, attributes.T.astype(int).tolist(), strict=True))
    pairs = [(columns[a], columns[b]) for a, b in combinations(ATTRIBUTES, 2)]
    pairs += [(columns[a], other) for a in ATTRIBUTES for other in others.values()]
    for a, b in pairs:
        statistic, freedom = chi_square(a, b)
        # four standard deviations and more
        assert statistic < freedom + 6 * np.sqrt(2 * freedom) + 4


def test_kinds_are_equally_likely_and_independent_of_the_rest() -> None:
    sample = [sample_animal(numpy_generator(0, "test animals", i)) for i in range(2000)]
    kinds = [KINDS.index(animal.kind) for animal in sample]
    share = np.bincount(kinds, minlength=len(KINDS)) / len(kinds)
    assert np.abs(share - 0.1).max() < 0.03
    others = (
        [animal.scene.wall for animal in sample],
        [animal.scarf for animal in sample],
        [animal.iris for animal in sample],
    )
    for other in others:
        statistic, freedom = chi_square(kinds, other)
        assert statistic < freedom + 6 * np.sqrt(2 * freedom) + 4


# an attribute's place: fractions of the image's height; a hat presses the hair down, too
PLACE = {"eyeglasses": (0.35, 0.8), "no_beard": (0.4, 1.0), "smiling": (0.55, 0.95), "wearing_hat": (0.0, 0.75)}


@pytest.mark.parametrize("name", PLACE)
def test_an_attribute_changes_its_place_alone_and_visibly(name: str) -> None:
    low, high = (int(64 * fraction) for fraction in PLACE[name])
    for face in faces(40):
        rows, columns = np.nonzero(changed(face, toggled(face, name)))
        assert len(rows) > 50
        assert rows.min() >= low
        assert rows.max() < high
        # never the background's edges
        assert columns.min() > 0
        assert columns.max() < 63


def test_beards_glasses_and_smiles_stand_out() -> None:
    """The mean change of the changed pixels, in grey levels: on dark skin as on light skin."""
    for name in ("eyeglasses", "no_beard", "smiling"):
        for face in faces(60):
            plain = replace(face, eyeglasses=False, no_beard=True, smiling=False, wearing_hat=False)
            other = toggled(plain, name)
            difference = np.abs(draw_face(plain).astype(float) - draw_face(other)).mean(2)
            assert difference[difference > 0].mean() > 20


def test_hair_shows_below_every_hat() -> None:
    for face in faces(60):
        with_hat = replace(face, wearing_hat=True, no_beard=True)
        assert changed(with_hat, replace(with_hat, hair=(40, 160, 40))).sum() > 60


def test_kinds_differ_when_all_else_is_equal() -> None:
    animal = sample_animal(numpy_generator(0, "test animals", 0))
    images = np.stack([draw_animal(replace(animal, kind=kind)) for kind in KINDS]).astype(float)
    for a, b in combinations(range(len(KINDS)), 2):
        assert np.abs(images[a] - images[b]).mean() > 8
