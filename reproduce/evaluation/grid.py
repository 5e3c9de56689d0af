"""Images in which factors are exchanged: the swap grid, all mixtures of a few images, and the animation's path."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from reproduce.data.shared.base import IMAGES_AT_A_TIME
from reproduce.evaluation.embedding import Embeddings
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.factors import factor_slices
from reproduce.interpret import exchange
from reproduce.models.convolutional import Classifier
from reproduce.schema import Strict


def _by_attribute(value: Any) -> Any:
    return tuple(map(int, value)) if isinstance(value, str) and set(value) <= {"0", "1"} else value


# a number is the first concept's value (a digit, a class); "0110" says of each attribute whether the image has it
ImageValue = Annotated[int | tuple[int, ...], BeforeValidator(_by_attribute)]
Values = Annotated[tuple[ImageValue, ...], Field(min_length=1)]


class GridSettings(Strict):
    """The images shown as `targets` (rows) and `sources` (columns): the first held-out ones of these values."""

    targets: Values
    sources: Values


def measure_grid(subject: Subject, targets: list[int], sources: list[int]) -> Measured:
    """`targets` and `sources`, uint8 `[n, S, S, C]`, and for each factor k `cells_k`; see `swap_cells`.

    A classifier also has `target_classes` and `source_classes`, which it predicts from the images as they are.
    """
    arrays = {"targets": subject.inputs(targets), "sources": subject.inputs(sources)}
    arrays |= {f"cells_{k}": cells for k, cells in enumerate(swap_cells(subject, targets, sources))}
    if isinstance(subject.network, Classifier):
        arrays["target_classes"] = subject.predictions(subject.z[targets])
        arrays["source_classes"] = subject.predictions(subject.z[sources])
    if subject.data.classes is not None:
        arrays["class_names"] = subject.class_names
    return Measured(arrays=arrays)


def swap_cells(subject: Subject, targets: list[int], sources: list[int]) -> list[np.ndarray]:
    """For each factor `[R, C, …]`: row r's target with the factor of column c's source.

    The cells are decoded images, uint8 `[R, C, S, S, channels]`, or a classifier's predictions, int64 `[R, C]`.
    """
    rows, columns = len(targets), len(sources)
    # T of these images alone: in a larger batch the last digits may differ
    target = subject.to_z_tilde(subject.z[targets].repeat_interleave(columns, 0))
    source = subject.to_z_tilde(subject.z[sources].repeat(rows, 1))
    grids = []
    for factor in range(len(subject.dims)):
        mixed = subject.to_z(exchange(target, source, factor=factor, dims=subject.sizes))
        cells = subject.predictions(mixed) if isinstance(subject.network, Classifier) else subject.pictures(mixed)
        grids.append(cells.reshape(rows, columns, *cells.shape[1:]))
    return grids


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


_STEPS = 8  # from one image to the next


@dataclass(frozen=True)
class FactorPath:
    """Points `z_tilde` `[F, N]`, and the number of the factor that is `moving` at each, `[F]`."""

    z_tilde: Tensor
    moving: np.ndarray


def factor_path(z_tilde: Tensor, stops: Sequence[int], *, dims: Sequence[int], steps: int) -> FactorPath:
    """From row `stops[0]` of z̃ `[n, N]`: each factor in turn goes straight to that of each further stop, and back.

    There are `steps` points to each stop, the last one at it; a factor of size 0 takes no step.
    """
    start, fractions = stops[0], torch.arange(1, steps + 1, dtype=z_tilde.dtype)[:, None] / steps
    points, moving = [], []
    for k, part in enumerate(factor_slices(dims)):
        if part.start == part.stop:
            continue
        for here, there in pairwise([*stops, start]):
            leg = z_tilde[start].repeat(steps, 1)
            leg[:, part] = torch.lerp(z_tilde[here, part][None], z_tilde[there, part][None], fractions)
            points.append(leg)
            moving += [k] * steps
    return FactorPath(torch.cat(points), np.array(moving))


def measure_factor_path(subject: Subject, stops: list[int], embeddings: Embeddings) -> tuple[Measured, Measured]:
    """The path from the first of the measured images `stops` to the others, and the images on it.

    `moving` `[F]`: the number of the factor that moves; `path_<factor>` `[F]`: where its embedding places it, empty
    for a factor of size 0. Apart, since they are not published: `images` uint8 `[F, S, S, C]`.
    """
    path = factor_path(subject.z_tilde, stops, dims=subject.sizes, steps=_STEPS)
    arrays = {"moving": path.moving}
    for k, (factor, part) in enumerate(named_slices(subject.dims).items()):
        embedding, own = embeddings[factor], path.moving == k
        arrays[f"path_{factor}"] = np.empty(0)
        if embedding is not None:  # the last point of a factor is its first one again, where it also waits
            placed = embedding.transform(path.z_tilde[own][:, part].numpy())[:, 0]
            arrays[f"path_{factor}"] = np.full(len(own), placed[-1])
            arrays[f"path_{factor}"][own] = placed
    return Measured(arrays=arrays), Measured(arrays={"images": subject.pictures(subject.to_z(path.z_tilde))})
