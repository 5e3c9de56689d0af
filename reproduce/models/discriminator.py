"""The discriminator of the adversarial term: a PatchGAN, which judges overlapping patches of an image."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm as normalise_spectrum

from reproduce.errors import UserError
from reproduce.seeds import torch_generator

_MIN_SIDE = 24  # the smallest side that gives one logit


class Discriminator(nn.Module):
    """Images `[B, C, S, S]` in [-1, 1] to the logits `[B, P, P]` of P x P patches: real is positive; P = S/8 - 2.

    There are five 4x4 convolutions, three of stride 2 and two of stride 1. BatchNorm follows all but the first and the
    last, LeakyReLU(0.2) all but the last. Source: official `iin/losses/ae.py` (`NLayerDiscriminator` with 3 layers, and
    its initial weights), which takes it from Isola et al., "Image-to-Image Translation with Conditional Adversarial
    Networks" (2017).

    Arguments:
        in_channels: 1 or 3.
        width: the channels of the first layer (official: 64); each of the next three doubles it.
        spectral_norm: divide each convolution's weights by their largest singular value (Miyato et al. 2018), as
            the official `celeba_ae.yaml` and `cifar_ae.yaml` do.
        seed: decides the initial weights.
    """

    def __init__(self, *, in_channels: int, width: int, spectral_norm: bool, seed: int) -> None:
        super().__init__()
        channels = [in_channels, *(width * 2**i for i in range(4))]
        layers: list[nn.Module] = []
        # biases and singular vectors come from PyTorch's own initialisation, which takes no generator
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_generator(seed, "discriminator weights").initial_seed())
            for i, (a, b) in enumerate(pairwise(channels)):
                layers.append(nn.Conv2d(a, b, 4, stride=2 if i < 3 else 1, padding=1, bias=i == 0))
                layers += [nn.BatchNorm2d(b)] if i > 0 else []
                layers.append(nn.LeakyReLU(0.2))
            layers.append(nn.Conv2d(channels[-1], 1, 4, padding=1))
            for layer in layers:
                if isinstance(layer, nn.Conv2d | nn.BatchNorm2d):
                    nn.init.normal_(layer.weight, 1.0 if isinstance(layer, nn.BatchNorm2d) else 0.0, 0.02)
            if spectral_norm:
                layers = [normalise_spectrum(x) if isinstance(x, nn.Conv2d) else x for x in layers]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or min(x.shape[2:]) < _MIN_SIDE:
            raise UserError(
                f"this discriminator takes images [B, C, S, S] with S of {_MIN_SIDE} or more; it was given "
                f"{list(x.shape)}"
            )
        return self.layers(x).squeeze(1)
