"""Straight lines, samples and directions in z̃, against closed forms under a map that is known."""

import numpy as np
import pytest
import torch
from made_subject import Cube, Pixels, made_subject

from reproduce.errors import UserError
from reproduce.evaluation.linear import (
    DirectionSettings,
    LinearSettings,
    attribute_directions,
    measure_directions,
    measure_linear,
    midpoint_confidence,
    random_walks,
    straight_walks,
    sure_shares,
    walk_pictures,
)
from reproduce.evaluation.samples import between_corners, sample_pictures


def judge(images):
    """Two classes: the first pixel is light, or it is dark."""
    light = 8 * images[:, 0, 0, 0]
    return torch.stack([light, -light], 1)


def subject(**known):
    return made_subject(network=Pixels(), judge=judge, flow=Cube(), **known)


def walks_of(starts, steps, rho, seed=1):
    settings = LinearSettings(start=0, ends=(1,), rows=3, steps=10, rho=rho, n_pairs=1).model_copy(
        update={"steps": steps}
    )
    return random_walks(subject(seed=seed), starts, settings)


def grey(z):
    return ((z.clamp(-1, 1) + 1) * 127.5).round()


def test_a_straight_walk_is_straight_in_its_own_space():
    start, end = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, -1.0]])
    walks = straight_walks(subject(), start, end, steps=3)
    curved, straight = walks["z_tilde"], walks["z"]
    torch.testing.assert_close(straight[:, 0], torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, -1.0]]))
    torch.testing.assert_close(curved[:, 0], torch.tensor([[0.0, 1.0], [4 ** (1 / 3), 0.0], [2.0, -1.0]]))


def test_sure_that_one_stands_out_is_not_sure_that_it_is_one():
    logits = torch.tensor([[9.0, -9.0], [-4.0, -9.0], [3.0, 2.9], [0.0, -1.0]])
    found = [sure_shares(one[None]) for one in logits]
    assert [one["softmax"] for one in found] == [1, 1, 0, 0]
    assert [one["sigmoid"] for one in found] == [1, 0, 1, 0]
    assert sure_shares(logits[:3]) == {"softmax": pytest.approx(2 / 3), "sigmoid": pytest.approx(2 / 3)}


def test_midpoints_are_judged_between_images_of_different_classes():
    z = torch.tensor([[-1.0, 0, 0, 0], [-1.0, 0.5, 0, 0], [0.9, 0, 0, 0], [0.9, 0.5, 0, 0]])
    found = midpoint_confidence(subject(), z, np.array([0, 0, 1, 1]), n_pairs=50)
    # midway in z lies -0.05, in z̃ the cube root of (0.729 - 1) / 2 = -0.51
    assert found["ends"] == {"softmax": 1.0, "sigmoid": 1.0}
    assert found["z"] == {"softmax": 0.0, "sigmoid": 0.0}
    assert found["z_tilde"] == {"softmax": 1.0, "sigmoid": 1.0}


def test_the_ends_are_those_at_both_sides():
    z = torch.tensor([[-1.0, 0, 0, 0], [-1.0, 0.5, 0, 0], [0.1, 0, 0, 0], [0.1, 0.5, 0, 0]])  # 0.1: the judge is unsure
    found = midpoint_confidence(subject(), z, np.array([0, 0, 1, 1]), n_pairs=51)
    assert found["ends"] == {"softmax": 0.5, "sigmoid": 0.5}


