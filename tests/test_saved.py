"""A T that was saved can be handed on: it keeps what it needs, and swaps, interpolates and retrieves on images."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import reproduce
from reproduce import Flow, ReproduceError, UserError, load_flow
from reproduce.models.weights import save_network
from reproduce.seeds import torch_generator

DIMS = (3, 0, 2, 3)
NAMES = ("shape", "nothing", "size")


class Small(nn.Module):
    """Images `[B, 3, 6, 6]` to five logits by way of a map `[B, 8, 2, 2]`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, stride=3)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


def images(n: int, purpose: str = "images") -> Tensor:
    return torch.randn(n, 3, 6, 6, generator=torch_generator(0, purpose))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def saved(tmp_path: Path, network: nn.Module) -> Path:
    flow = Flow(dim=8, n_blocks=2, hidden_dim=16, hidden_depth=1)
    flow.initialize(reproduce.split(network, "features").encode(images(50)))
    flow.save(tmp_path / "t.safetensors", dims=DIMS, concepts=NAMES, layer="features")
    return tmp_path / "t.safetensors"


def test_a_file_holds_the_flow_the_factors_and_the_layer(saved: Path) -> None:
    loaded = load_flow(saved)
    assert loaded.dims == {"shape": 3, "nothing": 0, "size": 2, "residual": 3}
    assert loaded.concepts == NAMES
    assert (loaded.layer, loaded.layout) == ("features", "channels_first")
    assert loaded.flow.config == {"dim": 8, "n_blocks": 2, "hidden_dim": 16, "hidden_depth": 1}


def test_a_swap_of_images_is_that_of_their_latents(saved: Path, network: nn.Module) -> None:
    loaded, split = load_flow(str(saved)), reproduce.split(network, "features")
    target, source = images(7), images(7, "sources")
    z_star = reproduce.swap(loaded.flow, split.encode(target), split.encode(source), factor=2, dims=DIMS)
    expected = split.decode(z_star)
    for divided in (network, split):
        torch.testing.assert_close(loaded.swap(divided, target, source, factor="size"), expected)
    one = loaded.swap(network, target, source[:1], factor="size")
    torch.testing.assert_close(one, loaded.swap(network, target, source[:1].expand(7, -1, -1, -1), factor="size"))
    assert not torch.allclose(one, expected)


def test_interpolation_of_images_leads_from_the_target_to_the_swap(saved: Path, network: nn.Module) -> None:
    loaded, target, source = load_flow(saved), images(4), images(4, "sources")
    start, end = (
        loaded.interpolate(network, target, source, factor="residual", fraction=f).detach() for f in (0.0, 1.0)
    )
    torch.testing.assert_close(start, network(target).detach(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(end, loaded.swap(network, target, source, factor=3))
    assert not torch.allclose(start, end)


def test_the_nearest_images_in_a_factor_are_retrieved(saved: Path, network: nn.Module) -> None:
    loaded, shown = load_flow(saved), images(40)
    found = loaded.retrieve(network, shown[:5], shown, factor="size", n=3)
    assert found[:, 0].tolist() == [0, 1, 2, 3, 4]
    factors = loaded.factors(network, shown)[:, 3:5].flatten(1)
    distances = (factors[:5, None] - factors[None]).norm(dim=2)
    assert torch.equal(found, distances.argsort(1)[:, :3])


@pytest.mark.parametrize("kind", [reproduce.Autoencoder, reproduce.Classifier])
def test_the_networks_of_this_package_need_no_layer(kind: type, tmp_path: Path) -> None:
    network = kind(image_size=16, width=4, latent_dim=8).eval()
    x, y = torch.rand(2, 3, 3, 16, 16, generator=torch_generator(0, "pictures")) * 2 - 1
    flow = Flow(dim=8, n_blocks=1, hidden_dim=8)
    flow.save(tmp_path / "t", dims=DIMS, concepts=NAMES)
    loaded = load_flow(tmp_path / "t")
    swapped = loaded.swap(network, x, y, factor="residual")
    z_a, z_b = (code.mean if isinstance(code, reproduce.Posterior) else code for code in map(network.encode, (x, y)))
    z_star = reproduce.swap(flow, z_a, z_b, factor=3, dims=DIMS)
    decode = network.decode if kind is reproduce.Autoencoder else network.classify
    torch.testing.assert_close(swapped, decode(z_star).detach())


def test_what_cannot_be_saved_or_loaded_is_refused(tmp_path: Path, saved: Path, network: nn.Module) -> None:
    flow, path = Flow(dim=8, n_blocks=1, hidden_dim=8), tmp_path / "other"
    with pytest.raises(UserError, match="sum to 9, but z has 8"):
        flow.save(path, dims=(4, 5), concepts=["a"])
    with pytest.raises(UserError, match="2 sizes need 1 different concepts"):
        flow.save(path, dims=(4, 4), concepts=["a", "b"])
    with pytest.raises(UserError, match="3 sizes need 2 different concepts"):
        flow.save(path, dims=(4, 2, 2), concepts=["a", "residual"])
    assert not path.exists()
    save_network(path, flow)
    with pytest.raises(UserError, match="a T without factor sizes"):
        load_flow(path)
    flow.save(path, dims=(4, 4), concepts=["a"])
    with pytest.raises(UserError, match="this T was saved without a layer"):
        load_flow(path).swap(network, images(1), images(1), factor="a")
    with pytest.raises(UserError, match=r"factor='b' is not in dims=.*it has a, residual"):
        load_flow(path).retrieve(network, images(1), images(3), factor="b")
    with pytest.raises(UserError, match="0 dimensions"):
        load_flow(saved).retrieve(network, images(1), images(3), factor="nothing")
    with pytest.raises(UserError, match="there are 3 images"):
        load_flow(saved).retrieve(network, images(1), images(3), factor="size")


@pytest.mark.parametrize("dims", [[3, 5], {"a": -1, "residual": 9}, {"a": "3"}, {"a": 3, "residual": 6}, {}])
def test_a_file_with_wrong_sizes_is_refused(tmp_path: Path, dims: object) -> None:
    path, flow = tmp_path / "t", Flow(dim=8, n_blocks=1, hidden_dim=8)
    flow.save(path, dims=(4, 4), concepts=["a"])
    header = {"kind": "flow", "config": flow.config, "dims": dims}
    save_file(load_file(path), path, metadata={"network": json.dumps(header)})
    with pytest.raises(ReproduceError):
        load_flow(path)
