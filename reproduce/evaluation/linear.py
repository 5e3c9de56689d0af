"""T makes the data linear: straight walks, and random ones, in z̃ mapped back, against the same in z."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reproduce.evaluation.grid import as_uint8
from reproduce.interpret import ornstein_uhlenbeck
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.seeds import torch_generator

_CONFIDENT = 0.9
_BATCH = 500


@torch.no_grad()
def straight_walks(flow: Flow, z_start: Tensor, z_end: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
    """From `z_start` to `z_end` `[C, N]` in equal steps: z on the straight line in z̃, and in z; `[steps, C, N]` each.

    Both ends are among the steps.
    """
    fractions = torch.linspace(0, 1, steps)[:, None, None]
    zt_start, zt_end = flow(z_start)[0], flow(z_end)[0]
    curved = torch.lerp(zt_start[None], zt_end[None], fractions)
    back = flow.inverse(curved.flatten(0, 1))[0].view_as(curved)
    return back, torch.lerp(z_start[None], z_end[None], fractions)


def confident(logits: Tensor) -> dict[str, Tensor]:
    """Of judged images, logits `[B, n_classes]`, which ones the judge is sure of, bool `[B]`, in two readings.

    `softmax`: the largest softmax of the logits is at least 0.9: one class stands out from the others.
    `sigmoid`: the largest sigmoid is, which is what the judge (trained on each class by itself, with binary
    cross-entropy) takes for that class's probability: the image is one of the class, not only liker it than others.
    """
    return {
        "softmax": logits.softmax(1).amax(1) >= _CONFIDENT,
        "sigmoid": logits.sigmoid().amax(1) >= _CONFIDENT,
    }


@torch.no_grad()
def midpoint_confidence(
    autoencoder: Autoencoder, judge: Classifier, flow: Flow, z: Tensor, classes: np.ndarray, *, n_pairs: int, seed: int
) -> dict[str, dict[str, float]]:
    """The share of decoded midpoints that the judge is sure of: midway in z̃ (`z_tilde`), in z, and of the ends.

    Over `n_pairs` random pairs of latents `[n, N]` of different `classes` `[n]`; see `confident`.
    """
    generator = torch_generator(seed, "midpoints")
    label = torch.from_numpy(classes)
    first = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    second = torch.randint(len(z), (4 * n_pairs,), generator=generator)
    differ = (label[first] != label[second]).nonzero()[:n_pairs, 0]
    start, end = z[first[differ]], z[second[differ]]
    curved, straight = straight_walks(flow, start, end, steps=3)
    found = {}
    for name, latents in (("z_tilde", curved[1]), ("z", straight[1]), ("ends", torch.cat([start, end]))):
        found[name] = shares(confident(_judged(autoencoder, judge, latents)))
    return found


def shares(sure: Mapping[str, Tensor]) -> dict[str, float]:
    """The share that is true, of each reading of `confident`."""
    return {reading: true.double().mean().item() for reading, true in sure.items()}


def _judged(autoencoder: Autoencoder, judge: Classifier, z: Tensor) -> Tensor:
    """Logits `[B, n_classes]` of the decoded latents `[B, N]`."""
    return torch.cat([judge(autoencoder.decode(part)) for part in z.split(_BATCH)])


@torch.no_grad()
def random_walks(flow: Flow, z_start: Tensor, *, steps: int, rho: float, seed: int) -> tuple[Tensor, Tensor]:
    """z on Ornstein-Uhlenbeck walks in z̃ mapped back, and on such in z, from each of `z_start` `[W, N]`.

    `[W, steps + 1, N]` each, the start first. The noise is the same, and N(0, 1) is what both tend to: the prior of z̃,
    and of the autoencoder's z.
    """
    found = []
    for start in (flow(z_start)[0], z_start):
        generator = torch_generator(seed, "random walk")
        walked = [ornstein_uhlenbeck(one, steps=steps, rho=rho, generator=generator) for one in start]
        found.append(torch.cat([start[:, None], torch.stack(walked)], 1))
    mapped, plain = found
    return flow.inverse(mapped.flatten(0, 1))[0].view_as(mapped), plain


@torch.no_grad()
def random_walk_logits(autoencoder: Autoencoder, judge: Classifier, walks: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """What the judge says of the decoded steps of `random_walks`, logits `[W · steps, n_classes]`.

    By where they walk: `z_tilde` or `z`. The starts are left out.
    """
    return {
        name: _judged(autoencoder, judge, latents[:, 1:].flatten(0, 1))
        for name, latents in zip(("z_tilde", "z"), walks, strict=True)
    }


@torch.no_grad()
def walk_pictures(
    autoencoder: Autoencoder,
    flow: Flow,
    z: Tensor,
    start: int,
    ends: Sequence[int],
    walks: tuple[Tensor, Tensor],
    *,
    steps: int,
) -> dict[str, np.ndarray]:
    """What the figure shows, of latents `[n, N]` and rows `start` and `ends` of them, and of `random_walks`.

    `straight_z_tilde`, `straight_z`: decoded, uint8 `[steps, len(ends), S, S, C]`, a column from `start` to each end.
    `random_z_tilde`, `random_z`: ten images evenly along the first random walk, uint8 `[10, S, S, C]`.
    `plane_z_tilde`, `plane_z`, `plane_data`: that walk's latents `[walk_steps + 1, 2]` and the data's `[n, 2]` in the
    data's first two principal components.
    """
    beginnings = z[start].expand(len(ends), -1)
    arrays: dict[str, np.ndarray] = {}
    for name, latents in zip(
        ("z_tilde", "z"), straight_walks(flow, beginnings, z[list(ends)], steps=steps), strict=True
    ):
        images = as_uint8(autoencoder.decode(latents.flatten(0, 1)))
        arrays[f"straight_{name}"] = images.reshape(steps, len(ends), *images.shape[1:])
    centre = z.mean(0)
    axes = torch.linalg.svd(z - centre, full_matrices=False).Vh[:2]
    for name, (latents, *_) in zip(("z_tilde", "z"), walks, strict=True):
        pictured = torch.linspace(0, len(latents) - 1, 10).round().long()
        arrays[f"random_{name}"] = as_uint8(autoencoder.decode(latents[pictured]))
        arrays[f"plane_{name}"] = ((latents - centre) @ axes.T).numpy()
    arrays["plane_data"] = ((z - centre) @ axes.T).numpy()
    return arrays
