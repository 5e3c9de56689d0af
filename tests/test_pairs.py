"""The members of a pair share the value of F, and everything else about the draw is uniform."""

from typing import Any

import pytest
import torch
from torch import Tensor

from reproduce import ConceptPairs, UserError
from reproduce.factors import MISSING
from reproduce.seeds import torch_generator

CONCEPTS = ("digit", "color")


def concept_values(n: int = 60) -> Tensor:
    """Groups of unequal sizes, whose values are neither consecutive nor in order."""
    generator = torch_generator(0, "test values")
    digits = torch.tensor([7, -2, 40])[torch.multinomial(torch.tensor([1.0, 2, 5]), n, True, generator=generator)]
    colors = torch.randint(2, (n,), generator=generator)
    return torch.stack([digits, colors], 1)


def draw(n: int, *, seed: int = 0, **arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    pairs = ConceptPairs(**{"values": concept_values(), "concepts": CONCEPTS} | arguments)
    return pairs.draw(n, torch_generator(seed, "test draws"))


def chi_square_excess(counts: Tensor) -> float:
    """How many standard deviations the counts' χ² lies above what equal probabilities give."""
    expected = counts.sum() / len(counts)
    freedom = len(counts) - 1
    return float(((counts - expected) ** 2 / expected).sum() - freedom) / (2 * freedom) ** 0.5


def test_partners_share_the_concept_and_only_it() -> None:
    values = concept_values()
    index_a, index_b, factor = draw(5000)
    for index in (index_a, index_b, factor):
        assert index.dtype == torch.int64
        assert index.shape == (5000,)
    same = values[index_a] == values[index_b]
    assert same[torch.arange(5000), factor].all()
    assert not same[factor == 0, 1].all()
    assert not same[factor == 1, 0].all()


def test_first_members_and_concepts_are_uniform() -> None:
    index_a, _, factor = draw(60_000)
    assert chi_square_excess(index_a.bincount(minlength=60)) < 5
    assert chi_square_excess(factor.bincount(minlength=2)) < 5


def test_partners_are_uniform_within_their_group_the_image_itself_included() -> None:
    values = concept_values()
    index_a, index_b, factor = draw(60_000)
    for k in range(2):
        for value in values[:, k].unique():
            members = (values[:, k] == value).nonzero()[:, 0]
            chosen = (factor == k) & (values[index_a, k] == value)
            counts = index_b[chosen].bincount(minlength=60)
            assert counts.sum() == counts[members].sum()
            assert chi_square_excess(counts[members]) < 5
    assert (index_a == index_b).any()


def test_weights_decide_how_often_a_concept_is_shared() -> None:
    _, _, factor = draw(20_000, weights=[1, 3])
    assert float(factor.double().mean()) == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 20_000) ** 0.5)
    _, _, factor = draw(1000, weights=[0, 1])
    assert factor.tolist() == [1] * 1000


