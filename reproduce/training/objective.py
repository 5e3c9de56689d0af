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


class PerceptualTerm(Strict):
    """A perceptual distance, counted `weight` times; see `reproduce.training.perceptual`.

    `network`: "classifier" is one that is trained for it on the same images; "vgg" is LPIPS on VGG16.
    """

    network: Literal["classifier", "vgg"]
    weight: PositiveFloat


class AdversarialTerm(Strict):
    """A discriminator that takes part from step `start` (0-based) on; see `reproduce.models.discriminator`.

    `rate_factor`: its learning rate divided by the autoencoder's.
    """

    start: NonNegativeInt
    rate_factor: PositiveFloat
    spectral_norm: bool
    width: PositiveInt


class AutoencoderObjective(Strict):
    """The terms that an autoencoder is trained on, see `AutoencoderLoss`; a section that is None leaves its term out.

    `initial_logvar`: the first value of l, the logarithm of the learned scale that the error is divided by.
    """

    error: Literal["absolute", "squared"]
    perceptual: PerceptualTerm | None = None
    kl_weight: NonNegativeFloat
    initial_logvar: float
    adversarial: AdversarialTerm | None = None


def calibrated_weight(nll: Tensor, adversarial: Tensor, last_layer: Tensor) -> Tensor:
    r"""The weight of the adversarial term that makes its gradient at the decoder's last layer as large as the nll's.

    :math:`\lVert\nabla_w \mathrm{nll}\rVert / (\lVert\nabla_w g\rVert + 10^{-4})`, at most :math:`10^4`, without a
    gradient of its own. Source: official `iin/losses/ae.py` with `calibrate: true`, as in all official configs; their
    `discriminator_weight` is then not used.
    """
    (of_nll,) = torch.autograd.grad(nll, last_layer, retain_graph=True)
    (of_adversarial,) = torch.autograd.grad(adversarial, last_layer, retain_graph=True)
    return (of_nll.norm() / (of_adversarial.norm() + 1e-4)).clamp(max=1e4)


class AutoencoderLoss:
    r"""The objective of the autoencoder, and of its discriminator.

    :math:`\sum (e\,\exp(-l) + l) + w_\mathrm{KL}\,\mathrm{KL} + w_\mathrm{adv}\,g`: the sum goes over pixels and
    channels and is averaged over images, as the KL is. l is a learned scalar. e is the absolute error (official) or the
    squared one, plus the weighted perceptual distance of the whole image, the same at every pixel. g is the negative
    mean of the discriminator's logits for decoded images, its weight is `calibrated_weight`, and the term is 0 before
    `objective.adversarial.start`. The discriminator minimises half the cross-entropy of its logits for real and decoded
    images. Source: official `iin/losses/ae.py`, `LossPND`.

    Arguments:
        perceptual: the distance; needed where `objective.perceptual` is set.
        discriminator: needed where `objective.adversarial` is set.
        last_layer: the weights of the decoder's last layer, for `calibrated_weight`.

    Attributes:
        scale: holds l, which is trained with the autoencoder.
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
        """Every term as an unweighted scalar; the autoencoder minimises `loss`, the discriminator `discriminator`.

        `reconstruction` is the mean error without the perceptual distance, `nll` the sum above.
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
            term = weight = of_discriminator = logits_real = torch.zeros_like(kl)
            if step >= objective.adversarial.start:
                real, fake = self._discriminator(images), self._discriminator(decoded)
                term, logits_real = -fake.mean(), real.mean()
                weight = calibrated_weight(nll, term, self._last_layer)
                loss = loss + weight * term
                of_discriminator = 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())
            terms |= {"adversarial": term, "adversarial_weight": weight}
            terms |= {"discriminator": of_discriminator, "logits_real": logits_real}
        return {"loss": loss, **terms}
