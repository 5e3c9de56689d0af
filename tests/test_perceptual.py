"""The perceptual distances against their formulas, and their place in the autoencoder's objective."""

from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.seeds import torch_generator
from reproduce.training.first_stage import train_autoencoder
from reproduce.training.objective import AutoencoderObjective, PerceptualTerm
from reproduce.training.optimisation import NetworkTraining
from reproduce.training.perceptual import feature_distance, lpips_distance

TRAINING = NetworkTraining(
    steps=60,
    batch_size=16,
    peak_rate=2e-3,
    schedule="one_cycle",
    betas=(0.5, 0.9),
    initialize_batch=16,
)


def images(n: int, seed: int, *, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(n, 3, 32, 32, generator=torch_generator(seed, "images"), dtype=dtype) * 2 - 1


def classifier(dtype: torch.dtype = torch.float32) -> Classifier:
    network = Classifier(n_classes=3, width=4, latent_dim=8).to(dtype)
    network.initialize(images(32, 5, dtype=dtype))
    return network


def test_the_distance_is_its_formula() -> None:
    network = classifier(torch.float64)
    x, y = images(4, 0, dtype=torch.float64), images(4, 1, dtype=torch.float64)
    layers = zip(network.features(x), network.features(y), strict=True)
    by_hand = np.zeros(4)
    for f, g in ((a.detach().numpy(), b.detach().numpy()) for a, b in layers):
        for i in range(4):
            pixels = [
                f[i, :, h, w] / np.linalg.norm(f[i, :, h, w]) - g[i, :, h, w] / np.linalg.norm(g[i, :, h, w])
                for h in range(f.shape[2])
                for w in range(f.shape[3])
            ]
            by_hand[i] += np.mean([np.dot(d, d) for d in pixels]) / 5
    np.testing.assert_allclose(feature_distance(network)(x, y).numpy(), by_hand, rtol=1e-12)
    assert (by_hand > 0.1).all()


def test_an_image_is_at_no_distance_from_itself_and_the_network_is_left_alone() -> None:
    network = classifier()
    distance = feature_distance(network)
    x = images(4, 0).requires_grad_()
    assert distance(x, x.detach()).abs().max() < 1e-6
    distance(x, images(4, 1)).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def train(weight: float) -> list[dict[str, float]]:
    data = images(64, 2)

    def draw(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        index = torch.randint(len(data), (n,), generator=generator)
        return data[index], torch.zeros(n, 1)

    objective = AutoencoderObjective(
        error="absolute",
        perceptual=PerceptualTerm(network="classifier", weight=weight),
        kl_weight=1.0,
        initial_logvar=0.0,
    )
    model = Autoencoder(width=4, latent_dim=8)
    return train_autoencoder(
        model, draw, objective=objective, training=TRAINING, seed=0, perceptual=feature_distance(classifier())
    )


def test_the_weight_decides_how_much_the_distance_counts() -> None:
    hardly, much = train(1e-6)[-1], train(5.0)[-1]
    assert hardly.keys() == {"step", "loss", "reconstruction", "perceptual", "nll", "logvar", "kl"}
    assert much["perceptual"] < hardly["perceptual"]
    assert much["loss"] > hardly["loss"]


CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)  # of VGG16's convolutions
POOLED_BEFORE, TAPPED = (2, 4, 7, 10), (1, 3, 6, 9, 12)


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the layout of torchvision's file."""
    generator = torch_generator(0, "weights")
    state, layer = {}, 0
    for i, (a, b) in enumerate(pairwise((3, *CHANNELS))):
        layer += i in POOLED_BEFORE
        state[f"features.{layer}.weight"] = torch.randn(b, a, 3, 3, generator=generator) * (2 / (9 * a)) ** 0.5
        state[f"features.{layer}.bias"] = torch.randn(b, generator=generator) * 0.1
        layer += 2
    state["classifier.0.bias"] = torch.zeros(1)
    path = tmp_path_factory.mktemp("weights") / "vgg16.pth"
    torch.save(state, path)
    return path


def lpips_by_hand(path: Path, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """LPIPS 0.1 in float64, from the two files of weights."""
    state = {name: value.double() for name, value in torch.load(path, weights_only=True).items()}
    learned = torch.load(files("lpips") / "weights" / "v0.1" / "vgg.pth", map_location="cpu", weights_only=True)
    weights = [value for name, value in state.items() if name.startswith("features") and name.endswith("weight")]
    biases = [value for name, value in state.items() if name.startswith("features") and name.endswith("bias")]
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # ImageNet's, of [0, 1]
    both = torch.cat([x, y]).double()
    both = ((both + 1) / 2 - mean.double()[:, None, None]) / deviation.double()[:, None, None]
    distance = torch.zeros(len(x), dtype=torch.float64)
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        both = F.max_pool2d(both, 2) if i in POOLED_BEFORE else both
        both = F.conv2d(both, weight, bias, padding=1).clamp(min=0)
        if i in TAPPED:
            of_x, of_y = (f / f.square().sum(1, keepdim=True).sqrt() for f in both.chunk(2))
            channel_weights = learned[f"lin{TAPPED.index(i)}.model.1.weight"].double()
            distance += (channel_weights * (of_x - of_y).square()).sum(1).mean((1, 2))
    return distance


@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_is_its_formula(vgg16: Path, channels: int) -> None:
    x, y = images(2, 0)[:, :channels], images(2, 1)[:, :channels]
    distance = lpips_distance(vgg16, torch.device("cpu"))
    expected = lpips_by_hand(vgg16, x.expand(-1, 3, -1, -1), y.expand(-1, 3, -1, -1))
    assert expected.min() > 0.01
    torch.testing.assert_close(distance(x, y).double(), expected, rtol=1e-5, atol=0)
    x.requires_grad_()
    distance(x, y).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_lpips_refuses_what_is_not_vgg16(vgg16: Path, tmp_path: Path) -> None:
    state = torch.load(vgg16, weights_only=True)
    del state["features.28.bias"]
    torch.save(state, tmp_path / "another")
    (tmp_path / "page").write_text("<html>")
    for name in ("another", "page"):
        with pytest.raises(UserError, match=rf"{name} does not hold torchvision's VGG16 \(\w+\): fetch it again"):
            lpips_distance(tmp_path / name, torch.device("cpu"))
