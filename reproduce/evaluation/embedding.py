"""UMAP embeddings, and how well a point's neighbours tell its label."""

import contextlib
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field

from reproduce.data.shared.base import known
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator

Embeddings = Mapping[str, Any]  # what `fit_umap` returns for each factor; None for a factor of size 0
_VOTERS = 10  # the neighbours whose labels are compared
_NEIGHBOURS = 15  # UMAP's default
_EPOCHS = 200  # UMAP's default for few points, 500, gives the same picture in twice the time


class EmbeddingSettings(Strict):
    """`n_images`: the number of held-out images that are embedded."""

    n_images: Annotated[int, Field(ge=20)]


def fit_umap(points: np.ndarray, *, dimensions: int, seed: int) -> Any:
    """UMAP of `points` `[n, D]`: its `embedding_` is `[n, dimensions]`, its `transform` embeds further points.

    Source: McInnes, Healy and Melville, arXiv 1802.03426, as implemented in umap-learn.
    """
    import numba

    # numba's other layers change the number of OpenMP threads, which PyTorch uses too
    numba.config.THREADING_LAYER = "workqueue"  # type: ignore[attr-defined]
    import umap

    _cache_functions()
    model = umap.UMAP(
        n_components=dimensions,
        n_neighbors=min(_NEIGHBOURS, len(points) - 1),
        n_epochs=_EPOCHS,
        init="pca",  # "spectral" would place each component of the neighbour graph separately
        random_state=seed,
        n_jobs=1,
    )
    return model.fit(points)


def _cache_functions() -> None:
    """Keep UMAP's compiled functions on disk; otherwise each process compiles them, which takes half a minute."""
    from numba.core.dispatcher import Dispatcher

    for module in ("umap.umap_", "umap.layouts", "umap.utils", "umap.distances"):
        for function in vars(sys.modules[module]).values():
            if isinstance(function, Dispatcher):
                with contextlib.suppress(RuntimeError):  # there is no folder to write to
                    function.enable_caching()


def embedded_images(subject: Subject, settings: EmbeddingSettings) -> np.ndarray:
    """The measured images that are embedded, `[n_images]`, drawn at random."""
    return numpy_generator(subject.seed, "embedded images").permutation(len(subject.z))[: settings.n_images]


def embed_factors(z_tilde: np.ndarray, *, dims: Mapping[str, int], seed: int) -> dict[str, Any]:
    """The `Embeddings` of z̃ `[n, N]`, each factor in one dimension."""
    return {
        factor: fit_umap(z_tilde[:, part], dimensions=1, seed=seed) if dims[factor] else None
        for factor, part in named_slices(dims).items()
    }


def measure_embedding(subject: Subject, chosen: np.ndarray) -> tuple[Measured, Embeddings]:
    """The metric `embedding`, the arrays of its figure, and the embeddings of the measured images `chosen`.

    `factor_<name>`: each image's place `[n]`, empty for a factor of size 0; `concept_<name>`: the image's value, below
    0 where it is missing; `class_names`, and `names_<concept>` where a concept's values have other names;
    `neighbours`: the number of neighbours that vote.
    """
    truth = {concept: value[chosen].numpy() for concept, value in subject.truth.items()}
    embeddings = embed_factors(subject.z_tilde[chosen].numpy(), dims=subject.dims, seed=subject.seed)
    places = {k: np.empty(0) if found is None else found.embedding_[:, 0] for k, found in embeddings.items()}
    arrays = {f"factor_{factor}": place for factor, place in places.items()}
    arrays |= {f"concept_{concept}": value for concept, value in truth.items()}
    arrays |= {f"names_{concept}": np.array(names) for concept, names in subject.data.value_names.items()}
    arrays |= {"class_names": subject.class_names, "neighbours": np.array(_VOTERS)}
    return Measured({"embedding": factor_accuracy(embeddings, truth)}, arrays), embeddings


def neighbour_accuracy(places: np.ndarray, labels: np.ndarray, *, neighbours: int = _VOTERS) -> float:
    """The class-balanced accuracy of leave-one-out classification by the nearest neighbours.

    Arguments:
        places: `[n, D]`.
        labels: int or bool `[n]`; of labels that are equally frequent among the neighbours, the lowest counts.
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.neighbors import NearestNeighbors

    known, label = np.unique(labels, return_inverse=True)
    nearest = NearestNeighbors(n_neighbors=min(neighbours, len(places) - 1)).fit(places)
    votes = np.eye(len(known))[label[nearest.kneighbors(return_distance=False)]].sum(1)
    return float(balanced_accuracy_score(label, votes.argmax(1)))


def factor_accuracy(embeddings: Embeddings, truth: Mapping[str, np.ndarray]) -> dict[str, float | None]:
    """The `neighbour_accuracy` of each factor's embedding.

    The label is the factor's own class or attribute; for the residual, and for a measurement's factor, it is the class
    where one concept of `truth` alone is a class (int64). Images without a label are left out. The accuracy is None for
    a factor of size 0, and where there is no such label.
    """
    classes = [labels for labels in truth.values() if labels.dtype == np.int64]
    found: dict[str, float | None] = dict.fromkeys(embeddings)
    for factor, embedding in embeddings.items():
        labels = truth.get(factor)
        if labels is None or labels.ndim > 1:
            labels = classes[0] if len(classes) == 1 else None
        if embedding is not None and labels is not None:
            there = known(torch.from_numpy(labels)).numpy()
            if there.sum() > 1:
                found[factor] = neighbour_accuracy(embedding.embedding_[there], labels[there])
    return found
