"""The autoencoder's objective: every term against a re-computation in float64, and the training that it is for."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Posterior
from reproduce.models.discriminator import Discriminator
from reproduce.models.weights import save_network
from reproduce.seeds import torch_generator
from reproduce.training import first_stage
from reproduce.training.first_stage import train_autoencoder
from reproduce.training.loop import Resume
from reproduce.training.objective import (
    AdversarialTerm,
    AutoencoderLoss,
    AutoencoderObjective,
    PerceptualTerm,
    calibrated_weight,
)
from reproduce.training.optimisation import LinearDecay, NetworkTraining

ADVERSARIAL = AdversarialTerm(start=10, rate_factor=4.0, spectral_norm=True, width=4)
OBJECTIVE = AutoencoderObjective(
    error="absolute",
    perceptual=PerceptualTerm(network="vgg", weight=0.7),
    kl_weight=0.6,
    initial_logvar=-0.4,
    adversarial=ADVERSARIAL,
)
TRAINING = NetworkTraining(
    steps=20,
    batch_size=8,
    peak_rate=1e-3,
    schedule=LinearDecay(decay_from=15),
    betas=(0.5, 0.9),
    initialize_batch=16,
)
SIZE = {"in_channels": 1, "image_size": 32, "width": 4, "latent_dim": 6}


def distance(images: Tensor, others: Tensor) -> Tensor:
    """Stands in for a perceptual network: it is smooth, gives one number per image, and works in any precision."""
    return (F.avg_pool2d(images, 4) - F.avg_pool2d(others, 4)).square().mean((1, 2, 3))


def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images with a bright half, left or right."""
    x = torch.rand(n, 1, 32, 32, generator=generator) * 0.4 - 0.9
    left = torch.rand(n, generator=generator) < 0.5
    x[left, :, :, :16] += 1.4
    x[~left, :, :, 16:] += 1.4
    return x, torch.zeros(n, 1)


# --- every term, in float64


def weights_in_use(layers: nn.Sequential, buffers: dict[str, Tensor], calls: int) -> list[Tensor]:
    """Each convolution's weights in the discriminator's `calls`-th call: divided by a power iteration's estimate."""
    found = []
    for i, layer in enumerate(layers):
        if not isinstance(layer, nn.Conv2d):
            continue
        if f"layers.{i}.weight" in buffers:
            found.append(buffers[f"layers.{i}.weight"].double())
            continue
        prefix = f"layers.{i}.parametrizations.weight"
        weight = buffers[f"{prefix}.original"].double()
        matrix, u = weight.flatten(1), buffers[f"{prefix}.0._u"].double()
        for _ in range(calls):
            v = F.normalize(matrix.T @ u, dim=0)
            u = F.normalize(matrix @ v, dim=0)
        found.append(weight / (u @ matrix @ v))
    return found


def judged(discriminator: Discriminator, state: dict[str, Tensor], x: Tensor, *, call: int) -> Tensor:
    """The logits, from the weights in `state` and plain arithmetic."""
    weights = iter(weights_in_use(discriminator.layers, state, call))
    for i, layer in enumerate(discriminator.layers):
        if isinstance(layer, nn.Conv2d):
            bias = state.get(f"layers.{i}.bias")
            x = F.conv2d(x, next(weights), None if bias is None else bias.double(), stride=layer.stride, padding=1)
        elif isinstance(layer, nn.BatchNorm2d):
            mean = x.mean((0, 2, 3), keepdim=True)
            variance = (x - mean).square().mean((0, 2, 3), keepdim=True)
            scale, shift = (state[f"layers.{i}.{name}"].double()[:, None, None] for name in ("weight", "bias"))
            x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        else:
            x = torch.where(x > 0, x, 0.2 * x)
    return x


