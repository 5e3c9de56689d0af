"""Images with exchanged factors: the swap grid, all mixtures of a few images, and the path of the animation."""

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from torch import Tensor

from reproduce.data.shared.base import is_attribute, known
from reproduce.errors import UserError
from reproduce.evaluation.embedding import Embeddings
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.factors import factor_slices
from reproduce.interpret import exchange
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.models.convolutional import Autoencoder
from reproduce.schema import Strict


def _by_attribute(value: Any) -> Any:
    return tuple(map(int, value)) if isinstance(value, str) and set(value) <= {"0", "1"} else value


# a number is the first concept's value (a digit, a class); "0110" has a 0 or 1 for each attribute
ImageValue = Annotated[int | tuple[int, ...], BeforeValidator(_by_attribute)]
Values = Annotated[tuple[ImageValue, ...], Field(min_length=1)]


class GridSettings(Strict):
    """The values of the images shown as `targets` (rows) and `sources` (columns): the first held-out ones."""

    targets: Values
    sources: Values


def measure_grid(subject: Subject, targets: list[int], sources: list[int]) -> Measured:
    """`targets` and `sources`, uint8 `[n, S, S, C]`, and for each factor k `cells_k`: its swaps.

    In row r and column c, target r has the factor of source c: a decoded image, uint8 `[R, C, S, S, channels]`, or a
    classifier's prediction, int64 `[R, C]`. `target_classes` and `source_classes` are a classifier's predictions for
    the images themselves.
    """
    arrays = {"targets": subject.inputs(targets), "sources": subject.inputs(sources)}
    rows, columns = len(targets), len(sources)
    shown = subject.pictures if isinstance(subject.network, Autoencoder) else subject.predictions
    # not rows of `subject.z_tilde`: in a batch of another size, the last digits may differ
    target = subject.to_z_tilde(subject.z[targets].repeat_interleave(columns, 0))
    source = subject.to_z_tilde(subject.z[sources].repeat(rows, 1))
    for k in range(len(subject.dims)):
        cells = shown(subject.to_z(exchange(target, source, factor=k, dims=subject.sizes)))
        arrays[f"cells_{k}"] = cells.reshape(rows, columns, *cells.shape[1:])
    if not isinstance(subject.network, Autoencoder):
        arrays["target_classes"] = subject.predictions(subject.z[targets])
        arrays["source_classes"] = subject.predictions(subject.z[sources])
    if subject.data.classes is not None:
        arrays["class_names"] = subject.class_names
    return Measured(arrays=arrays)


class MixSettings(Strict):
    """`images`: the values of the images whose factors are mixed, the first held-out ones."""

    images: Values


def measure_mix(subject: Subject, images: list[int]) -> Measured:
    """The pictures of all mixtures, and which input image each option of a factor is taken from.

    `tiles` uint8 `[n, S, S, C]`: the mixtures, the last factor's option changing fastest, then the input images;
    `factors`: their names; for each factor k `labels_k` and `inputs_k`: each option's label and its input's tile.
    """
    options = [factor_options(subject, factor, images) for factor in subject.dims]
    images_of = [[image for _, image in several] for several in options]
    inputs = list(dict.fromkeys(image for several in images_of for image in several))
    chosen = torch.tensor(list(product(*images_of)))
    parts = [subject.z_tilde[chosen[:, k], part] for k, part in enumerate(factor_slices(subject.sizes))]
    mixtures = [subject.pictures(subject.to_z(some)) for some in torch.cat(parts, 1).split(IMAGES_AT_A_TIME)]
    arrays = {"tiles": np.concatenate([*mixtures, subject.inputs(inputs)]), "factors": np.array(list(subject.dims))}
    for k, several in enumerate(options):
        arrays[f"labels_{k}"] = np.array([label for label, _ in several])
        arrays[f"inputs_{k}"] = np.array([len(chosen) + inputs.index(image) for _, image in several])
    return Measured(arrays=arrays)


def factor_options(subject: Subject, factor: str, images: list[int]) -> list[tuple[str, int]]:
    """The label and the measured image of each option for a factor.

    An attribute is taken from the first image without and the first image with it, where possible none of `images`; any
    other factor is taken from each of `images`. UserError where all or none of the images have the attribute.
    """
    truth = subject.truth.get(factor)
    if truth is None or truth.ndim > 1:
        return [(str(number), image) for number, image in enumerate(images, 1)]
    if not is_attribute(truth):
        names, there = subject.value_names(factor), known(truth)
        return [(str(names[truth[image]]) if there[image] else "unknown", image) for image in images]
    options = {
        label: truth.eq(value).nonzero()[:, 0].tolist()
        for label, value in ((f"{factor}: no", 0), (f"{factor}: yes", 1))
    }
    if not all(options.values()):
        raise UserError(f"evaluation.mix: all or none of the {len(truth)} held-out images have {factor}: take more")
    return [
        (label, next((image for image in having if image not in images), having[0]))
        for label, having in options.items()
    ]


_STEPS = 8  # from one image to the next


def factor_path(z_tilde: Tensor, stops: Sequence[int], *, dims: Sequence[int], steps: int) -> tuple[Tensor, np.ndarray]:
    """Points `[F, N]` from row `stops[0]` of z̃ `[n, N]`, and the number of the factor that moves at each, `[F]`.

    Each factor in turn goes straight to that of each further stop, and back. There are `steps` points to each stop, the
    last one at it; a factor of size 0 takes no step.
    """
    start, fractions = stops[0], torch.arange(1, steps + 1, dtype=z_tilde.dtype)[:, None] / steps
    points, moving = [], []
    for k, part in enumerate(factor_slices(dims)):
        if not dims[k]:
            continue
        for here, there in pairwise([*stops, start]):
            leg = z_tilde[start].repeat(steps, 1)
            leg[:, part] = torch.lerp(z_tilde[here, part][None], z_tilde[there, part][None], fractions)
            points.append(leg)
            moving += [k] * steps
    return torch.cat(points), np.array(moving)


def measure_factor_path(subject: Subject, stops: list[int], embeddings: Embeddings) -> tuple[Measured, Measured]:
    """The path from the first of the measured images `stops` to the others, and the images on it.

    `moving` `[F]`: the number of the factor that moves; `path_<factor>` `[F]`: where its embedding places it, empty
    for a factor of size 0. The second file, which is not published, has the `images` uint8 `[F, S, S, C]`.
    """
    z_tilde, moving = factor_path(subject.z_tilde, stops, dims=subject.sizes, steps=_STEPS)
    arrays = {"moving": moving}
    for k, (factor, part) in enumerate(named_slices(subject.dims).items()):
        embedding, own = embeddings[factor], moving == k
        arrays[f"path_{factor}"] = np.empty(0)
        if embedding is not None:
            placed = embedding.transform(z_tilde[own][:, part].numpy())[:, 0]
            arrays[f"path_{factor}"] = np.full(len(own), placed[-1])  # a factor ends, and waits, where it starts
            arrays[f"path_{factor}"][own] = placed
    return Measured(arrays=arrays), Measured(arrays={"images": subject.pictures(subject.to_z(z_tilde))})
