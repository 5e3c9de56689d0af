"""T makes the data linear: straight walks, and random ones, in z̃ mapped back, against the same in z."""

from typing import Annotated

import numpy as np
import torch
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from reproduce.data.shared.base import IMAGES_AT_A_TIME
from reproduce.evaluation.subject import Measured, Subject
from reproduce.interpret import ornstein_uhlenbeck
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict, UnitInterval
from reproduce.seeds import torch_generator

_SURE = 0.9
_IMAGES = 2000  # measured images that walks start from and end at, and that the figure shows in the plane
_SPACES = ("z_tilde", "z")


class LinearSettings(Strict):
    """Straight walks from a class to others, random walks, and pairs whose midpoints are judged.

    `start`, `ends`: classes; each of `ends` has a column, with `rows` images. `steps`, `rho`: those of a random walk,
    and the correlation of each with the one before. `n_pairs`: how many pairs of images of different classes have
    their midpoints judged.
    """

    start: NonNegativeInt
    ends: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    rows: Annotated[int, Field(ge=3)]
    steps: Annotated[int, Field(ge=10)]
    rho: UnitInterval
    n_pairs: PositiveInt


def measure_linear(subject: Subject, settings: LinearSettings, *, shown: list[list[int]]) -> Measured:
    """The metrics `linear` and `random_walk`, and what the figure shows: `walk_pictures`, and how sure the judge is.

    `sure_z_tilde`, `sure_z`: the judge's largest softmax at each step of the random walks; `threshold`: from where on
    it is sure.
    """
    z, values = subject.z[:_IMAGES], subject.heldout["values"][:_IMAGES]
    (start,), ends = shown
    walks = random_walks(subject, z[[start, *ends]], settings)
    arrays = walk_pictures(subject, (z[start], z[ends]), walks, z=z, rows=settings.rows)
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
    curved = torch.lerp(subject.to_z_tilde(z_start)[None], subject.to_z_tilde(z_end)[None], fractions)
    back = subject.to_z(curved.flatten(0, 1)).view_as(curved)
    return {"z_tilde": back, "z": torch.lerp(z_start[None], z_end[None], fractions)}


def sure_shares(logits: Tensor) -> dict[str, float]:
    """The share of images, logits `[B, n_classes]`, that the judge is sure of (at least 0.9), in two readings.

    `softmax`: the largest softmax: one class stands out from the others. `sigmoid`: the largest sigmoid, which is that
    class's probability to a judge that was trained on each class by itself, with binary cross-entropy: the image
    belongs to the class, and not only to it rather than to the others.
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
    """The `sure_shares` of decoded midpoints, midway in z̃ (`z_tilde`) and in z, and of the ends.

    There are `n_pairs` random pairs of latents `[n, N]` of different `classes` `[n]`.
    """
    generator = torch_generator(subject.seed, "midpoints")
    label = torch.from_numpy(classes)
    first = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    second = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    differ = (label[first] != label[second]).nonzero()[:n_pairs, 0]
    start, end = z[first[differ]], z[second[differ]]
    midway = {space: walk[1] for space, walk in straight_walks(subject, start, end, steps=3).items()}
    return {name: sure_shares(judged(subject, at)) for name, at in (midway | {"ends": torch.cat([start, end])}).items()}


def random_walks(subject: Subject, z_start: Tensor, settings: LinearSettings) -> dict[str, Tensor]:
    """z `[W, steps + 1, N]` on Ornstein-Uhlenbeck walks from each of `z_start` `[W, N]`, the start first.

    `z_tilde`: the walk is in z̃, mapped back; `z`: in z. The noise is the same, and N(0, 1) is what both tend to: the
    prior of z̃, and of the autoencoder's z.
    """
    found = {}
    for space, start in (("z_tilde", subject.to_z_tilde(z_start)), ("z", z_start)):
        generator = torch_generator(subject.seed, "random walk")
        steps = [ornstein_uhlenbeck(one, steps=settings.steps, rho=settings.rho, generator=generator) for one in start]
        found[space] = torch.cat([start[:, None], torch.stack(steps)], 1)
    mapped = found["z_tilde"]
    return found | {"z_tilde": subject.to_z(mapped.flatten(0, 1)).view_as(mapped)}


def walk_pictures(
    subject: Subject, ends: tuple[Tensor, Tensor], walks: dict[str, Tensor], *, z: Tensor, rows: int
) -> dict[str, np.ndarray]:
    """What the figure shows of straight walks, and of the first of `random_walks`.

    `straight_z_tilde`, `straight_z`: decoded, uint8 `[rows, C, S, S, channels]`, a column from the latent `ends[0]`
    `[N]` to each of `ends[1]` `[C, N]`. `random_z_tilde`, `random_z`: ten images evenly along the random walk, uint8
    `[10, S, S, channels]`. `plane_z_tilde`, `plane_z`, `plane_data`: that walk's latents `[steps + 1, 2]` and the
    data's, of `z` `[n, N]`, in the data's first two principal components.
    """
    straight = straight_walks(subject, ends[0].expand(len(ends[1]), -1), ends[1], steps=rows)
    arrays = {f"straight_{space}": subject.pictures(straight[space]) for space in _SPACES}
    centre = z.mean(0)
    axes = torch.linalg.svd(z - centre, full_matrices=False).Vh[:2]
    for space in _SPACES:
        latents = walks[space][0]
        pictured = torch.linspace(0, len(latents) - 1, 10).round().long()
        arrays[f"random_{space}"] = subject.pictures(latents[pictured])
        arrays[f"plane_{space}"] = ((latents - centre) @ axes.T).numpy()
    return arrays | {"plane_data": ((z - centre) @ axes.T).numpy()}
