"""What a classifier says when one factor is varied, and walks in one factor."""

import numpy as np
import pytest
import torch
from made_subject import FirstThree, Identity, made_subject

from reproduce.errors import UserError
from reproduce.evaluation.response import (
    WalkSettings,
    factor_numbers,
    factor_walks,
    mean_numbers,
    respond,
    response_numbers,
    walk_numbers,
)
from reproduce.interpret import ornstein_uhlenbeck, vary

DIMS = {"a": 3, "b": 0, "c": 2}


def generator():
    return torch.Generator().manual_seed(3)


def latents(n=40):
    z = 0.1 * torch.randn(n, 5, generator=generator())
    z[torch.arange(n), torch.arange(n) % 3] += 4
    return z


def test_a_walk_keeps_the_standard_normal_distribution_and_its_correlation():
    walk = ornstein_uhlenbeck(torch.zeros(4), steps=40_000, rho=0.8, generator=generator()).double()
    assert walk.mean().abs() < 0.05
    assert walk.var(0).numpy() == pytest.approx(np.ones(4), abs=0.06)
    assert (walk[1:] * walk[:-1]).mean(0).numpy() == pytest.approx(np.full(4, 0.8), abs=0.06)


def test_each_step_of_a_walk_starts_at_the_one_before():
    start = torch.tensor([3.0, -2.0])
    walk = ornstein_uhlenbeck(start, steps=5, rho=0.6, generator=generator())
    noise = torch.randn(5, 2, generator=generator())
    before = torch.cat([start[None], walk[:-1]])
    torch.testing.assert_close(walk, 0.6 * before + 0.8 * noise)


@pytest.mark.parametrize("how", ["sources", "normal", "walk"])
def test_only_the_factor_that_is_varied_changes(how):
    z = latents()
    varied = vary(z, 7, part=slice(3, 5), how=how, n=25, rho=0.9, generator=generator())
    assert varied.shape == (25, 5)
    assert (varied[:, :3] == z[7, :3]).all()
    assert (varied[:, 3:] != z[7, 3:]).all()


def test_every_other_image_gives_its_factor_before_any_gives_it_twice():
    z = latents(6)
    varied = vary(z, 2, part=slice(0, 3), how="sources", n=7, rho=0.9, generator=generator())
    given = [int((z[:, :3] == row[:3]).all(1).nonzero()) for row in varied]
    assert sorted(given[:5]) == [0, 1, 3, 4, 5]
    assert given[5:] == given[:2]
    with pytest.raises(UserError, match="at least 2"):
        vary(z[:1], 0, part=slice(0, 3), how="sources", n=7, rho=0.9, generator=generator())


def test_the_papers_bars_give_the_papers_sigma():
    bars = np.repeat([7, 2, 9], [996, 1, 3])
    numbers = response_numbers(bars, 7, n_classes=10)
    assert round(numbers["sigma"], 2) == 0.19
    assert numbers["flip_rate"] == pytest.approx(0.004)
    shares = np.array([0.996, 0.001, 0.003])
    assert numbers["entropy"] == pytest.approx(-(shares * np.log10(shares)).sum())


def test_the_ends_of_the_response():
    assert response_numbers(np.full(50, 4), 4, n_classes=10) == {"sigma": 0.0, "flip_rate": 0.0, "entropy": 0.0}
    even = response_numbers(np.tile(np.arange(10), 5), 4, n_classes=10)
    assert even["entropy"] == pytest.approx(1)
    assert even["sigma"] == pytest.approx(np.sqrt(99 / 12))
    assert even["flip_rate"] == pytest.approx(0.9)


def subject(seed=0):
    return made_subject(network=FirstThree(), flow=Identity(), dims=DIMS, z_tilde=latents(), seed=seed)


def test_the_class_follows_its_factor_and_no_other():
    own, logits = respond(subject(), 4, how="sources", n=39, rho=0.9)
    classes, log_softmax = logits.argmax(2), logits.log_softmax(2)[:, :, own]
    assert own == 1
    assert classes[0].bincount().tolist() == [14, 12, 13]  # of the 40 images without the fifth
    assert (classes[1:] == 1).all()
    expected = latents()[4, :3].log_softmax(0)[1]
    torch.testing.assert_close(log_softmax[1:], expected.expand(2, 39))
    flipped = classes[0] != 1
    assert (log_softmax[0][flipped] < -2).all()
    again = respond(subject(), 4, how="sources", n=39, rho=0.9)[1]
    assert torch.equal(again, logits)


def test_the_mean_is_that_of_the_single_responses():
    how = {"how": "normal", "n": 30, "rho": 0.9}
    single = [respond(subject(5), i, **how) for i in (1, 8)]
    mean = mean_numbers([factor_numbers(subject(5), *one) for one in single])
    numbers = [response_numbers(logits[0].argmax(1).numpy(), own, n_classes=3) for own, logits in single]
    assert mean["a"]["flip_rate"] == pytest.approx((numbers[0]["flip_rate"] + numbers[1]["flip_rate"]) / 2)
    assert mean["a"]["entropy"] == pytest.approx((numbers[0]["entropy"] + numbers[1]["entropy"]) / 2)
    assert mean["a"]["flip_rate"] > 0
    assert mean["b"] == {"sigma": 0.0, "flip_rate": 0.0, "entropy": 0.0}


def test_a_walk_starts_at_the_image_and_moves_in_its_factor_alone():
    z = latents()
    walks = factor_walks(subject(), 4, WalkSettings(steps=6, rho=0.5))
    assert walks["b"] is None
    for walk, same in ((walks["a"], slice(3, 5)), (walks["c"], slice(0, 3))):
        assert walk.shape == (7, 5)
        assert (walk[0] == z[4]).all()
        assert (walk[:, same] == z[4, same]).all()
        assert (walk.diff(dim=0).norm(dim=1) > 0).all()


def test_the_start_is_no_step_of_the_walk():
    assert walk_numbers(np.array([2, 2, 5, 2, 7])) == {"stays": 0.5, "classes": 3}
