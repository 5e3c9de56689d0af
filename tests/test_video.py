"""The path that an animation follows, and where its pages show it."""

import numpy as np
import torch
from PIL import Image

from reproduce.evaluation.grid import factor_path
from reproduce.figures.animation import Animation, animation_pages
from reproduce.figures.style import styled


def test_each_factor_goes_to_the_others_and_back_while_the_rest_waits():
    z_tilde = torch.arange(12.0).view(3, 4).square()
    path, moving = factor_path(z_tilde, [1, 2, 0], dims=[1, 0, 3], steps=2)
    assert moving.tolist() == [0] * 6 + [2] * 6
    first, rest = z_tilde[:, :1], z_tilde[:, 1:]
    expected = [(1, 2), (2, 2), (2, 0), (0, 0), (0, 1), (1, 1)]  # midway between two images, or at one
    for k, (a, b) in enumerate(expected):
        torch.testing.assert_close(path[k, :1], (first[a] + first[b]) / 2)
        torch.testing.assert_close(path[k, 1:], rest[1])
        torch.testing.assert_close(path[6 + k, 1:], (rest[a] + rest[b]) / 2)
        torch.testing.assert_close(path[6 + k, :1], first[1])


def animation():
    line = np.linspace(0, 1, 30)
    arrays = {
        "images": np.stack([np.full((4, 4, 3), level, np.uint8) for level in (0, 100, 200)]),
        "moving": np.array([0, 0, 2]),
        "factor_digit": line,
        "factor_none": np.empty(0),
        "factor_rest": line,
        "path_digit": np.array([0.1, 0.9, 0.5]),
        "path_none": np.empty(0),
        "path_rest": np.array([0.5, 0.5, 0.2]),
        "concept_digit": np.arange(30) % 3,
        "concept_none": np.arange(30) % 2 == 0,
        "class_names": np.array(["a", "b", "c"]),
    }
    with styled():
        return animation_pages(arrays, {"dataset": "d", "name": "v"})


def circle(before, after):
    """The rows in which two pages differ, right of the image."""
    differ = (np.asarray(before).astype(int) != np.asarray(after)).any(2)[:, 230:]
    return np.flatnonzero(differ.any(1))


def test_a_page_shows_its_image_and_the_point_where_it_is():
    first, second, third = animation()
    assert first.size == second.size == third.size
    shown = [np.asarray(page)[120:200, 60:150].reshape(-1, 3) for page in (first, second, third)]
    for pixels, level in zip(shown, (0, 100, 200), strict=True):
        assert (pixels == level).all()
    height = first.height
    rows = circle(first, second)
    assert rows.max() > 0.7 * height  # it was low
    assert rows.min() < 0.4 * height  # and rose
    assert np.asarray(first)[:, 330:].tobytes() == np.asarray(second)[:, 330:].tobytes()  # no other has moved


def test_an_animation_is_the_same_bytes_again(tmp_path):
    pages = animation()
    for name in ("a", "b"):
        Animation(pages).save(tmp_path / f"{name}.webp")
    assert (tmp_path / "a.webp").read_bytes() == (tmp_path / "b.webp").read_bytes()
    with Image.open(tmp_path / "a.webp") as found:
        assert found.n_frames == 3
        assert found.size == pages[0].size
        assert found.info["loop"] == 0
