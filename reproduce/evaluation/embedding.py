"""Embeddings by UMAP, and how well their neighbours agree."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator

_VOTERS = 10  # the neighbours whose labels are compared
_NEIGHBOURS = 15  # UMAP's own
_EPOCHS = 200  # UMAP's own choice for few points is 500, which looks the same and takes twice as long
# UMAP's functions are compiled at their first call, half a minute in each process unless the results are kept
_COMPILED = ("umap.umap_", "umap.layouts", "umap.utils", "umap.distances")


class EmbeddingSettings(Strict):
    """`n_images`: how many held-out images are embedded."""

    n_images: Annotated[int, Field(ge=20)]


def fit_umap(points: np.ndarray, *, dimensions: int, seed: int) -> Any:
    """UMAP of `points` `[n, D]`: its `embedding_` are their places `[n, dimensions]`, its `transform` places others.

    Source: McInnes, Healy and Melville, arXiv 1802.03426, by the package umap-learn.
    """
    model = _umap().UMAP(
        n_components=dimensions,
        n_neighbors=min(_NEIGHBOURS, len(points) - 1),
        n_epochs=_EPOCHS,
        init="pca",  # whole at once; "spectral" would place each component of the graph by itself
        random_state=seed,
        n_jobs=1,
    )
    return model.fit(points)


Embeddings = Mapping[str, Any]  # by factor what `fit_umap` gives; None for a factor of size 0


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


def embedded_images(subject: Subject, settings: EmbeddingSettings) -> np.ndarray:
    """Which of the measured images are embedded, `[n_images]`, drawn at random."""
    return numpy_generator(subject.seed, "embedded images").permutation(len(subject.z))[: settings.n_images]


def embed_factors(z_tilde: np.ndarray, *, dims: Mapping[str, int], seed: int) -> dict[str, Any]:
    """Each factor of z̃ `[n, N]` in one dimension."""
    return {
        factor: fit_umap(z_tilde[:, part], dimensions=1, seed=seed) if part.start < part.stop else None
        for factor, part in named_slices(dims).items()
    }


def measure_embedding(subject: Subject, chosen: np.ndarray) -> tuple[Measured, Embeddings]:
    """The metric `embedding` and the arrays of its figure; and the embeddings of the measured images `chosen`.

    `factor_<name>`: where each image lies, `[n]`, empty for a factor of size 0; `concept_<name>`: the image's value.
    """
    truth = {concept: value[chosen].numpy() for concept, value in subject.truth.items()}
    embeddings = embed_factors(subject.z_tilde[chosen].numpy(), dims=subject.dims, seed=subject.seed)
    arrays = {
        f"factor_{k}": np.empty(0) if found is None else found.embedding_[:, 0] for k, found in embeddings.items()
    }
    arrays |= {f"concept_{concept}": value for concept, value in truth.items()}
    arrays |= {"class_names": subject.class_names, "neighbours": np.array(_VOTERS)}
    return Measured({"embedding": factor_accuracy(embeddings, truth)}, arrays), embeddings


def neighbour_accuracy(places: np.ndarray, labels: np.ndarray, *, neighbours: int = _VOTERS) -> float:
    """The class-balanced accuracy of leave-one-out classification by the nearest neighbours.

    Arguments:
        places: `[n, D]`.
        labels: int or bool `[n]`; where two labels are equally frequent among the neighbours, the lower one counts.
        neighbours: how many of the nearest other points vote.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import NearestNeighbors

    known, label = np.unique(labels, return_inverse=True)
    nearest = NearestNeighbors(n_neighbors=min(neighbours, len(places) - 1)).fit(places)
    votes = np.eye(len(known))[label[nearest.kneighbors(return_distance=False)]].sum(1)
    return float(balanced_accuracy_score(label, votes.argmax(1)))


def factor_accuracy(embeddings: Embeddings, truth: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """For each factor the `neighbour_accuracy` of its 1-D embedding.

    The label is the class, where one concept of `truth` is a class (int); otherwise it is the factor's own attribute.
    The accuracy is None for a factor of size 0, and for the residual among attributes.
    """
    of_class = next((labels for labels in truth.values() if labels.dtype.kind == "i"), None)
    found: dict[str, float | None] = dict.fromkeys(embeddings)
    for factor, embedding in embeddings.items():
        labels = truth.get(factor) if of_class is None else of_class
        if embedding is not None and labels is not None:
            found[factor] = neighbour_accuracy(embedding.embedding_, labels)
    return found
