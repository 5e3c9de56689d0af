"""Small random deformations of training images, for sets that are so small that T would memorise them."""

import math
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from reproduce.schema import Strict


class Augmentation(Strict):
    """The limits of a random deformation; all zeros give the images back.

    `rotation` is the largest angle, in degrees, `shear` the largest horizontal shear, `scale` the largest relative
    change of width and of height, `shift` the largest translation, in pixels, and `elastic` the standard deviation of
    the displacement at the nodes of a 5×5 grid, in pixels.
    """

    rotation: NonNegativeFloat
    shear: NonNegativeFloat
    scale: Annotated[float, Field(ge=0, lt=1)]
    shift: NonNegativeFloat
    elastic: NonNegativeFloat


def deform(images: Tensor, limits: Augmentation | None, generator: torch.Generator | None) -> Tensor:
    """Each of `images` `[B, C, S, S]` under its own random affine map and smooth displacement.

    Outside an image its border is repeated. Without limits or without a generator, the images come back as they are.
    """
    if limits is None or generator is None:
        return images
    n, size = len(images), images.shape[-1]

    def uniform(limit: float) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * limit

    angle, slope = uniform(math.radians(limits.rotation)), uniform(limits.shear)
    width, height = 1 + uniform(limits.scale), 1 + uniform(limits.scale)
    move = torch.stack([uniform(limits.shift), uniform(limits.shift)], 1) * 2 / size
    cos, sin = angle.cos(), angle.sin()
    linear = torch.stack([cos / width, (slope * cos - sin) / height, sin / width, (slope * sin + cos) / height], 1)
    affine = torch.cat([linear.view(n, 2, 2), move[:, :, None]], 2)
    nodes = torch.randn(n, 2, 5, 5, generator=generator) * (limits.elastic * 2 / size)
    displacement = F.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    grid = F.affine_grid(affine, [n, 1, size, size], align_corners=False) + displacement
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
