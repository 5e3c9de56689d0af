"""The response of a classifier: what it says of one image when a single factor of its latent is varied."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reproduce.factors import factor_slices
from reproduce.interpret import Vary, vary
from reproduce.models.convolutional import Classifier
from reproduce.models.flow import Flow
from reproduce.seeds import torch_generator


@dataclass(frozen=True)
class Responses:
    """Of one image's variants, a row for each factor.

    Attributes:
        own: the class predicted from the image's own latent.
        classes: the class predicted from each variant, int64 `[K+1, n]`.
        log_softmax: the logarithm of the softmax's value for `own`, in nats, `[K+1, n]`.
    """

    own: int
    classes: np.ndarray
    log_softmax: np.ndarray


@torch.no_grad()
def respond(
    classifier: Classifier,
    flow: Flow,
    z_tilde: Tensor,
    index: int,
    *,
    dims: Sequence[int],
    how: Vary,
    n: int,
    rho: float,
    seed: int,
) -> Responses:
    """Row `index` of z̃ `[m, N]` in `n` variants of each factor, mapped back and classified; see `interpret.vary`.

    A factor of size 0 has nothing to vary: all its variants are the image's own.
    """
    parts = factor_slices(dims)
    generator = torch_generator(seed, "response", step=index)
    own_logits = classifier.classify(flow.inverse(z_tilde[index : index + 1])[0])
    own = int(own_logits.argmax())
    logits = []
    for part in parts:
        if part.start == part.stop:
            logits.append(own_logits.expand(n, -1))
        else:
            varied = vary(z_tilde, index, part=part, how=how, n=n, rho=rho, generator=generator)
            logits.append(classifier.classify(flow.inverse(varied)[0]))
    stacked = torch.stack(logits)
    return Responses(own, stacked.argmax(2).numpy(), stacked.log_softmax(2)[:, :, own].numpy())


def response_numbers(classes: np.ndarray, own: int, *, n_classes: int) -> dict[str, float]:
    """How much predictions `classes` `[n]` vary around `own`.

    `sigma`: the standard deviation of the class's number (paper), which depends on the order of the classes;
    `flip_rate`: the share that isn't `own`; `entropy`: of the distribution, as a share of the uniform one's.
    """
    shares = np.bincount(classes, minlength=n_classes) / len(classes)
    entropy = -sum(share * math.log(share) for share in shares.tolist() if share)
    return {
        "sigma": float(np.std(classes)),
        "flip_rate": float(np.mean(classes != own)),
        "entropy": abs(entropy) / math.log(n_classes),
    }


def mean_response(
    classifier: Classifier,
    flow: Flow,
    z_tilde: Tensor,
    indices: Sequence[int],
    *,
    dims: Sequence[int],
    factors: Sequence[str],
    how: Vary,
    n: int,
    rho: float,
    seed: int,
) -> dict[str, dict[str, float]]:
    """For each factor the means of `response_numbers` over the images `indices`."""
    found: dict[str, list[dict[str, float]]] = {factor: [] for factor in factors}
    for index in indices:
        one = respond(classifier, flow, z_tilde, index, dims=dims, how=how, n=n, rho=rho, seed=seed)
        for factor, classes in zip(factors, one.classes, strict=True):
            found[factor].append(response_numbers(classes, one.own, n_classes=classifier.n_classes))
    return {
        factor: {name: float(np.mean([numbers[name] for numbers in own])) for name in own[0]}
        for factor, own in found.items()
    }
