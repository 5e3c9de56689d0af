"""What a linear probe reads from each factor."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from reproduce.data.base import Readings, rows
from reproduce.evaluation.subject import Measured, Subject, named_slices
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator


class ProbeSettings(Strict):
    """`n_images`: how many training images the probes are fitted to."""

    n_images: Annotated[int, Field(ge=100)]


def measure_probe(subject: Subject, settings: ProbeSettings) -> Measured:
    """The metrics `probe` and `chance`."""
    # at random: a pool may be in the order of its classes
    shuffled = numpy_generator(subject.seed, "probed images").permutation(len(subject.pool["values"]))
    fitted = np.sort(shuffled[: settings.n_images])
    train_truth = subject.data.truth(rows(subject.pool, fitted))
    train = (subject.to_z_tilde(subject.pool_z[fitted]), train_truth)
    scores = probe_scores(train, (subject.z_tilde, subject.truth), dims=subject.dims)
    return Measured({"probe": scores, "chance": chance_levels(train_truth, subject.truth)})


def probe_scores(
    train: tuple[Tensor, Readings], heldout: tuple[Tensor, Readings], *, dims: Mapping[str, int]
) -> dict[str, dict[str, float | None]]:
    """`scores[f][c]`: how well a linear probe reads concept c from factor f of held-out z̃.

    `train`, on which the probe is fitted, and `heldout` are z̃ `[n, N]` and the images' true values. The score of a
    class is the accuracy of a logistic regression (of an attribute the balanced one, in fit and score), that of a
    measurement (a colour) the R² of a least-squares fit. It is None for a factor of size 0, and where the training
    images lack a value that the held-out ones have.
    """
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores: dict[str, dict[str, float | None]] = {}
    for factor, part in named_slices(dims).items():
        scores[factor] = dict.fromkeys(train[1])
        for concept, truth in train[1].items():
            wanted = heldout[1][concept]
            if part.start == part.stop or not _fittable(truth, wanted):
                continue
            attribute = truth.dtype == torch.bool
            weights = "balanced" if attribute else None
            model = LogisticRegression(max_iter=1000, class_weight=weights) if truth.ndim == 1 else LinearRegression()
            probe = make_pipeline(StandardScaler(), model).fit(train[0][:, part].numpy(), truth.numpy())
            inputs = heldout[0][:, part].numpy()
            if attribute:
                scores[factor][concept] = float(balanced_accuracy_score(wanted.numpy(), probe.predict(inputs)))
            else:
                scores[factor][concept] = float(probe.score(inputs, wanted.numpy()))
    return scores


def chance_levels(train_truth: Readings, heldout_truth: Readings) -> dict[str, float]:
    """What `probe_scores` gives for each concept to a probe whose input says nothing.

    A class: the accuracy of always naming the training images' most frequent one. An attribute: 0.5, since its
    accuracy is balanced. A measurement: 0, the R² of the mean.
    """
    levels = {}
    for concept, truth in train_truth.items():
        if truth.dtype == torch.bool:
            levels[concept] = 0.5
        elif truth.ndim == 1:
            levels[concept] = (heldout_truth[concept] == truth.mode().values).double().mean().item()
        else:
            levels[concept] = 0.0
    return levels


def _fittable(train: Tensor, heldout: Tensor) -> bool:
    if train.ndim > 1:
        return True
    known = set(train.tolist())
    return len(known) > 1 and set(heldout.tolist()) <= known
