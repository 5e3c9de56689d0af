"""UMAP as it is used here, and what its neighbours tell."""

import numpy as np
import pytest
import torch

from reproduce.evaluation.embedding import embed_factors, factor_accuracy, fit_umap, neighbour_accuracy
from reproduce.factors import MISSING


def clusters():
    """Three clusters of 30 in five dimensions, and their numbers."""
    label = np.repeat([0, 1, 2], 30)
    points = np.random.default_rng(0).normal(size=(90, 5)).astype(np.float32)
    points[np.arange(90), label] += 20
    return points, label


def test_neighbours_of_separate_clusters_agree():
    points, label = clusters()
    assert neighbour_accuracy(points, label) == 1.0


def test_a_point_is_no_neighbour_of_its_own():
    places = np.repeat(np.arange(4.0), 2)[:, None] + np.tile([0, 0.1], 4)[:, None]  # pairs of different labels
    assert neighbour_accuracy(places, np.tile([0, 1], 4), neighbours=1) == 0.0


def test_every_label_counts_once_however_rare():
    places, label = np.arange(40.0)[:, None], np.zeros(40, bool)
    label[20] = True  # one among forty: nobody tells it, all others are told
    assert neighbour_accuracy(places, label) == 0.5


def test_an_embedding_separates_clusters_and_places_others_among_them():
    points, label = clusters()
    threads = torch.get_num_threads()
    embedding = fit_umap(points, dimensions=1, seed=0)
    assert embedding.embedding_.shape == (90, 1)
    assert neighbour_accuracy(embedding.embedding_, label) > 0.95
    again = fit_umap(points, dimensions=1, seed=0)
    assert again.embedding_.tobytes() == embedding.embedding_.tobytes()
    placed = embedding.transform(points[::10] + 0.1)
    nearest = np.abs(placed - embedding.embedding_[:, 0]).argmin(1)
    assert (label[nearest] == label[::10]).mean() > 0.85
    assert torch.get_num_threads() == threads


def test_a_factor_tells_the_class_where_there_is_one():
    points, label = clusters()
    noise = np.random.default_rng(1).normal(size=(90, 2)).astype(np.float32)
    embedded = embed_factors(np.hstack([points, noise]), dims={"kind": 5, "color": 0, "rest": 2}, seed=0)
    assert embedded["color"] is None
    accuracy = factor_accuracy(embedded, {"kind": label, "color": np.zeros((90, 3))})
    assert accuracy["kind"] > 0.95
    assert accuracy["color"] is None
    assert accuracy["rest"] < 0.6
    own = factor_accuracy(embedded, {"kind": label == 1, "color": label == 2})
    assert own["kind"] > 0.9
    assert own["color"] is own["rest"] is None
    assert accuracy["kind"] == pytest.approx(neighbour_accuracy(embedded["kind"].embedding_, label))


def test_of_several_concepts_each_is_told_from_its_own_factor_by_the_images_that_have_a_value():
    points, label = clusters()
    embedded = embed_factors(
        np.hstack([points, points, points]), dims={"kind": 5, "coat": 5, "hat": 5, "rest": 0}, seed=0
    )
    embedded["rest"] = embedded["kind"]
    coat, hat = label[::-1].copy(), np.where(label == 0, 0, 1).astype(np.int8)
    truth = {"kind": label, "coat": coat, "hat": hat}
    whole = factor_accuracy(embedded, truth)
    assert whole["kind"] > 0.9
    assert whole["coat"] == neighbour_accuracy(embedded["coat"].embedding_, coat) > 0.9
    assert whole["hat"] == neighbour_accuracy(embedded["hat"].embedding_, hat == 1) > 0.9
    assert whole["rest"] is None
    assert factor_accuracy(embedded, {"kind": label, "hat": hat})["rest"] == whole["kind"]
    # what is wrong where the value is missing does not count
    coat[:20], hat[40:60] = MISSING, -1
    some = factor_accuracy(embedded, truth)
    assert some["coat"] == neighbour_accuracy(embedded["coat"].embedding_[20:], coat[20:])
    known = np.r_[0:40, 60:90]
    assert some["hat"] == neighbour_accuracy(embedded["hat"].embedding_[known], hat[known] == 1)
    coat[1:], hat[:] = MISSING, -1
    assert factor_accuracy(embedded, truth) == {**whole, "coat": None, "hat": None}
