"""What a classifier predicts for an image when one factor of its latent is varied, or walks at random."""

import math
from functools import partial

import numpy as np
import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import Tensor

from reproduce.evaluation.embedding import fit_umap
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.factors import factor_slices
from reproduce.interpret import Vary, vary
from reproduce.schema import Strict, UnitInterval
from reproduce.seeds import numpy_generator, torch_generator

Numbers = dict[str, float]


class ResponseSettings(Strict):
    """Variants of the first held-out image of the class `shown`, and of `n_inputs` images for mean numbers.

    `vary`: how a factor is varied, see `reproduce.interpret.vary`; `n_variants`, `n_variants_each`: the number of
    variants of each factor, for the image shown and for each of the others.
    """

    shown: NonNegativeInt
    vary: Vary
    n_variants: PositiveInt
    n_inputs: PositiveInt
    n_variants_each: PositiveInt


def measure_response(subject: Subject, settings: ResponseSettings, *, shown: int, rho: float) -> Measured:
    """The metrics `response`, of measured image `shown`, and `response_mean`; and the arrays of the figure.

    `image` uint8 `[S, S, C]`; `own`: the class predicted from its own latent; `classes` int64 `[K+1, n]`: the class
    predicted from each variant; `log_softmax` `[K+1, n]`: the log-softmax of `own`; `averaged`: the number of
    images that the means are taken over. `rho`: the correlation of two steps where variants are those of a walk.
    """
    of = partial(respond, subject, how=settings.vary, rho=rho)
    averaged = numpy_generator(subject.seed, "varied images").permutation(len(subject.z))[: settings.n_inputs].tolist()
    each = [factor_numbers(subject, *of(one, n=settings.n_variants_each)) for one in averaged]
    own, logits = of(shown, n=settings.n_variants)
    arrays = {
        "image": subject.inputs([shown])[0],
        "own": np.array(own),
        "classes": logits.argmax(2).numpy(),
        "log_softmax": logits.log_softmax(2)[:, :, own].numpy(),
        "class_names": subject.class_names,
        "averaged": np.array(len(each)),
    }
    return Measured({"response": factor_numbers(subject, own, logits), "response_mean": mean_numbers(each)}, arrays)


@torch.no_grad()
def respond(subject: Subject, index: int, *, how: Vary, n: int, rho: float) -> tuple[int, Tensor]:
    """The class predicted for measured image `index`, and the logits `[K+1, n, n_classes]` of each factor's variants.

    All variants of a factor of size 0 are the image itself. The other arguments are those of `interpret.vary`.
    """
    generator = torch_generator(subject.seed, "response", step=index)
    own = subject.classify(subject.to_z(subject.z_tilde[index : index + 1]))
    logits = []
    for part in factor_slices(subject.sizes):
        if part.start == part.stop:
            logits.append(own.expand(n, -1))
        else:
            varied = vary(subject.z_tilde, index, part=part, how=how, n=n, rho=rho, generator=generator)
            logits.append(subject.classify(subject.to_z(varied)))
    return int(own.argmax()), torch.stack(logits)


def response_numbers(classes: np.ndarray, own: int, *, n_classes: int) -> Numbers:
    """How much predictions `classes` `[n]` vary around `own`.

    `sigma`: the standard deviation of the class's number (paper), which depends on the order of the classes;
    `flip_rate`: the share that is not `own`; `entropy`: that of the predictions, divided by the uniform distribution's.
    """
    shares = np.bincount(classes, minlength=n_classes) / len(classes)
    entropy = -sum(share * math.log(share) for share in shares.tolist() if share)
    return {
        "sigma": float(np.std(classes)),
        "flip_rate": float(np.mean(classes != own)),
        "entropy": abs(entropy) / math.log(n_classes),
    }


def factor_numbers(subject: Subject, own: int, logits: Tensor) -> dict[str, Numbers]:
    """The `response_numbers` of each factor; see `respond`."""
    classes, n_classes = logits.argmax(2).numpy(), logits.shape[2]
    return {factor: response_numbers(classes[k], own, n_classes=n_classes) for k, factor in enumerate(subject.dims)}


def mean_numbers(each: list[dict[str, Numbers]]) -> dict[str, Numbers]:
    """For each factor the mean of each number over several images."""
    return {
        factor: {name: float(np.mean([one[factor][name] for one in each])) for name in numbers}
        for factor, numbers in each[0].items()
    }


class WalkSettings(Strict):
    """A random walk in one factor: the number of `steps`, and `rho`, the correlation of each with the one before."""

    steps: PositiveInt
    rho: UnitInterval


def measure_walk(subject: Subject, settings: WalkSettings, *, start: int, embedded: np.ndarray) -> Measured:
    """The metric `walk`: how the prediction changes on a walk in each factor from measured image `start`.

    `places` `[n, 2]`, `classes` `[n]`: the measured images `embedded` in a 2-D UMAP of z, and their classes;
    `walk_<factor>` `[steps + 1, 2]`: the walk in the same UMAP, empty for a factor of size 0; `start`: the class
    predicted for the image.
    """
    embedding = fit_umap(subject.z[embedded].numpy(), dimensions=2, seed=subject.seed)
    classes = subject.heldout["values"][embedded, 0]
    arrays = {"places": embedding.embedding_, "classes": classes, "class_names": subject.class_names}
    numbers: dict[str, Numbers | None] = dict.fromkeys(subject.dims)
    for factor, path in factor_walks(subject, start, settings).items():
        arrays[f"walk_{factor}"] = np.empty((0, 2)) if path is None else embedding.transform(path.numpy())
        if path is not None:
            numbers[factor] = walk_numbers(subject.predictions(path))
    arrays["start"] = subject.predictions(subject.z[start : start + 1])
    return Measured({"walk": numbers}, arrays)


def factor_walks(subject: Subject, index: int, settings: WalkSettings) -> dict[str, Tensor | None]:
    """For each factor the latents `[steps + 1, N]` of a walk in it from measured image `index`; None for size 0."""
    walks: dict[str, Tensor | None] = dict.fromkeys(subject.dims)
    of = partial(vary, subject.z_tilde, index, how="walk", n=settings.steps, rho=settings.rho)
    for k, (factor, part) in enumerate(named_slices(subject.dims).items()):
        if subject.dims[factor]:
            varied = of(part=part, generator=torch_generator(subject.seed, "walk", step=k))
            walks[factor] = subject.to_z(torch.cat([subject.z_tilde[index : index + 1], varied]))
    return walks


def walk_numbers(classes: np.ndarray) -> dict[str, float]:
    """For the predictions `classes` `[steps + 1]` on a walk: the share that equals the start's, and how many occur."""
    return {"stays": float(np.mean(classes[1:] == classes[0])), "classes": len(np.unique(classes))}
