"""T is invertible, its log-determinants are exact, and it computes what the official T computes."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reproduce import Flow, UserError, load_official_flow, pair_nll
from reproduce.models.flow import ActNorm, DoubleCoupling, FlowSize, Shuffle
from reproduce.seeds import torch_generator


def latents(n: int, dim: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Correlated latents away from the origin, so that no default happens to be right for them."""
    generator = torch_generator(seed, "test latents")
    mix = torch.randn(dim, dim, generator=generator, dtype=torch.float64) / dim**0.5
    return (torch.randn(n, dim, generator=generator, dtype=torch.float64) @ mix * 2 + 3).to(dtype)


def fitted_flow(dim: int, *, seed: int = 0, n_blocks: int = 3, dtype: torch.dtype = torch.float64) -> Flow:
    """A small flow past its initialisation, one of whose ActNorm scales is negative, as training may make it."""
    flow = Flow(dim=dim, n_blocks=n_blocks, hidden_dim=16, hidden_depth=1, seed=seed).to(dtype)
    flow.initialize(latents(64, dim, seed=seed, dtype=dtype))
    with torch.no_grad():
        flow.layers[0].scale[0] *= -1
    return flow


@pytest.fixture(scope="module")
def official(golden: Path) -> dict[str, Any]:
    return torch.load(golden / "flow_small.pt", weights_only=True)


def named_as_official(flow: Flow) -> Iterator[tuple[str, Tensor]]:
    """Each gradient, or part of one, under the official parameter's name."""
    for i, layer in enumerate(flow.layers):
        prefix = f"realnvp.flow.{i // 3}.flow.{i % 3}"
        if isinstance(layer, ActNorm):
            yield f"{prefix}.loc", layer.loc.grad
            yield f"{prefix}.scale", layer.scale.grad
        if isinstance(layer, DoubleCoupling):
            for half, nets in enumerate((layer.first, layer.second)):
                for depth, (weight, bias) in enumerate(zip(nets.weights, nets.biases, strict=True)):
                    for j, network in enumerate("st"):
                        yield f"{prefix}.{network}.{half}.main.{2 * depth}.weight", weight.grad[j]
                        yield f"{prefix}.{network}.{half}.main.{2 * depth}.bias", bias.grad[j]


@pytest.mark.parametrize("member", ["a", "b"])
def test_factors_and_log_det_are_the_official_ones(golden: Path, official: dict[str, Any], member: str) -> None:
    z_tilde, log_det = load_official_flow(golden / "flow_small.pt")(official[f"z{member}"])
    torch.testing.assert_close(z_tilde, torch.cat(official[f"factors_{member}"], 1), rtol=0, atol=1e-5)
    torch.testing.assert_close(log_det, official[f"logdet_{member}"], rtol=0, atol=1e-5)


def test_loss_and_gradients_are_the_official_ones(golden: Path, official: dict[str, Any]) -> None:
    flow = load_official_flow(golden / "flow_small.pt")
    pair = (*flow(official["za"]), *flow(official["zb"]))
    loss = pair_nll(*pair, official["factor"], official["config"]["factor_config"], official["rho"]).mean()
    assert loss.item() == pytest.approx(official["loss"], rel=1e-6)
    loss.backward()
    norms = {name: gradient.norm().item() for name, gradient in named_as_official(flow)}
    assert norms == pytest.approx(official["grad_norms"], rel=1e-5)


@pytest.mark.parametrize("dim", [2, 3, 7, 16])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_log_det_is_that_of_the_jacobian(dim: int, way: str) -> None:
    flow = fitted_flow(dim)
    apply = getattr(flow, way)
    x = latents(4, dim, seed=1)
    _, log_det = apply(x)
    for row, value in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda r: apply(r[None])[0][0], row)
        assert value.item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=1e-10)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(dim=st.integers(2, 33), n=st.integers(1, 5), n_blocks=st.integers(1, 5), seed=st.integers(0, 1000))
def test_round_trip(dim: int, n: int, n_blocks: int, seed: int) -> None:
    flow = fitted_flow(dim, seed=seed, n_blocks=n_blocks)
    z = latents(n, dim, seed=seed + 1)
    z_tilde, log_det = flow(z)
    back, log_det_back = flow.inverse(z_tilde)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-12)
    torch.testing.assert_close(log_det_back, -log_det, rtol=0, atol=1e-12)
    drawn = torch.randn(n, dim, generator=torch_generator(seed, "draws"), dtype=torch.float64)
    torch.testing.assert_close(flow(flow.inverse(drawn)[0])[0], drawn, rtol=0, atol=1e-12)


def test_round_trip_in_float32_at_the_official_depth() -> None:
    flow = fitted_flow(64, n_blocks=12, dtype=torch.float32)
    z = latents(16, 64, seed=1, dtype=torch.float32)
    torch.testing.assert_close(flow.inverse(flow(z)[0])[0], z, rtol=0, atol=2e-5)
    drawn = torch.randn(16, 64, generator=torch_generator(0, "draws"))
    torch.testing.assert_close(flow(flow.inverse(drawn)[0])[0], drawn, rtol=0, atol=2e-5)


