"""Samples from T's density: their distance from held-out images, and grids of them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.data.shared.base import rows, to_uint8
from reproduce.errors import ReproduceError
from reproduce.evaluation.subject import Measured, Subject, heldout_batches
from reproduce.evaluation.swap import judge_rates
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict
from reproduce.seeds import torch_generator

Extract = Callable[[Tensor], Tensor]  # images [B, C, S, S] in [-1, 1] to features [B, D]


class SampleSettings(Strict):
    """The number of samples, and how their distance from held-out images is measured.

    `n_samples`: limited to the number of held-out images. `inception`: whether the distance is also measured with
    Inception's features (the FID), whose weights are a download, and not only with our own classifier's. `side`: the
    rows and columns of the grids of samples and of the interpolation.
    """

    n_samples: Annotated[int, Field(ge=100)]
    inception: bool
    side: Annotated[int, Field(ge=2)]


def measure_samples(subject: Subject, settings: SampleSettings, *, inception: Extract | None) -> Measured:
    """The metrics of `sample_distances`, `samples` and `judge`; and `sample_pictures`.

    `inception`: Inception's features, None where they are not wanted or not available.
    """
    n = min(settings.n_samples, len(subject.z))  # a comparison with fewer images would give a larger distance
    networks = (subject.network, subject.judge)
    for network in networks:
        network.to(subject.device)
    metrics: dict[str, Any] = {**sample_distances(subject, n, inception), "samples": n}
    truth = subject.data.truth(rows(subject.heldout, slice(n)))
    metrics["judge"] = judge_rates(subject.judge, _inputs(subject, n), truth, read=subject.read)
    for network in networks:
        network.cpu()
    return Measured(metrics, sample_pictures(subject, subject.z[:4], side=settings.side))


def _inputs(subject: Subject, n: int) -> Iterator[Tensor]:
    """The first `n` measured images, in batches on the subject's device."""
    batches = heldout_batches(subject.data, rows(subject.heldout, slice(n)))
    return (images.to(subject.device) for images in batches)


def sample_distances(subject: Subject, n: int, inception: Extract | None) -> dict[str, dict[str, float | None]]:
    """The Fréchet distances of `n` images from as many held-out ones, by `inception` and our `classifier`'s features.

    `frechet`: of samples through T; `frechet_prior`: of samples from the autoencoder's own prior;
    `frechet_reconstruction`: of reconstructions.
    """
    assert isinstance(subject.network, Autoencoder)
    noise = torch.randn(n, subject.flow.dim, generator=torch_generator(subject.seed, "samples"))
    latents = {"frechet": subject.to_z(noise), "frechet_prior": noise, "frechet_reconstruction": subject.z[:n]}
    distances: dict[str, dict[str, float | None]] = {name: {"inception": None} for name in latents}
    extractors = {"inception": inception, "classifier": subject.judge.encode}
    for extractor, extract in extractors.items():
        if extract is None:
            continue
        wanted = features_of(_inputs(subject, n), extract)
        for name, z in latents.items():
            images = (subject.network.decode(part.to(subject.device)) for part in z.split(IMAGES_AT_A_TIME))
            distances[name][extractor] = frechet_distance(features_of(images, extract), wanted)
    return distances


def between_corners(subject: Subject, z_corners: Tensor, *, side: int) -> Tensor:
    """z `[side, side, N]`, bilinear in z̃ between `z_corners` `[4, N]`: upper left and right, lower left and right."""
    corners = subject.to_z_tilde(z_corners)
    fractions = torch.linspace(0, 1, side)
    upper, lower = (torch.lerp(corners[k], corners[k + 1], fractions[:, None]) for k in (0, 2))
    grid = torch.lerp(upper[None], lower[None], fractions[:, None, None])
    return subject.to_z(grid)


def sample_pictures(subject: Subject, z_corners: Tensor, *, side: int) -> dict[str, np.ndarray]:
    """Three grids of decoded images, uint8 `[side, side, S, S, C]`.

    `corners`: see `between_corners`; `direct`: G(z) for z ~ N(0, 1), the autoencoder's own prior; `mapped`: G(T⁻¹(z̃))
    for z̃ of the same draws.
    """
    noise = torch.randn(side, side, z_corners.shape[1], generator=torch_generator(subject.seed, "prior samples"))
    return {
        "corners": subject.pictures(between_corners(subject, z_corners, side=side)),
        "direct": subject.pictures(noise),
        "mapped": subject.pictures(subject.to_z(noise)),
    }


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    r""":math:`\lVert\mu_1-\mu_2\rVert^2 + \mathrm{tr}(\Sigma_1 + \Sigma_2 - 2(\Sigma_1\Sigma_2)^{1/2})`.

    Arguments:
        features, others: `[n, D]` and `[m, D]`. torch-fidelity computes the distance, in float64.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    first, second = (
        fid_features_to_statistics(torch.from_numpy(np.asarray(part, np.float64))) for part in (features, others)
    )
    return float(fid_statistics_to_metric(first, second, verbose=False)[KEY_METRIC_FID])


@torch.no_grad()
def features_of(batches: Iterable[Tensor], extract: Extract) -> np.ndarray:
    """The features `[n, D]` of the images of all batches."""
    return torch.cat([extract(images).float().cpu() for images in batches]).numpy()


def inception_features(weights: Path, device: torch.device) -> Extract:
    """torch-fidelity's Inception (`inception-v3-compat`, 2048 features), which takes grey images as RGB.

    Raises ReproduceError where the file `weights` is not `weights-inception-2015-12-05-6726825d.pth`.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        torch.load(weights, map_location="cpu", weights_only=True)  # torch-fidelity would run code in the file
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise ReproduceError(
            f"{weights} is not torch-fidelity's Inception ({reason}): delete it and fetch again"
        ) from error

    network.to(device)
    return lambda images: network(to_uint8(images).to(device).expand(-1, 3, -1, -1))[0]