@pytest.mark.parametrize("error", ["absolute", "squared"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_every_term_is_its_formula_in_float64(error: str, spectral_norm: bool) -> None:
    adversarial = ADVERSARIAL.model_copy(update={"spectral_norm": spectral_norm, "start": 0})
    objective = OBJECTIVE.model_copy(update={"error": error, "adversarial": adversarial})
    discriminator = Discriminator(in_channels=1, width=4, spectral_norm=spectral_norm, seed=3)
    with torch.no_grad():  # logits of different signs and sizes
        for parameter in discriminator.parameters():
            parameter.mul_(3)
    state = {name: value.clone() for name, value in discriminator.state_dict().items()}
    generator = torch_generator(0, "batch")
    images = draw(8, generator)[0]
    features = torch.randn(8, 4, 16, 16, generator=generator)
    last = (torch.randn(4, 1, 4, 4, generator=generator) * 0.2).requires_grad_()
    posterior = Posterior(torch.randn(8, 6, generator=generator), torch.randn(8, 6, generator=generator) - 1)

    decoded = F.conv_transpose2d(features, last, stride=2, padding=1).tanh()
    loss = AutoencoderLoss(objective, perceptual=distance, discriminator=discriminator, last_layer=last)
    found = loss(images, decoded, posterior, step=0)

    exact_last = last.detach().double().requires_grad_()
    exact = F.conv_transpose2d(features.double(), exact_last, stride=2, padding=1).tanh()
    logvar = torch.tensor(-0.4, dtype=torch.float64)
    pixels = (exact - images.double()).abs() if error == "absolute" else (exact - images.double()) ** 2
    perceptual = distance(exact, images.double())
    nll = sum(
        (pixels[i] + 0.7 * perceptual[i]).sum() / math.exp(-0.4) + pixels[i].numel() * logvar for i in range(8)
    ) / 8  # fmt: skip
    q = torch.distributions.Normal(posterior.mean.double(), (posterior.logvar.double() / 2).exp())
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    real = judged(discriminator, state, images.double(), call=1)
    fake = judged(discriminator, state, exact, call=2)
    weight = torch.autograd.grad(nll, exact_last, retain_graph=True)[0].norm() / (
        torch.autograd.grad(fake.mean(), exact_last)[0].norm() + 1e-4
    )
    expected = {
        "loss": nll + 0.6 * kl - weight * fake.mean(),
        "reconstruction": pixels.mean(),
        "perceptual": perceptual.mean(),
        "nll": nll,
        "logvar": logvar,
        "kl": kl,
        "adversarial": -fake.mean(),
        "adversarial_weight": weight,
        "discriminator": -0.5 * (real.sigmoid().log().mean() + (1 - fake.sigmoid()).log().mean()),
        "logits_real": real.mean(),
    }
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name
    assert not found["adversarial_weight"].requires_grad
    assert not found["logvar"].requires_grad


def test_the_weight_is_bounded() -> None:
    last = torch.ones(3, requires_grad=True)
    assert calibrated_weight(2e5 * last.sum(), 0 * last.sum(), last) == 1e4
    assert calibrated_weight(0 * last.sum(), last.sum(), last) == 0
    assert calibrated_weight(2 * last.sum(), last.sum(), last).item() == pytest.approx(2 * 3**0.5 / (3**0.5 + 1e-4))


def test_before_its_start_the_discriminator_has_no_say() -> None:
    x = draw(4, torch_generator(0, "batch"))[0]
    last = torch.ones(1, requires_grad=True)
    discriminator = Discriminator(in_channels=1, width=4, spectral_norm=False, seed=0)
    loss = AutoencoderLoss(OBJECTIVE, perceptual=distance, discriminator=discriminator, last_layer=last)
    posterior = Posterior(torch.zeros(4, 6), torch.zeros(4, 6))
    before, after = (loss(x, x * 0.5 * last, posterior, step=step) for step in (9, 10))
    names = ("adversarial", "adversarial_weight", "discriminator", "logits_real")
    assert all(before[name] == 0 for name in names)
    assert all(after[name] != 0 for name in names)
    assert before["loss"] == before["nll"]  # the KL is 0
    assert before["nll"] == after["nll"]


def test_a_term_needs_its_network_and_a_network_its_term() -> None:
    last = torch.ones(1, requires_grad=True)
    discriminator = Discriminator(in_channels=1, width=4, spectral_norm=False, seed=0)
    with pytest.raises(UserError, match="a perceptual distance is needed"):
        AutoencoderLoss(OBJECTIVE, perceptual=None, discriminator=discriminator, last_layer=last)
    with pytest.raises(UserError, match="a discriminator is needed"):
        AutoencoderLoss(OBJECTIVE, perceptual=distance, discriminator=None, last_layer=last)
    without = OBJECTIVE.model_copy(update={"perceptual": None, "adversarial": None})
    with pytest.raises(UserError, match="only there"):
        AutoencoderLoss(without, perceptual=distance, discriminator=None, last_layer=last)


# --- the discriminator


@pytest.mark.parametrize(("channels", "side", "patches"), [(3, 32, 2), (1, 64, 6), (1, 24, 1)])
def test_the_discriminator_judges_patches(channels: int, side: int, patches: int) -> None:
    network = Discriminator(in_channels=channels, width=4, spectral_norm=False, seed=0)
    assert network(torch.zeros(2, channels, side, side)).shape == (2, patches, patches)


def test_the_official_discriminator_has_the_official_number_of_weights() -> None:
    network = Discriminator(in_channels=3, width=64, spectral_norm=False, seed=0)
    a, b, c, d = 64, 128, 256, 512
    convolutions = 16 * (3 * a + a * b + b * c + c * d + d) + a + 1
    assert sum(p.numel() for p in network.parameters()) == convolutions + 2 * (b + c + d) == 2765633


def test_the_seed_decides_the_discriminator_and_leaves_other_draws_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    a, b, c = (Discriminator(in_channels=1, width=2, spectral_norm=True, seed=seed) for seed in (0, 0, 1))
    assert torch.rand(3).equal(expected)
    assert all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))
    for layer, other in zip(a.layers, c.layers, strict=True):
        assert isinstance(layer, nn.LeakyReLU) or not layer.weight.equal(other.weight)


