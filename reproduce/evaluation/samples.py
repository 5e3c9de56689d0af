"""Images that T's density gives: how near they come to held-out ones, and what they look like."""

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.data.base import IMAGES_AT_A_TIME, heldout_batches, rows
from reproduce.evaluation.frechet import Extract, classifier_features, features_of, frechet_distance
from reproduce.evaluation.subject import Measured, Subject
from reproduce.evaluation.swap import judge_rates
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict
from reproduce.seeds import torch_generator


class SampleSettings(Strict):
    """How many samples are drawn, and how their distance from held-out images is measured.

    `n_samples`: at most as many as there are held-out images. `inception`: whether the distance is also measured with
    Inception's features (the FID), whose weights are a download; without it, only with those of our own classifier.
    `side`: rows and columns of the grids of samples, and of the interpolation between four corners.
    """

    n_samples: Annotated[int, Field(ge=100)]
    inception: bool
    side: Annotated[int, Field(ge=2)]


def measure_samples(subject: Subject, settings: SampleSettings, *, inception: Extract | None) -> Measured:
    """The metrics `frechet`, `frechet_prior`, `frechet_reconstruction`, `samples` and `judge`; and grids of samples.

    Arguments:
        inception: Inception's features; None where they are not wanted or cannot be had.
    """
    n = min(settings.n_samples, len(subject.z))  # as many as there are to compare with: fewer would seem farther
    networks = (subject.network, subject.judge)
    for network in networks:
        network.to(subject.device)
    metrics: dict[str, Any] = {**sample_distances(subject, n, inception), "samples": n}
    heldout = rows(subject.heldout, slice(n))
    metrics["judge"] = judge_rates(subject.judge, _inputs(subject, n), subject.data.truth(heldout), data=subject.data)
    for network in networks:
        network.cpu()
    return Measured(metrics, sample_pictures(subject, subject.z[:4], side=settings.side))


def _inputs(subject: Subject, n: int) -> Iterator[Tensor]:
    """The first `n` measured images, in batches on the subject's device."""
    batches = heldout_batches(subject.data, rows(subject.heldout, slice(n)))
    return (images.to(subject.device) for images in batches)


@torch.no_grad()
def sample_distances(subject: Subject, n: int, inception: Extract | None) -> dict[str, dict[str, float | None]]:
    """The Fréchet distances of `n` images from as many held-out ones, by `inception` features and our `classifier`'s.

    `frechet`: of samples through T; `frechet_prior`: of samples from the autoencoder's own prior;
    `frechet_reconstruction`: of reconstructions.
    """
    assert isinstance(subject.network, Autoencoder)
    noise = torch.randn(n, subject.flow.dim, generator=torch_generator(subject.seed, "samples"))
    latents = {"frechet": subject.to_z(noise), "frechet_prior": noise, "frechet_reconstruction": subject.z[:n]}
    distances: dict[str, dict[str, float | None]] = {name: {"inception": None} for name in latents}
    for extractor, extract in (("inception", inception), ("classifier", classifier_features(subject.judge))):
        if extract is None:
            continue
        wanted = features_of(_inputs(subject, n), extract)
        for name, z in latents.items():
            images = (subject.network.decode(part.to(subject.device)) for part in z.split(IMAGES_AT_A_TIME))
            distances[name][extractor] = frechet_distance(features_of(images, extract), wanted)
    return distances


def between_corners(subject: Subject, z_corners: Tensor, *, side: int) -> Tensor:
    """z `[side, side, N]` between `z_corners` `[4, N]`, bilinear in z̃.

    The corners are the upper left, upper right, lower left and lower right.
    """
    corners = subject.to_z_tilde(z_corners)
    fractions = torch.linspace(0, 1, side)
    upper, lower = (torch.lerp(corners[k], corners[k + 1], fractions[:, None]) for k in (0, 2))
    grid = torch.lerp(upper[None], lower[None], fractions[:, None, None])
    return subject.to_z(grid.flatten(0, 1)).view_as(grid)


def sample_pictures(subject: Subject, z_corners: Tensor, *, side: int) -> dict[str, np.ndarray]:
    """Three grids of decoded images, uint8 `[side, side, S, S, C]`.

    `corners`: see `between_corners`; `direct`: G(z) for z ~ N(0, 1), the autoencoder's own prior; `mapped`: G(T⁻¹(z̃))
    for the same draws, as z̃.
    """
    noise = torch.randn(side * side, z_corners.shape[1], generator=torch_generator(subject.seed, "prior samples"))
    return {
        "corners": subject.pictures(between_corners(subject, z_corners, side=side)),
        "direct": subject.pictures(noise.view(side, side, -1)),
        "mapped": subject.pictures(subject.to_z(noise).view(side, side, -1)),
    }
