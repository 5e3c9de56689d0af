"""What a swap grid shows: inputs at the borders, a factor of each column's source in each row's target inside."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from reproduce.errors import UserError
from reproduce.interpret import swap
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow

_MAX_NAMED = 16


def as_uint8(images: Tensor) -> np.ndarray:
    """Images `[n, C, S, S]` in [-1, 1] to uint8 `[n, S, S, C]`, as they are shown."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def pick_images(values: np.ndarray, wanted: Mapping[str, Sequence[int | tuple[int, ...]]]) -> list[list[int]]:
    """For each list of wanted values, the first images that show them, no image twice.

    Arguments:
        values: concept values `[n, K]`.
        wanted: lists by the config's key: a number is a value of the first concept, a tuple has one for every concept.

    Raises UserError, naming the key, where a tuple has another length, or too few images show a value.
    """
    taken: set[int] = set()
    chosen = []
    for name, several in wanted.items():
        own = []
        for value in several:
            if isinstance(value, tuple) and len(value) != values.shape[1]:
                raise UserError(f"{name}: {list(value)} has {len(value)} values, there are {values.shape[1]} concepts")
            shows = (values == value).all(1) if isinstance(value, tuple) else values[:, 0] == value
            free = next((int(i) for i in np.flatnonzero(shows) if int(i) not in taken), None)
            if free is None:
                shown = list(value) if isinstance(value, tuple) else value
                raise UserError(
                    f"{name}: there are not enough held-out images of {shown}; "
                    f"there are {_counted(values, whole=isinstance(value, tuple))}"
                )
            taken.add(free)
            own.append(free)
        chosen.append(own)
    return chosen


def _counted(values: np.ndarray, *, whole: bool) -> str:
    """What there is to choose from, the most frequent first: "412 of [0, 1], 80 of [1, 1]"."""
    kinds, counts = np.unique(values if whole else values[:, :1], axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    several = [f"{counts[i]} of {kinds[i].tolist() if whole else kinds[i, 0]}" for i in order[:_MAX_NAMED]]
    return ", ".join(several) + (", …" if len(order) > _MAX_NAMED else "")


@torch.no_grad()
def swap_cells(
    network: Autoencoder | Classifier, flow: Flow, z_targets: Tensor, z_sources: Tensor, *, dims: Sequence[int]
) -> list[np.ndarray]:
    """For each factor `[R, C, …]`: row r's target with the factor of column c's source.

    Decoded, uint8 `[R, C, S, S, channels]`; or, for a classifier, the predicted class int64 `[R, C]`.
    """
    rows, columns = len(z_targets), len(z_sources)
    target, source = z_targets.repeat_interleave(columns, 0), z_sources.repeat(rows, 1)
    grids = []
    for factor in range(len(dims)):
        mixed = swap(flow, target, source, factor=factor, dims=dims)
        if isinstance(network, Autoencoder):
            cells = as_uint8(network.decode(mixed))
        else:
            cells = network.classify(mixed).argmax(1).numpy()
        grids.append(cells.reshape(rows, columns, *cells.shape[1:]))
    return grids
