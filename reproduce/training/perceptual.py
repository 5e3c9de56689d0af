"""Perceptual distances between images: distances between the features that a frozen network computes of them."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.models.convolutional import Classifier

Perceptual = Callable[[Tensor, Tensor], Tensor]  # two batches of images [B, C, S, S] to the distances [B]


def feature_distance(classifier: Classifier) -> Perceptual:
    r"""The distance of LPIPS on a classifier's own layers, with the same weight for every channel.

    :math:`d(x, y) = \frac{1}{L}\sum_l \frac{1}{H_l W_l}\sum_{h,w} \lVert \hat f_l(x) - \hat f_l(y)\rVert^2`, where
    :math:`\hat f_l` is layer l's output with each pixel's channels scaled to length 1. Source: Zhang et al., "The
    Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018), equation 1.
    """
    classifier.requires_grad_(False)

    def distance(images: Tensor, others: Tensor) -> Tensor:
        features = zip(classifier.features(images), classifier.features(others), strict=True)
        layers = [(F.normalize(f, dim=1) - F.normalize(g, dim=1)).square().sum(1).mean((1, 2)) for f, g in features]
        return torch.stack(layers).mean(0)

    return distance


def lpips_network(vgg16: Mapping[str, Tensor] | None) -> nn.Module:
    """LPIPS 0.1 from its authors' package, on VGG16 with torchvision's state dict of it; None: random weights."""
    import lpips

    with warnings.catch_warnings():  # torchvision warns about an argument that the package passes
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="vgg", version="0.1", pnet_rand=True, verbose=False)
    if vgg16 is not None:  # the package names its layers slice<k>.<i>, torchvision features.<i>
        names = {name: f"features.{name.split('.', 1)[1]}" for name in network.net.state_dict()}
        network.net.load_state_dict({name: vgg16[theirs] for name, theirs in names.items()})
    return network.requires_grad_(False)


def lpips_distance(vgg16: Path, device: torch.device) -> Perceptual:
    """LPIPS on VGG16 (Zhang et al. 2018), the official code's perceptual term, for images in [-1, 1] on `device`.

    A single channel is repeated for all three of the network's. `vgg16` is the file of torchvision's weights of VGG16
    on ImageNet; the weights that LPIPS learned come with the package. Raises UserError where the file can't be read or
    holds another network.
    """
    try:
        network = lpips_network(torch.load(vgg16, map_location="cpu", weights_only=True))
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise UserError(
            f"{shown(vgg16)} does not hold torchvision's VGG16 ({type(error).__name__}): fetch it again"
        ) from error
    network.to(device)
    return lambda images, others: network(images, others).flatten()