def test_a_batch_of_one_is_a_row_of_a_larger_batch() -> None:
    flow = fitted_flow(6)
    z = latents(5, 6, seed=1)
    for apply in (flow.forward, flow.inverse):
        whole, log_det = apply(z)
        one, log_det_one = apply(z[2:3])
        assert one.shape == (1, 6)
        assert log_det_one.shape == (1,)
        torch.testing.assert_close(one[0], whole[2])
        torch.testing.assert_close(log_det_one[0], log_det[2])


def test_every_parameter_gets_a_gradient() -> None:
    flow = fitted_flow(7)
    z_tilde, log_det = flow(latents(8, 7, seed=1))
    (0.5 * z_tilde.square().sum(1) - log_det).mean().backward()
    for name, gradient in named_as_official(flow):
        assert gradient.isfinite().all(), name
        assert gradient.abs().sum() > 0, name


def test_initialize_standardises_the_input_of_each_coupling() -> None:
    flow = Flow(dim=6, n_blocks=3, hidden_dim=16, hidden_depth=1).double()
    x = latents(500, 6)
    flow.initialize(x)
    for layer in flow.layers:
        x, _ = layer(x)
        if isinstance(layer, ActNorm):
            torch.testing.assert_close(x.mean(0), torch.zeros(6, dtype=x.dtype), rtol=0, atol=1e-10)
            torch.testing.assert_close(x.std(0), torch.ones(6, dtype=x.dtype), rtol=0, atol=1e-5)  # the 1e-6 in scale


def test_initialize_survives_a_constant_component() -> None:
    z = latents(50, 4)
    z[:, 1] = 3.0
    flow = Flow(dim=4, n_blocks=2, hidden_dim=8, hidden_depth=1).double()
    flow.initialize(z)
    z_tilde, log_det = flow(z)
    assert z_tilde.isfinite().all()
    assert log_det.isfinite().all()


def test_the_shuffle_reads_component_permutation_i_into_place_i() -> None:
    shuffle = Shuffle(dim=5, generator=torch_generator(0, "test"))
    x = torch.arange(5.0)[None]
    y, log_det = shuffle(x)
    assert y[0].tolist() == shuffle.permutation.tolist()
    assert log_det.tolist() == [0.0]
    assert torch.equal(shuffle.inverse(y)[0], x)


def test_the_seed_decides_weights_and_permutations() -> None:
    sizes = {"dim": 6, "n_blocks": 2, "hidden_dim": 8, "hidden_depth": 1}
    torch.manual_seed(0)
    one = Flow(**sizes, seed=4).state_dict()
    torch.manual_seed(1)
    same, other = Flow(**sizes, seed=4).state_dict(), Flow(**sizes, seed=5).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    drawn = [key for key in one if "weights" in key or "permutation" in key]
    assert drawn
    assert not any(torch.equal(one[key], other[key]) for key in drawn)


def test_config_and_state_dict_restore_a_flow() -> None:
    flow = fitted_flow(6)
    again = Flow(**flow.config, seed=99).double()
    again.load_state_dict(flow.state_dict())
    z = latents(3, 6, seed=1)
    assert torch.equal(again(z)[0], flow(z)[0])
    assert torch.equal(again.inverse(z)[0], flow.inverse(z)[0])


