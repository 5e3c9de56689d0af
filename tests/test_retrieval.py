"""The nearest images in each factor, against neighbours found by hand and by brute force."""

from typing import Any

import numpy as np
import pytest
import torch
from made_subject import made_subject
from sklearn.metrics import pairwise_distances
from torch import Tensor

from reproduce.data.shared.base import to_unit_range
from reproduce.evaluation.retrieval import (
    RetrievalSettings,
    agreement,
    chance_agreement,
    choose_queries,
    measure_retrieval,
    nearest_images,
)
from reproduce.factors import MISSING
from reproduce.latents import IMAGES_AT_A_TIME
from reproduce.seeds import numpy_generator

SETTINGS = RetrievalSettings(n_queries=3, n_nearest=2)
# digit: 0, 1, 2, 10, 11, 12 on a line; color: pairs at opposite ends; the shade has no dimension
Z_TILDE = torch.tensor([[0.0, 5], [1, -5], [2, 5.5], [10, -5.5], [11.5, 4], [12, -4.25]])
DIMS = {"digit": 1, "color": 1, "shade": 0}
NEAREST = {"digit": [[1, 2], [0, 2], [1, 0], [4, 5], [5, 3], [4, 3]], "color": [[2, 4], [3, 5], [0, 4], [1, 5]]}
NEAREST["color"] += [[0, 2], [1, 3]]
DIGIT, LIGHT = torch.tensor([0, 0, 1, 1, 1, 1]), torch.tensor([True, False, True, False, True, False])


class Numbered:
    """Image k is grey, of level 40 · k."""

    def render_heldout(self, table: dict[str, np.ndarray]) -> Tensor:
        return to_unit_range(torch.from_numpy(40 * table["index"])[:, None, None, None].expand(-1, 1, 4, 4))


def subject(**known: Any) -> Any:
    heldout = {"index": np.arange(len(Z_TILDE)), "values": np.zeros((len(Z_TILDE), 3), int)}
    truth = {"digit": DIGIT, "color": LIGHT, "shade": torch.arange(6.0)[:, None]}
    return made_subject(
        **{"data": Numbered(), "heldout": heldout, "dims": DIMS, "z_tilde": Z_TILDE, "truth": truth} | known
    )


