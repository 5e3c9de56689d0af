"""T makes the data linear: walks in z̃, mapped back, beside the same walks in z; and attributes as directions in z̃."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from reproduce.errors import UserError
from reproduce.evaluation.subject import Measured, Subject
from reproduce.interpret import ornstein_uhlenbeck
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict, UnitInterval
from reproduce.seeds import torch_generator

_SURE = 0.9
_IMAGES = 2000  # measured images whose midpoints are judged, and that the figure shows in the plane
_MOVED = 300  # measured images that are moved along directions and judged


class LinearSettings(Strict):
    """Straight walks, random walks, and the judgement of midpoints.

    `start`, `ends`: the classes of a straight walk's ends, a column for each of `ends`; `rows`: the images in a column.
    `steps`, `rho`: a random walk's number of steps, and the correlation of each with the one before. `n_pairs`: the
    number of pairs of images, of different classes, whose midpoints are judged.
    """

    start: NonNegativeInt
    ends: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    rows: Annotated[int, Field(ge=3)]
    steps: Annotated[int, Field(ge=10)]
    rho: UnitInterval
    n_pairs: PositiveInt


def measure_linear(subject: Subject, settings: LinearSettings, *, shown: list[list[int]]) -> Measured:
    """The metrics `linear` and `random_walk`; and `walk_pictures`, `threshold` (of being sure) and `sure_<space>`.

    `sure_z_tilde`, `sure_z`: the judge's largest softmax at each step of all random walks.
    """
    z, values = subject.z[:_IMAGES], subject.heldout["values"][:_IMAGES]
    (start,), ends = shown
    walks = random_walks(subject, subject.z[[start, *ends]], settings)
    arrays = walk_pictures(subject, (subject.z[start], subject.z[ends]), walks, z=z, rows=settings.rows)
    metrics = {"linear": midpoint_confidence(subject, z, values[:, 0], n_pairs=settings.n_pairs), "random_walk": {}}
    for space, latents in walks.items():
        logits = judged(subject, latents[:, 1:].flatten(0, 1))  # the starts are no steps
        metrics["random_walk"][space] = sure_shares(logits)
        arrays[f"sure_{space}"] = logits.softmax(1).amax(1).numpy()
    return Measured(metrics, arrays | {"threshold": np.array(_SURE)})


def straight_walks(subject: Subject, z_start: Tensor, z_end: Tensor, *, steps: int) -> dict[str, Tensor]:
    """z `[steps, C, N]` from `z_start` to `z_end` `[C, N]` in equal steps, both ends among them.

    `z_tilde`: on the straight line in z̃, mapped back; `z`: on the straight line in z.
    """
    fractions = torch.linspace(0, 1, steps)[:, None, None]
    mapped = torch.lerp(subject.to_z_tilde(z_start)[None], subject.to_z_tilde(z_end)[None], fractions)
    return {"z_tilde": subject.to_z(mapped), "z": torch.lerp(z_start[None], z_end[None], fractions)}


def sure_shares(logits: Tensor) -> dict[str, float]:
    """The share of images, logits `[B, n_classes]`, of which the judge is sure: its largest output is at least 0.9.

    `softmax`: the class stands out from the others. `sigmoid`: the class itself is likely, to a judge that was trained
    on each class separately by binary cross-entropy.
    """
    largest = {"softmax": logits.softmax(1).amax(1), "sigmoid": logits.sigmoid().amax(1)}
    return {reading: (value >= _SURE).double().mean().item() for reading, value in largest.items()}


@torch.no_grad()
def judged(subject: Subject, z: Tensor) -> Tensor:
    """The judge's logits `[B, n_classes]` for the decoded latents `[B, N]`."""
    assert isinstance(subject.network, Autoencoder)
    return torch.cat([subject.judge(subject.network.decode(part)) for part in z.split(IMAGES_AT_A_TIME)])


def midpoint_confidence(
    subject: Subject, z: Tensor, classes: np.ndarray, *, n_pairs: int
) -> dict[str, dict[str, float]]:
    """The `sure_shares` of decoded points midway in z̃ (`z_tilde`) and in `z`, and of the `ends`.

    The ends are `n_pairs` random pairs of the latents `[n, N]` that differ in their `classes` `[n]`.
    """
    generator = torch_generator(subject.seed, "midpoints")
    label = torch.from_numpy(classes)
    first = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    second = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    differ = (label[first] != label[second]).nonzero()[:n_pairs, 0]
    if not len(differ):
        raise UserError(f"evaluation.linear: the first {len(z)} held-out images are of one class: take more classes")
    start, end = z[first[differ]], z[second[differ]]
    places = {space: walk[1] for space, walk in straight_walks(subject, start, end, steps=3).items()}
    places["ends"] = torch.cat([start, end])
    return {name: sure_shares(judged(subject, latents)) for name, latents in places.items()}


