"""The latents that the encode stage wrote, drawn as pairs for training and for the estimators."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reproduce.models.convolutional import Posterior
from reproduce.pairs import ConceptPairs

__all__ = ["LatentPairs", "load_posterior"]


def load_posterior(folder: Path, name: str) -> Posterior:
    """`<name>_mean.npy` and `<name>_logvar.npy`; without the latter (a classifier) z is the mean, exactly."""
    mean = torch.from_numpy(np.load(folder / f"{name}_mean.npy"))
    logvar = folder / f"{name}_logvar.npy"
    return Posterior(mean, torch.from_numpy(np.load(logvar)) if logvar.exists() else torch.full_like(mean, -torch.inf))


class LatentPairs:
    """Pairs of latents that share one concept.

    Arguments:
        posterior: of the pool's images, `[n, N]`.
        values: the pool's concept values `[n, K]`; see `ConceptPairs`, as for `concepts` and `weights`.
        sample: draw z from the posterior, afresh each time (official training), or take its mode (official estimate).
    """

    def __init__(
        self,
        *,
        posterior: Posterior,
        values: Tensor,
        concepts: Sequence[str],
        weights: Sequence[float] | None,
        sample: bool,
    ) -> None:
        self._pairs = ConceptPairs(values=values, concepts=concepts, weights=weights)
        self._posterior, self._sample = posterior, sample

    def __call__(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """`z_a`, `z_b` `[n, N]` and `factor` `[n]`."""
        index_a, index_b, factor = self._pairs.draw(n, generator)
        return self._take(index_a, generator), self._take(index_b, generator), factor

    def _take(self, index: Tensor, generator: torch.Generator) -> Tensor:
        mean, logvar = self._posterior.mean[index], self._posterior.logvar[index]
        return Posterior(mean, logvar).sample(generator) if self._sample else mean
