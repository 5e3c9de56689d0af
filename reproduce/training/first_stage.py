"""Training the interpreted networks, and the judges, on images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.config import AutoencoderObjective, NetworkTraining
from reproduce.device import widest
from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.discriminator import Discriminator
from reproduce.seeds import torch_generator
from reproduce.training.distributed import average, part, processes
from reproduce.training.loop import Resume, learning_rate, run_steps
from reproduce.training.objective import AutoencoderLoss
from reproduce.training.perceptual import Perceptual

DrawImages = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
_LOG_EVERY = 50


@dataclass(frozen=True)
class _Player:
    """Weights, and the name of the value that they are trained to lower, from step `start` on."""

    module: nn.Module
    lowers: str = "loss"
    rate_factor: float = 1.0
    start: int = 0


def train_autoencoder(
    model: Autoencoder,
    draw_images: DrawImages,
    *,
    objective: AutoencoderObjective,
    training: NetworkTraining,
    seed: int,
    perceptual: Perceptual | None = None,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Train `model` in place on `reproduce.training.objective`, its discriminator beside it; return the log.

    Autoencoder and discriminator take their gradients of one and the same pass, at the weights that the step began
    with, and then step both. The official step moves the discriminator first and takes the autoencoder's gradient
    afterwards through the changed weights, which PyTorch refuses since 1.5 (official `iin/iterators/ae.py`). There the
    discriminator also counts its steps from 0, with gradients of 0; here from `objective.adversarial.start`, so that
    Adam's first few moves differ in size.

    Arguments:
        model: trained on the device that it lies on.
        draw_images: `draw_images(n, generator)` returns images `[n, C, S, S]` in [-1, 1] and targets `[n, n_outputs]`.
        perceptual: the distance, on that device; needed where `objective.perceptual` is set.

    Raises UserError for an adversarial term in several processes.
    """
    players = {}
    discriminator = None
    if objective.adversarial is not None:
        if processes() > 1:  # its BatchNorm and its calibrated weight are of the whole batch
            raise UserError("an adversarial term is trained in one process: leave torchrun and REPRODUCE_PROCESSES out")
        adversarial = objective.adversarial
        discriminator = Discriminator(
            in_channels=model.config["in_channels"],
            width=adversarial.width,
            spectral_norm=adversarial.spectral_norm,
            seed=seed,
        ).to(model.last_layer.device)
        players["discriminator"] = _Player(
            discriminator, lowers="discriminator", rate_factor=adversarial.rate_factor, start=adversarial.start
        )
    loss = AutoencoderLoss(objective, perceptual=perceptual, discriminator=discriminator, last_layer=model.last_layer)

    def values_of(images: Tensor, _: Tensor, generator: torch.Generator, step: int) -> dict[str, Tensor]:
        posterior = model.encode(images)
        noise = torch.randn(training.batch_size, posterior.mean.shape[1], generator=generator)
        decoded = model.decode(posterior.at(noise[part(training.batch_size)]))
        return loss(images, decoded, posterior, step)

    return _train(
        {"autoencoder": _Player(nn.ModuleDict({"model": model, "objective": loss.scale})), **players},
        model.initialize,
        values_of,
        draw_images,
        training=training,
        seed=seed,
        title="autoencoder",
        resume=resume,
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
) -> list[dict[str, float]]:
    """Train `model` in place by binary cross-entropy (official `iin/iterators/clf.py`); return the log.

    The targets are 0 or 1: one-hot for classes, or an output an attribute. `accuracy` is the share of outputs on the
    right side of 0.

    Arguments:
        frequencies: share `[n_outputs]` of images in which each output should be 1. With it, 0 and 1 weigh the same in
            every output, so that a rare attribute is as likely to be seen as to be missed.
    """
    rare = None if frequencies is None else frequencies.clamp(1e-3, 1 - 1e-3).to(next(model.parameters()).device)

    def values_of(images: Tensor, targets: Tensor, _: torch.Generator, step: int) -> dict[str, Tensor]:
        logits = model(images)
        weights = None if rare is None else 0.5 / torch.where(targets > 0, rare, 1 - rare)
        loss = F.binary_cross_entropy_with_logits(logits, targets, weights)
        return {"loss": loss, "accuracy": ((logits.detach() > 0) == (targets > 0)).to(widest(logits.device)).mean()}

    return _train(
        {"classifier": _Player(model)},
        model.initialize,
        values_of,
        draw_images,
        training=training,
        seed=seed,
        title=title,
        resume=resume,
    )


def _train(
    players: Mapping[str, _Player],
    initialize: Callable[[Tensor], None],
    values_of: Callable[[Tensor, Tensor, torch.Generator, int], dict[str, Tensor]],
    draw_images: DrawImages,
    *,
    training: NetworkTraining,
    seed: int,
    title: str,
    resume: Resume | None,
) -> list[dict[str, float]]:
    for player in players.values():
        player.module.to(memory_format=torch.channels_last)  # faster convolutions on CPU and GPU, same weights
    device = next(player.module.parameters()).device
    own = part(training.batch_size)
    first = draw_images(training.initialize_batch, torch_generator(seed, f"{title} initialisation"))[0]
    initialize(first.to(device))
    weights = {name: list(player.module.parameters()) for name, player in players.items()}
    optimizers = {
        name: torch.optim.Adam(weights[name], lr=training.peak_rate, betas=training.betas, fused=True)
        for name in players
    }

    def step(i: int) -> dict[str, Tensor]:
        generator = torch_generator(seed, f"{title} batch", i)
        images, targets = draw_images(training.batch_size, generator)
        images = images[own].to(device, memory_format=torch.channels_last)
        values = values_of(images, targets[own].to(device), generator, i)
        playing = [name for name, player in players.items() if i >= player.start]
        for name in playing:  # every gradient is taken before any weight moves
            optimizers[name].zero_grad(set_to_none=True)
            values[players[name].lowers].backward(inputs=weights[name], retain_graph=name != playing[-1])
        values = {name: value.detach() for name, value in values.items()}
        gradients = [p.grad for name in playing for p in weights[name] if p.grad is not None]
        average([*gradients, *values.values()], of=training.batch_size)
        rate = learning_rate(
            i,
            steps=training.steps,
            peak=training.peak_rate,
            schedule=training.schedule,
            decay_from=training.decay_from,
        )
        for name in playing:
            if training.gradient_clip is not None:
                nn.utils.clip_grad_norm_(weights[name], training.gradient_clip)
            for group in optimizers[name].param_groups:
                group["lr"] = rate * players[name].rate_factor
            optimizers[name].step()
        return values

    log = run_steps(
        step,
        steps=training.steps,
        stateful={
            **{name: player.module for name, player in players.items()},
            **{f"{name}'s optimizer": optimizer for name, optimizer in optimizers.items()},
        },
        title=title,
        log_every=_LOG_EVERY,
        resume=resume,
    )
    for player in players.values():
        player.module.to(memory_format=torch.contiguous_format).eval()
    return log
