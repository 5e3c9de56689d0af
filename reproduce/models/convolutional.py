"""The convolutional first stages: the autoencoder (a VAE) and the classifier that share one encoder.

Source: official `iin/models/ae.py` and `clf.py`; `paper_configs/` gives widths. `width` is the channel count of the
first layer (official: 64), doubled by each of the four downsampling layers.
"""

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

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One z `[B, N]` for each image."""
        return self.at(torch.randn(self.mean.shape, generator=generator, dtype=self.mean.dtype))

    def at(self, noise: Tensor) -> Tensor:
        """The z `[B, N]` that `noise` `[B, N]` of N(0, 1), on any device, stands for."""
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

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        self.loc.copy_(-x.mean((0, 2, 3), keepdim=True))
        self.scale.copy_(1 / (x.std((0, 2, 3), keepdim=True) + 1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x + self.loc)


class _Layer(nn.Module):
    """Convolution, ActNorm, LeakyReLU(0.2)."""

    def __init__(self, convolution: nn.Module, channels: int) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = _ChannelNorm(channels)
        self.activation = nn.LeakyReLU(0.2)

    def initialize(self, x: Tensor) -> Tensor:
        """Set the ActNorm by `x`, and return what the layer then makes of it."""
        x = self.convolution(x)
        self.norm.initialize(x)
        return self.activation(self.norm(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.norm(self.convolution(x)))


class _Encoder(nn.Module):
    """`[B, C, S, S]` to `[B, n_out]`."""

    def __init__(self, *, in_channels: int, image_size: int, width: int, n_out: int) -> None:
        super().__init__()
        if image_size % 2**_DOWNSAMPLINGS or image_size < 2**_DOWNSAMPLINGS:
            raise UserError(f"image_size={image_size}: it must be a multiple of {2**_DOWNSAMPLINGS}")
        self.in_channels, self.image_size = in_channels, image_size
        channels = [in_channels, *(width * 2**i for i in range(_DOWNSAMPLINGS))]
        self.layers = nn.ModuleList(
            _Layer(nn.Conv2d(a, b, 4, stride=2, padding=1, bias=False), b) for a, b in pairwise(channels)
        )
        self.dense = nn.Conv2d(channels[-1], n_out, image_size // 2**_DOWNSAMPLINGS)

    def initialize(self, x: Tensor) -> None:
        x = self._checked(x)
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            x = layer.initialize(x)

    def features(self, x: Tensor) -> list[Tensor]:
        x = self._checked(x)
        found = []
        for layer in self.layers:
            x = layer(x)
            found.append(x)
        return [*found, self.dense(x)]

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1].flatten(1)

    def _checked(self, x: Tensor) -> Tensor:
        expected = (self.in_channels, self.image_size, self.image_size)
        if x.ndim != 4 or tuple(x.shape[1:]) != expected:
            raise UserError(
                f"this encoder takes images [B, {expected[0]}, {expected[1]}, {expected[2]}] in [-1, 1]; "
                f"it was given {list(x.shape)}"
            )
        return x


class _Decoder(nn.Module):
    """`[B, N]` to `[B, C, S, S]` in [-1, 1]."""

    def __init__(self, *, in_channels: int, image_size: int, width: int, latent_dim: int) -> None:
        super().__init__()
        channels = [width * 2**i for i in reversed(range(_DOWNSAMPLINGS))]
        self.dense = nn.ConvTranspose2d(latent_dim, channels[0], image_size // 2**_DOWNSAMPLINGS)
        self.layers = nn.ModuleList(
            _Layer(nn.ConvTranspose2d(a, b, 4, stride=2, padding=1, bias=False), b) for a, b in pairwise(channels)
        )
        self.image = nn.ConvTranspose2d(channels[-1], in_channels, 4, stride=2, padding=1, bias=False)

    def initialize(self, z: Tensor) -> None:
        x = self.dense(z[:, :, None, None])
        for layer in self.layers:
            assert isinstance(layer, _Layer)
            x = layer.initialize(x)

    def forward(self, z: Tensor) -> Tensor:
        x = self.dense(z[:, :, None, None])
        for layer in self.layers:
            x = layer(x)
        return self.image(x).tanh()


def _draw_weights(module: nn.Module, seed: int) -> None:
    """Convolutions N(0, 0.02) with bias 0 (official), in the order of the state dict."""
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
        image_size: side S of the images, a multiple of 16 (official: 32 and 64).
        width: channels of the first layer (official: 64).
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
        """The weights of the decoder's last layer, those of its image `[width, C, 4, 4]`."""
        return self.decoder.image.weight

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Data-dependent ActNorm of encoder and decoder by images `x` `[B, C, S, S]`; once, before training."""
        self.encoder.initialize(x)
        self.decoder.initialize(self.encode(x).mean)

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

    Arguments as for `Autoencoder`; `n_classes` is the number of logits.
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

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Data-dependent ActNorm by images `x` `[B, C, S, S]`; once, before training."""
        self.encoder.initialize(x)

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
