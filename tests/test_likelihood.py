"""The pair likelihood is a Gaussian density, and each switch changes what it says it changes."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from reproduce import UserError, density_nll, factor_slices, pair_nll
from reproduce.factors import check_dims, check_factor
from reproduce.seeds import torch_generator

DIMS = [(3, 2, 4), (3, 0, 2), (0, 0, 5), (4, 3, 0), (6, 1)]


def drawn_pair(n: int, dims: tuple[int, ...]) -> dict[str, Tensor]:
    generator = torch_generator(0, "test pair")
    dim = sum(dims)
    pair = {name: torch.randn(n, dim, generator=generator, dtype=torch.float64) for name in ("zt_a", "zt_b")}
    pair |= {name: torch.randn(n, generator=generator, dtype=torch.float64) for name in ("log_det_a", "log_det_b")}
    pair["factor"] = torch.arange(n) % (len(dims) - 1)
    return pair


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("rho", [0.1, 0.6, 0.975])
def test_it_is_the_joint_density_but_for_its_constants(dims: tuple[int, ...], rho: float) -> None:
    pair, dim = drawn_pair(6, dims), sum(dims)
    nll = pair_nll(**pair, dims=dims, rho=rho)
    for i, factor in enumerate(pair["factor"].tolist()):
        shared = torch.zeros(dim, dtype=torch.float64)
        shared[factor_slices(dims)[factor]] = rho
        covariance = torch.eye(2 * dim, dtype=torch.float64)
        covariance[:dim, dim:] = covariance[dim:, :dim] = torch.diag(shared)
        joint = MultivariateNormal(torch.zeros(2 * dim, dtype=torch.float64), covariance)
        log_density = joint.log_prob(torch.cat([pair["zt_a"][i], pair["zt_b"][i]]))
        dropped = dim * math.log(2 * math.pi) + 0.5 * dims[factor] * math.log(1 - rho**2)
        expected = -log_density - pair["log_det_a"][i] - pair["log_det_b"][i] - dropped
        assert nll[i].item() == pytest.approx(expected.item(), abs=1e-10)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize(("variance", "spread"), [("1-rho^2", lambda r: 1 - r * r), ("1-rho", lambda r: 1 - r)])
def test_the_switches_follow_the_formula(dims: tuple[int, ...], half: bool, variance: Any, spread: Any) -> None:
    rho = 0.8
    pair = drawn_pair(6, dims)
    a, b, log_det_a, log_det_b, factor = (value.numpy() for value in pair.values())
    expected = []
    for i, shared in enumerate(factor):
        squares, start = np.sum(a[i] ** 2), 0
        for k, size in enumerate(dims):
            part_a, part_b = a[i, start : start + size], b[i, start : start + size]
            squares += np.sum((part_b - rho * part_a) ** 2) / spread(rho) if k == shared else np.sum(part_b**2)
            start += size
        expected.append((squares / 2 if half else squares) - log_det_a[i] - log_det_b[i])
    nll = pair_nll(**pair, dims=dims, rho=rho, variance=variance, half=half)
    np.testing.assert_allclose(nll.numpy(), expected, rtol=0, atol=1e-10)


def test_a_pair_is_exchangeable_only_with_the_official_variance() -> None:
    pair = drawn_pair(6, (3, 2, 4))
    reversed_pair = {
        "zt_a": pair["zt_b"],
        "log_det_a": pair["log_det_b"],
        "zt_b": pair["zt_a"],
        "log_det_b": pair["log_det_a"],
        "factor": pair["factor"],
    }
    dims = (3, 2, 4)
    torch.testing.assert_close(pair_nll(**pair, dims=dims), pair_nll(**reversed_pair, dims=dims), rtol=0, atol=1e-9)
    transcribed = [pair_nll(**p, dims=dims, variance="1-rho") for p in (pair, reversed_pair)]
    assert (transcribed[0] - transcribed[1]).abs().max() > 1


def test_sharing_a_factor_of_size_0_is_sharing_nothing() -> None:
    pair = drawn_pair(6, (0, 0, 5))
    apart = density_nll(pair["zt_a"], pair["log_det_a"]) + density_nll(pair["zt_b"], pair["log_det_b"])
    torch.testing.assert_close(pair_nll(**pair, dims=(0, 0, 5)), apart, rtol=0, atol=1e-12)


def test_density_is_a_standard_normal_but_for_its_constant() -> None:
    pair = drawn_pair(6, (5, 0))
    standard = Normal(torch.zeros(5, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    log_density = standard.log_prob(pair["zt_a"]).sum(1) + pair["log_det_a"]
    expected = -log_density - 0.5 * 5 * math.log(2 * math.pi)
    torch.testing.assert_close(density_nll(pair["zt_a"], pair["log_det_a"]), expected, rtol=0, atol=1e-12)


@settings(deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_slices_cut_z_tilde_without_gap_or_overlap(dims: list[int]) -> None:
    slices = factor_slices(dims)
    places = [list(range(sum(dims)))[part] for part in slices]
    assert [len(part) for part in places] == dims
    assert [i for part in places for i in part] == list(range(sum(dims)))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"factor": torch.tensor([0, 2, 1, 0])}, "factor index 2 "),
        ({"factor": torch.tensor([0, -1, 1, 0])}, "factor index -1 "),
        ({"dims": (3, 2, 5)}, r"sum to 10, but z has 9"),
        ({"dims": (3, 2, 3)}, r"sum to 8, but z has 9"),
        ({"dims": (3, -1, 7)}, r"\[3, -1, 7\]"),
        ({"dims": ()}, r"dims=\[\]"),
        ({"rho": 0.0}, "rho=0.0"),
        ({"rho": 1.0}, "rho=1.0"),
        ({"rho": float("nan")}, "rho=nan"),
        ({"variance": "1-rho2"}, "variance='1-rho2'"),
        ({"zt_b": torch.zeros(4, 8)}, r"\[4, 8\]"),
        ({"zt_a": torch.zeros(9)}, r"they are \[9\]"),
        ({"log_det_a": torch.zeros(4, 1)}, r"\[4, 1\]"),
        ({"log_det_b": torch.zeros(())}, r"\[\]"),
        ({"factor": torch.zeros(1, dtype=torch.int64)}, r"\[1\]$"),
    ],
)
def test_what_makes_no_pair_is_refused(change: dict[str, Any], named: str) -> None:
    arguments = {**drawn_pair(4, (3, 2, 4)), "dims": (3, 2, 4)} | change
    with pytest.raises(UserError, match=named):
        pair_nll(**arguments)


def test_the_checks_let_pass_what_is_legal() -> None:
    check_dims((0, 0, 5), 5)
    check_factor(torch.tensor([0, 1]), 2)
    check_factor(torch.tensor([], dtype=torch.int64), 1)