def random_walks(subject: Subject, z_start: Tensor, settings: LinearSettings) -> dict[str, Tensor]:
    """z `[W, steps + 1, N]` on Ornstein-Uhlenbeck walks from each of `z_start` `[W, N]`, the start first.

    `z_tilde`: the walk is in z̃, mapped back; `z`: it is in z. Both have the same noise and the same stationary
    distribution N(0, 1), the prior of z̃ and of the autoencoder's z.
    """
    found = {}
    for space, start in (("z_tilde", subject.to_z_tilde(z_start)), ("z", z_start)):
        generator = torch_generator(subject.seed, "random walk")
        steps = [ornstein_uhlenbeck(one, steps=settings.steps, rho=settings.rho, generator=generator) for one in start]
        found[space] = torch.cat([start[:, None], torch.stack(steps)], 1)
    return found | {"z_tilde": subject.to_z(found["z_tilde"])}


def walk_pictures(
    subject: Subject, ends: tuple[Tensor, Tensor], walks: dict[str, Tensor], *, z: Tensor, rows: int
) -> dict[str, np.ndarray]:
    """The figure's arrays for straight walks and for the first of the random `walks`, in either space.

    `straight_<space>`: decoded, uint8 `[rows, C, S, S, channels]`, a column from the latent `ends[0]` `[N]` to each of
    `ends[1]` `[C, N]`. `random_<space>`: ten images evenly along the random walk, uint8 `[10, S, S, channels]`.
    `plane_<space>` `[steps + 1, 2]`, `plane_data` `[n, 2]`: that walk and the data `z` `[n, N]` in the data's first two
    principal components.
    """
    straight = straight_walks(subject, ends[0].expand(len(ends[1]), -1), ends[1], steps=rows)
    centre = z.mean(0)
    axes = torch.linalg.svd(z - centre, full_matrices=False).Vh[:2]
    arrays = {f"straight_{space}": subject.pictures(latents) for space, latents in straight.items()}
    for space in straight:
        walk = walks[space][0]
        pictured = torch.linspace(0, len(walk) - 1, 10).round().long()
        arrays[f"random_{space}"] = subject.pictures(walk[pictured])
        arrays[f"plane_{space}"] = ((walk - centre) @ axes.T).numpy()
    return arrays | {"plane_data": ((z - centre) @ axes.T).numpy()}


class DirectionSettings(Strict):
    """`strengths`: the multiples λ of an attribute's direction, one per column; `n_images`: the images, one per row."""

    strengths: Annotated[tuple[float, ...], Field(min_length=2)]
    n_images: PositiveInt


def measure_directions(subject: Subject, settings: DirectionSettings) -> Measured:
    """The metric `directions`: by attribute and λ, the share of images z̃ + λ·s that are judged to have the attribute.

    `attribute_<name>`: the decoded z̃ + λ·s, uint8 `[n_images, L, S, S, C]`; `strengths` `[L]`; `judged`: the
    number of images that the shares are taken over.
    """
    truth = subject.data.truth(subject.pool)
    directions = attribute_directions(subject.to_z_tilde(subject.pool_z), truth)
    judged, strengths = subject.z_tilde[:_MOVED], settings.strengths
    amounts = torch.tensor(strengths)[None, :, None]
    arrays = {"strengths": np.array(strengths), "judged": np.array(len(judged))}
    rates: dict[str, dict[str, float]] = {}
    for name, direction in directions.items():
        moved = subject.z_tilde[: settings.n_images, None] + amounts * direction
        arrays[f"attribute_{name}"] = subject.pictures(subject.to_z(moved))
        rates[name] = {
            f"{amount:g}": subject.readout(subject.to_z(judged + amount * direction))[name].double().mean().item()
            for amount in strengths
        }
    return Measured({"directions": rates}, arrays)


def attribute_directions(z_tilde: Tensor, truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """For each attribute, bool `[n]`, the mean z̃ `[N]` of the training images with it minus that of those without.

    Raises UserError where all or none of the images have an attribute.
    """
    directions = {}
    for name, there in truth.items():
        if there.all() or not there.any():
            raise UserError(f"all or none of the {len(there)} training images have {name}: it has no direction")
        directions[name] = z_tilde[there].mean(0) - z_tilde[~there].mean(0)
    return directions
