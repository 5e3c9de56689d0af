"""All measurements: the section `evaluation` of a config file, and what it asks for."""

from collections.abc import Mapping
from typing import Any

import torch

from reproduce.data.shared.base import pick_images
from reproduce.evaluation.embedding import EmbeddingSettings, embedded_images, measure_embedding
from reproduce.evaluation.grid import GridSettings, MixSettings, Values, measure_factor_path, measure_grid, measure_mix
from reproduce.evaluation.latents import ProbeSettings, measure_latents, measure_probe
from reproduce.evaluation.linear import DirectionSettings, LinearSettings, measure_directions, measure_linear
from reproduce.evaluation.response import ResponseSettings, WalkSettings, measure_response, measure_walk
from reproduce.evaluation.retrieval import RetrievalSettings, measure_retrieval
from reproduce.evaluation.samples import Extract, SampleSettings, measure_samples
from reproduce.evaluation.subject import Measured, Subject
from reproduce.evaluation.swap import SwapSettings, measure_swap
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict


class Evaluation(Strict):
    """What is measured: each section that is there, and always the likelihood and the statistics of z̃."""

    swap: SwapSettings | None = None
    probe: ProbeSettings | None = None
    samples: SampleSettings | None = None
    embedding: EmbeddingSettings | None = None
    grid: GridSettings | None = None
    retrieval: RetrievalSettings | None = None
    response: ResponseSettings | None = None
    walk: WalkSettings | None = None
    mix: MixSettings | None = None
    linear: LinearSettings | None = None
    directions: DirectionSettings | None = None

    def check(self, *, kind: str, concepts: int, classes: int | None, attributes: bool, has_classes: bool) -> None:
        """Raise ValueError, naming the key, where a section does not suit the experiment.

        Arguments:
            kind: "autoencoder" or "classifier", the interpreted network.
            concepts: the number of concepts that T has a factor for; 0 where it is trained without pairs.
            classes: the number of classes, where it is known.
            attributes: whether the data set's concepts are attributes, which name an image together; otherwise the
                first one's value does.
            has_classes: whether a classifier's or judge's outputs are classes.
        """
        of_concepts = ("swap", "probe", "embedding", "grid", "retrieval", "response", "walk", "mix")
        needs = (
            ("concepts (a section pairs)", concepts > 0, of_concepts),
            ("a classifier", kind == "classifier", ("response", "walk")),
            ("an autoencoder", kind == "autoencoder", ("mix", "samples", "linear", "directions")),
            ("images of classes", has_classes, ("linear",)),
            ("images with attributes", attributes, ("directions",)),
        )
        for need, there, sections in needs:
            for section in sections:
                if getattr(self, section) is not None and not there:
                    raise ValueError(f"evaluation.{section} needs {need}: remove it")
        if self.walk and not (self.response and self.embedding):
            raise ValueError("evaluation.walk starts at response's image, among embedding's: add these two sections")
        if self.response and self.response.vary == "walk" and not self.walk:
            raise ValueError("evaluation.response.vary: walk needs the section evaluation.walk, for its rho")
        keys = [item for wanted in self.images().values() for item in wanted.items()]
        for key, value in [(key, value) for key, values in keys for value in values]:
            if len(value) != concepts if isinstance(value, tuple) else attributes:
                words = "".join(map(str, value)) if isinstance(value, tuple) else value
                right = f"{concepts} digits, 0 or 1 for each attribute" if attributes else "the number of a class"
                raise ValueError(f"{key}: {words}: an image is named by {right}")
            if isinstance(value, int) and classes is not None and not 0 <= value < classes:
                raise ValueError(f"{key}: {value}: there are {classes} classes: name some of 0 to {classes - 1}")

    def images(self) -> dict[str, dict[str, Values]]:
        """The values of the held-out images that each section shows, by key; a section's are for one `pick_images`."""
        keys = {"grid": ("targets", "sources"), "response": ("shown",), "mix": ("images",), "linear": ("start", "ends")}
        found: dict[str, dict[str, Values]] = {}
        for section, settings in ((name, getattr(self, name)) for name in keys):
            if settings is not None:
                values = {f"evaluation.{section}.{key}": getattr(settings, key) for key in keys[section]}
                found[section] = {key: of if isinstance(of, tuple) else (of,) for key, of in values.items()}
        return found


@torch.no_grad()
def measure_all(
    subject: Subject, evaluation: Evaluation, *, rho: float | None, inception: Extract | None
) -> dict[str, Measured]:
    """What is found, by section; and `latents`, and the animation's `factors` and `factors_images`.

    `rho`: the correlation within a pair that T was trained for, None without concepts; `inception`: see
    `measure_samples`.
    """
    latents = measure_latents(subject, rho=rho)  # before what NaN would end in an error of sklearn's
    found: dict[str, Measured] = {}
    shown = {name: pick_images(subject.heldout["values"], wanted) for name, wanted in evaluation.images().items()}
    if evaluation.swap:
        found["swap"] = measure_swap(subject, evaluation.swap)
    if evaluation.probe:
        found["probe"] = measure_probe(subject, evaluation.probe)
    if evaluation.samples:
        found["samples"] = measure_samples(subject, evaluation.samples, inception=inception)
    found["latents"] = latents
    if evaluation.grid:
        found["grid"] = measure_grid(subject, *shown["grid"])
    if evaluation.retrieval:
        found["retrieval"] = measure_retrieval(subject, evaluation.retrieval)
    if evaluation.embedding:
        chosen = embedded_images(subject, evaluation.embedding)
        found["embedding"], embeddings = measure_embedding(subject, chosen)
        if evaluation.grid and isinstance(subject.network, Autoencoder):
            (target, *_), sources = shown["grid"]
            path = measure_factor_path(subject, [target, *sources[1::2]], embeddings)
            found["factors"], found["factors_images"] = path
        if evaluation.walk:
            found["walk"] = measure_walk(subject, evaluation.walk, start=shown["response"][0][0], embedded=chosen)
    if evaluation.response:
        step = evaluation.walk.rho if evaluation.walk else 0.0
        found["response"] = measure_response(subject, evaluation.response, shown=shown["response"][0][0], rho=step)
    if evaluation.mix:
        found["mix"] = measure_mix(subject, *shown["mix"])
    if evaluation.linear:
        found["linear"] = measure_linear(subject, evaluation.linear, shown=shown["linear"])
    if evaluation.directions:
        found["directions"] = measure_directions(subject, evaluation.directions)
    return found


def headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The main numbers, for `dvc metrics show`, as far as they were measured.

    The lowest swap rates: `follows`, where the swapped concept is the source's; `stays`, where another concept stays
    the target's; `residual`, where a concept does when the residual is swapped. `frechet`: the distance of samples from
    held-out images in our classifier's features. The names are short, since DVC prints them beside a long path.
    """
    shares: dict[str, list[float]] = {"follows": [], "stays": [], "residual": []}
    for factor, row in metrics.get("swap", {}).items():
        for concept, rates in row.items():
            if rates is None:
                continue
            if factor == concept:
                shares["follows"].append(rates["source"])
            else:
                shares["stays" if factor in row else "residual"].append(rates["target"])
    found = {name: round(min(values), 4) for name, values in shares.items() if values}
    if "frechet" in metrics:
        found["frechet"] = round(metrics["frechet"]["classifier"], 1)
    return found
