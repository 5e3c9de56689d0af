"""Every mixture of a few images' factors: each factor from another image."""

from itertools import product

import numpy as np
import torch

from reproduce.data.base import IMAGES_AT_A_TIME
from reproduce.evaluation.grid import Values
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.schema import Strict


class MixSettings(Strict):
    """`images`: the held-out images whose factors are mixed, the first ones of these values, as in the swap grid."""

    images: Values


def measure_mix(subject: Subject, images: list[int]) -> Measured:
    """The pictures of all mixtures, and which input image stands for which option of a factor.

    `tiles` uint8 `[n, S, S, C]`: the mixtures, row-major over the factors' options, then the input images;
    `factors`: their names; for each factor k `labels_k` and `inputs_k`: the label of each option, and the tile with the
    image that it takes the factor from.
    """
    options = [factor_options(subject, factor, images) for factor in subject.dims]
    inputs = list(dict.fromkeys(image for option in options for image in option))
    mixtures = mixture_pictures(subject, options)
    arrays = {"tiles": np.concatenate([mixtures, subject.inputs(inputs)]), "factors": np.array(list(subject.dims))}
    for k, (factor, option) in enumerate(zip(subject.dims, options, strict=True)):
        arrays[f"labels_{k}"] = np.array(_labels(subject, factor, option))
        arrays[f"inputs_{k}"] = np.array([len(mixtures) + inputs.index(image) for image in option])
    return Measured(arrays=arrays)


def factor_options(subject: Subject, factor: str, images: list[int]) -> list[int]:
    """The measured images that a factor may be taken from: `images`; or one without and one with the attribute.

    The latter two are the first such images beside `images`, as far as there are any.
    """
    truth = subject.truth.get(factor)
    if truth is None or truth.dtype != torch.bool:
        return images
    found = []
    for there in (False, True):
        having = truth.eq(there).nonzero()[:, 0].tolist()
        found.append(next((image for image in having if image not in images), having[0]))
    return found


def _labels(subject: Subject, factor: str, option: list[int]) -> list[str]:
    """What each option is called: a class by its name, an attribute as without or with, all else by a number."""
    truth = subject.truth.get(factor)
    if truth is None or truth.ndim > 1:
        return [str(number) for number in range(1, len(option) + 1)]
    if truth.dtype == torch.bool:
        return ["without", "with"]
    return [str(subject.class_names[k]) for k in truth[option].tolist()]


def mixture_pictures(subject: Subject, options: list[list[int]]) -> np.ndarray:
    """Each combination of the factors' `options` decoded, uint8 `[n, S, S, C]`, the last factor's changing fastest."""
    chosen = torch.tensor(list(product(*options)))
    parts = named_slices(subject.dims).values()
    mixed = torch.cat([subject.z_tilde[chosen[:, k], part] for k, part in enumerate(parts)], 1)
    return np.concatenate([subject.pictures(subject.to_z(some)) for some in mixed.split(IMAGES_AT_A_TIME)])
