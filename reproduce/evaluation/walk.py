"""Random walks in one factor, seen in the latent of the interpreted classifier."""

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from reproduce.evaluation.embedding import Embedding
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.interpret import vary
from reproduce.schema import Strict, UnitInterval
from reproduce.seeds import torch_generator


class WalkSettings(Strict):
    """A random walk in one factor: how many `steps` it has, and `rho`, the correlation of each with the one before."""

    steps: PositiveInt
    rho: UnitInterval


def measure_walk(subject: Subject, settings: WalkSettings, *, start: int, embedded: np.ndarray) -> Measured:
    """The metric `walk`: how the prediction changes on a walk in each factor, from measured image `start` on.

    `places`, `classes`: where 2-D UMAP of z puts the measured images `embedded`, `[n, 2]`, and their classes `[n]`;
    `walk_<factor>`: where it puts the steps, `[steps + 1, 2]`, empty for a factor of size 0; `start`: the class
    predicted there.
    """
    embedding = Embedding(subject.z[embedded].numpy(), dimensions=2, seed=subject.seed)
    classes = subject.heldout["values"][embedded, 0]
    arrays = {"places": embedding.places, "classes": classes, "class_names": subject.class_names}
    numbers: dict[str, dict[str, float] | None] = dict.fromkeys(subject.dims)
    for factor, path in factor_walks(subject, start, settings).items():
        arrays[f"walk_{factor}"] = np.empty((0, 2)) if path is None else embedding.place(path.numpy())
        if path is not None:
            numbers[factor] = walk_numbers(subject.predictions(path))
    arrays["start"] = subject.predictions(subject.z[start : start + 1])
    return Measured({"walk": numbers}, arrays)


def factor_walks(subject: Subject, index: int, settings: WalkSettings) -> dict[str, Tensor | None]:
    """For each factor the latents `[steps + 1, N]` on a walk in it, from measured image `index` on.

    None for a factor of size 0. See `interpret.ornstein_uhlenbeck`.
    """
    walks: dict[str, Tensor | None] = dict.fromkeys(subject.dims)
    z_tilde = subject.z_tilde
    for k, (factor, part) in enumerate(named_slices(subject.dims).items()):
        if part.start < part.stop:
            generator = torch_generator(subject.seed, "walk", step=k)
            varied = vary(
                z_tilde, index, part=part, how="walk", n=settings.steps, rho=settings.rho, generator=generator
            )
            walks[factor] = subject.to_z(torch.cat([z_tilde[index : index + 1], varied]))
    return walks


def walk_numbers(classes: np.ndarray) -> dict[str, float]:
    """Of predictions `classes` `[steps + 1]` on a walk: the share that is the start's, and how many occur."""
    return {"stays": float(np.mean(classes[1:] == classes[0])), "classes": len(np.unique(classes))}
