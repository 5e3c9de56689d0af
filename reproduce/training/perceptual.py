"""A perceptual distance between images: how differently a frozen network sees them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from reproduce.models.convolutional import Classifier

__all__ = ["Perceptual", "feature_distance"]

Perceptual = Callable[[Tensor, Tensor], Tensor]  # two batches of images [B, C, S, S] to their distances [B]


def feature_distance(classifier: Classifier) -> Perceptual:
    r"""LPIPS's form on a classifier's own layers, all channels weighted alike.

    :math:`d(x, y) = \frac{1}{L}\sum_l \frac{1}{H_l W_l}\sum_{h,w} \lVert \hat f_l(x) - \hat f_l(y)\rVert^2`, where
    :math:`\hat f_l` is layer l's output with each pixel's channels scaled to length 1. Source: Zhang et al., "The
    Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), equation 1. The official code uses their
    learned weights on VGG, which is another distance: this one says how well what the classifier looks at is kept.
    """
    classifier.requires_grad_(False)

    def distance(images: Tensor, others: Tensor) -> Tensor:
        layers = [
            (F.normalize(f, dim=1) - F.normalize(g, dim=1)).square().sum(1).mean((1, 2))
            for f, g in zip(classifier.features(images), classifier.features(others), strict=True)
        ]
        return torch.stack(layers).mean(0)

    return distance
