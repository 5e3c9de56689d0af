"""The response of a classifier: what it predicts for one image when a single factor of its latent is varied."""

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field, PositiveInt

from reproduce.data.shared.base import pick_images
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.interpret import Vary, vary
from reproduce.models.convolutional import Classifier
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator, torch_generator

Numbers = dict[str, float]  # see `response_numbers`


class ResponseSettings(Strict):
    """The first held-out image of the class `shown` in `n_variants` variants of each factor, and means over others.

    `vary`: how a factor is varied, see `reproduce.interpret.vary`. The means are taken over `n_inputs` images, of which
    each gets `n_variants_each` variants.
    """

    shown: Annotated[int, Field(ge=0)]
    vary: Vary
    n_variants: PositiveInt
    n_inputs: PositiveInt
    n_variants_each: PositiveInt

    @property
    def wanted(self) -> dict[str, tuple[int]]:
        """See `reproduce.data.shared.base.pick_images`."""
        return {"evaluation.response.shown": (self.shown,)}


@dataclass(frozen=True)
class Variation:
    """How a factor is varied: `n` variants; `rho` is the correlation of two steps where they are a walk's."""

    how: Vary
    n: int
    rho: float


@dataclass(frozen=True)
class Responses:
    """The predictions for one image's variants, a row for each factor.

    Attributes:
        own: the class predicted from the image's own latent.
        classes: the class predicted from each variant, int64 `[K+1, n]`.
        log_softmax: the logarithm of the softmax's value for `own`, in nats, `[K+1, n]`.
    """

    own: int
    classes: np.ndarray
    log_softmax: np.ndarray


def shown_image(subject: Subject, settings: ResponseSettings) -> int:
    """The measured image whose response is shown."""
    return pick_images(subject.heldout["values"], settings.wanted)[0][0]


def measure(subject: Subject, settings: ResponseSettings, *, rho: float) -> Measured:
    """The metrics `response`, of the image that is shown, and `response_mean`; and what the figure shows."""
    shown = shown_image(subject, settings)
    found = respond(subject, shown, Variation(settings.vary, settings.n_variants, rho))
    order = numpy_generator(subject.seed, "varied images").permutation(len(subject.z))
    averaged = order[: settings.n_inputs].tolist()
    metrics = {
        "response": factor_numbers(subject, found),
        "response_mean": mean_response(subject, averaged, Variation(settings.vary, settings.n_variants_each, rho)),
    }
    arrays = {
        "image": subject.inputs([shown])[0],
        "own": np.array(found.own),
        "classes": found.classes,
        "log_softmax": found.log_softmax,
        "class_names": subject.class_names,
        "averaged": np.array(len(averaged)),
    }
    return Measured(metrics, arrays)


@torch.no_grad()
def respond(subject: Subject, index: int, variation: Variation) -> Responses:
    """Measured image `index` in the variants of each factor, mapped back and classified; see `interpret.vary`.

    A factor of size 0 has nothing to vary: all its variants are the image's own.
    """
    assert isinstance(subject.network, Classifier)
    generator = torch_generator(subject.seed, "response", step=index)
    own_logits = subject.network.classify(subject.to_z(subject.z_tilde[index : index + 1]))
    own = int(own_logits.argmax())
    logits = []
    for part in named_slices(subject.dims).values():
        if part.start == part.stop:
            logits.append(own_logits.expand(variation.n, -1))
        else:
            varied = vary(subject.z_tilde, index, part=part, generator=generator, **vars(variation))
            logits.append(subject.network.classify(subject.to_z(varied)))
    stacked = torch.stack(logits)
    return Responses(own, stacked.argmax(2).numpy(), stacked.log_softmax(2)[:, :, own].numpy())


def response_numbers(classes: np.ndarray, own: int, *, n_classes: int) -> Numbers:
    """How much predictions `classes` `[n]` vary around `own`.

    `sigma`: the standard deviation of the class's number (paper), which depends on the order of the classes;
    `flip_rate`: the share that is not `own`; `entropy`: of the distribution, as a share of the uniform one's.
    """
    shares = np.bincount(classes, minlength=n_classes) / len(classes)
    entropy = -sum(share * math.log(share) for share in shares.tolist() if share)
    return {
        "sigma": float(np.std(classes)),
        "flip_rate": float(np.mean(classes != own)),
        "entropy": abs(entropy) / math.log(n_classes),
    }


def factor_numbers(subject: Subject, found: Responses) -> dict[str, Numbers]:
    """The `response_numbers` of each factor."""
    n_classes = len(subject.class_names)
    return {
        factor: response_numbers(classes, found.own, n_classes=n_classes)
        for factor, classes in zip(subject.dims, found.classes, strict=True)
    }


def mean_response(subject: Subject, indices: list[int], variation: Variation) -> dict[str, Numbers]:
    """For each factor the means of `response_numbers` over the measured images `indices`."""
    found = [factor_numbers(subject, respond(subject, index, variation)) for index in indices]
    return {
        factor: {name: float(np.mean([numbers[factor][name] for numbers in found])) for name in found[0][factor]}
        for factor in subject.dims
    }
