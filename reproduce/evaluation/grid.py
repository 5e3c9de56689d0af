"""What a swap grid shows: inputs at the borders, a factor of each column's source in each row's target inside."""

from typing import Annotated

import numpy as np
from pydantic import Field

from reproduce.evaluation.subject import Measured, Subject
from reproduce.interpret import exchange
from reproduce.models.convolutional import Classifier
from reproduce.schema import Strict

# a number is the first concept's value (a digit, a class); a list has a value for each concept
Values = Annotated[tuple[int | tuple[int, ...], ...], Field(min_length=1)]


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