def test_the_generator_alone_decides_the_draws() -> None:
    torch.manual_seed(0)
    one = draw(100)
    torch.manual_seed(1)
    same, other = draw(100), draw(100, seed=1)
    assert all(torch.equal(x, y) for x, y in zip(one, same, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def rare_values(n: int = 200) -> Tensor:
    """Attributes that 3 of 200 and 80 of 200 images have, the former spread over the set."""
    values = torch.zeros(n, 2, dtype=torch.int64)
    values[[5, 77, 190], 0] = 1
    values[1::5, 1] = values[3::5, 1] = 1
    return values


def test_unbalanced_pairs_are_drawn_as_the_images_come() -> None:
    """Official: F, then x^a of all images, then x^b of those with its value; here in the order of the generator."""
    n, values = 500, rare_values()
    index_a, index_b, factor = draw(n, values=values, weights=[1, 3], balanced=False)
    generator = torch_generator(0, "test draws")
    wanted = torch.multinomial(torch.tensor([1.0, 3], dtype=torch.float64), n, replacement=True, generator=generator)
    first = torch.randint(200, (n,), generator=generator)
    uniform = torch.rand(n, generator=generator, dtype=torch.float64)
    assert torch.equal(factor, wanted)
    assert torch.equal(index_a, first)
    for i in range(n):
        k = int(factor[i])
        alike = [j for j in range(200) if values[j, k] == values[first[i], k]]
        assert index_b[i] == alike[int(uniform[i] * len(alike))]


def test_as_the_images_come_a_rare_value_is_rarely_shared() -> None:
    n, values = 40_000, rare_values()
    index_a, _, factor = draw(n, values=values)
    for k, share in enumerate((3 / 200, 80 / 200)):
        found = float(values[index_a[factor == k], k].double().mean())
        assert found == pytest.approx(share, abs=5 * (share * (1 - share) / (n / 2)) ** 0.5)


def test_balanced_pairs_share_every_value_equally_often() -> None:
    n, values = 40_000, torch.cat([rare_values(), concept_values(200)], 1)
    concepts = ("eyeglasses", "smiling", "digit", "color")
    index_a, index_b, factor = draw(n, values=values, concepts=concepts, balanced=True)
    assert chi_square_excess(factor.bincount(minlength=4)) < 5
    for k in range(4):
        a, b = index_a[factor == k], index_b[factor == k]
        assert torch.equal(values[a, k], values[b, k])
        _, shared = values[a, k].unique(return_inverse=True)
        assert chi_square_excess(shared.bincount()) < 5
        # and within a value either member is any image that has it
        for value in values[:, k].unique():
            members, mine = (values[:, k] == value).nonzero()[:, 0], values[a, k] == value
            for member in (a[mine], b[mine]):
                counts = member.bincount(minlength=200)
                assert counts.sum() == counts[members].sum()
                assert chi_square_excess(counts[members]) < 5
        # independently: both are one image as often as two uniform draws are, over the values
        alike = float((a == b).double().mean())
        chance = float(values[:, k].unique(return_counts=True)[1].double().reciprocal().mean())
        assert alike == pytest.approx(chance, abs=5 * (chance / len(a)) ** 0.5)


def test_balance_leaves_the_concept_of_each_pair_as_it_is() -> None:
    plain, balanced = (draw(300, values=rare_values(), weights=[1, 3], balanced=choice) for choice in (False, True))
    assert torch.equal(plain[2], balanced[2])
    assert not torch.equal(plain[0], balanced[0])


@pytest.mark.parametrize("balanced", [False, True])
def test_an_image_without_a_value_is_in_no_pair_of_that_concept_and_all_others_are_alike(balanced: bool) -> None:
    n, values = 60_000, concept_values()
    values[::4, 0] = values[1::3, 1] = MISSING
    index_a, index_b, factor = draw(n, values=values, balanced=balanced)
    assert chi_square_excess(factor.bincount(minlength=2)) < 5
    for k in range(2):
        a, b = index_a[factor == k], index_b[factor == k]
        assert torch.equal(values[a, k], values[b, k])
        assert (values[a, k] != MISSING).all()
        # the missing value of another concept keeps no image out
        assert (values[a, 1 - k] == MISSING).any()
        if not balanced:
            assert chi_square_excess(a.bincount(minlength=60)[values[:, k] != MISSING]) < 5
        for value in values[values[:, k] != MISSING, k].unique():
            members = (values[:, k] == value).nonzero()[:, 0]
            counts = b[values[a, k] == value].bincount(minlength=60)
            assert counts.sum() == counts[members].sum()
            assert chi_square_excess(counts[members]) < 5


@pytest.mark.parametrize("balanced", [False, True])
def test_a_concept_that_is_known_throughout_is_paired_as_without_the_other(balanced: bool) -> None:
    n, values = 2000, concept_values()
    values[::4, 1] = MISSING
    for found, expected in zip(
        draw(n, values=values, weights=[1, 0], balanced=balanced),
        draw(n, values=concept_values(), weights=[1, 0], balanced=balanced),
        strict=True,
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool])
def test_values_of_another_type_are_not_taken_for_missing_ones(dtype: torch.dtype) -> None:
    values = torch.tensor([[0], [0], [1], [1]])
    for found, expected in zip(
        draw(50, values=values.to(dtype), concepts=("x",)), draw(50, values=values, concepts=("x",)), strict=True
    ):
        assert torch.equal(found, expected)


def test_a_concept_without_two_equal_values_is_refused_by_name() -> None:
    for colors in (torch.arange(5), torch.full((5,), MISSING), torch.tensor([MISSING, MISSING, 0, 1, 2])):
        values = torch.stack([torch.zeros(5, dtype=torch.int64), colors], 1)
        with pytest.raises(UserError, match="concept 'color'"):
            ConceptPairs(values=values, concepts=CONCEPTS)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"values": torch.zeros(5, 3, dtype=torch.int64)}, r"\[n, 2\].*digit, color.*\[5, 3\]"),
        ({"values": torch.zeros(5, dtype=torch.int64)}, r"\[5\]"),
        ({"values": torch.zeros(1, 2, dtype=torch.int64)}, r"1 image\(s\)"),
        ({"weights": [1.0]}, r"\[1.0\]"),
        ({"weights": [1.0, -0.5]}, "-0.5"),
        ({"weights": [0.0, 0.0]}, r"\[0.0, 0.0\]"),
    ],
)
def test_what_makes_no_pairs_is_refused(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(UserError, match=named):
        draw(1, **arguments)
