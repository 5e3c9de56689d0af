"""The convolutional first stages: the autoencoder (a VAE) and the classifier, which have the same encoder.

Source: official `iin/models/ae.py` and `clf.py`; `paper_configs/` gives widths. `width` is the number of channels of
the first layer (official: 64). Each of the four downsampling layers doubles it.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.factors import check_shape
from reproduce.seeds import torch_generator

_DOWNSAMPLINGS = 4


@dataclass(frozen=True)
class Posterior:
    """q(z|x): a diagonal Gaussian; `mean` and `logvar` (log variance) are `[B, N]`."""

    mean: Tensor
    logvar: Tensor

    def __getitem__(self, index: Tensor) -> "Posterior":
        """The posteriors of the images `index`, a tensor of integers on any device."""
        index = index.to(self.mean.device)
        return Posterior(self.mean[index], self.logvar[index])

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Draw one z `[B, N]` for each image."""
        return self.at(torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype))

    def at(self, noise: Tensor) -> Tensor:
        """The z `[B, N]` that belongs to `noise` `[B, N]`, which is a draw from N(0, 1) on any device."""
        return self.mean + (0.5 * self.logvar).exp() * noise.to(self.mean.device)

    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ N(0, 1)) `[B]`, in nats."""
        return 0.5 * (self.mean.square() + self.logvar.exp() - 1 - self.logvar).sum(1)


class _ChannelNorm(nn.Module):
    """ActNorm over channels, without its log-determinant."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def initialize(self, x: Tensor) -> None:
        self.loc.copy_(-x.mean((0, 2, 3), keepdim=True))
        self.scale.copy_(1 / (x.std((0, 2, 3), keepdim=True) + 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x + self.loc)


@contextmanager
def _initialising(network: nn.Module) -> Iterator[None]:
    """Within the block, every ActNorm of `network` is set by its input before it is applied."""
    norms = [module for module in network.modules() if isinstance(module, _ChannelNorm)]
    hooks = [norm.register_forward_pre_hook(lambda norm, inputs: norm.initialize(*inputs)) for norm in norms]
    try:
        with torch.no_grad():
            yield
    finally:
        for hook in hooks:
            hook.remove()


def _layers(convolution: type[nn.Conv2d | nn.ConvTranspose2d], channels: list[int]) -> nn.ModuleList:
    """Layers of convolution, ActNorm and LeakyReLU(0.2), each of which halves or doubles the side."""
    return nn.ModuleList(
        nn.Sequential(
            OrderedDict(
                convolution=convolution(a, b, 4, stride=2, padding=1, bias=False),
                norm=_ChannelNorm(b),
                activation=nn.LeakyReLU(0.2),
            )
        )
        for a, b in pairwise(channels)
    )


class _Encoder(nn.Module):
    """`[B, C, S, S]` to `[B, n_out]`."""

    def __init__(self, *, in_channels: int, image_size: int, width: int, n_out: int) -> None:
        super().__init__()
        if image_size % 2**_DOWNSAMPLINGS or image_size < 2**_DOWNSAMPLINGS:
            raise UserError(f"image_size={image_size}: it must be a multiple of {2**_DOWNSAMPLINGS}")
        self.image_shape = (in_channels, image_size, image_size)
        channels = [in_channels, *(width * 2**i for i in range(_DOWNSAMPLINGS))]
        self.layers = _layers(nn.Conv2d, channels)
        self.dense = nn.Conv2d(channels[-1], n_out, image_size // 2**_DOWNSAMPLINGS)

    def features(self, x: Tensor) -> list[Tensor]:
        if x.ndim != 4 or tuple(x.shape[1:]) != self.image_shape:
            expected = ", ".join(map(str, self.image_shape))
            raise UserError(f"this encoder takes images [B, {expected}] in [-1, 1]; it was given {list(x.shape)}")
        found = []
        for layer in [*self.layers, self.dense]:
            x = layer(x)
            found.append(x)
        return found

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1].flatten(1)


class _Decoder(nn.Module):
    """`[B, N]` to `[B, C, S, S]` in [-1, 1]."""

    def __init__(self, *, in_channels: int, image_size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        channels = [width * 2**i for i in reversed(range(_DOWNSAMPLINGS))]
        self.dense = nn.ConvTranspose2d(latent_dim, channels[0], image_size // 2**_DOWNSAMPLINGS)
        self.layers = _layers(nn.ConvTranspose2d, channels)
        self.image = nn.ConvTranspose2d(channels[-1], in_channels, 4, stride=2, padding=1, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z[:, :, None, None])
        for layer in self.layers:
            x = layer(x)
        return self.image(x).tanh()


def _draw_weights(module: nn.Module, seed: int) -> None:
    """Draw the convolutions' weights from N(0, 0.02), with bias 0 (official), in the order of the state dict."""
    generator = torch_generator(seed, "convolution weights")
    for child in module.modules():
        if isinstance(child, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(child.weight, 0.0, 0.02, generator=generator)
            if child.bias is not None:
                nn.init.zeros_(child.bias)


class Autoencoder(nn.Module):
    """E and G of the paper's autoencoder: a VAE with convolutions of stride 2.

    Arguments:
        in_channels: 1 or 3.
        image_size: the side S of the images, a multiple of 16 (official: 32 and 64).
        width: the channels of the first layer (official: 64).
        latent_dim: N, the size of z (official: 64).
        seed: decides the initial weights.
    """

    def __init__(
        self, *, in_channels: int = 3, image_size: int = 32, width: int = 64, latent_dim: int = 64, seed: int = 0
    ) -> None:
        super().__init__()
        images = {"in_channels": in_channels, "image_size": image_size, "width": width}
        self.latent_dim, self.config = latent_dim, {**images, "latent_dim": latent_dim}
        self.encoder = _Encoder(**images, n_out=2 * latent_dim)
        self.decoder = _Decoder(**images, latent_dim=latent_dim)
        _draw_weights(self, seed)

    @property
    def last_layer(self) -> Tensor:
        """The weights `[width, C, 4, 4]` of the decoder's last layer."""
        return self.decoder.image.weight

    def initialize(self, x: Tensor) -> None:
        """Data-dependent ActNorm of encoder and decoder by images `x` `[B, C, S, S]`; once, before training."""
        with _initialising(self):
            self.decode(self.encode(x).mean)

    def encode(self, x: Tensor) -> Posterior:
        """E: images `[B, C, S, S]` in [-1, 1] to the posterior over z; log variance is clamped to [-30, 10]."""
        mean, logvar = self.encoder(x).chunk(2, 1)
        return Posterior(mean, logvar.clamp(-30.0, 10.0))

    def decode(self, z: Tensor) -> Tensor:
        """G: z `[B, N]` to images `[B, C, S, S]` in [-1, 1]."""
        check_shape(z, self.latent_dim, network="decoder")
        return self.decoder(z)


class Classifier(nn.Module):
    """E and G of the interpreted classifier: the same encoder, and a linear layer from z to logits.

    The arguments are those of `Autoencoder`, and `n_classes`, the number of logits.
    """

    def __init__(
        self,
        *,
        n_classes: int = 10,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = 64,
        latent_dim: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        images = {"in_channels": in_channels, "image_size": image_size, "width": width}
        self.latent_dim, self.n_classes = latent_dim, n_classes
        self.config = {"n_classes": n_classes, **images, "latent_dim": latent_dim}
        self.encoder = _Encoder(**images, n_out=latent_dim)
        self.head = nn.Linear(latent_dim, n_classes)
        _draw_weights(self, seed)
        bound = latent_dim**-0.5
        generator = torch_generator(seed, "classifier head")
        for parameter in self.head.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    def initialize(self, x: Tensor) -> None:
        """Data-dependent ActNorm by images `x` `[B, C, S, S]`; once, before training."""
        with _initialising(self):
            self.encode(x)

    def encode(self, x: Tensor) -> Tensor:
        """E: images `[B, C, S, S]` in [-1, 1] to z `[B, N]`."""
        return self.encoder(x)

    def features(self, x: Tensor) -> list[Tensor]:
        """Each layer's output for images `[B, C, S, S]`: `[B, C_i, S_i, S_i]` from fine to coarse, z `[B, N, 1, 1]`."""
        return self.encoder.features(x)

    def classify(self, z: Tensor) -> Tensor:
        """G: z `[B, N]` to logits `[B, n_classes]`."""
        check_shape(z, self.latent_dim, network="classifier")
        return self.head(z)

    def forward(self, x: Tensor) -> Tensor:
        """Images to logits `[B, n_classes]`."""
        return self.classify(self.encode(x))
