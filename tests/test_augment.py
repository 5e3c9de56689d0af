"""The deformations stay within the limits that are asked for."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from reproduce.data.shared.augment import deform
from reproduce.seeds import torch_generator

NONE = {"rotation": 0.0, "shear": 0.0, "scale": 0.0, "shift": 0.0, "elastic": 0.0}
SIZE = 32
CENTRE = (SIZE - 1) / 2


def deformed(images: Tensor, *, seed: int = 0, **limits: float) -> Tensor:
    return deform(images, generator=torch_generator(seed, "test deform"), **NONE | limits)


def noise(n: int = 4, channels: int = 1) -> Tensor:
    return torch.rand(n, channels, SIZE, SIZE, generator=torch_generator(0, "test images")) * 2 - 1


def spot(x: float, y: float, n: int = 16, width: float = 1.5) -> Tensor:
    """`n` images `[n, 1, S, S]` of a round spot at column `x`, row `y`, relative to the centre."""
    place = torch.arange(SIZE) - CENTRE
    image = torch.exp(-((place[None] - x) ** 2 + (place[:, None] - y) ** 2) / (2 * width**2))
    return image.expand(n, 1, SIZE, SIZE)


def centre_of_mass(images: Tensor) -> Tensor:
    """Column and row `[n, 2]`, relative to the centre."""
    place = torch.arange(SIZE) - CENTRE
    mass = images[:, 0] / images[:, 0].sum((1, 2), keepdim=True)
    return torch.stack([(mass * place).sum((1, 2)), (mass * place[:, None]).sum((1, 2))], 1)


def test_no_deformation_gives_the_images_back() -> None:
    images = noise(channels=3)
    torch.testing.assert_close(deformed(images), images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "limits",
    [
        {"rotation": 15.0},
        {"shear": 0.3},
        {"scale": 0.2},
        {"shift": 2.0},
        {"elastic": 1.5},
        {"rotation": 180.0, "shear": 1.0, "scale": 0.5, "shift": 30.0, "elastic": 10.0},
    ],
)
def test_every_limit_deforms_and_no_grey_level_leaves_the_range(limits: dict[str, float]) -> None:
    images = noise(channels=3)
    result = deformed(images, **limits)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    assert result.abs().max() <= 1 + 1e-6
    assert (result - images).abs().amax((1, 2, 3)).min() > 0.05


def test_the_generator_alone_decides_the_deformation() -> None:
    images = noise()
    limits: dict[str, Any] = {"rotation": 10, "shear": 0.1, "scale": 0.1, "shift": 1, "elastic": 1}
    one = deformed(images, **limits)
    assert torch.equal(deformed(images, **limits), one)
    assert not torch.equal(deformed(images, seed=1, **limits), one)


def test_every_image_has_its_own_deformation() -> None:
    shifted = centre_of_mass(deformed(spot(0, 0), shift=3.0))
    assert len(shifted.round(decimals=2).unique(dim=0)) == len(shifted)


def test_a_shift_moves_by_so_many_pixels_at_most() -> None:
    moved = centre_of_mass(deformed(spot(0, 0, n=200), shift=3.0)).abs()
    assert moved.max() <= 3.0 + 0.02
    assert (moved.amax(0) > 2.5).all()


def test_a_rotation_turns_by_so_many_degrees_at_most() -> None:
    turned = centre_of_mass(deformed(spot(8, 0, n=200), rotation=20.0))
    torch.testing.assert_close(turned.norm(dim=1), torch.full((200,), 8.0), rtol=0, atol=0.05)
    angle = torch.atan2(turned[:, 1], turned[:, 0]) * 180 / math.pi
    assert angle.abs().max() <= 20 + 0.2
    assert angle.min() < -15
    assert angle.max() > 15


def test_a_scale_stretches_width_and_height_apart() -> None:
    stretched = centre_of_mass(deformed(spot(8, 8, n=200), scale=0.25)) / 8
    assert stretched.min() >= 0.75 - 0.02
    assert stretched.max() <= 1.25 + 0.02
    assert (stretched[:, 0] - stretched[:, 1]).abs().max() > 0.1


def test_a_shear_moves_rows_sideways() -> None:
    sheared = centre_of_mass(deformed(spot(0, 8, n=200), shear=0.5))
    torch.testing.assert_close(sheared[:, 1], torch.full((200,), 8.0), rtol=0, atol=0.05)
    assert sheared[:, 0].abs().max() <= 0.5 * 8 + 0.05
    assert sheared[:, 0].abs().max() > 3


def test_the_border_repeats_outside_the_image() -> None:
    images = torch.full((4, 1, SIZE, SIZE), -0.7)
    result = deformed(images, rotation=90.0, shift=20.0, elastic=5.0)
    torch.testing.assert_close(result, images, rtol=0, atol=1e-5)
