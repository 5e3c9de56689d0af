"""The held-out images that are nearest to an image in each factor, and how often they agree with it in a concept."""

from collections import Counter

import numpy as np
import torch
from pydantic import PositiveInt
from torch import Tensor

from reproduce.data.shared.base import Readings, known
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator


class RetrievalSettings(Strict):
    """`n_nearest`: the number of nearest images of each image; `n_queries`: how many images are shown with theirs."""

    n_queries: PositiveInt
    n_nearest: PositiveInt


def measure_retrieval(subject: Subject, settings: RetrievalSettings) -> Measured:
    """The metrics `retrieval`, of all measured images, and `retrieval_chance`; and the arrays of the figure.

    `queries` uint8 `[Q, S, S, C]`; `nearest_<factor>` uint8 `[Q, n_nearest, S, S, C]`: the images that are nearest to
    each query in the factor, nearest first; empty for a factor of size 0, whose shares are None.
    """
    queries = choose_queries(subject.truth, settings.n_queries, generator=numpy_generator(subject.seed, "queries"))
    arrays, shares = {"queries": subject.inputs(queries.tolist())}, {}
    for factor, part in named_slices(subject.dims).items():
        shares[factor] = dict.fromkeys(subject.truth)
        arrays[f"nearest_{factor}"] = np.empty(0)
        if subject.dims[factor]:
            nearest = nearest_images(subject.z_tilde[:, part].numpy(), n=settings.n_nearest)
            shares[factor] = {concept: agreement(value, nearest) for concept, value in subject.truth.items()}
            pictures = subject.inputs(nearest[queries].flatten().tolist())
            arrays[f"nearest_{factor}"] = pictures.reshape(len(queries), -1, *pictures.shape[1:])
    chance = {concept: chance_agreement(value) for concept, value in subject.truth.items()}
    return Measured({"retrieval": shares, "retrieval_chance": chance}, arrays)


def choose_queries(truth: Readings, n: int, *, generator: np.random.Generator) -> np.ndarray:
    """`n` images, drawn at random; every value of the first class or attribute occurs before one occurs again."""
    order = generator.permutation(len(next(iter(truth.values()))))
    told = next((value for value in truth.values() if value.ndim == 1), torch.zeros(len(order)))
    seen: Counter[float] = Counter()
    turns = []
    for value in told[order].tolist():
        turns.append(seen[value])
        seen[value] += 1
    return order[np.argsort(turns, kind="stable")][:n]


def nearest_images(points: np.ndarray, *, n: int) -> Tensor:
    """For each of `points` `[m, D]` the `n` others with the least Euclidean distance, nearest first; int64 `[m, n]`."""
    from sklearn.neighbors import NearestNeighbors

    # "brute" holds the distances of a block of points at a time, not all
    neighbours = NearestNeighbors(n_neighbors=min(n, len(points) - 1), algorithm="brute").fit(points)
    return torch.from_numpy(neighbours.kneighbors(return_distance=False))


def agreement(values: Tensor, nearest: Tensor) -> float | None:
    """The share of the nearest images that have the query's value of a concept.

    Each value of a class or attribute counts equally, however many queries have it. A measurement agrees, as in the
    swap rates, where it is the nearer of two: nearer to the query's than that of another image, drawn at random.

    Arguments:
        values: the concept's value in each of m images; images where it is missing are left out.
        nearest: for each image as a query, the numbers of its nearest images, `[m, n]`.
    """
    if values.ndim > 1:
        return _nearer_share(values, nearest)
    there = known(values)
    counted = there[:, None] & there[nearest]
    same = counted & (values[:, None] == values[nearest])
    sums = [(same[values == one].sum().item(), counted[values == one].sum().item()) for one in values[there].unique()]
    shares = [hits / among for hits, among in sums if among]
    return float(np.mean(shares)) if shares else None


def _nearer_share(values: Tensor, nearest: Tensor) -> float:
    """How often a nearest image's measurement `[D]` is nearer than a random image's; equally near counts half."""
    shares = []
    for start in range(0, len(values), IMAGES_AT_A_TIME):
        some = slice(start, start + IMAGES_AT_A_TIME)
        # the other way of computing distances gives equal measurements a distance above 0
        distances = torch.cdist(values[some], values, compute_mode="donot_use_mm_for_euclid_dist")
        found = distances.gather(1, nearest[some])
        distances.diagonal(start).fill_(torch.inf)  # the query is no other image
        ordered = distances.sort(1).values
        nearer, not_farther = (torch.searchsorted(ordered, found, right=equal) for equal in (False, True))
        shares.append(1 - (nearer + not_farther).double() / 2 / (len(values) - 1))
    return torch.cat(shares).mean().item()


def chance_agreement(values: Tensor) -> float | None:
    """The `agreement` that is expected of random images; None where fewer than two images have a value."""
    if values.ndim > 1:
        return 0.5
    there = values[known(values)]
    n, different = len(there), len(there.unique())
    # the mean, over the values, of (images with this value - 1) / (all images - 1)
    return (n - different) / (different * (n - 1)) if n > 1 else None
