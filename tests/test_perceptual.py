"""The perceptual distance against its formula in plain numpy, and its place in the autoencoder's objective."""

import numpy as np
import torch

from reproduce.config import AutoencoderObjective, NetworkTraining
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.seeds import torch_generator
from reproduce.training.first_stage import train_autoencoder
from reproduce.training.perceptual import feature_distance

TRAINING = NetworkTraining(
    steps=60,
    batch_size=16,
    peak_rate=2e-3,
    schedule="one_cycle",
    decay_from=None,
    betas=(0.5, 0.9),
    initialize_batch=16,
    gradient_clip=None,
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

    objective = AutoencoderObjective(error="absolute", perceptual_weight=weight, kl_weight=1.0, initial_logvar=0.0)
    model = Autoencoder(width=4, latent_dim=8)
    return train_autoencoder(
        model, draw, objective=objective, training=TRAINING, seed=0, perceptual=feature_distance(classifier())
    )


def test_the_weight_decides_how_much_the_distance_counts() -> None:
    without, with_it = train(0.0)[-1], train(5.0)[-1]
    assert without.keys() == {"step", "loss", "reconstruction", "perceptual", "kl"}
    assert with_it["perceptual"] < without["perceptual"]
    assert with_it["loss"] > without["loss"]
