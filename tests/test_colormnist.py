"""ColorMNIST is rendered in closed form, and its test split is the official one, draw for draw."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from reproduce.data.colormnist import background_color, colorize, official_test_draws
from reproduce.data.shared.base import to_unit_range
from reproduce.data.shared.torchvision import resized
from reproduce.seeds import numpy_generator, torch_generator


def resize_grey(images, size):
    return resized(images[..., None], size)[..., 0]


def drawn_digits(n: int, size: int = 28, border: int = 4) -> np.ndarray:
    """uint8 `[n, size, size]`: noise where a digit would be, background around it."""
    images = numpy_generator(0, "test digits").integers(0, 256, (n, size, size), dtype=np.uint8)
    inside = np.zeros((size, size), bool)
    inside[border:-border, border:-border] = True
    return images * inside


def colors(n: int) -> Tensor:
    return torch.rand(n, 3, generator=torch_generator(0, "test colors"))


def test_the_test_split_is_the_official_one(golden: Path) -> None:
    file = np.load(golden / "colormnist_test_pairs.npz")
    draws = official_test_draws(file["labels"])
    np.testing.assert_array_equal(draws["factor"], file["factor"])
    np.testing.assert_array_equal(draws["index_b"], file["index_b"])
    np.testing.assert_array_equal(draws["color_a"], file["color_a"])
    np.testing.assert_array_equal(draws["color_b"], file["color_b"])


def test_pairs_of_the_test_split_share_their_factor() -> None:
    labels = numpy_generator(0, "test labels").integers(0, 10, 500)
    draws = official_test_draws(labels)
    digit = draws["factor"] == 0
    assert (labels[digit] == labels[draws["index_b"][digit]]).all()
    assert (draws["color_a"][~digit] == draws["color_b"][~digit]).all()
    np.testing.assert_array_equal(draws["color_b"][digit], draws["color_a"][draws["index_b"][digit]])
    assert draws["color_a"].dtype == draws["color_b"].dtype == np.float32


def test_the_background_shows_the_complement_of_the_foreground() -> None:
    color = colors(4)
    black_and_white = torch.tensor([-1.0, 1.0])[None, None, None].expand(4, 1, 1, 2)
    shown = (colorize(black_and_white, color) + 1) / 2
    torch.testing.assert_close(shown[:, :, 0, 1], (1 + color) / 2)
    torch.testing.assert_close(shown[:, :, 0, 0], 1 - (1 + color) / 2)


def test_colorize_is_a_product_in_minus_one_to_one() -> None:
    grey = to_unit_range(torch.from_numpy(drawn_digits(4))[:, None])
    color = colors(4)
    images = colorize(grey, color)
    assert images.shape == (4, 3, 28, 28)
    for i in range(4):
        for channel in range(3):
            assert torch.equal(images[i, channel], grey[i, 0] * color[i, channel])


@pytest.mark.parametrize("size", [28, 32])
def test_the_background_tells_the_color(size: int) -> None:
    digits = resize_grey(drawn_digits(16), size)
    color = colors(16)
    images = colorize(to_unit_range(torch.from_numpy(digits)[:, None]), color)
    torch.testing.assert_close(background_color(images), color, rtol=0, atol=1e-6)


def images_in(color: Tensor, size: int = 32) -> Tensor:
    """Backgrounds of ColorMNIST: minus the colour everywhere."""
    return -color[:, :, None, None].expand(len(color), 3, size, size).clone()


def test_the_background_color_is_exact_where_ink_touches_the_border() -> None:
    color = torch.tensor([[0.1, 0.5, 0.9], [0.7, 0.0, 1.0]])
    images = images_in(color)
    images[:, :, 0:14, :] = color[:, :, None, None]  # 104 of the border's 240 pixels
    images[:, :, 14:, 2:30] = 0.3 * color[:, :, None, None]  # the interior, and the lower border: 56 more
    images[:, :, 30:, 2:30] = -color[:, :, None, None]
    assert torch.equal(background_color(images), color)


def test_only_the_border_tells_the_background_color() -> None:
    color = torch.tensor([[0.2, 0.4, 0.6]])
    images = images_in(color)
    images[:, :, 2:-2, 2:-2] = 0.77
    assert torch.equal(background_color(images), color)
    inner, outer = images_in(color), images_in(color)
    inner[:, :, 1:-1, 1:-1] = 0.77  # the border's inner ring, 116 of its 240 pixels
    outer[:, :, [0, -1]] = outer[:, :, :, 0] = 0.77  # most of its outer ring, 94 of 124
    assert torch.equal(background_color(inner), color)
    assert torch.equal(background_color(outer), color)


def test_unit_range() -> None:
    levels = torch.tensor([0, 51, 255], dtype=torch.uint8)
    torch.testing.assert_close(to_unit_range(levels), torch.tensor([-1.0, -0.6, 1.0]))
    noise = torch.tensor([0.0, 0.5, 0.75])
    torch.testing.assert_close(to_unit_range(levels, noise), torch.tensor([-1.0, 103 / 256 - 1, 255.75 / 128 - 1]))


@pytest.mark.parametrize("size", [16, 28, 32])
def test_resize_keeps_dtype_and_grey_levels(size: int) -> None:
    images = np.repeat(np.array([0, 77, 255], np.uint8), 28 * 28).reshape(3, 28, 28)
    result = resize_grey(images, size)
    assert result.dtype == np.uint8
    assert result.shape == (3, size, size)
    assert [np.unique(image).tolist() for image in result] == [[0], [77], [255]]


def test_resize_is_bilinear_between_pixel_centres() -> None:
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 9, (1, 28, 1))
    columns = np.clip((np.arange(32) + 0.5) * 28 / 32 - 0.5, 0, 27) * 9
    result = resize_grey(ramp, 32)[0].astype(float)
    assert np.abs(result - columns).max() <= 0.5 + 1e-4
    assert np.abs(resize_grey(ramp.transpose(0, 2, 1), 32)[0].astype(float) - columns[:, None]).max() <= 0.5 + 1e-4


def test_resize_treats_every_image_alike_in_a_large_set() -> None:
    images = drawn_digits(4100, size=6, border=1)
    result = resize_grey(images, 7)
    np.testing.assert_array_equal(result[4090:], resize_grey(images[4090:], 7))
