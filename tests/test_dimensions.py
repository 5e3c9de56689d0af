"""The estimators of the factor sizes: closed forms, the official results, and sums that keep their digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reproduce import PairMoments, UserError, estimate_dimensions
from reproduce.dimensions import METHODS, Method, allocate, equal_chunks
from reproduce.seeds import torch_generator

Pairs = tuple[Tensor, Tensor, Tensor]


def orthonormal(n: int, columns: int) -> Tensor:
    """`[n, columns]` float64: each column has mean 0 and variance 1, and no two are correlated, exactly."""
    draws = torch.randn(n, columns, generator=torch_generator(0, "orthonormal"), dtype=torch.float64)
    return torch.linalg.qr(draws - draws.mean(0)).Q * n**0.5


def pairs_with_correlation(correlation: Tensor, scale: Tensor, n: int = 250) -> Pairs:
    """Pairs whose sample correlations are `correlation` `[K, N]` exactly and whose components have variance scale²."""
    n_concepts, dim = correlation.shape
    a, noise = orthonormal(n, 2 * dim).chunk(2, 1)
    b = [r * a + (1 - r.square()).sqrt() * noise for r in correlation.double()]
    factor = torch.arange(n_concepts).repeat_interleave(n)
    return a.repeat(n_concepts, 1) * scale, torch.cat(b) * scale, factor


def random_pairs(n: int, dim: int, n_concepts: int, *, offset: float = 0.0) -> Pairs:
    """Pairs that share some of every component, with means that differ by concept and by member."""
    generator = torch_generator(0, "test pairs")

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    factor = torch.randint(n_concepts, (n,), generator=generator)
    shared, strength = normal(n, dim), torch.rand(n_concepts, dim, generator=generator, dtype=torch.float64)
    a, b = (shared * strength[factor] + normal(n, dim) + normal(n_concepts, dim)[factor] for _ in range(2))
    return a + offset, b + offset, factor


def two_pass_scores(z_a: Tensor, z_b: Tensor, factor: Tensor, n_concepts: int, method: Method) -> list[float]:
    """The scores by their definitions, about means computed first."""
    a, b, f = z_a.numpy(), z_b.numpy(), factor.numpy()
    everything = np.concatenate([a, b])
    total = np.mean((everything - everything.mean(0)) ** 2, 0).sum()
    scores = []
    for k in range(n_concepts):
        x, y = a[f == k], b[f == k]
        if method == "code":
            pooled = (x.mean(0) + y.mean(0)) / 2
            scores.append(np.mean((x - pooled) * (y - pooled), 0).sum() / total)
        else:
            correlation = sum(np.corrcoef(x[:, i], y[:, i])[0, 1] for i in range(a.shape[1]))
            scores.append(correlation if method == "paper" else correlation / a.shape[1])
    return [*scores, a.shape[1] if method == "paper" else 1.0]


@pytest.mark.parametrize("name", ["dims_0.npz", "dims_1.npz"])
@pytest.mark.parametrize("batch", [10_000, 37])
def test_code_gives_the_official_dimensions(golden: Path, name: str, batch: int) -> None:
    file = np.load(golden / name)
    pairs = [torch.from_numpy(file[key]).split(batch) for key in ("za", "zb", "factor")]
    moments = PairMoments(n_concepts=int(file["n_concepts"]))
    for z_a, z_b, factor in zip(*pairs, strict=True):
        moments.update(z_a, z_b, factor)
    assert moments.estimate("code").dims == tuple(file["code_dims"].tolist())


@pytest.mark.parametrize(("method", "perfect", "residual"), [("paper", 8.0, 8.0), ("normalised", 1.0, 1.0)])
def test_perfectly_correlated_pairs_score_as_the_residual_does(method: Method, perfect: float, residual: float) -> None:
    z, _, factor = random_pairs(400, 8, 2)
    estimate = estimate_dimensions(z, 3 * z + 5, factor, n_concepts=2, method=method)
    assert estimate.scores == pytest.approx((perfect, perfect, residual), abs=1e-10)


def test_code_scores_identical_pairs_1_when_every_concept_has_the_same_images() -> None:
    z = orthonormal(64, 8) * torch.arange(1, 9)
    factor = torch.arange(2).repeat_interleave(64)
    estimate = estimate_dimensions(z.repeat(2, 1), z.repeat(2, 1), factor, n_concepts=2, method="code")
    assert estimate.scores == pytest.approx((1, 1, 1), abs=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_independent_pairs_score_0(method: Method) -> None:
    a, b, factor = pairs_with_correlation(torch.zeros(2, 16), torch.ones(16))
    scores = estimate_dimensions(a, b, factor, n_concepts=2, method=method).scores
    assert scores[:2] == pytest.approx((0, 0), abs=1e-12)
    drawn = torch.randn(2, 20_000, 4, generator=torch_generator(0, "independent"))
    few = estimate_dimensions(drawn[0], drawn[1], torch.zeros(20_000, dtype=torch.int64), n_concepts=1, method=method)
    assert few.scores[0] == pytest.approx(0, abs=5 * (4 / 20_000) ** 0.5)


def test_each_method_weighs_the_components_as_it_says() -> None:
    correlation = torch.tensor([[0.9, 0.0, -0.5, 0.2], [0.1, 0.8, 0.3, 0.0]], dtype=torch.float64)
    scale = torch.tensor([2.0, 1.0, 0.5, 0.1], dtype=torch.float64)
    pairs = pairs_with_correlation(correlation, scale)
    estimates = {m: estimate_dimensions(*pairs, n_concepts=2, method=m).scores for m in METHODS}
    assert estimates["paper"] == pytest.approx((*correlation.sum(1).tolist(), 4), abs=1e-10)
    assert estimates["normalised"] == pytest.approx((*correlation.mean(1).tolist(), 1), abs=1e-10)
    weighted = (correlation * scale.square()).sum(1) / scale.square().sum()
    assert estimates["code"] == pytest.approx((*weighted.tolist(), 1), abs=1e-10)


def test_the_paper_formula_leaves_the_concepts_nothing() -> None:
    correlation = torch.stack([torch.full((64,), 10 / 64), torch.full((64,), 20 / 64)])
    pairs = pairs_with_correlation(correlation, torch.ones(64))
    literal = estimate_dimensions(*pairs, n_concepts=2, method="paper")
    assert literal.scores == pytest.approx((10, 20, 64), abs=1e-9)
    assert literal.dims == (0, 0, 64)
    assert estimate_dimensions(*pairs, n_concepts=2, method="normalised").dims == (14, 16, 34)


@pytest.mark.parametrize(
    ("scores", "dims"),
    [
        ((0, 0, 1), (13, 13, 38)),
        ((1, 1, 1), (21, 21, 22)),
        ((1, 0, 1), (27, 9, 28)),
        ((1, -1, 1), (29, 4, 31)),
        ((-1, 1, 1), (4, 29, 31)),
        ((0, 0, 0, 0, 1), (9, 9, 9, 9, 28)),
        ((1, 1, 1, 1, 1), (12, 12, 12, 12, 16)),
        ((10, 20, 64), (0, 0, 64)),
        ((32, 32, 64), (0, 0, 64)),
        ((60, 60, 64), (1, 1, 62)),
        ((62, 62, 64), (6, 6, 52)),
        ((63, 63, 64), (13, 13, 38)),
        ((64, 64, 64), (21, 21, 22)),
        ((1,), (64,)),
    ],
)
def test_allocation_in_numbers(scores: tuple[float, ...], dims: tuple[int, ...]) -> None:
    assert allocate(scores, 64) == dims


@settings(deadline=None, derandomize=True)
@given(scores=st.lists(st.floats(-3000, 3000), min_size=2, max_size=6), dim=st.integers(1, 4096))
def test_allocation_divides_every_dimension(scores: list[float], dim: int) -> None:
    dims = allocate(scores, dim)
    assert sum(dims) == dim
    assert all(isinstance(d, int) and d >= 0 for d in dims)
    assert all(dims[i] <= dims[j] for i in range(len(dims) - 1) for j in range(len(dims) - 1) if scores[i] <= scores[j])


@pytest.mark.parametrize("method", ["paper", "normalised"])
def test_a_constant_component_counts_0(method: Method) -> None:
    correlation = torch.full((2, 4), 0.6, dtype=torch.float64)
    a, b, factor = pairs_with_correlation(correlation, torch.tensor([1.0, 1.0, 0.0, 0.0]))
    for offset in (0.0, 0.1, 1e4):
        shifted = estimate_dimensions(a + offset, b + offset, factor, n_concepts=2, method=method)
        expected = 1.2 if method == "paper" else 0.3
        assert shifted.scores[:2] == pytest.approx((expected, expected), abs=1e-9)


@pytest.mark.parametrize("method", ["paper", "normalised"])
@pytest.mark.parametrize("members", ["a", "b", "ab"])
def test_a_component_that_is_constant_for_one_concept_counts_0_there(method: Method, members: str) -> None:
    pairs = pairs_with_correlation(torch.full((2, 4), 0.6, dtype=torch.float64), torch.ones(4))
    for value in (0.0, 0.3, 0.7, 1.1, 55.3, 1e4):
        a, b, factor = (x.clone() for x in pairs)
        for member in members:
            {"a": a, "b": b}[member][factor == 0, 2] = value
        scores = estimate_dimensions(a, b, factor, n_concepts=2, method=method).scores
        assert scores[0] == pytest.approx(1.8 if method == "paper" else 0.45, abs=1e-10)


def test_a_constant_component_counts_0_however_many_pairs_are_summed() -> None:
    n = 200_000
    z = torch.randn(2 * n, 1, generator=torch_generator(0, "many"), dtype=torch.float64)
    factor = torch.arange(2).repeat_interleave(n)
    for value in (0.1, 0.3, 0.7, 55.3):
        z[:n] = value
        assert estimate_dimensions(z, z, factor, n_concepts=2, method="paper").scores[0] == 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_sums_in_batches_keep_their_digits(method: Method, offset: float) -> None:
    pairs = random_pairs(997, 6, 3, offset=offset)
    whole = estimate_dimensions(*pairs, n_concepts=3, method=method).scores
    moments = PairMoments(n_concepts=3)
    for start in range(0, 997, 100):
        moments.update(*(x[start : start + 100] for x in pairs))
    assert moments.scores(method) == pytest.approx(whole, abs=1e-12)
    assert whole == pytest.approx(two_pass_scores(*pairs, 3, method), abs=1e-11)


def test_only_code_is_invariant_to_rotations_of_z() -> None:
    scale = torch.tensor([2.0] * 20 + [1.0] * 10 + [0.3] * 34, dtype=torch.float64)
    correlation = torch.zeros(2, 64)
    correlation[0, :20] = correlation[1, 20:30] = 1
    a, b, factor = pairs_with_correlation(correlation, scale)
    rotation = torch.linalg.qr(torch.randn(64, 64, generator=torch_generator(0, "rotation"), dtype=torch.float64)).Q
    scores = {
        (method, rotated): estimate_dimensions(x, y, factor, n_concepts=2, method=method).scores
        for rotated, x, y in ((False, a, b), (True, a @ rotation, b @ rotation))
        for method in ("code", "normalised")
    }
    assert scores["code", False] == pytest.approx((80 / 93.06, 10 / 93.06, 1), abs=1e-9)
    assert scores["code", True] == pytest.approx(scores["code", False], abs=1e-10)
    assert scores["normalised", False] == pytest.approx((20 / 64, 10 / 64, 1), abs=1e-9)
    assert scores["normalised", True][0] > 0.7


@pytest.mark.parametrize(("n_factors", "dim"), [(3, 64), (5, 64), (2, 7), (1, 5)])
def test_equal_chunks_are_those_of_torch(n_factors: int, dim: int) -> None:
    assert equal_chunks(n_factors, dim) == tuple(c.shape[1] for c in torch.zeros(1, dim).chunk(n_factors, 1))


def test_equal_chunks_name_every_factor_even_where_none_is_left() -> None:
    assert equal_chunks(3, 64) == (22, 22, 20)
    assert equal_chunks(4, 2) == (1, 1, 0, 0)


def test_latents_of_a_network_in_training_leave_no_graph_behind() -> None:
    a, b, factor = random_pairs(50, 4, 2)
    moments = PairMoments(n_concepts=2)
    moments.update(a.requires_grad_(), b, factor)
    plain = estimate_dimensions(a.detach(), b, factor, n_concepts=2)
    assert moments.estimate("code") == plain
    assert not moments._sums.requires_grad


@pytest.mark.parametrize("counts", [(0, 5), (1, 5), (5, 1)])
@pytest.mark.parametrize("method", METHODS)
def test_a_concept_with_fewer_than_two_pairs_is_named(counts: tuple[int, int], method: Method) -> None:
    factor = torch.arange(2).repeat_interleave(torch.tensor(counts))
    a, b, _ = random_pairs(len(factor), 4, 2)
    few = 0 if counts[0] < 2 else 1
    with pytest.raises(UserError, match=rf"concept {few} has {counts[few]} pair"):
        estimate_dimensions(a, b, factor, n_concepts=2, method=method)


def test_what_cannot_be_estimated_is_refused() -> None:
    a, b, factor = random_pairs(20, 4, 2)
    for index in (2, -1):
        bad = factor.clone()
        bad[7] = index
        with pytest.raises(UserError, match=f"factor index {index} is out of range for n_concepts=2"):
            estimate_dimensions(a, b, bad, n_concepts=2)
    for kind in (torch.float32, torch.bool):
        with pytest.raises(UserError, match="factor must hold the concepts' indices as int64"):
            estimate_dimensions(a, b, factor.to(kind), n_concepts=2)
    for value in (float("nan"), float("inf")):
        bad_latent = b.clone()
        bad_latent[3, 1] = value
        with pytest.raises(UserError, match="NaN or infinity"):
            estimate_dimensions(a, bad_latent, factor, n_concepts=2)
    with pytest.raises(UserError, match=r"\[20, 4\], \[19, 4\], \[20\]"):
        estimate_dimensions(a, b[1:], factor, n_concepts=2)
    with pytest.raises(UserError, match=r"\[20, 4, 1\]"):
        estimate_dimensions(a[:, :, None], b[:, :, None], factor, n_concepts=2)
    with pytest.raises(UserError, match="method='dim'"):
        estimate_dimensions(a, b, factor, n_concepts=2, method="dim")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="n_concepts=0"):
        PairMoments(n_concepts=0)
    with pytest.raises(UserError, match="all latents are equal"):
        estimate_dimensions(torch.ones(20, 4), torch.ones(20, 4), factor, n_concepts=2)
    moments = PairMoments(n_concepts=2)
    moments.update(a, b, factor)
    with pytest.raises(UserError, match="the shape \\[3\\], the ones before \\[4\\]"):
        moments.update(a[:, :3], b[:, :3], factor)


@pytest.mark.parametrize("method", METHODS)
def test_of_feature_maps_every_position_of_a_channel_is_a_component(method: Any) -> None:
    generator = torch_generator(0, "test maps")
    a, b = torch.randn(2, 400, 6, 2, 3, generator=generator)
    b[:, :2] = a[:, :2]
    factor = torch.arange(400) % 2
    b[factor == 1, 2] = a[factor == 1, 2]
    of_maps = estimate_dimensions(a, b, factor, n_concepts=2, method=method)
    flat = estimate_dimensions(a.flatten(1), b.flatten(1), factor, n_concepts=2, method=method)
    assert of_maps.scores == pytest.approx(flat.scores, abs=1e-12)
    assert of_maps.dims == allocate(of_maps.scores, 6)  # channels, and not the 36 components
    with pytest.raises(UserError, match="pairs must be"):
        estimate_dimensions(a[..., 0], b[..., 0], factor, n_concepts=2)


def test_many_components_are_summed_in_tiles_of_bounded_memory() -> None:
    """Wider than one tile and with a rest; the sums are those that float64 gives in one go."""
    n, dim = 70, 2500
    generator = torch_generator(0, "test wide")
    a, b = torch.randn(2, n, dim, generator=generator) + 100
    factor = torch.arange(n) % 2
    b[factor == 1, ::3] = a[factor == 1, ::3]
    expected = []
    for k in (0, 1):
        x, y = (z[factor == k].double() for z in (a, b))
        pooled = (x.mean(0) + y.mean(0)) / 2
        everything = torch.cat([a, b]).double()
        expected.append(((x * y).mean(0) - pooled.square()).sum() / everything.var(0, correction=0).sum())
    found = estimate_dimensions(a, b, factor, n_concepts=2).scores
    assert found[:2] == pytest.approx([float(value) for value in expected], abs=1e-9)


def test_a_concept_that_the_latents_do_not_hold_is_named() -> None:
    generator = torch_generator(0, "test unshared")
    a, b = torch.randn(2, 3000, 8, generator=generator) + torch.arange(8)
    factor = torch.arange(3000) % 3
    b[factor == 0, 0] = a[factor == 0, 0]
    b[factor == 2] += 0.2 * (a[factor == 2] - b[factor == 2])
    estimate = estimate_dimensions(a, b, factor, n_concepts=3)
    assert estimate.unshared == (1,)
    assert estimate.dims[1] > 0
