"""All measurements: the section `evaluation` of a config file, and what it asks for."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from reproduce.evaluation import (
    directions,
    embedding,
    factor_path,
    grid,
    latents,
    linear,
    mix,
    probe,
    response,
    samples,
    swap,
    walk,
)
from reproduce.evaluation.directions import DirectionSettings
from reproduce.evaluation.embedding import EmbeddingSettings
from reproduce.evaluation.frechet import Extract
from reproduce.evaluation.grid import GridSettings
from reproduce.evaluation.linear import LinearSettings
from reproduce.evaluation.mix import MixSettings
from reproduce.evaluation.probe import ProbeSettings
from reproduce.evaluation.response import ResponseSettings
from reproduce.evaluation.samples import SampleSettings
from reproduce.evaluation.subject import Measured, Subject
from reproduce.evaluation.swap import SwapSettings
from reproduce.evaluation.walk import WalkSettings
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict

# what an experiment must have for a section to be of use, and where each is decided
_NEEDS = {
    "swap": ("concepts",),
    "probe": ("concepts",),
    "embedding": ("concepts",),
    "grid": ("concepts",),
    "response": ("concepts", "classifier"),
    "walk": ("concepts", "classifier"),
    "mix": ("concepts", "autoencoder"),
    "samples": ("autoencoder",),
    "linear": ("autoencoder", "classes"),
    "directions": ("autoencoder", "attributes"),
}
_WORDS = {
    "concepts": "an experiment with concepts (a section pairs)",
    "classifier": "a classifier (first_stage.kind)",
    "autoencoder": "an autoencoder (first_stage.kind)",
    "classes": "images of classes (dataset)",
    "attributes": "images with attributes (dataset)",
}


class Evaluation(Strict):
    """What is measured. A section that is absent is left out; the likelihood and z̃'s statistics are always there."""

    swap: SwapSettings | None = None
    probe: ProbeSettings | None = None
    samples: SampleSettings | None = None
    embedding: EmbeddingSettings | None = None
    grid: GridSettings | None = None
    response: ResponseSettings | None = None
    walk: WalkSettings | None = None
    mix: MixSettings | None = None
    linear: LinearSettings | None = None
    directions: DirectionSettings | None = None

    def check(self, *, kind: str, concepts: int, classes: int | None, attributes: bool) -> None:
        """Raise ValueError, naming the key, where a section does not suit the experiment.

        Arguments:
            kind: the interpreted network's, "autoencoder" or "classifier".
            concepts: how many concepts T has a factor for; 0 where it is trained without pairs.
            classes: how many classes the images have, where that is known.
            attributes: whether the data set's concepts are attributes; otherwise the first one is a class.
        """
        there = {"concepts": concepts > 0, kind: True, "attributes": attributes, "classes": not attributes}
        for section, needs in _NEEDS.items():
            missing = [_WORDS[need] for need in needs if not there.get(need)]
            if getattr(self, section) is not None and missing:
                raise ValueError(f"evaluation.{section} is for {missing[0]}: remove it")
        if self.walk and not (self.response and self.embedding):
            raise ValueError("evaluation.walk starts at response's image, among embedding's: add these two sections")
        if self.response and self.response.vary == "walk" and not self.walk:
            raise ValueError("evaluation.response.vary: walk needs the section evaluation.walk, for its rho")
        for key, values in [item for wanted in self.wanted_images() for item in wanted.items()]:
            for value in values:
                if isinstance(value, tuple):
                    if len(value) != concepts:
                        raise ValueError(
                            f"{key}: {list(value)}: there are {concepts} concept(s): list a value for each"
                        )
                elif attributes:
                    raise ValueError(f"{key}: {value}: there are {concepts} concept(s): list a value for each")
                elif classes is not None and not 0 <= value < classes:
                    raise ValueError(f"{key}: {value}: there are {classes} classes: name some of 0 to {classes - 1}")

    def wanted_images(self) -> list[Mapping[str, Sequence[int | tuple[int, ...]]]]:
        """The values that the sections need held-out images of, by key; each for one call of `pick_images`."""
        return [section.wanted for section in (self.grid, self.response, self.mix, self.linear) if section is not None]


@torch.no_grad()
def measure_all(
    subject: Subject, wanted: Evaluation, *, rho: float | None, inception: Extract | None
) -> dict[str, Measured]:
    """What each section finds, by its name, and two more: `latents`, and the animation's `factors` with its images.

    Arguments:
        rho: the correlation within a pair that T was trained for; None without concepts.
        inception: see `samples.measure`.
    """
    found: dict[str, Measured] = {}
    if wanted.swap is not None:
        found["swap"] = swap.measure(subject, wanted.swap)
    if wanted.probe is not None:
        found["probe"] = probe.measure(subject, wanted.probe)
    if wanted.samples is not None:
        found["samples"] = samples.measure(subject, wanted.samples, inception=inception)
    found["latents"] = latents.measure(subject, rho=rho)
    if wanted.grid is not None:
        found["grid"] = grid.measure(subject, wanted.grid)
    if wanted.embedding is not None:
        found["embedding"], embeddings = embedding.measure(subject, wanted.embedding)
        if wanted.grid is not None and isinstance(subject.network, Autoencoder):
            found["factors"], found["factors_images"] = factor_path.measure(subject, wanted.grid, embeddings)
    if wanted.response is not None:
        rho_of_walk = wanted.walk.rho if wanted.walk is not None else 0.0
        found["response"] = response.measure(subject, wanted.response, rho=rho_of_walk)
        if wanted.walk is not None and wanted.embedding is not None:
            start = response.shown_image(subject, wanted.response)
            chosen = embedding.embedded_images(subject, wanted.embedding)
            found["walk"] = walk.measure(subject, wanted.walk, start=start, embedded=chosen)
    if wanted.mix is not None:
        found["mix"] = mix.measure(subject, wanted.mix)
    if wanted.linear is not None:
        found["linear"] = linear.measure(subject, wanted.linear)
    if wanted.directions is not None:
        found["directions"] = directions.measure(subject, wanted.directions)
    return found


def headline(metrics: Mapping[str, Any], concepts: Sequence[str]) -> dict[str, float]:
    """The few numbers that `dvc metrics show` has room for, of those that were measured.

    `follows`: the lowest share in which a swapped concept is the source's; `others_stay`: the lowest in which another
    one stays the target's meanwhile; `residual_stays`: the lowest in which a concept does when the residual is swapped.
    `frechet`: the distance of samples from held-out images in our classifier's features.
    """
    shares: dict[str, list[float]] = {"follows": [], "others_stay": [], "residual_stays": []}
    for factor, row in metrics.get("swap", {}).items():
        for concept, rates in row.items():
            if rates is None:
                continue
            if factor == concept:
                shares["follows"].append(rates["source"])
            else:
                shares["others_stay" if factor in concepts else "residual_stays"].append(rates["target"])
    found = {name: round(min(values), 4) for name, values in shares.items() if values}
    if "frechet" in metrics:
        found["frechet"] = round(metrics["frechet"]["classifier"], 4)
    return found
