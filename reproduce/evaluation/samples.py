"""Images that T's density gives: between four others, and from its prior."""

import numpy as np
import torch
from torch import Tensor

from reproduce.evaluation.grid import as_uint8
from reproduce.models.convolutional import Autoencoder
from reproduce.models.flow import Flow
from reproduce.seeds import torch_generator


@torch.no_grad()
def between_corners(flow: Flow, z_corners: Tensor, *, side: int) -> Tensor:
    """z `[side, side, N]` between `z_corners` `[4, N]`, bilinear in z̃.

    The corners are the upper left, upper right, lower left and lower right.
    """
    corners = flow(z_corners)[0]
    fractions = torch.linspace(0, 1, side)
    upper, lower = (torch.lerp(corners[k], corners[k + 1], fractions[:, None]) for k in (0, 2))
    grid = torch.lerp(upper[None], lower[None], fractions[:, None, None])
    return flow.inverse(grid.flatten(0, 1))[0].view_as(grid)


@torch.no_grad()
def sample_pictures(
    autoencoder: Autoencoder, flow: Flow, z_corners: Tensor, *, side: int, seed: int
) -> dict[str, np.ndarray]:
    """Three grids of decoded images, uint8 `[side, side, S, S, C]`.

    `corners`: see `between_corners`; `direct`: G(z) for z ~ N(0, 1), the autoencoder's own prior; `mapped`: G(T⁻¹(z̃))
    for the same draws, as z̃.
    """
    noise = torch.randn(side * side, z_corners.shape[1], generator=torch_generator(seed, "prior samples"))
    latents = {
        "corners": between_corners(flow, z_corners, side=side).flatten(0, 1),
        "direct": noise,
        "mapped": flow.inverse(noise)[0],
    }
    images = {name: as_uint8(autoencoder.decode(z)) for name, z in latents.items()}
    return {name: shown.reshape(side, side, *shown.shape[1:]) for name, shown in images.items()}