def test_with_spectral_norm_no_convolution_stretches() -> None:
    network = Discriminator(in_channels=1, width=4, spectral_norm=True, seed=0)
    for _ in range(30):
        network(torch.zeros(2, 1, 32, 32))
    for layer in network.layers:
        if isinstance(layer, nn.Conv2d):
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2).item() == pytest.approx(1, abs=0.02)


def test_images_too_small_for_a_patch_are_refused() -> None:
    network = Discriminator(in_channels=1, width=2, spectral_norm=False, seed=0)
    with pytest.raises(UserError, match=r"S of 24 or more; it was given \[1, 1, 16, 16\]"):
        network(torch.zeros(1, 1, 16, 16))


# --- the training


@pytest.fixture
def discriminators(monkeypatch: pytest.MonkeyPatch) -> list[Discriminator]:
    """Those that a training makes."""
    made: list[Discriminator] = []

    def make(**options: object) -> Discriminator:
        made.append(Discriminator(**options))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setattr(first_stage, "Discriminator", make)
    return made


def train(
    draw_images: Callable[[int, torch.Generator], tuple[Tensor, Tensor]] = draw,
    *,
    resume: Resume | None = None,
    objective: AutoencoderObjective = OBJECTIVE,
    training: NetworkTraining = TRAINING,
) -> tuple[Autoencoder, list[dict[str, float]]]:
    model = Autoencoder(**SIZE)
    log = train_autoencoder(
        model, draw_images, objective=objective, training=training, seed=0, perceptual=distance, resume=resume
    )
    return model, log


class Killed(Exception):
    pass


