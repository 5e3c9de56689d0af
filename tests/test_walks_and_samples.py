"""Straight lines, samples and directions in z̃, against closed forms under a map that is known."""

import numpy as np
import pytest
import torch

from reproduce.errors import UserError
from reproduce.evaluation.directions import attribute_directions, direction_pictures, direction_rates
from reproduce.evaluation.linear import (
    confident,
    midpoint_confidence,
    random_walk_logits,
    random_walks,
    straight_walks,
    walk_pictures,
)
from reproduce.evaluation.samples import between_corners, sample_pictures


class Cube:
    """z̃ = z³, component by component."""

    def __call__(self, z):
        return z**3, torch.zeros(len(z))

    def inverse(self, z_tilde):
        return z_tilde.sign() * z_tilde.abs() ** (1 / 3), torch.zeros(len(z_tilde))


class Painter:
    """Each component of z `[B, 4]`, in [-1, 1], is the grey of a pixel."""

    def decode(self, z):
        return z.view(-1, 1, 2, 2)


def judge(images):
    """Two classes: the first pixel is light, or it is dark."""
    light = 8 * images[:, 0, 0, 0]
    return torch.stack([light, -light], 1)


def grey(z):
    return ((z.clamp(-1, 1) + 1) * 127.5).round()


def test_a_straight_walk_is_straight_in_its_own_space():
    start, end = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]])
    curved, straight = straight_walks(Cube(), start, end, steps=3)
    torch.testing.assert_close(straight[:, 0], torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]]))
    torch.testing.assert_close(curved[:, 0], torch.tensor([[0.0, 1.0], [4 ** (1 / 3), 0.0], [2.0, -1.0]]))


def test_sure_that_one_stands_out_is_not_sure_that_it_is_one():
    logits = torch.tensor([[9.0, -9.0], [-4.0, -9.0], [3.0, 2.9], [0.0, -1.0]])
    sure = confident(logits)
    assert sure["softmax"].tolist() == [True, True, False, False]
    assert sure["sigmoid"].tolist() == [True, False, True, False]


def test_midpoints_are_judged_between_images_of_different_classes():
    z = torch.tensor([[-1.0, 0, 0, 0], [-1.0, 0.5, 0, 0], [0.9, 0, 0, 0], [0.9, 0.5, 0, 0]])
    found = midpoint_confidence(Painter(), judge, Cube(), z, np.array([0, 0, 1, 1]), n_pairs=50, seed=0)
    # midway in z lies -0.05, in z̃ the cube root of (0.729 - 1) / 2 = -0.51
    assert found["ends"] == {"softmax": 1.0, "sigmoid": 1.0}
    assert found["z"] == {"softmax": 0.0, "sigmoid": 0.0}
    assert found["z_tilde"] == {"softmax": 1.0, "sigmoid": 1.0}


def test_the_ends_are_those_at_both_sides():
    z = torch.tensor([[-1.0, 0, 0, 0], [-1.0, 0.5, 0, 0], [0.1, 0, 0, 0], [0.1, 0.5, 0, 0]])  # 0.1: the judge is unsure
    found = midpoint_confidence(Painter(), judge, Cube(), z, np.array([0, 0, 1, 1]), n_pairs=51, seed=0)
    assert found["ends"] == {"softmax": 0.5, "sigmoid": 0.5}


