"""The first stages have the official sizes, their posterior is a Gaussian, and their seed decides their weights."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from reproduce import Autoencoder, Classifier, Posterior, UserError
from reproduce.seeds import torch_generator

SMALL: dict[str, Any] = {"width": 2, "latent_dim": 5}


def images(n: int = 4, channels: int = 3, size: int = 32) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch_generator(0, "test images")) * 2 - 1


def posterior(n: int = 3, dim: int = 4) -> Posterior:
    generator = torch_generator(0, "test posterior")
    return Posterior(*(torch.randn(n, dim, generator=generator, dtype=torch.float64) for _ in range(2)))


@pytest.mark.parametrize(
    ("model", "count"),
    [
        (lambda: Autoencoder(), 5_907_840),
        (lambda: Autoencoder(in_channels=1), 5_903_744),
        (lambda: Autoencoder(image_size=64), 7_087_488),
        (lambda: Classifier(), 2_889_290),
    ],
)
def test_parameter_counts_are_the_official_ones(model: Any, count: int) -> None:
    assert sum(p.numel() for p in model().parameters()) == count


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_shapes(channels: int, size: int) -> None:
    x = images(2, channels, size)
    autoencoder = Autoencoder(in_channels=channels, image_size=size, **SMALL)
    encoded = autoencoder.encode(x)
    assert encoded.mean.shape == encoded.logvar.shape == (2, 5)
    decoded = autoencoder.decode(encoded.mean)
    assert decoded.shape == x.shape
    assert decoded.abs().max() <= 1
    classifier = Classifier(n_classes=7, in_channels=channels, image_size=size, **SMALL)
    assert classifier.encode(x).shape == (2, 5)
    assert classifier(x).shape == (2, 7)
    assert torch.equal(classifier(x), classifier.classify(classifier.encode(x)))


def test_mean_and_log_variance_are_the_two_halves_and_the_latter_is_clamped() -> None:
    model = Autoencoder(**SMALL)
    with torch.no_grad():
        model.encoder.dense.weight.zero_()
        model.encoder.dense.bias.copy_(torch.tensor([1.0, 2, 3, 40, -50, -40, -3, 0, 9, 11]))
    encoded = model.encode(images(1))
    assert encoded.mean[0].tolist() == [1, 2, 3, 40, -50]
    assert encoded.logvar[0].tolist() == [-30, -3, 0, 9, 10]


def normalised(x: Tensor, norm: Any) -> Tensor:
    return F.leaky_relu(norm.scale * (x + norm.loc), 0.2)


def test_both_halves_compute_the_official_layers() -> None:
    model = Autoencoder(**SMALL)
    x = images()
    model.initialize(x)
    h = x
    for layer in model.encoder.layers:
        h = normalised(F.conv2d(h, layer.convolution.weight, stride=2, padding=1), layer.norm)
    h = F.conv2d(h, model.encoder.dense.weight, model.encoder.dense.bias)
    torch.testing.assert_close(model.encode(x).mean, h[:, :5, 0, 0])
    h = F.conv_transpose2d(h[:, :5], model.decoder.dense.weight, model.decoder.dense.bias)
    for layer in model.decoder.layers:
        h = normalised(F.conv_transpose2d(h, layer.convolution.weight, stride=2, padding=1), layer.norm)
    h = F.conv_transpose2d(h, model.decoder.image.weight, stride=2, padding=1).tanh()
    torch.testing.assert_close(model.decode(model.encode(x).mean), h)


def test_kl_is_that_of_two_gaussians() -> None:
    q = posterior()
    zero, one = torch.zeros(3, 4, dtype=torch.float64), torch.ones(3, 4, dtype=torch.float64)
    expected = kl_divergence(Normal(q.mean, (0.5 * q.logvar).exp()), Normal(zero, one)).sum(1)
    torch.testing.assert_close(q.kl(), expected, rtol=0, atol=1e-12)


def test_samples_follow_the_posterior() -> None:
    q = posterior(1)
    many = Posterior(q.mean.expand(40_000, 4), q.logvar.expand(40_000, 4))
    z = many.sample(torch_generator(0, "samples"))
    deviation = (0.5 * q.logvar[0]).exp()
    assert ((z.mean(0) - q.mean[0]) / deviation).abs().max() < 5 / 200
    assert (z.std(0) / deviation - 1).abs().max() < 5 / (2 * 40_000) ** 0.5


def test_the_generator_alone_decides_a_sample() -> None:
    q = posterior()
    assert torch.equal(q.sample(torch_generator(0, "s")), q.sample(torch_generator(0, "s")))
    assert not torch.equal(q.sample(torch_generator(0, "s")), q.sample(torch_generator(1, "s")))


def test_a_sample_passes_gradients_to_mean_and_log_variance() -> None:
    q = posterior()
    mean, logvar = q.mean.requires_grad_(), q.logvar.requires_grad_()
    z = Posterior(mean, logvar).sample(torch_generator(0, "s"))
    z.sum().backward()
    assert mean.grad is not None
    assert logvar.grad is not None
    torch.testing.assert_close(mean.grad, torch.ones_like(mean))
    torch.testing.assert_close(logvar.grad, 0.5 * (z - mean).detach())


@pytest.mark.parametrize("make", [Autoencoder, Classifier])
def test_initialize_standardises_every_layer(make: Any) -> None:
    model, seen = make(**SMALL), []
    model.initialize(images(16))
    layers = [*model.encoder.layers, *(model.decoder.layers if make is Autoencoder else [])]
    for layer in layers:
        layer.norm.register_forward_hook(lambda module, arguments, output: seen.append(output))
    z = model.encode(images(16))
    if make is Autoencoder:
        model.decode(z.mean)
    assert len(seen) == len(layers)
    for output in seen:
        channels = output.shape[1]
        torch.testing.assert_close(output.mean((0, 2, 3)), torch.zeros(channels), rtol=0, atol=1e-4)
        torch.testing.assert_close(output.std((0, 2, 3)), torch.ones(channels), rtol=0, atol=1e-2)


def test_every_parameter_gets_a_gradient() -> None:
    autoencoder, classifier = Autoencoder(**SMALL), Classifier(**SMALL)
    x = images(8)
    autoencoder.initialize(x)
    classifier.initialize(x)
    q = autoencoder.encode(x)
    ((autoencoder.decode(q.sample(torch_generator(0, "s"))) - x).abs().mean() + q.kl().mean()).backward()
    classifier(x).square().mean().backward()
    for model in (autoencoder, classifier):
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("make", [Autoencoder, Classifier])
def test_config_and_state_dict_restore_a_model(make: Any) -> None:
    model = make(**SMALL, in_channels=1, image_size=16)
    model.initialize(images(4, 1, 16))
    again = make(**model.config, seed=99)
    again.load_state_dict(model.state_dict())
    x = images(2, 1, 16)
    torch.testing.assert_close(again.encoder(x), model.encoder(x), rtol=0, atol=0)


@pytest.mark.parametrize("make", [Autoencoder, Classifier])
def test_the_seed_decides_the_weights(make: Any) -> None:
    torch.manual_seed(0)
    one = make(**SMALL, seed=4).state_dict()
    torch.manual_seed(1)
    same, other = make(**SMALL, seed=4).state_dict(), make(**SMALL, seed=5).state_dict()
    assert all(torch.equal(one[key], same[key]) for key in one)
    weights = [key for key in one if key.endswith("weight")]
    assert weights
    assert not any(torch.equal(one[key], other[key]) for key in weights)


def test_convolutions_start_at_the_official_spread() -> None:
    model = Autoencoder()
    for weight in (model.encoder.layers[2].convolution.weight, model.decoder.dense.weight, model.decoder.image.weight):
        assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not model.encoder.dense.bias.any()
    assert not model.decoder.dense.bias.any()


@pytest.mark.parametrize("make", [Autoencoder, Classifier])
@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 3, 32, 64), (3, 32, 32)])
def test_images_of_another_shape_are_refused(make: Any, shape: tuple[int, ...]) -> None:
    model = make(**SMALL)
    for call in (model.encode, model.initialize):
        with pytest.raises(UserError, match=rf"\[B, 3, 32, 32\].*given \[{', '.join(map(str, shape))}\]"):
            call(torch.zeros(shape))


@pytest.mark.parametrize("size", [0, 8, 28, 40])
def test_an_image_size_that_does_not_halve_four_times_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"image_size={size}:"):
        Autoencoder(image_size=size)


@pytest.mark.parametrize("shape", [(2, 4), (5,), (2, 5, 1, 1)])
def test_latents_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=rf"z \[B, 5\].*given \[{', '.join(map(str, shape))}\]"):
        Autoencoder(**SMALL).decode(torch.zeros(shape))
