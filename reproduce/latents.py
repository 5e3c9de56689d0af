"""Latents: they are encoded once, kept on disk, and drawn as pairs for training and for the estimators."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from reproduce.data.shared.base import IMAGES_AT_A_TIME
from reproduce.errors import ReproduceError
from reproduce.files import read_array, write_array
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.pairs import ConceptPairs


@torch.no_grad()
def encode_images(
    network: Autoencoder | Classifier, images: Callable[[slice], Tensor], n: int, *, device: torch.device, title: str
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
    """The posterior that is z for certain."""
    return Posterior(z, torch.full_like(z, -torch.inf))


def save_posterior(posterior: Posterior, folder: Path, name: str) -> None:
    """Write `<name>_mean.npy` and, unless z is exactly the mean as a classifier's is, `<name>_logvar.npy`."""
    write_array(folder / f"{name}_mean.npy", posterior.mean.numpy())
    logvar = folder / f"{name}_logvar.npy"
    if torch.isfinite(posterior.logvar).all():
        write_array(logvar, posterior.logvar.numpy())
    else:
        logvar.unlink(missing_ok=True)  # an autoencoder may have been encoded with before


def load_posterior(folder: Path, name: str) -> Posterior:
    """Read what `save_posterior` wrote."""
    mean = torch.from_numpy(read_array(folder / f"{name}_mean.npy"))
    logvar = folder / f"{name}_logvar.npy"
    return Posterior(mean, torch.from_numpy(read_array(logvar))) if logvar.exists() else _exact(mean)


class LatentPairs:
    """Pairs of latents that share one concept.

    Arguments:
        posterior: those of the pool's images, `[n, N]`, on any device.
        values: the pool's concept values `[n, K]`.
        concepts, weights, balanced: see `ConceptPairs`.
        sample: draw z from the posterior, anew each time (official in training), or take its mean (official in the
            estimate).
    """

    def __init__(
        self,
        *,
        posterior: Posterior,
        values: Tensor,
        concepts: Sequence[str],
        weights: Sequence[float] | None,
        balanced: bool,
        sample: bool,
    ) -> None:
        self._pairs = ConceptPairs(values=values, concepts=concepts, weights=weights, balanced=balanced)
        self._posterior, self._sample = posterior, sample

    def __call__(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Draw `z_a`, `z_b` `[n, N]` on the posterior's device, and `factor` `[n]`."""
        index_a, index_b, factor = self._pairs.draw(n, generator)
        a, b = self._posterior[index_a], self._posterior[index_b]
        return (a.sample(generator), b.sample(generator), factor) if self._sample else (a.mean, b.mean, factor)


class SingleLatents:
    """Latents of any of the images of `posterior` `[n, N]`, drawn from it anew each time."""

    def __init__(self, posterior: Posterior) -> None:
        self._posterior = posterior

    def __call__(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw z `[n, N]` on the posterior's device."""
        index = torch.randint(len(self._posterior.mean), (n,), generator=generator)
        return self._posterior[index].sample(generator)