def test_what_is_shown_and_counted_are_the_neighbours_found_by_hand() -> None:
    found = measure_retrieval(subject(), SETTINGS)
    levels = {name: images.reshape(*images.shape[:-3], -1) for name, images in found.arrays.items() if images.size}
    assert all((images == images[..., :1]).all() for images in levels.values())
    number = {name: images[..., 0] // 40 for name, images in levels.items()}
    assert found.arrays["queries"].shape == (3, 4, 4, 1)
    assert found.arrays["nearest_digit"].shape == (3, 2, 4, 4, 1)
    for factor, nearest in NEAREST.items():
        assert number[f"nearest_{factor}"].tolist() == [nearest[query] for query in number["queries"]]
    assert found.arrays["nearest_shade"].size == 0
    assert list(found.arrays) == ["queries", "nearest_digit", "nearest_color", "nearest_shade"]
    shares = found.metrics["retrieval"]
    # of the digit 0, one of two agrees; of the digit 1, none of image 2's and all of the others'
    assert shares["digit"]["digit"] == pytest.approx((2 / 4 + 6 / 8) / 2)
    assert shares["digit"]["color"] == pytest.approx((2 / 6 + 2 / 6) / 2)
    assert shares["color"]["color"] == 1.0
    assert shares["shade"] == {"digit": None, "color": None, "shade": None}
    assert list(shares) == list(DIMS)
    assert found.metrics["retrieval_chance"] == pytest.approx(
        {"digit": (1 / 5 + 3 / 5) / 2, "color": 2 / 5, "shade": 0.5}
    )


@pytest.mark.parametrize("copies", [2, 3, 30])
@pytest.mark.parametrize("size", [1, 8, 40])
def test_an_image_is_not_its_own_neighbour_even_where_others_have_its_latent(copies: int, size: int) -> None:
    points = np.random.default_rng(0).normal(size=(12, size)).astype(np.float32).repeat(copies, 0)
    nearest = nearest_images(points, n=4).numpy()
    assert nearest.shape == (len(points), 4)
    assert not (nearest == np.arange(len(points))[:, None]).any()
    twins = min(4, copies - 1)
    np.testing.assert_array_equal(
        nearest[:, :twins] // copies, np.arange(len(points))[:, None].repeat(twins, 1) // copies
    )
    assert all(len(set(row)) == 4 for row in nearest.tolist())


def test_there_are_no_more_neighbours_than_other_images() -> None:
    assert nearest_images(np.array([[0.0], [1], [3]]), n=5).tolist() == [[1, 2], [0, 2], [1, 0]]


def random_points(n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Points that depend on a class, and each point's others, nearest first, by brute force."""
    random = np.random.default_rng(3)
    points = random.normal(size=(n, 5)) + np.arange(n)[:, None] % 4
    distances = pairwise_distances(points)
    np.fill_diagonal(distances, np.inf)
    return points, distances.argsort(1)[:, :-1]


def balanced(values: list[int], nearest: np.ndarray, missing: int | None = None) -> float:
    """The agreement, counted one pair after another."""
    shares = []
    for value in sorted({*values} - {missing}):
        hits = [
            values[other] == value
            for query, others in enumerate(nearest.tolist())
            for other in others
            if values[query] == value and values[other] != missing
        ]
        shares.append(sum(hits) / len(hits))
    return sum(shares) / len(shares)


@pytest.mark.parametrize("k", [1, 6])
def test_the_agreement_is_that_of_brute_force_and_each_value_counts_equally(k: int) -> None:
    points, others = random_points()
    nearest = nearest_images(points, n=k)
    np.testing.assert_array_equal(nearest, others[:, :k])
    digit = torch.arange(90) % 4
    digit[:40] = 0  # more frequent than others
    hat = torch.arange(90) % 5 == 0
    some, known_hat = digit.clone(), hat.to(torch.int8)
    some[::7], known_hat[::3] = MISSING, -1
    for values, missing in ((digit, None), (hat, None), (some, MISSING), (known_hat, -1)):
        assert agreement(values, nearest) == pytest.approx(balanced(values.tolist(), others[:, :k], missing))


def test_a_measurement_agrees_where_it_is_nearer_than_a_random_images() -> None:
    points, others = random_points(n := IMAGES_AT_A_TIME + 90)
    # two values that may be equal, so that images are equally near
    values = np.random.default_rng(1).integers(0, 4, (n, 2)) / 2 + points[:, :2].round()
    distances = pairwise_distances(values)
    sums = [
        np.sign(distances[query][others[query]] - distances[query, near]).mean()
        for query in range(n)
        for near in others[query][:3]
    ]
    found = agreement(torch.from_numpy(values).float(), torch.from_numpy(others[:, :3]))
    assert found == pytest.approx((1 + np.mean(sums)) / 2)
    assert found > 0.6


def test_all_others_agree_as_often_as_chance() -> None:
    _, others = random_points(30)
    nearest = torch.from_numpy(others)
    digit, hat = torch.arange(30) % 4, (torch.arange(30) % 5 == 0).to(torch.int8)
    hat[3:9] = -1
    for values in (digit, hat, torch.rand(30, 3, generator=torch.Generator().manual_seed(0))):
        assert agreement(values, nearest) == pytest.approx(chance_agreement(values))


def test_without_two_known_values_there_is_no_agreement() -> None:
    values = torch.tensor([MISSING, 2, MISSING])
    assert agreement(values, torch.tensor([[1, 2], [0, 2], [0, 1]])) is None
    assert chance_agreement(values) is None


def test_queries_are_random_and_of_different_values() -> None:
    truth = {"color": torch.rand(50, 3), "digit": torch.arange(50) % 6, "hat": torch.zeros(50, dtype=torch.bool)}
    chosen = [choose_queries(truth, 8, generator=numpy_generator(seed, "x")) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(chosen[0], chosen[1])
    assert chosen[0].tolist() != chosen[2].tolist()
    for queries in chosen:
        digits = truth["digit"][queries].tolist()
        assert sorted(digits[:6]) == [*range(6)]
        assert len({*queries.tolist()}) == 8
    assert sorted(choose_queries({"color": torch.rand(9, 3)}, 20, generator=numpy_generator(0, "x"))) == [*range(9)]
