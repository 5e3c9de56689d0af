"""Attributes as directions in z̃ of a T that was trained without them."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from reproduce.errors import UserError
from reproduce.evaluation.subject import Measured, Subject
from reproduce.schema import Strict

_JUDGED = 300  # measured images that are moved and judged


class DirectionSettings(Strict):
    """`strengths`: how far along an attribute's direction images move, λ for each column; `n_images`: one per row."""

    strengths: Annotated[tuple[float, ...], Field(min_length=2)]
    n_images: PositiveInt


def measure_directions(subject: Subject, settings: DirectionSettings) -> Measured:
    """The metric `directions`: by attribute and λ, the share of images z̃ + λ·s in which the attribute is judged there.

    `attribute_<name>`: the decoded z̃ + λ·s, uint8 `[n_images, L, S, S, C]`; `strengths` `[L]`; `judged`: how many.
    """
    truth = subject.data.truth(subject.pool)
    directions = attribute_directions(subject.to_z_tilde(subject.pool_z), truth)
    judged, strengths = subject.z_tilde[:_JUDGED], settings.strengths
    amounts = torch.tensor(strengths)[None, :, None]
    arrays = {"strengths": np.array(strengths), "judged": np.array(len(judged))}
    rates: dict[str, dict[str, float]] = {}
    for name, direction in directions.items():
        moved = subject.z_tilde[: settings.n_images, None] + amounts * direction
        arrays[f"attribute_{name}"] = subject.pictures(subject.to_z(moved.flatten(0, 1)).view_as(moved))
        rates[name] = {
            f"{amount:g}": subject.readout(subject.to_z(judged + amount * direction))[name].double().mean().item()
            for amount in strengths
        }
    return Measured({"directions": rates}, arrays)


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
