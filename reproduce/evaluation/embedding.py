"""Embeddings by UMAP, and how well their neighbours agree."""

import contextlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reproduce.factors import factor_slices

_NEIGHBOURS = 15
_EPOCHS = 200  # UMAP's own choice for few points is 500, which looks the same and takes twice as long
# UMAP's functions are compiled at their first call, half a minute in each process unless the results are kept
_COMPILED = ("umap.umap_", "umap.layouts", "umap.utils", "umap.distances")


class Embedding:
    """UMAP of `points` `[n, D]` in `dimensions` dimensions; `places` `[n, dimensions]` float32 are where they lie.

    Source: McInnes, Healy and Melville, arXiv 1802.03426, by the package umap-learn.
    """

    def __init__(self, points: np.ndarray, *, dimensions: int, seed: int) -> None:
        self._model = _umap().UMAP(
            n_components=dimensions,
            n_neighbors=min(_NEIGHBOURS, len(points) - 1),
            n_epochs=_EPOCHS,
            init="pca",  # whole at once; "spectral" would place each component of the graph by itself
            random_state=seed,
            n_jobs=1,
        )
        self.places: np.ndarray = self._model.fit_transform(points)

    def place(self, points: np.ndarray) -> np.ndarray:
        """Where further points `[m, D]` lie, `[m, dimensions]`."""
        return self._model.transform(points)


def _umap() -> Any:
    import numba

    # numba's other layers set the number of OpenMP threads, PyTorch's too
    numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]
    import umap
    from numba.core.dispatcher import Dispatcher

    for module in _COMPILED:
        for function in vars(sys.modules[module]).values():
            if isinstance(function, Dispatcher):
                with contextlib.suppress(RuntimeError):  # nowhere to write: compiled anew each time
                    function.enable_caching()
    return umap


def neighbour_accuracy(places: np.ndarray, labels: np.ndarray, *, neighbours: int = 10) -> float:
    """The share of points whose label most of their `neighbours` nearest other points have, each label's share once.

    Arguments:
        places: `[n, D]`.
        labels: int or bool `[n]`; where two labels are equally frequent among the neighbours, the lower one counts.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import NearestNeighbors

    known, label = np.unique(labels, return_inverse=True)
    nearest = NearestNeighbors(n_neighbors=min(neighbours, len(places) - 1)).fit(places)
    votes = np.eye(len(known))[label[nearest.kneighbors(return_distance=False)]].sum(1)
    return float(balanced_accuracy_score(label, votes.argmax(1)))


def embed_factors(
    z_tilde: np.ndarray, *, dims: Sequence[int], factors: Sequence[str], seed: int
) -> dict[str, Embedding | None]:
    """Each factor of z̃ `[n, N]` in one dimension; None for a factor of size 0."""
    return {
        factor: Embedding(z_tilde[:, part], dimensions=1, seed=seed) if part.start < part.stop else None
        for factor, part in zip(factors, factor_slices(dims), strict=True)
    }


def factor_accuracy(
    embeddings: Mapping[str, Embedding | None], truth: Mapping[str, np.ndarray]
) -> dict[str, float | None]:
    """For each factor the `neighbour_accuracy` of its 1-D embedding.

    It is asked for the class, where one concept of `truth` is a class (int); else a factor is asked for its own
    attribute. None for a factor of size 0, and for the residual among attributes.
    """
    of_class = next((labels for labels in truth.values() if labels.dtype.kind == "i"), None)
    found: dict[str, float | None] = dict.fromkeys(embeddings)
    for factor, embedding in embeddings.items():
        labels = truth.get(factor) if of_class is None else of_class
        if embedding is not None and labels is not None:
            found[factor] = neighbour_accuracy(embedding.places, labels)
    return found
