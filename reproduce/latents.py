"""Latents: they are encoded once, kept on disk, and drawn as pairs for training and for the estimators."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from reproduce.errors import ReproduceError
from reproduce.files import read_array, write_array
from reproduce.models.convolutional import Posterior
from reproduce.pairs import ConceptPairs

IMAGES_AT_A_TIME = 500  # where no network is trained; a larger batch needs more memory and is no faster


class Encoder(Protocol):
    """A network whose `encode` maps images to z, or to a posterior over z."""

    def to(self, device: torch.device) -> Any: ...

    def encode(self, x: Tensor) -> Tensor | Posterior: ...


@torch.no_grad()
def encode_images(
    network: Encoder,
    images: Callable[[slice], Tensor],
    n: int,
    *,
    device: torch.device,
    title: str,
) -> Posterior:
    """Encode `n` images, of which `images(part)` returns a slice; a classifier's log-variance is -inf.

    Raises ReproduceError where a latent is not finite.
    """
    network = network.to(device)
    posteriors = []
    for start in tqdm(range(0, n, IMAGES_AT_A_TIME), desc=title, disable=None):
        batch = images(slice(start, min(start + IMAGES_AT_A_TIME, n)))
        code = network.encode(batch.to(device, memory_format=torch.channels_last))
        posteriors.append(code if isinstance(code, Posterior) else _exact(code))
    mean = torch.cat([posterior.mean.cpu() for posterior in posteriors])
    logvar = torch.cat([posterior.logvar.cpu() for posterior in posteriors])
    if not torch.isfinite(mean).all() or torch.isnan(logvar).any():
        raise ReproduceError("the network gives NaN or infinite latents: retrain it, or restore its weights")
    return Posterior(mean, logvar)


def _exact(z: Tensor) -> Posterior:
    """The posterior without variance: its mean is z, its log-variance -inf."""
    return Posterior(z, torch.tensor(-torch.inf, dtype=z.dtype).expand_as(z))


def save_posterior(posterior: Posterior, folder: Path, name: str) -> None:
    """Write `<name>_mean.npy` and, unless the posterior has no variance as a classifier's, `<name>_logvar.npy`."""
    write_array(folder / f"{name}_mean.npy", posterior.mean.numpy())
    logvar = folder / f"{name}_logvar.npy"
    if torch.isfinite(posterior.logvar).all():
        write_array(logvar, posterior.logvar.numpy())
    else:
        logvar.unlink(missing_ok=True)  # an autoencoder's file may be left from an earlier call


def load_posterior(folder: Path, name: str) -> Posterior:
    """Read what `save_posterior` wrote."""
    mean = torch.from_numpy(read_array(folder / f"{name}_mean.npy"))
    logvar = folder / f"{name}_logvar.npy"
    return Posterior(mean, torch.from_numpy(read_array(logvar))) if logvar.exists() else _exact(mean)


@dataclass(frozen=True)
class LatentPairs:
    """Pairs of latents that share one concept: `pairs` draws the images, and `posterior` `[n, N]` has their latents.

    `sample`: draw z from the posterior anew each time (official in training), or take its mean (official in the
    estimate).
    """

    pairs: ConceptPairs
    posterior: Posterior
    sample: bool

    def __call__(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw `z_a`, `z_b` `[n, N]` on the posterior's device, and `factor` `[n]`."""
        index_a, index_b, factor = self.pairs.draw(n, generator)
        a, b = self.posterior[index_a], self.posterior[index_b]
        return (a.sample(generator), b.sample(generator), factor) if self.sample else (a.mean, b.mean, factor)


@dataclass(frozen=True)
class SingleLatents:
    """Latents of images that are drawn at random; z is drawn from the image's `posterior` anew each time."""

    posterior: Posterior

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw z `[n, N]` on the posterior's device."""
        index = torch.randint(len(self.posterior.mean), (n,), generator=generator)
        return self.posterior[index].sample(generator)
