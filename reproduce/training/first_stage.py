"""Training the interpreted networks, and the judges, on images."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.device import widest
from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.discriminator import Discriminator
from reproduce.seeds import torch_generator
from reproduce.training.distributed import part, processes
from reproduce.training.loop import Log, Resume, Trained, optimise
from reproduce.training.objective import AutoencoderLoss, AutoencoderObjective
from reproduce.training.optimisation import NetworkTraining
from reproduce.training.perceptual import Perceptual

DrawImages = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]


def train_autoencoder(
    model: Autoencoder,
    draw_images: DrawImages,
    *,
    objective: AutoencoderObjective,
    training: NetworkTraining,
    seed: int,
    perceptual: Perceptual | None = None,
    resume: Resume | None = None,
) -> Log:
    """Train `model` in place on `AutoencoderLoss`, and its discriminator with it; return the log.

    Both take their gradients from one pass, at the weights that the step began with, and step afterwards. The official
    step moves the discriminator first and then takes the autoencoder's gradient through the changed weights, which
    PyTorch refuses since 1.5 (official `iin/iterators/ae.py`). The official discriminator also counts its steps from 0,
    with gradients of 0; here it counts from `objective.adversarial.start`, so that Adam's first few steps differ.

    Arguments:
        model: it is trained on the device that it lies on.
        draw_images: `draw_images(n, generator)` returns images `[n, C, S, S]` in [-1, 1] and targets `[n, n_outputs]`.
        perceptual: the distance, on that device; needed where `objective.perceptual` is set.

    Raises UserError for an adversarial term in several processes.
    """
    discriminator, others, adversarial = None, dict[str, Trained](), objective.adversarial
    if adversarial is not None:
        if processes() > 1:  # the BatchNorm and the calibrated weight need the whole batch
            raise UserError("an adversarial term is trained in one process: leave torchrun and REPRODUCE_PROCESSES out")
        channels, width, norm = model.config["in_channels"], adversarial.width, adversarial.spectral_norm
        discriminator = Discriminator(in_channels=channels, width=width, spectral_norm=norm, seed=seed)
        discriminator.to(model.last_layer.device)
        others["discriminator"] = Trained(
            discriminator, loss="discriminator", rate_factor=adversarial.rate_factor, start=adversarial.start
        )
    loss = AutoencoderLoss(objective, perceptual=perceptual, discriminator=discriminator, last_layer=model.last_layer)
    networks = {"autoencoder": Trained(nn.ModuleDict({"model": model, "objective": loss.scale})), **others}
    own = part(training.batch_size)

    def values_of(images: Tensor, _: Tensor, *, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        posterior = model.encode(images)
        noise = torch.randn(training.batch_size, posterior.mean.shape[1], generator=generator)
        return loss(images, model.decode(posterior.at(noise[own])), posterior, step=step)

    return _train(
        model, networks, values_of, draw=draw_images, training=training, seed=seed, title="autoencoder", resume=resume
    )


def train_classifier(
    model: Classifier,
    draw_images: DrawImages,
    *,
    training: NetworkTraining,
    seed: int,
    frequencies: Tensor | None = None,
    title: str = "classifier",
    resume: Resume | None = None,
) -> Log:
    """Train `model` in place by binary cross-entropy (official `iin/iterators/clf.py`); return the log.

    The targets are 0 or 1: one-hot for classes, or one output per attribute. The log's `accuracy` is the share of
    outputs on the right side of 0. `title` is also part of the seed: two titles draw different batches.

    Arguments:
        frequencies: for each output `[n_outputs]`, the share of images in which it should be 1. With it, 0 and 1 weigh
            the same in every output, so that a rare attribute is as likely to be seen as to be missed.
    """
    rare = None if frequencies is None else frequencies.clamp(1e-3, 1 - 1e-3).to(next(model.parameters()).device)

    def values_of(images: Tensor, targets: Tensor, **_: object) -> dict[str, Tensor]:
        logits = model(images)
        weights = None if rare is None else 0.5 / torch.where(targets > 0, rare, 1 - rare)
        loss = F.binary_cross_entropy_with_logits(logits, targets, weights)
        return {"loss": loss, "accuracy": ((logits.detach() > 0) == (targets > 0)).to(widest(logits.device)).mean()}

    networks = {"classifier": Trained(model)}
    return _train(
        model, networks, values_of, draw=draw_images, training=training, seed=seed, title=title, resume=resume
    )


def _train(
    model: Autoencoder | Classifier,
    networks: Mapping[str, Trained],
    values_of: Callable[..., dict[str, Tensor]],
    *,
    draw: DrawImages,
    training: NetworkTraining,
    seed: int,
    title: str,
    resume: Resume | None,
) -> Log:
    """Initialise `model`, and train it with the other `networks` on `values_of(images, targets, generator=, step=)`."""
    own = part(training.batch_size)
    for network in networks.values():
        network.module.to(memory_format=torch.channels_last)  # faster convolutions, on CPU and GPU
    device = next(model.parameters()).device
    first, _ = draw(training.initialize_batch, torch_generator(seed, f"{title} initialisation"))
    model.initialize(first.to(device))

    def values_at(step: int) -> dict[str, Tensor]:
        generator = torch_generator(seed, f"{title} batch", step)
        images, targets = draw(training.batch_size, generator)
        images = images[own].to(device, memory_format=torch.channels_last)
        return values_of(images, targets[own].to(device), generator=generator, step=step)

    log = optimise(networks, values_at, training, title=title, gradient_clip=training.gradient_clip, resume=resume)
    for network in networks.values():
        network.module.to(memory_format=torch.contiguous_format).eval()
    return log
