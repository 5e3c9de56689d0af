"""The objective of an autoencoder: reconstruction, KL divergence, and an adversarial term."""

from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.models.convolutional import Posterior
from reproduce.models.discriminator import Discriminator
from reproduce.schema import Strict
from reproduce.training.perceptual import Perceptual

_LARGEST_WEIGHT = 1e4
_SMALLEST_NORM = 1e-4


class PerceptualTerm(Strict):
    """A distance in the features of `network`, counted `weight` times; see `reproduce.training.perceptual`.

    `classifier`: a classifier that is trained for it on the same images. `vgg`: LPIPS on VGG16.
    """

    network: Literal["classifier", "vgg"]
    weight: PositiveFloat


class AdversarialTerm(Strict):
    """A discriminator that takes part from step `start` (0-based) on; see `reproduce.models.discriminator`.

    `rate_factor`: its learning rate over the autoencoder's. `width`: channels of its first layer.
    """

    start: NonNegativeInt
    rate_factor: PositiveFloat
    spectral_norm: bool
    width: PositiveInt


class AutoencoderObjective(Strict):
    """The terms that an autoencoder is trained on; see `AutoencoderLoss`.

    `error` over a learned scale, whose logarithm starts at `initial_logvar`, plus `kl_weight` times the KL divergence.
    Without a `perceptual` or an `adversarial` section, that term is left out.
    """

    error: Literal["absolute", "squared"]
    perceptual: PerceptualTerm | None = None
    kl_weight: NonNegativeFloat
    initial_logvar: float
    adversarial: AdversarialTerm | None = None


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    r"""Half the cross-entropy of the logits: :math:`\frac12(\mathrm{E}\,s(-r) + \mathrm{E}\,s(f))`, s the softplus.

    Source: official `iin/losses/ae.py`.
    """
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def calibrated_weight(nll: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    r"""The weight with which the adversarial term pulls at the decoder's last layer as hard as the reconstruction.

    :math:`\lVert\nabla_w \mathrm{nll}\rVert / (\lVert\nabla_w g\rVert + 10^{-4})`, at most :math:`10^4`, a constant for
    what follows. Source: official `iin/losses/ae.py` with `calibrate: true`, as in all its configs; their
    `discriminator_weight` is then not used.
    """
    (of_nll,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
    (of_adversarial,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (of_nll.norm() / (of_adversarial.norm() + _SMALLEST_NORM)).clamp(max=_LARGEST_WEIGHT)


class AutoencoderLoss:
    r"""The objective of the autoencoder, and of its discriminator.

    :math:`\sum (e\,\exp(-l) + l) + w_\mathrm{KL}\,\mathrm{KL} + w_\mathrm{adv}\,g`: the sum goes over pixels and
    channels and is averaged over images, as the KL is; l is a learned scalar. e is the absolute error (official) or the
    squared one, plus the weighted perceptual distance of the whole image, the same at every pixel; g is the negative
    mean of the discriminator's logits of what was decoded, with the weight of `calibrated_weight`, and 0 before
    `objective.adversarial.start`. Source: official `iin/losses/ae.py`, `LossPND`.

    Arguments:
        perceptual: the distance; needed where `objective.perceptual` is set.
        discriminator: needed where `objective.adversarial` is set.
        last_layer: the weights of the decoder's last layer, which the adversarial term is calibrated at.

    Attributes:
        scale: holds l, to be trained with the autoencoder.
    """

    def __init__(
        self,
        objective: AutoencoderObjective,
        *,
        perceptual: Perceptual | None,
        discriminator: Discriminator | None,
        last_layer: Tensor,
    ) -> None:
        if (perceptual is None) != (objective.perceptual is None):
            raise UserError("a perceptual distance is needed where the objective has a perceptual term, and only there")
        if (discriminator is None) != (objective.adversarial is None):
            raise UserError("a discriminator is needed where the objective has an adversarial term, and only there")
        self._objective, self._perceptual = objective, perceptual
        self._discriminator, self._last_layer = discriminator, last_layer
        self.scale = nn.ParameterDict({"logvar": torch.tensor(objective.initial_logvar, device=last_layer.device)})

    def __call__(self, images: Tensor, decoded: Tensor, posterior: Posterior, *, step: int) -> dict[str, Tensor]:
        """Every term as a scalar, unweighted; the autoencoder minimises `loss`, the discriminator `discriminator`.

        `reconstruction` is the error alone, `nll` the sum above. Before `step` reaches the adversarial term's start,
        that term's values are 0.
        """
        objective, logvar = self._objective, self.scale["logvar"]
        difference = decoded - images
        error = difference.abs() if objective.error == "absolute" else difference.square()
        terms = {"reconstruction": error.mean()}
        if self._perceptual is not None and objective.perceptual is not None:
            distance = self._perceptual(decoded, images)
            error = error + objective.perceptual.weight * distance[:, None, None, None]
            terms["perceptual"] = distance.mean()
        nll = (error * (-logvar).exp() + logvar).sum((1, 2, 3)).mean()
        kl = posterior.kl().mean()
        loss = nll + objective.kl_weight * kl
        terms |= {"nll": nll, "logvar": logvar.detach().clone(), "kl": kl}
        if self._discriminator is not None and objective.adversarial is not None:
            names = ("adversarial", "adversarial_weight", "discriminator", "logits_real")
            adversarial = dict.fromkeys(names, torch.zeros_like(kl))
            if step >= objective.adversarial.start:
                real, fake = self._discriminator(images), self._discriminator(decoded)
                term = -fake.mean()
                weight = calibrated_weight(nll, term, self._last_layer)
                loss = loss + weight * term
                values = (term, weight, discriminator_loss(real, fake), real.mean())
                adversarial = dict(zip(names, values, strict=True))
            terms |= adversarial
        return {"loss": loss, **terms}
