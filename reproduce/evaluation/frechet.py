"""Fréchet distances between images: of Gaussians fitted to a network's features.

Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium" (2017). With
Inception's features as torch-fidelity computes them it is the FID; with another network's it is no FID and has another
name here.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reproduce.data.shared.base import to_uint8
from reproduce.errors import ReproduceError
from reproduce.models.convolutional import Classifier

Extract = Callable[[Tensor], Tensor]  # images [B, C, S, S] in [-1, 1] to features [B, D]


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