def killed_after(n: int) -> Callable[[int, torch.Generator], tuple[Tensor, Tensor]]:
    calls = 0

    def wrapped(batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        nonlocal calls
        calls += 1
        if calls > n + 1:  # the first call is the initialisation's
            raise Killed
        return draw(batch, generator)

    return wrapped


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("step", [6, 14])
def test_killed_and_resumed_it_ends_with_the_same_bytes(
    step: int, tmp_path: Path, discriminators: list[Discriminator]
) -> None:
    """Before the discriminator's start, and after it."""
    whole, log = train()
    resume = Resume(folder=tmp_path, recipe={}, seconds=0)
    with pytest.raises(Killed):
        train(killed_after(step), resume=resume)
    assert torch.load(resume.file, weights_only=True)["step"] == step
    continued, continued_log = train(resume=resume)
    assert continued_log == log
    assert same(discriminators[0], discriminators[-1])
    for name, model in (("whole", whole), ("continued", continued)):
        save_network(tmp_path / name, model)
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "continued").read_bytes()


@pytest.mark.parametrize("lost", ["discriminator", "discriminator's optimizer"])
def test_what_is_saved_of_the_discriminator_is_needed(
    lost: str, tmp_path: Path, discriminators: list[Discriminator]
) -> None:
    whole, _ = train()
    resume = Resume(folder=tmp_path, recipe={}, seconds=0)
    with pytest.raises(Killed):
        train(killed_after(14), resume=resume)
    state = torch.load(resume.file, weights_only=True)
    if lost == "discriminator":
        for value in state["stateful"][lost].values():
            value.mul_(2)
    else:
        for entry in state["stateful"][lost]["state"].values():
            entry["exp_avg"].zero_()
    torch.save(state, resume.file)
    continued, _ = train(resume=resume)
    assert not same(whole, continued)
    assert not same(discriminators[0], discriminators[-1])


def test_both_step_from_the_weights_that_the_step_began_with(discriminators: list[Discriminator]) -> None:
    """The first adversarial step against Adam's formula, on gradients of a re-computed pass."""
    objective = OBJECTIVE.model_copy(update={"adversarial": ADVERSARIAL.model_copy(update={"start": 0})})
    # a large step: gradients through weights that had moved already would be others
    one = TRAINING.model_copy(update={"steps": 1, "schedule": "one_cycle", "peak_rate": 1.0})
    trained, _ = train(objective=objective, training=one)

    model = Autoencoder(**SIZE)
    model.initialize(draw(16, torch_generator(0, "autoencoder initialisation"))[0])
    assert model.last_layer.shape == (4, 1, 4, 4)
    discriminator = Discriminator(in_channels=1, width=4, spectral_norm=True, seed=0)
    generator = torch_generator(0, "autoencoder batch", 0)
    images = draw(8, generator)[0]
    posterior = model.encode(images)
    decoded = model.decode(posterior.sample(generator))
    loss = AutoencoderLoss(objective, perceptual=distance, discriminator=discriminator, last_layer=model.last_layer)
    values = loss(images, decoded, posterior, step=0)
    rate = 1 / 25  # one_cycle's first
    for network, ended, value, factor in (
        (model, trained, "loss", 1.0),
        (discriminator, discriminators[0], "discriminator", 4.0),
    ):
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(values[value], parameters, retain_graph=True)
        for before, gradient, after in zip(parameters, gradients, ended.parameters(), strict=True):
            assert after.grad is not None
            torch.testing.assert_close(after.grad, gradient, rtol=1e-4, atol=1e-4 * float(gradient.abs().max()))
            expected = before - rate * factor * gradient / (gradient.abs() + 1e-8)
            torch.testing.assert_close(after, expected, rtol=1e-6, atol=rate * factor * 1e-2)


def test_the_discriminator_waits_for_its_start(discriminators: list[Discriminator]) -> None:
    train(training=TRAINING.model_copy(update={"steps": 10}))  # its start is after the last step
    assert same(discriminators[0], Discriminator(in_channels=1, width=4, spectral_norm=True, seed=0))
    train()
    assert not same(discriminators[0], discriminators[1])