def test_both_random_walks_start_at_the_images_and_take_the_same_noise():
    starts = torch.tensor([[0.5, -0.5, 1.0, 0.0], [-1.0, 0.2, 0.3, 0.9]])
    walks = walks_of(starts, 4, 0.5)
    back, plain = walks["z_tilde"], walks["z"]
    assert back.shape == plain.shape == (2, 5, 4)
    torch.testing.assert_close(back[:, 0], starts)
    torch.testing.assert_close(plain[:, 0], starts)
    steps_back = (back[:, 1:] ** 3 - 0.5 * back[:, :-1] ** 3) / 0.75**0.5
    steps_plain = (plain[:, 1:] - 0.5 * plain[:, :-1]) / 0.75**0.5
    torch.testing.assert_close(steps_back, steps_plain, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(steps_plain[0], steps_plain[1])


def test_every_step_of_the_random_walks_is_judged_but_the_start():
    z = torch.tensor([[0.5, -0.5, 1.0, 0.0], [-1.0, 0.2, 0.3, 0.9], [0.1, 0.2, 0.3, -0.9]])
    known = subject(z=z, heldout={"values": np.array([[0], [1], [2]])})
    settings = LinearSettings(start=0, ends=(1, 2), rows=3, steps=11, rho=0.5, n_pairs=4)
    found = measure_linear(known, settings, shown=[[0], [1, 2]])
    for space, walk in random_walks(known, z, settings).items():
        logits = judge(Pixels().decode(walk[:, 1:].reshape(33, 4)))
        np.testing.assert_allclose(found.arrays[f"sure_{space}"], logits.softmax(1).amax(1))
        assert found.metrics["random_walk"][space] == sure_shares(logits)
    assert found.metrics["linear"].keys() == {"z_tilde", "z", "ends"}
    threshold = float(found.arrays["threshold"])
    share = (found.arrays["sure_z"] >= threshold).mean()
    assert found.metrics["random_walk"]["z"]["softmax"] == pytest.approx(share)


def test_held_out_images_that_are_sorted_by_class(monkeypatch):
    monkeypatch.setattr("reproduce.evaluation.linear._IMAGES", 4)
    z = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    settings = LinearSettings(start=0, ends=(2,), rows=3, steps=11, rho=0.5, n_pairs=4)
    known = subject(z=z, heldout={"values": np.array([[0], [0], [1], [1], [2], [2]])})
    found = measure_linear(known, settings, shown=[[0], [5]])  # 5 is none of the first four
    np.testing.assert_array_equal(found.arrays["straight_z"][2, 0].ravel(), grey(z[5]))
    assert found.arrays["plane_data"].shape == (4, 2)
    known = subject(z=z, heldout={"values": np.array([[0]] * 4 + [[1]] * 2)})
    with pytest.raises(UserError, match=r"evaluation.linear: the first 4 held-out images are of one class: take more"):
        measure_linear(known, settings, shown=[[0], [5]])


def test_the_pictures_of_the_walks_are_those_latents_decoded():
    z = torch.rand(12, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    walks = walks_of(z[[3, 5, 7]], 20, 0.9)
    arrays = walk_pictures(subject(), (z[3], z[[5, 7]]), walks, z=z, rows=3)
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
    grid = between_corners(subject(), corners, side=3)[:, :, 0]
    cubes = torch.tensor([[0.0, 4.0, 8.0], [-4.0, 0.0, 4.0], [-8.0, -4.0, 0.0]])
    torch.testing.assert_close(grid**3, cubes, atol=1e-4, rtol=1e-4)


def test_both_priors_are_drawn_alike():
    arrays = sample_pictures(subject(), torch.zeros(4, 4), side=2)
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


class Hats:
    """Of the training images the latter two have a hat; one is judged there where the first pixel is light."""

    def truth(self, table):
        return {"hat": torch.from_numpy(table["values"][:, 0] == 1)}

    def read(self, logits, images):
        return {"hat": logits[:, 0] > 0}


def test_images_move_along_a_direction():
    z_tilde = torch.tensor([[0.0, 0.1, -0.1, 0.2], [0.3, 0.0, 0.0, 0.0]])
    pool_z = torch.tensor([[0.1, 0, 0, 0], [0.1, 0, 0, 0], [0.501 ** (1 / 3), 0, 0, 0], [0.501 ** (1 / 3), 0, 0, 0]])
    pool = {"values": np.array([[0], [0], [1], [1]])}
    known = subject(z_tilde=z_tilde, pool=pool, pool_z=pool_z, data=Hats())
    found = measure_directions(known, DirectionSettings(strengths=(-1.0, 0.0, 1.0), n_images=2))
    direction, pictures = torch.tensor([0.5, 0.0, 0.0, 0.0]), found.arrays["attribute_hat"]
    assert pictures.shape == (2, 3, 2, 2, 1)
    np.testing.assert_array_equal(pictures[1, 2].ravel(), grey(Cube().inverse(z_tilde[1:] + direction)[0][0]))
    assert found.metrics == {"directions": {"hat": {"-1": 0.0, "0": 0.5, "1": 1.0}}}
    assert found.arrays["strengths"].tolist() == [-1.0, 0.0, 1.0]
    assert found.arrays["judged"] == 2
