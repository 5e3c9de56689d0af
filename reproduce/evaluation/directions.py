"""Attributes as directions in z̃ of a T that was trained without them."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.evaluation.grid import as_uint8
from reproduce.evaluation.look import Look
from reproduce.models.convolutional import Autoencoder
from reproduce.models.flow import Flow


def attribute_directions(z_tilde: Tensor, truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each attribute, bool `[n]`, the mean z̃ `[N]` of the images with it minus the mean of those without.

    Arguments:
        z_tilde: T of training latents `[n, N]`.

    Raises UserError where all or none of the images have an attribute.
    """
    directions = {}
    for name, there in truth.items():
        if there.all() or not there.any():
            raise UserError(f"all or none of the {len(there)} training images have {name}: it has no direction")
        directions[name] = z_tilde[there].mean(0) - z_tilde[~there].mean(0)
    return directions


@torch.no_grad()
def direction_pictures(
    autoencoder: Autoencoder,
    flow: Flow,
    z_tilde: Tensor,
    directions: Mapping[str, Tensor],
    *,
    strengths: Sequence[float],
) -> dict[str, np.ndarray]:
    """For each attribute the decoded z̃ + λ·s, uint8 `[R, L, S, S, C]`: rows for z̃ `[R, N]`, columns for λ."""
    amounts = torch.tensor(strengths)[None, :, None]
    pictures = {}
    for name, direction in directions.items():
        moved = z_tilde[:, None] + amounts * direction
        images = as_uint8(autoencoder.decode(flow.inverse(moved.flatten(0, 1))[0]))
        pictures[name] = images.reshape(len(z_tilde), len(strengths), *images.shape[1:])
    return pictures


@torch.no_grad()
def direction_rates(
    flow: Flow, z_tilde: Tensor, directions: Mapping[str, Tensor], *, strengths: Sequence[float], look: Look
) -> dict[str, dict[str, float]]:
    """For each attribute and λ the share of images, z̃ `[n, N]`, in which z̃ + λ·s is judged to show the attribute."""
    return {
        name: {
            f"{amount:g}": look(flow.inverse(z_tilde + amount * direction)[0])[name].double().mean().item()
            for amount in strengths
        }
        for name, direction in directions.items()
    }
