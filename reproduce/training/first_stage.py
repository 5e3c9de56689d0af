"""Training the interpreted networks, and the judges, on images."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.config import AutoencoderObjective, NetworkTraining
from reproduce.device import widest
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.seeds import torch_generator
from reproduce.training.distributed import average, part
from reproduce.training.loop import Resume, learning_rate, run_steps
from reproduce.training.perceptual import Perceptual

__all__ = ["DrawImages", "train_autoencoder", "train_classifier"]

DrawImages = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
_LOG_EVERY = 50


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
    r"""Train `model` in place; return the log.

    The objective, summed over pixels and averaged over images, with a learned scalar :math:`l`:
    :math:`\sum (e\,\exp(-l) + l) + w\,\mathrm{KL}`, where e is the absolute error (official `iin/losses/ae.py`,
    `LossPND`, without its adversarial term) or the squared one, plus the weighted perceptual distance of the whole
    image, the same at every pixel (as there).

    Arguments:
        model: trained on the device that it lies on.
        perceptual: the distance, on that device; needed where `objective.perceptual_weight` is not 0.
        draw_images: `draw_images(n, generator)` returns images `[n, C, S, S]` in [-1, 1] and targets `[n, n_outputs]`.
    """
    device = next(model.parameters()).device
    logvar = nn.ParameterDict({"logvar": torch.tensor(objective.initial_logvar, device=device)})

    def loss_of(images: Tensor, _: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        posterior = model.encode(images)
        noise = torch.randn(training.batch_size, posterior.mean.shape[1], generator=generator)
        decoded = model.decode(posterior.at(noise[part(training.batch_size)]))
        difference = decoded - images
        error = difference.abs() if objective.error == "absolute" else difference.square()
        terms = {"reconstruction": error.mean()}
        if perceptual is not None:
            distance = perceptual(decoded, images)
            error = error + objective.perceptual_weight * distance[:, None, None, None]
            terms["perceptual"] = distance.mean()
        scale = logvar["logvar"]
        reconstruction = (error * (-scale).exp() + scale).sum((1, 2, 3)).mean()
        kl = posterior.kl().mean()
        return {"loss": reconstruction + objective.kl_weight * kl, **terms, "kl": kl}

    return _train(
        nn.ModuleDict({"model": model, "objective": logvar}),
        model.initialize,
        loss_of,
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
    """Train `model` in place by binary cross-entropy (official `iin/models/clf.py`); return the log.

    The targets are 0 or 1: one-hot for classes, or an output an attribute. `accuracy` is the share of outputs on the
    right side of 0.

    Arguments:
        frequencies: share `[n_outputs]` of images in which each output should be 1. With it, 0 and 1 weigh the same in
            every output, so that a rare attribute is as likely to be seen as to be missed.
    """
    rare = None if frequencies is None else frequencies.clamp(1e-3, 1 - 1e-3).to(next(model.parameters()).device)

    def loss_of(images: Tensor, targets: Tensor, _: torch.Generator) -> dict[str, Tensor]:
        logits = model(images)
        weights = None if rare is None else 0.5 / torch.where(targets > 0, rare, 1 - rare)
        loss = F.binary_cross_entropy_with_logits(logits, targets, weights)
        return {"loss": loss, "accuracy": ((logits.detach() > 0) == (targets > 0)).to(widest(logits.device)).mean()}

    return _train(
        nn.ModuleDict({"model": model}),
        model.initialize,
        loss_of,
        draw_images,
        training=training,
        seed=seed,
        title=title,
        resume=resume,
    )


def _train(
    modules: nn.ModuleDict,
    initialize: Callable[[Tensor], None],
    loss_of: Callable[[Tensor, Tensor, torch.Generator], dict[str, Tensor]],
    draw_images: DrawImages,
    *,
    training: NetworkTraining,
    seed: int,
    title: str,
    resume: Resume | None,
) -> list[dict[str, float]]:
    modules.to(memory_format=torch.channels_last)  # faster convolutions on CPU and GPU, same weights
    device = next(modules.parameters()).device
    own = part(training.batch_size)
    first = draw_images(training.initialize_batch, torch_generator(seed, f"{title} initialisation"))[0]
    initialize(first.to(device))
    optimizer = torch.optim.Adam(modules.parameters(), lr=training.peak_rate, betas=training.betas, fused=True)

    def step(i: int) -> dict[str, Tensor]:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(
                i,
                steps=training.steps,
                peak=training.peak_rate,
                schedule=training.schedule,
                decay_from=training.decay_from,
            )
        generator = torch_generator(seed, f"{title} batch", i)
        images, targets = draw_images(training.batch_size, generator)
        images = images[own].to(device, memory_format=torch.channels_last)
        values = loss_of(images, targets[own].to(device), generator)
        optimizer.zero_grad(set_to_none=True)
        values["loss"].backward()
        values = {name: value.detach() for name, value in values.items()}
        gradients = [p.grad for p in modules.parameters() if p.grad is not None]
        average([*gradients, *values.values()], of=training.batch_size)
        if training.gradient_clip is not None:
            nn.utils.clip_grad_norm_(modules.parameters(), training.gradient_clip)
        optimizer.step()
        return values

    log = run_steps(
        step,
        steps=training.steps,
        stateful={"modules": modules, "optimizer": optimizer},
        title=title,
        log_every=_LOG_EVERY,
        resume=resume,
    )
    modules.to(memory_format=torch.contiguous_format).eval()
    return log
