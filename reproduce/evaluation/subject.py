"""What every measurement takes, and what it returns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reproduce.data.shared.base import ATTRIBUTE, HeldoutPairs, ImageData, Readings, Table, rows, to_uint8
from reproduce.factors import factor_slices
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.models.flow import Flow
from reproduce.own_network import InterpretedLayer


@dataclass(frozen=True)
class Measured:
    """What one measurement found: entries of the run's JSON, and the arrays of figures, which become one .npz file."""

    metrics: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A trained T, the network that it interprets, and the images that both are measured on.

    Attributes:
        network: the interpreted network.
        judge: the classifier that judges decoded images; an interpreted classifier is its own judge.
        flow: T.
        shape: of one latent, `(N,)`, or `(C, H, W)` with N = C·H·W. All latents here are vectors, a feature map's one
            channel after another, so that a factor is a slice of z̃ in any case.
        dims: the size of each factor by its name, the residual last; the residual alone where there are no concepts.
        data: the data set.
        heldout: the rows of the held-out images that are measured, `[n]`.
        posterior: q(z|x) of the held-out images; the first n are those of `heldout`, and `pairs` may use more.
        pairs: the fixed held-out pairs; None without concepts.
        pool: the rows of the training images that T learned from, `[m]`.
        pool_z: the mode of q(z|x) of each of them, `[m, N]`.
        seed: the evaluation's.
        device: where `measure_samples` runs the networks on images; all else runs on the CPU.
    """

    network: Autoencoder | Classifier | InterpretedLayer
    judge: Classifier | InterpretedLayer
    flow: Flow
    shape: tuple[int, ...]
    dims: Mapping[str, int]
    data: ImageData
    heldout: Table
    posterior: Posterior
    pairs: HeldoutPairs | None
    pool: Table
    pool_z: Tensor
    seed: int
    device: torch.device

    @property
    def sizes(self) -> list[int]:
        """The sizes of the factors."""
        return list(self.dims.values())

    @property
    def class_names(self) -> np.ndarray:
        """The name of each class that is predicted, or its number where classes have no names."""
        if isinstance(self.network, InterpretedLayer) and self.network.concept is not None:
            numbers = [str(k) for k in range(self.network.n_outputs)]
            return np.array(numbers if self.network.own else self.data.value_names.get(self.network.concept, ATTRIBUTE))
        return np.array(self.data.classes or [str(k) for k in range(self.data.n_outputs)])

    @property
    def compared_with_itself(self) -> bool:
        """Whether swaps are compared with the network's own predictions, since its classes are not the data set's."""
        return isinstance(self.network, InterpretedLayer) and self.network.own

    def value_names(self, concept: str) -> np.ndarray:
        """The name of each value of a concept that is a class."""
        names = self.data.value_names.get(concept)
        return self.class_names if names is None else np.array(names)

    @cached_property
    def z(self) -> Tensor:
        """The latents of the measured images, `[n, N]`."""
        return self.posterior.mean[: len(self.heldout["values"])]

    @cached_property
    def z_tilde(self) -> Tensor:
        """T of `z`, `[n, N]`."""
        return self.to_z_tilde(self.z)

    @cached_property
    def truth(self) -> Readings:
        """The true value of each concept in the measured images."""
        return self.data.truth(self.heldout)

    @cached_property
    def read_truth(self) -> Readings:
        """What `readout` is compared with: the truth, or of a network with classes of its own its plain predictions."""
        network = self.network
        if not isinstance(network, InterpretedLayer) or network.concept is None:
            return self.truth
        return self.readout(self.z) if network.own else {network.concept: self.truth[network.concept]}

    @torch.no_grad()
    def transform(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """T(z) `[B, N]` and log |det dT/dz| `[B]`."""
        parts = [self.flow(part) for part in z.reshape(-1, *self.shape).split(IMAGES_AT_A_TIME)]
        z_tilde, log_det = (torch.cat(part) for part in zip(*parts, strict=True))
        return z_tilde.flatten(1), log_det

    def to_z_tilde(self, z: Tensor) -> Tensor:
        """T(z), `[B, N]`."""
        return self.transform(z)[0]

    @torch.no_grad()
    def to_z(self, z_tilde: Tensor) -> Tensor:
        """T⁻¹(z̃), `[…, N]`."""
        parts = z_tilde.reshape(-1, *self.shape).split(IMAGES_AT_A_TIME)
        return torch.cat([self.flow.inverse(part)[0] for part in parts]).view_as(z_tilde)

    @torch.no_grad()
    def classify(self, z: Tensor) -> Tensor:
        """The classifier's logits `[B, n]` for each z `[B, N]`."""
        assert not isinstance(self.network, Autoencoder)
        return self.network.classify(z.reshape(-1, *self.shape))

    @torch.no_grad()
    def pictures(self, z: Tensor) -> np.ndarray:
        """The images that the autoencoder decodes from z `[…, N]`, uint8 `[…, S, S, C]`."""
        assert isinstance(self.network, Autoencoder)
        images = as_pictures(self.network.decode(z.reshape(-1, z.shape[-1])))
        return images.reshape(*z.shape[:-1], *images.shape[1:])

    @torch.no_grad()
    def predictions(self, z: Tensor) -> np.ndarray:
        """The class that the classifier predicts from each z `[B, N]`, int64 `[B]`."""
        return self.classify(z).argmax(1).numpy()

    def inputs(self, which: list[int]) -> np.ndarray:
        """The measured images `which`, uint8 `[len(which), S, S, C]`."""
        return as_pictures(self.data.render_heldout(rows(self.heldout, np.array(which))))

    @torch.no_grad()
    def readout(self, z: Tensor) -> Readings:
        """The value of each concept in the network's output for z `[B, N]`; a concept that cannot be read is left out.

        A classifier's output is its prediction. The images of an autoencoder are read by the judge or measured.
        """
        if not isinstance(self.network, Autoencoder):
            return self.read(self.classify(z), None)
        found = []
        for part in z.split(IMAGES_AT_A_TIME):
            images = self.network.decode(part)
            found.append(self.read(self.judge(images), images))
        return joined(found)

    def read(self, logits: Tensor, images: Tensor | None) -> Readings:
        """The value of each concept that logits `[B, n]`, and images where there are any, show."""
        if isinstance(self.network, InterpretedLayer) and self.network.concept is not None:
            return self.network.read(logits, like=self.truth)
        return self.data.read(logits, images)


def joined(parts: Sequence[Readings]) -> Readings:
    """The readings of several batches as those of one."""
    return {concept: torch.cat([part[concept] for part in parts]) for concept in parts[0]}


def heldout_batches(data: ImageData, table: Table) -> Iterator[Tensor]:
    """The images `[n, C, S, S]` of all rows of a held-out table, `IMAGES_AT_A_TIME` together."""
    for start in range(0, len(table["values"]), IMAGES_AT_A_TIME):
        yield data.render_heldout(rows(table, slice(start, start + IMAGES_AT_A_TIME)))


def as_pictures(images: Tensor) -> np.ndarray:
    """Images `[n, C, S, S]` in [-1, 1] to uint8 `[n, S, S, C]`."""
    return to_uint8(images).permute(0, 2, 3, 1).numpy()


def named_slices(dims: Mapping[str, int]) -> dict[str, slice]:
    """Where each factor lies in z̃, by its name."""
    return dict(zip(dims, factor_slices(list(dims.values())), strict=True))