def test_parameter_count_is_the_official_one() -> None:
    assert sum(p.numel() for p in Flow(dim=64).parameters()) == 26_815_488


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"dim": 1}, "dim=1"),
        ({"dim": 4, "n_blocks": 0}, "n_blocks: .*0"),
        ({"dim": 4, "hidden_dim": 0}, "hidden_dim: .*0"),
        ({"dim": 4, "hidden_depth": -1}, "hidden_depth: .*-1"),
    ],
)
def test_impossible_sizes_are_refused(sizes: dict[str, int], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Flow(**sizes)


@pytest.mark.parametrize("shape", [(3, 5), (4,), (3, 4, 1), (3, 2, 4, 4)])
@pytest.mark.parametrize("way", ["forward", "inverse", "initialize"])
def test_latents_of_another_shape_are_refused(shape: tuple[int, ...], way: str) -> None:
    flow = Flow(dim=4, n_blocks=1, hidden_dim=8)
    with pytest.raises(UserError, match=re.escape(f"takes z [B, 4] or [B, 4, H, W]; it was given {list(shape)}")):
        getattr(flow, way)(torch.zeros(shape))


def test_initialize_refuses_what_has_no_spread_to_measure() -> None:
    flow = Flow(dim=4, n_blocks=1, hidden_dim=8)
    with pytest.raises(UserError, match="got 1"):
        flow.initialize(torch.zeros(1, 4))
    bad = torch.zeros(3, 4)
    bad[1, 2] = float("nan")
    with pytest.raises(UserError, match="NaN"):
        flow.initialize(bad)


def feature_maps(n: int, *, channels: int, height: int, width: int, seed: int = 0) -> Tensor:
    """Feature maps whose channels and whose positions are correlated."""
    rows = latents(n * height * width, channels, seed=seed).view(n, height, width, channels).movedim(-1, 1)
    return rows + rows.mean((2, 3), keepdim=True)


def fitted_to(maps: Tensor) -> Flow:
    flow = Flow(dim=maps.shape[1], n_blocks=3, hidden_dim=16, hidden_depth=1).double()
    flow.initialize(maps)
    return flow


@pytest.mark.parametrize("dim", [2, 5, 16])
def test_a_map_of_one_position_is_a_vector(dim: int) -> None:
    flow, z = fitted_flow(dim), latents(6, dim, seed=1)
    for apply in (flow, flow.inverse):
        y, log_det = apply(z)
        mapped, mapped_log_det = apply(z[:, :, None, None])
        assert torch.equal(mapped, y[:, :, None, None])
        assert torch.equal(mapped_log_det, log_det)


def test_a_map_of_one_position_goes_through_the_official_flow(golden: Path, official: dict[str, Any]) -> None:
    z_tilde, log_det = load_official_flow(golden / "flow_small.pt")(official["za"][:, :, None, None])
    expected = torch.cat(official["factors_a"], 1)
    torch.testing.assert_close(z_tilde[:, :, 0, 0], expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(log_det, official["logdet_a"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 3, 3), (5, 1, 4), (3, 2, 2)])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_log_det_of_a_map_is_that_of_the_jacobian(shape: tuple[int, int, int], way: str) -> None:
    channels, height, width = shape
    flow = fitted_to(feature_maps(64, channels=channels, height=height, width=width))
    apply = getattr(flow, way)
    x = feature_maps(2, channels=channels, height=height, width=width, seed=1)
    _, log_det = apply(x)
    for row, value in zip(x, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda r: apply(r[None])[0][0], row).view(row.numel(), -1)
        assert value.item() == pytest.approx(torch.linalg.slogdet(jacobian)[1].item(), abs=1e-10)


@given(
    n=st.integers(1, 3),
    channels=st.integers(2, 9),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    seed=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_the_inverse_restores_a_map(n: int, channels: int, height: int, width: int, seed: int) -> None:
    flow = fitted_to(feature_maps(40, channels=channels, height=height, width=width, seed=seed))
    z = feature_maps(n, channels=channels, height=height, width=width, seed=seed + 1)
    z_tilde, log_det = flow(z)
    restored, inverse_log_det = flow.inverse(z_tilde)
    assert z_tilde.shape == z.shape
    assert log_det.shape == (n,)
    torch.testing.assert_close(restored, z, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=0, atol=1e-9)


def test_each_channel_of_a_map_is_normalised() -> None:
    maps = feature_maps(50, channels=4, height=3, width=2)
    norm = ActNorm(dim=4).double()
    flow = fitted_to(maps)
    norm.load_state_dict(flow.layers[0].state_dict())
    y = norm(maps.movedim(1, -1).reshape(-1, 4))[0]
    torch.testing.assert_close(y.mean(0), torch.zeros(4, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(y.std(0), torch.ones(4, dtype=torch.float64), rtol=1e-5, atol=0)


def test_latents_of_another_type_are_refused_and_can_be_converted() -> None:
    flow = Flow(dim=4, n_blocks=1, hidden_dim=8)
    with pytest.raises(UserError, match=r"z is torch.float64 on cpu, T torch.float32 on cpu: use T.as_latents\(z\)"):
        flow(torch.zeros(2, 4, dtype=torch.float64))
    for z in (torch.ones(2, 4).half(), torch.ones(2, 4).double().numpy(), [[1, 1, 1, 1]] * 2):
        assert torch.equal(flow(flow.as_latents(z))[0], flow(torch.ones(2, 4))[0])
    with pytest.raises(UserError, match=r"latents must be numbers \[B, 4\]"):
        flow.as_latents([["a", "b"]])


def test_the_size_of_a_flow_is_said_before_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    for size in (
        {"n_blocks": 5, "hidden_dim": 16, "hidden_depth": 1},
        {"n_blocks": 2, "hidden_dim": 8, "hidden_depth": 0},
    ):
        weights = sum(parameter.numel() for parameter in Flow(dim=7, **size).parameters())
        assert FlowSize(**size).weights(7) == weights
    monkeypatch.setattr("reproduce.models.flow._LARGE", weights - 1)
    with pytest.warns(UserWarning, match=r"a T of 7 components has 0.00 billion weights, .*\[B, C, H, W\]"):
        Flow(dim=7, **size)
    assert FlowSize().weights(256 * 14 * 14) == pytest.approx(1.26e9, rel=0.01)  # a ResNet-18's layer3, flattened
