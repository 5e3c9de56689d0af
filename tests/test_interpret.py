"""A swap exchanges one factor in z̃ and nothing else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from reproduce import Flow, UserError, factor_slices, interpolate, load_official_flow, swap
from reproduce.seeds import torch_generator

DIMS = (3, 0, 2, 4)


@pytest.fixture(scope="module")
def flow() -> Flow:
    flow = Flow(dim=9, n_blocks=3, hidden_dim=16, hidden_depth=1).double()
    flow.initialize(latents("initial", 50))
    return flow


def latents(purpose: str, n: int = 6) -> Tensor:
    return torch.randn(n, 9, generator=torch_generator(0, purpose), dtype=torch.float64) * 2 + 1


@pytest.mark.parametrize("factor", [0, 1, 2])
def test_swaps_are_the_official_ones(golden: Path, factor: int) -> None:
    file = torch.load(golden / "flow_small.pt", weights_only=True)
    official = load_official_flow(golden / "flow_small.pt")
    swapped = swap(official, file["za"], file["zb"], factor=factor, dims=file["config"]["factor_config"])
    torch.testing.assert_close(swapped, file["swaps"][f"swap{factor}"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("factor", range(4))
def test_a_swap_takes_one_factor_from_the_source(flow: Flow, factor: int) -> None:
    target, source = latents("target"), latents("source")
    swapped = flow(swap(flow, target, source, factor=factor, dims=DIMS))[0]
    for k, part in enumerate(factor_slices(DIMS)):
        expected = flow(source if k == factor else target)[0]
        torch.testing.assert_close(swapped[:, part], expected[:, part], rtol=0, atol=1e-10)


def test_a_factor_of_size_0_changes_nothing(flow: Flow) -> None:
    target = latents("target")
    torch.testing.assert_close(swap(flow, target, latents("source"), factor=1, dims=DIMS), target, rtol=0, atol=1e-10)
    collapsed = (0, 0, 9)
    source = latents("source")
    torch.testing.assert_close(swap(flow, target, source, factor=2, dims=collapsed), source, rtol=0, atol=1e-10)


def test_interpolation_is_linear_in_z_tilde(flow: Flow) -> None:
    target, source = latents("target"), latents("source")
    part = factor_slices(DIMS)[3]
    start, end = flow(target)[0], flow(source)[0]
    for fraction in (0.0, 0.25, 1.0):
        moved = flow(interpolate(flow, target, source, factor=3, dims=DIMS, fraction=fraction))[0]
        expected = start.clone()
        expected[:, part] = (1 - fraction) * start[:, part] + fraction * end[:, part]
        torch.testing.assert_close(moved, expected, rtol=0, atol=1e-10)


def test_the_latents_are_left_as_they_were_and_no_graph_is_kept(flow: Flow) -> None:
    target, source = latents("target"), latents("source")
    swapped = swap(flow, target.requires_grad_(), source, factor=0, dims=DIMS)
    assert torch.equal(target, latents("target"))
    assert torch.equal(source, latents("source"))
    assert not swapped.requires_grad


@pytest.mark.parametrize("factor", [4, -1])
def test_a_factor_out_of_range_is_named(flow: Flow, factor: int) -> None:
    with pytest.raises(UserError, match=rf"factor={factor} is out of range.*0 … 3"):
        swap(flow, latents("target"), latents("source"), factor=factor, dims=DIMS)


def test_what_does_not_fit_the_flow_is_refused(flow: Flow) -> None:
    with pytest.raises(UserError, match=r"sum to 10, but z has 9"):
        swap(flow, latents("target"), latents("source"), factor=0, dims=(3, 3, 4))
    with pytest.raises(UserError, match=r"takes z \[B, 9\] or \[B, 9, H, W\]; it was given \[6, 8\]"):
        swap(flow, latents("target"), latents("source")[:, :8], factor=0, dims=DIMS)
