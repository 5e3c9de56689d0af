"""Images that T's density gives: how near they come to held-out ones, and what they look like."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.data.shared.base import IMAGES_AT_A_TIME, heldout_batches, rows, to_uint8
from reproduce.errors import ReproduceError
from reproduce.evaluation.subject import Measured, Subject
from reproduce.evaluation.swap import judge_rates
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.schema import Strict
from reproduce.seeds import torch_generator

Extract = Callable[[Tensor], Tensor]  # images [B, C, S, S] in [-1, 1] to features [B, D]


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


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    r""":math:`\lVert\mu_1-\mu_2\rVert^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2(\Sigma_1\Sigma_2)^{1/2})`.

    Arguments:
        features, others: `[n, D]` and `[m, D]`; torch-fidelity does the computation, in float64.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    first, second = (
        fid_features_to_statistics(torch.from_numpy(np.asarray(part, np.float64))) for part in (features, others)
    )
    return float(fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID])


@torch.no_grad()
def features_of(batches: Iterable[Tensor], extract: Extract) -> np.ndarray:
    """Features `[n, D]` of all images, a batch at a time."""
    return torch.cat([extract(images).float().cpu() for images in batches]).numpy()


def classifier_features(classifier: Classifier) -> Extract:
    """The latent of one of our own classifiers."""
    return classifier.encode


def inception_features(weights: Path, device: torch.device) -> Extract:
    """torch-fidelity's Inception (`inception-v3-compat`, 2048 features) on images as bytes; grey ones become RGB.

    Arguments:
        weights: `weights-inception-2015-12-05-6726825d.pth`.

    Raises ReproduceError where the file does not hold that network's weights.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity itself would unpickle anything
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights)).to(device)
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ReproduceError(
            f"{weights} is not torch-fidelity's Inception ({reason}): delete it and fetch again"
        ) from error

    def extract(images: Tensor) -> Tensor:
        return network(to_uint8(images).to(device).expand(-1, 3, -1, -1))[0]

    return extract
