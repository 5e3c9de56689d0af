"""Small random deformations of training images, for sets too small for T not to memorise them."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def deform(
    images: Tensor,
    *,
    generator: torch.Generator,
    rotation: float,
    shear: float,
    scale: float,
    shift: float,
    elastic: float,
) -> Tensor:
    """Each of `images` `[B, C, S, S]` under its own random affine map and smooth displacement.

    Arguments:
        rotation: largest angle, in degrees.
        shear: largest horizontal shear.
        scale: largest relative change of width and of height.
        shift: largest translation, in pixels.
        elastic: standard deviation of the displacement at the nodes of a 5×5 grid, in pixels.

    Outside the image its border repeats. All zeros give the images back.
    """
    n, size = len(images), images.shape[-1]

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * limit

    angle, slope = uniform(math.radians(rotation)), uniform(shear)
    width, height = 1 + uniform(scale), 1 + uniform(scale)
    move = torch.stack([uniform(shift), uniform(shift)], 1) * 2 / size
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack([cos / width, (slope * cos - sin) / height, sin / width, (slope * sin + cos) / height], 1)
    affine = torch.cat([linear.view(n, 2, 2), move[:, :, None]], 2)
    nodes = torch.randn(n, 2, 5, 5, generator=generator) * (elastic * 2 / size)
    displacement = F.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    grid = F.affine_grid(affine, [n, 1, size, size], align_corners=False) + displacement
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