def test_both_random_walks_start_at_the_images_and_take_the_same_noise():
    starts = torch.tensor([[0.5, -0.5, 1.0, 0.0], [-1.0, 0.2, 0.3, 0.9]])
    back, plain = random_walks(Cube(), starts, steps=4, rho=0.5, seed=1)
    assert back.shape == plain.shape == (2, 5, 4)
    torch.testing.assert_close(back[:, 0], starts)
    torch.testing.assert_close(plain[:, 0], starts)
    steps_back = (back[:, 1:] ** 3 - 0.5 * back[:, :-1] ** 3) / 0.75**0.5
    steps_plain = (plain[:, 1:] - 0.5 * plain[:, :-1]) / 0.75**0.5
    torch.testing.assert_close(steps_back, steps_plain, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(steps_plain[0], steps_plain[1])


def test_every_step_of_the_random_walks_is_judged_but_the_start():
    starts = torch.tensor([[0.5, -0.5, 1.0, 0.0], [-1.0, 0.2, 0.3, 0.9]])
    walks = random_walks(Cube(), starts, steps=4, rho=0.5, seed=1)
    logits = random_walk_logits(Painter(), judge, walks)
    for walk, of in zip(walks, (logits["z_tilde"], logits["z"]), strict=True):
        torch.testing.assert_close(of, judge(Painter().decode(walk[:, 1:].reshape(8, 4))))


def test_the_pictures_of_the_walks_are_those_latents_decoded():
    z = torch.rand(12, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    walks = random_walks(Cube(), z[[3, 5, 7]], steps=20, rho=0.9, seed=0)
    arrays = walk_pictures(Painter(), Cube(), z, 3, [5, 7], walks, steps=3)
    assert arrays["straight_z"].shape == (3, 2, 2, 2, 1)
    np.testing.assert_array_equal(arrays["straight_z"][1, 1].ravel(), grey((z[3] + z[7]) / 2))
    np.testing.assert_array_equal(arrays["straight_z_tilde"][2, 0].ravel(), grey(z[5]))
    for name in ("z", "z_tilde"):
        assert arrays[f"random_{name}"].shape == (10, 2, 2, 1)
        assert arrays[f"plane_{name}"].shape == (21, 2)
        np.testing.assert_allclose(arrays[f"plane_{name}"][0], arrays["plane_data"][3], atol=1e-5)
    centred = (z - z.mean(0)).numpy()
    spread = np.linalg.eigvalsh(centred.T @ centred)[::-1][:2]
    np.testing.assert_allclose((arrays["plane_data"] ** 2).sum(0), spread, rtol=1e-4)


def test_the_grid_between_corners_is_bilinear_in_z_tilde():
    corners = torch.tensor([[0.0], [2.0], [-2.0], [0.0]])
    grid = between_corners(Cube(), corners, side=3)[:, :, 0]
    cubes = torch.tensor([[0.0, 4.0, 8.0], [-4.0, 0.0, 4.0], [-8.0, -4.0, 0.0]])
    torch.testing.assert_close(grid**3, cubes, atol=1e-4, rtol=1e-4)


def test_both_priors_are_drawn_alike():
    arrays = sample_pictures(Painter(), Cube(), torch.zeros(4, 4), side=2, seed=0)
    assert {name: images.shape for name, images in arrays.items()} == dict.fromkeys(
        ("corners", "direct", "mapped"), (2, 2, 2, 2, 1)
    )
    light = arrays["direct"] > 128
    assert ((arrays["mapped"] > 128) == light).all()  # a cube root keeps the sign, and moves away from 0
    assert (arrays["corners"] == 128).all()
    inside = np.abs(arrays["direct"].astype(int) - 127.5) < 120
    moved = np.abs(arrays["mapped"] - 127.5) - np.abs(arrays["direct"] - 127.5)
    assert (moved[inside] > 0).all()


def test_a_direction_leads_from_those_without_to_those_with():
    z_tilde = torch.tensor([[0.0, 1.0], [2.0, 1.0], [10.0, 0.0]])
    directions = attribute_directions(z_tilde, {"hat": torch.tensor([False, False, True])})
    torch.testing.assert_close(directions["hat"], torch.tensor([9.0, -1.0]))
    with pytest.raises(UserError, match="hat"):
        attribute_directions(z_tilde, {"hat": torch.tensor([True, True, True])})


def test_images_move_along_a_direction():
    z_tilde, direction = torch.tensor([[0.0, 0.1, -0.1, 0.2], [0.3, 0.0, 0.0, 0.0]]), torch.tensor([0.5, 0.0, 0.0, 0.0])
    pictures = direction_pictures(Painter(), Cube(), z_tilde, {"hat": direction}, strengths=[-1.0, 0.0, 1.0])
    assert pictures["hat"].shape == (2, 3, 2, 2, 1)
    np.testing.assert_array_equal(pictures["hat"][1, 2].ravel(), grey(Cube().inverse(z_tilde[1:] + direction)[0][0]))

    def look(z):
        return {"hat": z[:, 0] > 0}

    rates = direction_rates(Cube(), z_tilde, {"hat": direction}, strengths=[-1.0, 0.0, 1.0], look=look)
    assert rates == {"hat": {"-1": 0.0, "0": 0.5, "1": 1.0}}
