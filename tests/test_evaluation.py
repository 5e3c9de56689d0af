"""The numbers of a run are right on constructed cases whose answers are known, and tell source from target."""

import dataclasses
import json
import math
from collections import Counter
from itertools import pairwise
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from made_subject import made_subject
from torch import Tensor, nn

from reproduce.data.colormnist import background_color
from reproduce.data.shared.base import HeldoutPairs, Readings, pick_images, to_unit_range
from reproduce.errors import ReproduceError, UserError
from reproduce.evaluation.grid import measure_grid, measure_mix
from reproduce.evaluation.latents import (
    chance_levels,
    factor_statistics,
    measure_latents,
    probe_scores,
    round_trip,
)
from reproduce.evaluation.measurements import Evaluation, headline, measure_all
from reproduce.evaluation.subject import Subject, as_pictures
from reproduce.evaluation.swap import (
    EvaluationPairs,
    evaluation_pairs,
    follows,
    judge_rates,
    measurement_errors,
    reconstruction_rates,
    swap_rates,
    swap_readings,
)
from reproduce.factors import MISSING, factor_slices
from reproduce.likelihood import pair_nll
from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
from reproduce.models.flow import DoubleCoupling, Flow
from reproduce.schema import validated
from reproduce.seeds import numpy_generator, torch_generator

FACTORS = ("digit", "color", "residual")
DIMS = {"digit": 3, "color": 3, "residual": 2}
FOLLOWS, STAYS = {"source": 1.0, "target": 0.0}, {"source": 0.0, "target": 1.0}


def permutation_flow(dim: int = 8, n_blocks: int = 2) -> tuple[Flow, Tensor]:
    """A T that only reorders, and its order: z̃ = z[:, order]."""
    flow = Flow(dim=dim, n_blocks=n_blocks, hidden_dim=2, hidden_depth=0)
    with torch.no_grad():
        for layer in flow.layers:
            if isinstance(layer, DoubleCoupling):
                for parameter in layer.parameters():
                    parameter.zero_()
        order = flow(torch.arange(dim)[None].float())[0][0].long()
    assert order.tolist() != list(range(dim))
    return flow, order


def truth() -> Readings:
    """Six images: digits that repeat, colours of which image 4 has image 0's."""
    color = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0], [1, 1, 1]])
    return {"digit": torch.tensor([0, 1, 2, 0, 1, 2]), "color": color}


def coded(values: Readings) -> Tensor:
    """z̃ whose first factor is the digit, one-hot, whose second is the colour, and whose third is the image's number."""
    n = len(values["digit"])
    number = torch.arange(n).float()[:, None].expand(n, 2)
    return torch.cat([torch.eye(3)[values["digit"]], values["color"], number], 1)


def decoded(z: Tensor, order: Tensor) -> Readings:
    z_tilde = z[:, order]
    return {"digit": z_tilde[:, :3].argmax(1), "color": z_tilde[:, 3:6], "number": z_tilde[:, 6]}


TARGET, SOURCE = torch.tensor([0, 1, 5, 3, 4]), torch.tensor([1, 2, 3, 0, 0])
PAIRS = EvaluationPairs(TARGET, SOURCE, None)


class Decoded(Subject):
    """What is read off z is what stands in z̃."""

    def readout(self, z: Tensor) -> Readings:
        return decoded(z, self.data)  # type: ignore[arg-type]


def readings_of(dims: dict[str, int]) -> dict[str, Readings]:
    flow, order = permutation_flow()
    known = made_subject(flow=flow, dims=dims, data=order, pool_z=torch.zeros(1, sum(dims.values())))
    subject = Decoded(**{field.name: getattr(known, field.name) for field in dataclasses.fields(known)})
    vars(subject)["z_tilde"] = coded(truth())
    return swap_readings(subject, PAIRS)[0]


def drawn_for(attribute: str | list[str], target: Tensor, source: Tensor) -> EvaluationPairs:
    names = [attribute] * len(target) if isinstance(attribute, str) else attribute
    return EvaluationPairs(target, source, np.array(names))


def test_a_swap_takes_one_factor_from_the_source_and_the_others_from_the_target() -> None:
    values = truth() | {"number": torch.arange(6).float()}
    readings = readings_of(DIMS)
    assert list(readings) == list(FACTORS)
    for swapped, reading in zip(("digit", "color", "number"), readings.values(), strict=True):
        for concept, read in reading.items():
            assert torch.equal(read, values[concept][SOURCE if concept == swapped else TARGET]), (swapped, concept)


def test_swap_rates_of_a_perfect_t() -> None:
    assert swap_rates(readings_of(DIMS), truth(), PAIRS) == {
        "digit": {"digit": FOLLOWS, "color": STAYS},
        "color": {"digit": STAYS, "color": FOLLOWS},
        "residual": {"digit": STAYS, "color": STAYS},
    }


def test_a_factor_of_size_zero_swaps_nothing_and_the_residual_everything() -> None:
    rates = swap_rates(readings_of({"digit": 0, "color": 0, "residual": 8}), truth(), PAIRS)
    assert rates["digit"] == rates["color"] == {"digit": STAYS, "color": STAYS}
    assert rates["residual"] == {"digit": FOLLOWS, "color": FOLLOWS}


def by_factor(readings: list[Readings], factors: tuple[str, ...] = FACTORS) -> dict[str, Readings]:
    return dict(zip(factors, readings, strict=True))


def test_swap_rates_are_shares_of_the_pairs_that_differ() -> None:
    values = {
        "digit": torch.tensor([0, 1, 2, 0]),
        "color": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 0, 0], [0.5, 0.5, 0]]),
    }
    target, source = torch.tensor([0, 1, 2, 0, 1]), torch.tensor([1, 2, 0, 3, 0])
    # digits 0→1, 1→2, 2→0, 0→0 (alike), 1→0; colours differ in all pairs but the third
    first: Readings = {
        "digit": torch.tensor([1, 2, 2, 0, 7]),
        "color": torch.tensor([[0.9, 0, 0], [0.4, 0, 0], [0, 0, 0], [0.1, 0.1, 0], [0.5, 0.3, 0]]),
    }
    second: Readings = {"digit": torch.tensor([0, 1, 2, 0, 0]), "color": values["color"][target] + 0.01}
    rates = swap_rates(by_factor([first, second, {}]), values, EvaluationPairs(target, source, None))
    assert rates == {
        "digit": {"digit": {"source": 2 / 4, "target": 1 / 4}, "color": {"source": 2 / 4, "target": 1 / 4}},
        "color": {"digit": {"source": 1 / 4, "target": 3 / 4}, "color": {"source": 0.0, "target": 1.0}},
        "residual": {"digit": None, "color": None},
    }


def test_a_concept_in_which_no_pair_differs_has_no_swap_rate() -> None:
    values = {"digit": torch.tensor([4, 4]), "color": torch.tensor([[0.2, 0, 0], [0.2, 0, 0.1]])}
    target, source = torch.tensor([0, 1]), torch.tensor([1, 0])
    reading = {key: value[source] for key, value in values.items()}
    pairs = EvaluationPairs(target, source, None)
    rates = swap_rates(by_factor([reading] * 3), values, pairs)
    assert rates["digit"] == {"digit": None, "color": FOLLOWS}


def test_a_class_follows_where_it_is_equal_and_a_measurement_where_it_is_nearer() -> None:
    own, other = torch.tensor([1, 2, 3]), torch.tensor([5, 2, 4])
    assert follows(torch.tensor([1, 2, 4]), own, other).tolist() == [True, True, False]
    own, other = torch.zeros(4, 3), torch.tensor([1.0, 0, 0]).expand(4, 3)
    reading = torch.tensor([[0.4, 9, 0], [0.6, 9, 0], [0.5, 0, 0], [-3, 0, 0]])
    assert follows(reading, own, other).tolist() == [True, False, False, True]
    assert follows(reading, other, own).tolist() == [False, True, False, False]


def test_without_attributes_all_ordered_pairs_are_alike_and_never_an_image_with_itself() -> None:
    values: Readings = {"digit": torch.tensor([0, 1, 2, 1, 0]), "color": torch.rand(5, 3)}
    torch.manual_seed(0)
    pairs = evaluation_pairs(values, 20_000, torch_generator(0, "pairs"))
    target, source = pairs.target, pairs.source
    assert pairs.attribute is None
    assert target.shape == source.shape == (20_000,)
    assert target.dtype == source.dtype == torch.int64
    counts = Counter(zip(target.tolist(), source.tolist(), strict=True))
    assert set(counts) == {(a, b) for a in range(5) for b in range(5) if a != b}
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())
    torch.manual_seed(1)
    again = evaluation_pairs(values, 20_000, torch_generator(0, "pairs"))
    assert torch.equal(again.target, target)
    assert torch.equal(again.source, source)


def test_two_images_are_the_fewest_that_make_pairs() -> None:
    pairs = evaluation_pairs({"digit": torch.tensor([3, 3])}, 50, torch_generator(0, "pairs"))
    assert torch.equal(pairs.target + pairs.source, torch.ones(50, dtype=torch.int64))
    for n in (0, 1):
        with pytest.raises(UserError, match=rf"{n} held-out image\(s\)"):
            evaluation_pairs({"digit": torch.zeros(n, dtype=torch.int64)}, 5, torch_generator(0, "pairs"))


def attributes(n: int = 200) -> Readings:
    """`rare`, which 3 of 200 images have, `common` and `half`; and a class, which gets no pairs of its own."""
    rare, common = torch.zeros(n, dtype=torch.bool), torch.ones(n, dtype=torch.bool)
    rare[[4, 50, 199]] = True
    common[::10] = False
    return {"rare": rare, "kind": torch.arange(n) % 2, "common": common, "half": torch.arange(n) % 2 == 1}


def test_each_attribute_gets_its_share_of_the_pairs_and_either_direction_half_of_it() -> None:
    values, n = attributes(), 12_000
    pairs = evaluation_pairs(values, n, torch_generator(0, "pairs"))
    target, source = pairs.target, pairs.source
    assert pairs.attribute is not None
    assert target.dtype == source.dtype == torch.int64
    assert len(target) == len(source) == len(pairs.attribute) == n
    assert (target != source).all()
    # the turns of each attribute, in either direction, come round one after the other
    turn = torch.arange(n) % 6
    for k, name in enumerate(("rare", "common", "half")):
        assert np.array_equal(pairs.attribute == name, turn.numpy() // 2 == k)
        directions = []
        for mine in (turn == 2 * k, turn == 2 * k + 1):
            assert int(mine.sum()) == n // 6
            (direction,) = (values[name][source[mine]].long() - values[name][target[mine]].long()).unique().tolist()
            directions.append(direction)
            # either member is any image of its value, all alike
            for members in (target[mine], source[mine]):
                having = values[name] == values[name][members[0]]
                counts, expected = members.bincount(minlength=200)[having], n / 6 / int(having.sum())
                assert counts.sum() == n / 6
                assert (counts - expected).abs().max() < 5.5 * expected**0.5
        assert sorted(directions) == [-1, 1]
    again = evaluation_pairs(values, n, torch_generator(0, "pairs"))
    assert torch.equal(again.target, target)
    assert torch.equal(again.source, source)


def test_pairs_of_a_rare_attribute_are_not_three_and_their_companions() -> None:
    """All 3 x 197 combinations come up in either direction."""
    values = {"rare": attributes()["rare"]}
    pairs = evaluation_pairs(values, 20_000, torch_generator(0, "pairs"))
    assert (values["rare"][pairs.target] != values["rare"][pairs.source]).all()
    assert int(values["rare"][pairs.target].sum()) == 10_000
    assert len(set(zip(pairs.target.tolist(), pairs.source.tolist(), strict=True))) == 2 * 3 * 197


@pytest.mark.parametrize("n_values", [2, 3])
def test_a_class_beside_attributes_gets_no_turn_and_is_measured_on_all_pairs_that_differ(n_values: int) -> None:
    values = {"kind": torch.arange(200) % n_values, "half": torch.arange(200) >= 100}
    pairs = evaluation_pairs(values, 1000, torch_generator(0, "pairs"))
    assert (values["half"][pairs.target] != values["half"][pairs.source]).all()
    differ, share = values["kind"][pairs.target] != values["kind"][pairs.source], 1 - 1 / n_values
    assert float(differ.double().mean()) == pytest.approx(share, abs=5 * (share * (1 - share) / 1000) ** 0.5)
    assert torch.equal(pairs.differing_in("kind", values["kind"]), differ)
    assert pairs.differing_in("half", values["half"]).all()


def test_a_class_of_0_and_1_is_paired_as_any_class() -> None:
    for low, high in ((0, 1), (2, 5)):
        values = {"kind": torch.tensor([low, low, low, high])}
        pairs = evaluation_pairs(values, 20_000, torch_generator(0, "pairs"))
        assert pairs.attribute is None
        # of the 12 ordered pairs 6 are of one class; as an attribute's, none would be
        differ = pairs.differing_in("kind", values["kind"]).double().mean().item()
        assert differ == pytest.approx(1 / 2, abs=5 * (1 / 4 / 20_000) ** 0.5)


@pytest.mark.parametrize("there", [True, False])
def test_an_attribute_that_all_or_none_of_the_held_out_images_have_is_refused(there: bool) -> None:
    values = {"half": torch.arange(6) % 2 == 0, "same": torch.full((6,), there)}
    with pytest.raises(UserError, match=r"^all or none of the 6 held-out images have same: no pair differs in it"):
        evaluation_pairs(values, 8, torch_generator(0, "pairs"))


def test_an_attribute_is_measured_on_the_pairs_drawn_for_it_alone() -> None:
    """Of two attributes that go together, pairs for one differ mostly in the other, but say nothing about it."""
    hat, beard = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]).bool(), torch.tensor([0, 0, 0, 1, 0, 1, 1, 1]).bool()
    values = {"hat": hat, "beard": beard}
    pairs = evaluation_pairs(values, 8000, torch_generator(0, "pairs"))
    assert pairs.attribute is not None
    for_hat, for_beard = (torch.from_numpy(pairs.attribute == name) for name in ("hat", "beard"))
    assert int(for_hat.sum()) == int(for_beard.sum()) == 4000
    # the other members' values are the natural ones: 3 of 4 with a hat have a beard, 1 of 4 without
    for own, other, mine in ((hat, beard, for_hat), (beard, hat, for_beard)):
        assert torch.equal(pairs.differing_in("hat" if own is hat else "beard", own), mine)
        assert (own[pairs.target[mine]] != own[pairs.source[mine]]).all()
        both = other[pairs.target[mine]] != other[pairs.source[mine]]
        assert both.double().mean().item() == pytest.approx(10 / 16, abs=5 * (10 * 6 / 16**2 / 4000) ** 0.5)
        for members in (pairs.target[mine], pairs.source[mine]):
            for there in (True, False):
                share = other[members[own[members] == there]].double().mean().item()
                assert share == pytest.approx(3 / 4 if there else 1 / 4, abs=5 * (3 / 16 / 2000) ** 0.5)
    # a T that moves each attribute in its own pairs, and does the contrary in the other's
    source, target = (
        {name: value[members] for name, value in values.items()} for members in (pairs.source, pairs.target)
    )
    swapped = {
        "hat": torch.where(for_hat, source["hat"], target["hat"]),
        "beard": torch.where(for_beard, source["beard"], target["beard"]),
    }
    kept = {
        "hat": torch.where(for_hat, target["hat"], source["hat"]),
        "beard": torch.where(for_beard, target["beard"], source["beard"]),
    }
    rates = swap_rates(by_factor([swapped, swapped, kept], ("hat", "beard", "residual")), values, pairs)
    assert rates["hat"] == rates["beard"] == {"hat": FOLLOWS, "beard": FOLLOWS}
    assert rates["residual"] == {"hat": STAYS, "beard": STAYS}


def test_swap_rates_of_two_attributes_are_counted_by_hand() -> None:
    values = {"hat": torch.tensor([0, 0, 1, 1]).bool(), "beard": torch.tensor([0, 1, 0, 1]).bool()}
    # all but the second and the last differ in both
    target, source = torch.tensor([0, 0, 3, 0, 3, 1]), torch.tensor([3, 2, 0, 3, 0, 0])
    pairs = drawn_for(["hat", "hat", "hat", "beard", "beard", "beard"], target, source)
    reading = {"hat": torch.tensor([1, 0, 0, 0, 1, 0]).bool(), "beard": torch.tensor([0, 0, 1, 1, 0, 1]).bool()}
    rates = swap_rates(by_factor([reading] * 3, ("hat", "beard", "residual")), values, pairs)
    # a hat put on follows in 1 of its 2 pairs, one taken off in its 1; over all pairs that differ 1 of 3 and 1 of 2
    assert rates["hat"] == {
        "hat": {"source": (1 / 2 + 1) / 2, "target": (1 / 2 + 0) / 2},
        "beard": {"source": (1 + 1 / 2) / 2, "target": (0 + 1 / 2) / 2},
    }


def test_swap_rates_of_an_attribute_count_both_directions_equally() -> None:
    values = {"hat": torch.tensor([0, 0, 0, 0, 1, 1]).bool()}
    # four pairs put a hat on, one takes it off
    pairs = drawn_for("hat", torch.tensor([0, 1, 2, 3, 4]), torch.tensor([4, 5, 4, 5, 0]))
    swapped = {"hat": torch.tensor([1, 1, 1, 0, 1]).bool()}
    kept = {"hat": torch.tensor([0, 0, 1, 1, 1]).bool()}
    rates = swap_rates(by_factor([swapped, kept], ("hat", "residual")), values, pairs)
    assert rates == {
        # plainly 3 of 5 follow, 2 of 5 stay
        "hat": {"hat": {"source": (3 / 4 + 0) / 2, "target": (1 / 4 + 1) / 2}},
        "residual": {"hat": {"source": (2 / 4 + 0) / 2, "target": (2 / 4 + 1) / 2}},
    }


def test_swap_rates_of_an_attribute_that_changes_in_one_direction_are_that_directions() -> None:
    values = {"hat": torch.tensor([0, 0, 1]).bool()}
    pairs = drawn_for("hat", torch.tensor([0, 1]), torch.tensor([2, 2]))
    reading = {"hat": torch.tensor([1, 0]).bool()}
    rates = swap_rates(by_factor([reading, reading], ("hat", "residual")), values, pairs)
    assert rates["hat"]["hat"] == {"source": 1 / 2, "target": 1 / 2}


def test_a_class_of_two_values_whichever_counts_each_pair_once() -> None:
    for low, high in ((0, 1), (0, 2), (1, 2)):
        values = {"kind": torch.tensor([low, low, low, high])}
        target, source = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 3, 3, 0])
        reading = {"kind": torch.tensor([high, high, low, high])}
        pairs = EvaluationPairs(target, source, None)
        rates = swap_rates(by_factor([reading, reading], ("kind", "residual")), values, pairs)
        assert rates["kind"]["kind"] == {"source": 2 / 4, "target": 2 / 4}
        plain = reconstruction_rates({"kind": values["kind"].roll(1)}, values, pairs)
        assert plain == {"kind": 2 / 4}


def test_reconstructions_with_and_without_an_attribute_count_equally() -> None:
    values = {"hat": torch.tensor([0, 0, 0, 0, 0, 0, 1, 1]).bool(), "always": torch.ones(8, dtype=torch.bool)}
    reading = {"hat": torch.tensor([0, 0, 0, 0, 0, 1, 0, 1]).bool(), "always": torch.arange(8) < 6}
    pairs = EvaluationPairs(torch.tensor([0]), torch.tensor([0]), None)
    rates = reconstruction_rates(reading, values, pairs)
    assert rates == {"hat": pytest.approx((5 / 6 + 1 / 2) / 2), "always": 6 / 8}


def test_reconstruction_rates_count_classes_over_images_and_measurements_over_pairs() -> None:
    values = {
        "digit": torch.tensor([0, 1, 2, 0]),
        "color": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    }
    # image 1 looks like image 3, the others like themselves
    reading = {"digit": torch.tensor([0, 1, 2, 9]), "color": values["color"][[0, 3, 2, 3]]}
    pairs = EvaluationPairs(torch.tensor([0, 1, 1, 2, 2]), torch.tensor([1, 0, 2, 3, 0]), None)
    rates = reconstruction_rates(reading, values, pairs)
    # from what image 1 shows, its own colour is √2 away, 0's 1, and 2's √2 too
    assert rates == {"digit": 3 / 4, "color": 3 / 5}
    del reading["color"]
    rates = reconstruction_rates(reading, values, pairs)
    assert rates == {"digit": 3 / 4, "color": None}


def with_missing() -> Readings:
    """Six images: a class that image 3 lacks, an attribute that images 0 and 5 lack."""
    kind = torch.tensor([0, 1, 2, MISSING, 1, 0])
    return {"kind": kind, "hat": torch.tensor([-1, 0, 1, 1, 0, -1], dtype=torch.int8)}


def test_only_images_with_a_value_are_paired_for_an_attribute() -> None:
    pairs = evaluation_pairs(with_missing(), 4000, torch_generator(0, "pairs"))
    assert pairs.attribute is not None
    assert set(pairs.attribute) == {"hat"}
    drawn = Counter(zip(pairs.target.tolist(), pairs.source.tolist(), strict=True))
    assert set(drawn) == {(a, b) for a in (1, 4) for b in (2, 3)} | {(b, a) for a in (1, 4) for b in (2, 3)}
    assert all(abs(count - 500) < 5 * 500**0.5 for count in drawn.values())
    assert pairs.differing_in("hat", with_missing()["hat"]).all()
    # a pair with an image of no kind differs in nothing that is known
    kind = with_missing()["kind"]
    expected = [3 not in (a, b) for a, b in zip(pairs.target.tolist(), pairs.source.tolist(), strict=True)]
    assert pairs.differing_in("kind", kind).tolist() == expected
    with pytest.raises(UserError, match=r"^all or none of the 3 held-out images have hat"):
        evaluation_pairs({"hat": torch.tensor([-1, 1, 1], dtype=torch.int8)}, 8, torch_generator(0, "pairs"))


def test_rates_leave_out_what_is_missing() -> None:
    values = with_missing()
    target, source = torch.tensor([1, 1, 2, 3]), torch.tensor([2, 3, 4, 1])
    pairs = drawn_for("hat", target, source)
    # three of four hats follow: both put on, one of two taken off; of the kinds, only pairs 0 and 2 are known
    read = {"hat": torch.tensor([True, True, False, True]), "kind": torch.tensor([2, MISSING, 2, 1])}
    rates = swap_rates(by_factor([read, read, {}], ("hat", "kind", "residual")), values, pairs)
    expected = {"source": (1 + 1 / 2) / 2, "target": (0 + 1 / 2) / 2}
    assert rates["hat"] == rates["kind"] == {"hat": expected, "kind": {"source": 1 / 2, "target": 1 / 2}}
    # right: of the kinds 4 of 5, of the images without a hat both, of those with one 1 of 2
    shown = {"kind": torch.tensor([0, 1, 2, 0, 1, 2]), "hat": torch.tensor([1, 0, 1, 0, 0, 0]).bool()}
    right = {"kind": 4 / 5, "hat": (1 + 1 / 2) / 2}
    assert reconstruction_rates(shown, values, pairs) == pytest.approx(right)
    judge: Any = nn.Identity()
    data = reader(lambda logits, images: shown)
    assert judge_rates(judge, [torch.zeros(6, 1)], values, read=data.read) == pytest.approx(right)


def test_measurement_errors_are_distances_from_what_should_be_seen() -> None:
    color = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 1]])
    target, source = torch.tensor([0, 1, 2]), torch.tensor([1, 0, 0])
    pairs = EvaluationPairs(target, source, None)
    off = torch.tensor([[0.3, 0.4, 0], [0, 0, 0], [0, 0, 0.1]])
    plain = {"color": color + off}
    readings = [
        {"color": color[target] + torch.tensor([0, 0.6, 0.8])},
        {"color": color[source] + torch.tensor([0.0, 0, 0.25])},
        {"color": color[source]},
    ]
    # a class that is read as well has no distance
    values = {"digit": torch.arange(3), "color": color}
    reading = {"digit": torch.zeros(3, dtype=torch.int64)}
    found = measurement_errors(plain | reading, by_factor([r | reading for r in readings]), values, pairs=pairs)
    assert list(found) == ["color_error"]
    errors = found["color_error"]
    assert list(errors) == ["reconstruction", *FACTORS]
    # what shows the source's colour where the target's should be is off by 1, 1 and √3
    wrong = (1 + 1 + 3**0.5) / 3
    assert list(errors.values()) == pytest.approx([0.2, 1.0, 0.25, wrong], rel=1e-6)
    assert measurement_errors(reading, by_factor([reading] * 3), values, pairs=pairs) == {}


def test_each_measured_concept_has_its_own_errors() -> None:
    """Two of them, of one and of two numbers; swapped, each should be the source's where it is itself swapped."""
    values = {"size": torch.tensor([[0.0], [5]]), "place": torch.tensor([[0.0, 0], [3, 4]])}
    pairs = EvaluationPairs(torch.tensor([0, 1]), torch.tensor([1, 0]), None)
    same = {name: value[pairs.target] for name, value in values.items()}
    swapped = by_factor([same] * 3, ("size", "place", "residual"))
    found = measurement_errors(same, swapped, values, pairs=pairs)
    assert found == {
        "size_error": {"reconstruction": 0.0, "size": 5.0, "place": 0.0, "residual": 0.0},
        "place_error": {"reconstruction": 0.0, "size": 0.0, "place": 5.0, "residual": 0.0},
    }


class OneHot(Classifier):
    """Classifies an image by its first pixel, and a latent by its first component."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(images.flatten(1))

    def classify(self, z: Tensor) -> Tensor:
        return torch.eye(10)[z[:, 0].long()]


def digit_of(logits: Tensor, images: Tensor | None) -> Readings:
    """Read as ColorMNIST is: the digit off the logits, the colour off the images, where there are any."""
    digit = {"digit": logits.argmax(1)}
    return digit if images is None else digit | {"color": background_color(images)}


def reader(read: Any) -> Any:
    """A data set that is read by the function `read`."""
    return SimpleNamespace(read=read, classes=None, n_outputs=10)


def test_a_judge_is_right_about_its_share_of_the_images_in_whatever_batches() -> None:
    labels = torch.arange(1203) % 10
    images = labels.float()[:, None, None, None].clone()
    images[[0, 499, 500, 1202]] = (images[[0, 499, 500, 1202]] + 1) % 10
    classifier: Any = OneHot()
    values: Readings = {"digit": labels, "color": torch.zeros(1203, 3)}
    for size in (1, 500, 1203):
        assert judge_rates(classifier, iter(images.split(size)), values, read=reader(digit_of).read) == {
            "digit": 1199 / 1203
        }


def test_a_judge_of_attributes_counts_having_and_lacking_each_of_them_equally() -> None:
    class Sign:
        """An attribute for each pixel: there where it is positive."""

        def __call__(self, images: Tensor) -> Tensor:
            return images.flatten(1)

    def read(logits: Tensor, images: Tensor | None) -> Readings:
        return {name: logits[:, k] > 0 for k, name in enumerate(("rare", "half"))}

    values: Readings = {"rare": torch.arange(10) >= 8, "half": torch.arange(10) % 2 == 1}
    said = torch.tensor([[-1.0] * 8 + [-1, 1], [-1, 1, -1, 1, -1, 1, -1, -1, -1, -1]]).T[:, :, None, None]
    judge: Any = Sign()
    rates = judge_rates(judge, said.split(3), values, read=reader(read).read)
    # plainly 9 of 10 and 8 of 10
    assert rates == pytest.approx({"rare": (8 / 8 + 1 / 2) / 2, "half": (5 / 5 + 3 / 5) / 2})


def probe_data(purpose: str, n: int = 600) -> tuple[Tensor, Readings]:
    """z̃ with the digit in the first factor, the colour in the second, noise alone in the third."""
    generator = torch_generator(0, purpose)
    digit, color = torch.randint(3, (n,), generator=generator), torch.rand(n, 3, generator=generator)
    noise = torch.randn(n, 8, generator=generator)
    z_tilde = torch.cat([3 * torch.eye(3)[digit] - 5, color @ torch.tensor([[2.0, 0, 0], [1, -1, 0], [0, 1, 3]])], 1)
    z_tilde = torch.cat([z_tilde + 0.01 * noise[:, :6], noise[:, 6:]], 1)
    return z_tilde, {"digit": digit, "color": color}


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    scores = probe_scores(probe_data("train"), probe_data("heldout"), dims=DIMS)
    assert list(scores) == list(FACTORS)
    assert all(list(row) == ["digit", "color"] for row in scores.values())
    flat: Any = {(factor, concept): score for factor, row in scores.items() for concept, score in row.items()}
    assert flat["digit", "digit"] == 1.0
    assert flat["color", "color"] == pytest.approx(1.0, abs=0.01)
    for factor in ("color", "residual"):
        assert flat[factor, "digit"] == pytest.approx(1 / 3, abs=0.08)
    for factor in ("digit", "residual"):
        assert flat[factor, "color"] == pytest.approx(0.0, abs=0.05)


def test_chance_is_what_a_probe_scores_on_latents_that_say_nothing() -> None:
    generator = torch_generator(0, "chance")
    train, heldout = torch.randn(4000, 2, generator=generator), torch.randn(1000, 2, generator=generator)
    truths: list[Readings] = []
    for n in (4000, 1000):
        uniform = torch.rand(n, 4, generator=generator)
        truths.append({"digit": (uniform[:, 0] > 0.7).long(), "hat": uniform[:, 1] > 0.9, "color": uniform[:, 1:]})
    levels = chance_levels(*truths)
    assert levels["digit"] == (truths[1]["digit"] == 0).double().mean().item()
    assert (levels["hat"], levels["color"]) == (0.5, 0.0)
    scores = probe_scores((train, truths[0]), (heldout, truths[1]), dims={"digit": 1, "residual": 1})
    assert scores["residual"] == pytest.approx(levels, abs=0.05)
    swapped = chance_levels({"digit": torch.tensor([1, 1, 0])}, {"digit": torch.tensor([0, 0, 0, 1])})
    assert swapped == {"digit": 0.25}  # the training images' most frequent class, not the held-out ones'


def test_a_probe_is_fitted_on_training_and_scored_on_held_out_latents() -> None:
    heldout, truth = probe_data("heldout")
    contrary = {"digit": (truth["digit"] + 1) % 3, "color": 1 - truth["color"]}
    scores: Any = probe_scores(probe_data("train"), (heldout, contrary), dims=DIMS)
    assert scores["digit"]["digit"] == 0.0
    assert scores["color"]["color"] == pytest.approx(-3.0, abs=0.2)  # twice the deviation, squared, over the variance


def test_a_probe_is_fitted_and_scored_on_the_images_whose_value_is_known() -> None:
    def part(purpose: str) -> tuple[Tensor, Readings, Readings]:
        z_tilde, truth = probe_data(purpose)
        digit, hat = truth["digit"], truth["color"][:, 0] > 0.4
        digit[::5] = MISSING
        some = torch.where(torch.arange(len(hat)) % 3 == 0, -1, hat.long()).to(torch.int8)
        return z_tilde, {"digit": digit, "hat": some}, {"digit": digit[digit >= 0], "hat": hat[some >= 0]}

    train, heldout = part("train"), part("heldout")
    scores = probe_scores(train[:2], heldout[:2], dims=DIMS)
    chance = chance_levels(train[1], heldout[1])
    for concept in ("digit", "hat"):
        without = [
            (z_tilde[values[concept] >= 0], {concept: rest[concept]}) for z_tilde, values, rest in (train, heldout)
        ]
        expected = probe_scores(*without, dims=DIMS)
        assert {factor: row[concept] for factor, row in scores.items()} == {f: r[concept] for f, r in expected.items()}
        assert chance[concept] == chance_levels(without[0][1], without[1][1])[concept]
    assert scores["digit"]["digit"] == 1.0
    nothing = {"digit": torch.full((600,), MISSING), "hat": torch.full((600,), -1, dtype=torch.int8)}
    for truths in ((nothing, heldout[1]), (train[1], nothing)):
        scores = probe_scores((train[0], truths[0]), (heldout[0], truths[1]), dims=DIMS)
        assert all(value is None for row in scores.values() for value in row.values())
    assert chance_levels(nothing, heldout[1]) == {"digit": None, "hat": 0.5}


def test_nothing_can_be_read_from_a_factor_of_size_zero() -> None:
    scores = probe_scores(probe_data("train"), probe_data("heldout"), dims={"digit": 0, "color": 6, "residual": 2})
    assert scores["digit"] == {"digit": None, "color": None}
    assert scores["color"]["digit"] == 1.0


def test_a_probe_of_an_attribute_counts_having_and_lacking_it_equally() -> None:
    """Where nothing is to be read, saying "no" to everything is worth a half, however rare the attribute."""
    generator = torch_generator(0, "rare probe")
    has = torch.arange(2000) % 20 == 0
    other = torch.arange(2000) % 3
    noise = torch.randn(2, 2000, 2, generator=generator)
    # the first factor shows it one way for half of those that have it, the second not at all
    shown = torch.where(has & (torch.arange(2000) % 40 == 0), 1.0, 0.0)
    z_tilde = torch.cat([shown[:, None], noise[0]], 1)
    train, heldout = z_tilde, torch.cat([shown[:, None], noise[1]], 1)
    truth = {"rare": has, "other": other}
    scores: Any = probe_scores((train, truth), (heldout, truth), dims={"first": 1, "residual": 2})
    assert scores["first"]["rare"] == pytest.approx((1 + 1 / 2) / 2)  # plainly 0.975
    assert scores["residual"]["rare"] == pytest.approx(0.5, abs=0.1)  # plainly 0.95
    assert scores["residual"]["other"] == pytest.approx(1 / 3, abs=0.06)


def test_a_probe_of_an_attribute_is_fitted_to_both_of_its_values_equally() -> None:
    """Overlapping: the boundary stands where both densities are equal, not where the frequent value wins."""
    generator = torch_generator(0, "overlap")
    has = torch.arange(20_000) % 20 == 0
    noise = torch.randn(2, 20_000, 1, generator=generator)
    train, heldout = (2 * has[:, None].float() + part for part in noise)
    truth = {"rare": has}
    scores: Any = probe_scores((train, truth), (heldout, truth), dims={"rare": 1, "residual": 0})
    # the boundary halfway, one deviation from either mean; a plain fit's stands at 1 + ln(19)/2 and scores 0.66
    assert scores["rare"]["rare"] == pytest.approx(0.8413, abs=0.03)
    assert scores["residual"]["rare"] is None


@pytest.mark.parametrize("values", [(0, 1), (2, 5)])
def test_a_probe_of_a_class_of_two_values_counts_each_image_once(values: tuple[int, int]) -> None:
    kind = torch.tensor([values[0]] * 95 + [values[1]] * 5)
    z_tilde = torch.zeros(100, 2)
    z_tilde[:, 0] = torch.arange(100) % 2
    scores: Any = probe_scores((z_tilde, {"kind": kind}), (z_tilde, {"kind": kind}), dims={"kind": 2, "residual": 0})
    assert scores["kind"]["kind"] == 0.95


@pytest.mark.parametrize(
    ("train", "heldout", "fitted"),
    [
        ([0, 1, 2, 0, 1, 2], [0, 1, 2], True),
        ([0, 1, 2, 0, 1, 2], [1, 1, 1], True),
        ([0, 1, 1, 0, 1, 0], [0, 1, 2], False),  # a class held out
        ([0, 1, 1, 0, 1, 0], [2, 3, 2], False),
        ([1, 1, 1, 1, 1, 1], [1, 1, 1], False),  # one value to fit to
    ],
)
def test_a_probe_needs_training_images_of_two_values_and_of_each_that_is_held_out(
    train: list[int], heldout: list[int], fitted: bool
) -> None:
    classes = [torch.tensor(values) for values in (train, heldout)]
    z_tilde = [torch.cat([torch.eye(4)[values], torch.zeros(len(values), 1)], 1) for values in classes]
    colors = [values[:, :3] for values in z_tilde]
    truths = [{"kind": kind, "color": color} for kind, color in zip(classes, colors, strict=True)]
    scores: Any = probe_scores(
        (z_tilde[0], truths[0]), (z_tilde[1], truths[1]), dims={"kind": 4, "color": 0, "residual": 1}
    )
    assert scores["kind"]["kind"] == (1.0 if fitted else None)
    assert (scores["residual"]["kind"] is not None) == fitted
    assert scores["color"]["kind"] is None
    # a measurement needs neither
    assert scores["kind"]["color"] is not None


def test_a_probe_of_an_attribute_that_all_training_images_have_is_none() -> None:
    z_tilde = torch.randn(10, 2, generator=torch_generator(0, "constant"))
    truths = {"hat": torch.ones(10, dtype=torch.bool)}, {"hat": torch.arange(10) < 5}
    scores: Any = probe_scores((z_tilde, truths[0]), (z_tilde, truths[1]), dims={"hat": 1, "residual": 1})
    assert scores == {"hat": {"hat": None}, "residual": {"hat": None}}


def correlated(n: int, width: int, rho: float, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Two float64 `[n, width]` of mean 0 and variance 1 whose correlation is `rho`, all of it exactly."""
    noise = numpy_generator(0, purpose).normal(size=(n, 2 * width))
    q = np.linalg.qr(np.concatenate([np.ones((n, 1)), noise], 1))[0][:, 1:] * n**0.5
    return q[:, :width], rho * q[:, :width] + (1 - rho**2) ** 0.5 * q[:, width:]


def statistics_pairs() -> tuple[Tensor, Tensor, Tensor]:
    """Pairs of which 60 share the digit and 40 the colour; what correlates in either is told in the tests below."""
    groups = []
    for factor, n, rhos in ((0, 60, (0.9, -0.3, 0.8)), (1, 40, (0.1, 0.7, -0.2))):
        parts = [
            correlated(n, width, rho, f"{factor} {k}")
            for k, (width, rho) in enumerate(zip(DIMS.values(), rhos, strict=True))
        ]
        groups.append((np.concatenate([a for a, _ in parts], 1), np.concatenate([b for _, b in parts], 1)))
    a, b = (np.concatenate(side) for side in zip(*groups, strict=True))
    a[:, :3], b[:, :3] = 2 * a[:, :3] + 1, 2 * b[:, :3] - 3
    b[:, 3:6] *= 3
    return torch.from_numpy(a), torch.from_numpy(b), torch.tensor([0] * 60 + [1] * 40)


def test_factor_statistics_are_those_that_were_put_in() -> None:
    statistics = factor_statistics(*statistics_pairs(), dims=DIMS)
    expected = {
        "digit": {"mean": -1.0, "variance": 4 + 2**2, "pair_correlation": 0.9},
        "color": {"mean": 0.0, "variance": (1 + 9) / 2, "pair_correlation": 3 * 0.7 / 5},
        "residual": {"mean": 0.0, "variance": 1.0, "pair_correlation": 0.6 * 0.8 - 0.4 * 0.2},
    }
    assert list(statistics) == list(expected)
    for factor, row in expected.items():
        assert statistics[factor] == pytest.approx(row, abs=1e-12), factor


def test_factor_statistics_agree_with_numpy_component_by_component() -> None:
    generator = numpy_generator(0, "statistics")
    a = generator.normal(size=(200, 8)) * np.arange(1, 9) + np.arange(8)
    b = 0.5 * a + generator.normal(size=(200, 8))
    factor = generator.integers(0, 2, 200)
    statistics = factor_statistics(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(factor), dims=DIMS)
    ends = np.cumsum([0, *DIMS.values()])
    for k, (start, end) in enumerate(pairwise(ends)):
        rows = slice(None) if k == 2 else factor == k
        correlation = []
        for i in range(start, end):
            covariance = np.cov(a[rows, i], b[rows, i], ddof=0)
            correlation.append(2 * covariance[0, 1] / np.trace(covariance))
        both = np.concatenate([a, b])[:, start:end]
        expected = {
            "mean": both.mean(),
            "variance": both.var(0).mean(),
            "pair_correlation": np.mean(correlation),
        }
        assert statistics[FACTORS[k]] == pytest.approx(expected, rel=1e-12)


def test_factor_statistics_that_have_no_meaning_are_none() -> None:
    a, b, _ = statistics_pairs()
    shared = torch.tensor([0] * 99 + [1])
    statistics = factor_statistics(a, b, shared, dims={"digit": 0, "color": 6, "residual": 2})
    assert statistics["digit"] == {"mean": None, "variance": None, "pair_correlation": None}
    assert statistics["color"]["pair_correlation"] is None
    assert statistics["color"]["variance"] == pytest.approx((8 + 5) / 2)
    assert statistics["residual"]["pair_correlation"] is not None


def test_a_component_that_does_not_vary_has_no_correlation() -> None:
    a, b, shared = statistics_pairs()
    for changed, factor in ((1, "digit"), (7, "residual")):
        one, two = a.clone(), b.clone()
        one[:, changed] = two[:, changed] = 0.25
        statistics = factor_statistics(one, two, shared, dims=DIMS)
        for name in FACTORS:
            assert (statistics[name]["pair_correlation"] is None) == (name == factor)
            assert statistics[name]["variance"] is not None
        assert json.loads(json.dumps(statistics, allow_nan=False)) == statistics
    # among the pairs that share its concept alone, and in one member alone it still varies
    one, two = a.clone(), b.clone()
    one[shared == 0, 0] = two[shared == 0, 0] = 3
    one[:, 3] = -1
    statistics = factor_statistics(one, two, shared, dims=DIMS)
    assert statistics["digit"]["pair_correlation"] is None
    # a's first component is constant, b's has the variance 9: no covariance; the other two are as before
    assert statistics["color"]["pair_correlation"] == pytest.approx((0 + 2 * 3 * 0.7 / 5) / 3)


def test_the_heldout_nll_is_the_mean_over_the_pairs() -> None:
    flow, order = permutation_flow(dim=4, n_blocks=1)
    with torch.no_grad():
        dict(flow.named_parameters())["layers.0.scale"].fill_(2.0)
    generator = torch_generator(0, "nll")
    z_a, z_b = (torch.randn(50, 4, generator=generator) for _ in range(2))
    factor = torch.randint(2, (50,), generator=generator)
    pairs = HeldoutPairs(np.arange(50), np.arange(50, 100), factor.numpy())
    posterior = Posterior(torch.cat([z_a, z_b]), torch.full((100, 4), -torch.inf))
    dims = {"first": 1, "second": 2, "residual": 1}
    subject = made_subject(flow=flow, dims=dims, pairs=pairs, posterior=posterior, z=posterior.mean)
    metrics = measure_latents(subject, rho=0.9).metrics
    nll, zt_a, zt_b = metrics["nll"], 2 * z_a[:, order], 2 * z_b[:, order]
    assert metrics["factors"] == factor_statistics(zt_a, zt_b, factor, dims=dims)
    shared = np.array([[1, 0, 0, 0], [0, 1, 1, 0]])[factor.numpy()]
    a, b = (zt.numpy().astype(float) for zt in (zt_a, zt_b))
    squares = a**2 + np.where(shared, (b - 0.9 * a) ** 2 / (1 - 0.9**2), b**2)
    assert nll == pytest.approx((squares.sum(1) / 2).mean() - 2 * 4 * math.log(2), rel=1e-5)
    log_det = torch.full((50,), 4 * math.log(2))
    assert nll == pytest.approx(pair_nll(zt_a, log_det, zt_b, log_det, factor, (1, 2, 1), 0.9).mean().item(), rel=1e-5)


class Drifting:
    """A T whose way back misses one component of one latent."""

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return 2 * z, z.new_zeros(len(z))

    def inverse(self, z_tilde: Tensor) -> tuple[Tensor, Tensor]:
        z = z_tilde / 2
        z[0, 0] += 0.125
        z[2, 1] -= 0.25
        return z, z.new_zeros(len(z))


def test_the_round_trip_error_is_the_largest() -> None:
    drifting: Any = Drifting()
    assert round_trip(made_subject(flow=drifting, z=torch.zeros(3, 4))) == 0.25
    flow, _ = permutation_flow()
    assert round_trip(made_subject(flow=flow, z=torch.randn(5, 8, generator=torch_generator(0, "trip")))) == 0.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_t_that_diverged_is_one_line(value: float) -> None:
    flow, _ = permutation_flow()
    with torch.no_grad():
        dict(flow.named_parameters())["layers.0.loc"][3] = value
    with pytest.raises(ReproduceError, match=r"^T gives NaN or infinite values .* lower its peak_rate$") as caught:
        round_trip(made_subject(flow=flow, z=torch.randn(5, 8, generator=torch_generator(0, "trip"))))
    assert not isinstance(caught.value, UserError)


def test_a_t_that_diverged_is_named_before_anything_else_is_measured() -> None:
    flow, _ = permutation_flow()
    with torch.no_grad():
        dict(flow.named_parameters())["layers.0.loc"][3] = float("nan")
    subject = made_subject(flow=flow, z=torch.zeros(5, 8), heldout={"values": np.zeros((5, 1), int)})
    with pytest.raises(ReproduceError, match=r"^T gives NaN or infinite values .* lower its peak_rate$"):
        measure_all(subject, evaluation("swap", "probe", "embedding"), rho=0.9, inception=None)


def test_one_latent_that_comes_back_as_nan_is_enough() -> None:
    class Failing(Drifting):
        def inverse(self, z_tilde: Tensor) -> tuple[Tensor, Tensor]:
            z, log_det = super().inverse(z_tilde)
            z[1, 2] = float("nan")
            return z, log_det

    failing: Any = Failing()
    with pytest.raises(ReproduceError, match="NaN or infinite"):
        round_trip(made_subject(flow=failing, z=torch.zeros(3, 4)))


def rates(source: float, target: float) -> dict[str, float]:
    return {"source": source, "target": target}


def test_the_headline_is_the_lowest_share_of_each_kind_in_four_digits() -> None:
    swap = {
        "hat": {"hat": rates(0.1, 0.2), "smile": rates(0.3, 0.45), "beard": rates(0.9, 0.40006)},
        "smile": {"hat": rates(0.5, 0.6), "smile": rates(0.7, 0.01), "beard": None},
        "beard": {"hat": rates(0.5, 0.65), "smile": rates(0.0, 0.9), "beard": None},
        "residual": {"hat": rates(0.9, 0.95), "smile": rates(0.1, 0.93), "beard": None},
    }
    found = headline({"swap": swap, "nll": -3.0, "judge": {"hat": 1.0}})
    assert found == {"follows": 0.1, "stays": 0.4001, "residual": 0.93}


def test_the_headline_has_only_what_was_measured() -> None:
    swap = {"class": {"class": rates(0.8, 0.1)}, "residual": {"class": rates(0.2, 0.7)}}
    assert headline({"swap": swap, "nll": 1.0}) == {"follows": 0.8, "residual": 0.7}
    distances = {"frechet": {"inception": None, "classifier": 5171.831062}}
    assert headline({**distances, "nll": 1.0}) == {"frechet": 5171.8}
    assert headline({"nll": 1.0}) == {}


class Painter(Autoencoder):
    """Decodes z̃'s components 0, 3 and 6, grey levels, as red, green and blue."""

    def __init__(self, order: Tensor, size: int = 16) -> None:
        super().__init__(width=1, image_size=size, latent_dim=len(order))
        self.order, self.size = order, size

    def decode(self, z: Tensor) -> Tensor:
        levels = z[:, self.order][:, [0, 3, 6]]
        return (levels / 127.5 - 1)[:, :, None, None].expand(len(z), 3, self.size, self.size)


class FirstPixel(OneHot):
    """The red of an image, a grey level below 10, as its class."""

    def forward(self, images: Tensor) -> Tensor:
        return self.classify((images[:, :1, 8, 8] + 1) * 127.5 + 0.5)


def test_the_readout_of_images_keeps_each_latent_with_its_own_readings() -> None:
    _, order = permutation_flow()
    z_tilde = torch.zeros(1203, 8)
    z_tilde[:, 0] = torch.arange(1203) % 10
    z_tilde[:, 3], z_tilde[:, 6] = torch.arange(1203) % 256, torch.arange(1203) // 256
    judge: Any = FirstPixel()
    subject = made_subject(network=Painter(order), judge=judge, data=reader(digit_of))
    read = subject.readout(z_tilde[:, order.argsort()])
    assert torch.equal(read["digit"], torch.arange(1203) % 10)
    torch.testing.assert_close(read["color"], 1 - z_tilde[:, [0, 3, 6]] / 127.5)


def test_the_readout_of_logits_gives_the_predicted_class() -> None:
    subject = made_subject(network=OneHot(), data=reader(digit_of), shape=(2,))
    read = subject.readout(torch.tensor([[3.0, 8], [0, 9], [7, 1]]))
    assert list(read) == ["digit"]
    assert read["digit"].tolist() == [3, 0, 7]


def test_images_become_bytes_in_hwc_order() -> None:
    images = torch.tensor([-1.0, 1, 0, -2, 2, 0.5])[None, :, None, None].expand(1, 6, 1, 2)
    shown = as_pictures(images)
    assert shown.dtype == np.uint8
    assert shown.shape == (1, 1, 2, 6)
    assert shown[0, 0].tolist() == [[0, 255, 128, 0, 255, 191]] * 2
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert np.array_equal(as_pictures(to_unit_range(levels))[0, :, :, 0], levels[0, 0].numpy())


def test_picked_images_show_the_wanted_values_and_none_twice() -> None:
    values = np.array([[5, 0], [8, 1], [5, 2], [8, 5], [8, 6], [6, 8], [5, 8]])
    assert pick_images(values, {"a": [8, 6, 5], "b": [8, 8, 5]}) == [[1, 5, 0], [3, 4, 2]]
    assert pick_images(values, {"a": [5, 5, 5]}) == [[0, 2, 6]]
    for wanted in ({"a": [6], "b": [6]}, {"b": [9]}, {"a": [8, 8], "b": [8, 8]}):
        expected = rf"^b: .* not enough held-out images of {wanted['b'][-1]}; there are 3 of 5, 3 of 8, 1 of 6$"
        with pytest.raises(UserError, match=expected):
            pick_images(values, wanted)


def test_picked_images_show_every_value_of_a_tuple() -> None:
    values = np.array([[0, 1, 0], [1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]])
    assert pick_images(values, {"a": [(0, 1, 0), (1, 0, 1)], "b": [(0, 0, 0), (0, 1, 0), (1, 1, 0)]}) == [
        [0, 3],
        [4, 2, 1],
    ]
    # a number beside them is the first value, and takes no image twice either
    assert pick_images(values, {"a": [0, (0, 1, 0), 0, 1]}) == [[0, 2, 4, 1]]
    for wanted in ([(1, 1, 1)], [(1, 0, 1), (1, 0, 1)], [1, 1, (1, 0, 1)]):
        shown = ", ".join(map(str, wanted[-1]))  # type: ignore[arg-type]
        rest = r"there are 3 of \[0, 1, 0\], 1 of \[1, 1, 0\], 1 of \[1, 0, 1\], 1 of \[0, 0, 0\]$"
        with pytest.raises(UserError, match=rf"not enough held-out images of \[{shown}\]; {rest}"):
            pick_images(values, {"a": wanted})


@pytest.mark.parametrize("wanted", [(0, 1), (0, 1, 0, 0)])
def test_a_tuple_of_another_length_is_refused(wanted: tuple[int, ...]) -> None:
    values = np.array([[0, 1, 0], [1, 1, 0]])
    with pytest.raises(UserError, match=rf"{len(wanted)} values, there are 3 concepts"):
        pick_images(values, {"a": [wanted]})


def grid_latents(order: Tensor) -> tuple[Tensor, Tensor]:
    """Two targets and three sources; component 3k of z̃ is 10 + 20k + number for a target, 100 more for a source."""
    targets, sources = torch.zeros(2, 8), torch.zeros(3, 8)
    for k in range(3):
        targets[:, 3 * k] = 10.0 + 20 * k + torch.arange(2)
        sources[:, 3 * k] = 110.0 + 20 * k + torch.arange(3)
    return targets[:, order.argsort()], sources[:, order.argsort()]


class Faces:
    """Images of which each has its number for its level."""

    classes, n_outputs, value_names = None, 2, MappingProxyType({})

    def render_heldout(self, table: Any) -> Tensor:
        return to_unit_range(torch.from_numpy(table["number"])[:, None, None, None]).expand(-1, 3, 16, 16)


def cells(network: Any, flow: Flow, z_targets: Tensor, z_sources: Tensor, **known: Any) -> list[np.ndarray]:
    z, n = torch.cat([z_targets, z_sources]), len(z_targets)
    known |= {"z": z, "heldout": {"number": np.arange(len(z))}, "data": Faces()}
    subject = made_subject(network=network, flow=flow, **known)
    arrays = measure_grid(subject, list(range(n)), list(range(n, len(z)))).arrays
    return [arrays[f"cells_{k}"] for k in range(3)]


def test_rows_are_targets_and_columns_sources_whose_factor_is_taken() -> None:
    flow, order = permutation_flow()
    grids = cells(Painter(order), flow, *grid_latents(order), dims=DIMS)
    assert [grid.shape for grid in grids] == [(2, 3, 16, 16, 3)] * 3
    for factor, grid in enumerate(grids):
        for r in range(2):
            for c in range(3):
                expected = [10 + 20 * k + r for k in range(3)]
                expected[factor] = 110 + 20 * factor + c
                assert np.unique(grid[r, c].reshape(-1, 3), axis=0).tolist() == [expected], (factor, r, c)


def test_a_factor_of_size_zero_shows_its_rows_target_in_every_cell() -> None:
    flow, order = permutation_flow()
    grids = cells(Painter(order), flow, *grid_latents(order), dims={"digit": 0, "color": 6, "residual": 2})
    assert grids[0][:, :, 0, 0].tolist() == [[[10 + r, 30 + r, 50 + r]] * 3 for r in range(2)]
    assert grids[1][:, :, 0, 0].tolist() == [[[110 + c, 130 + c, 50 + r] for c in range(3)] for r in range(2)]


def test_cells_of_a_classifier_are_its_predictions() -> None:
    flow, order = permutation_flow()

    class Reader(OneHot):
        def classify(self, z: Tensor) -> Tensor:
            return super().classify(z[:, order])

    targets, sources = torch.zeros(2, 8), torch.zeros(3, 8)
    targets[:, 0], sources[:, 0] = torch.tensor([1.0, 2]), torch.tensor([7.0, 8, 9])
    grids = cells(Reader(), flow, targets[:, order.argsort()], sources[:, order.argsort()], dims=DIMS)
    assert grids[0].tolist() == [[7, 8, 9], [7, 8, 9]]
    assert grids[1].tolist() == grids[2].tolist() == [[1, 1, 1], [2, 2, 2]]


def mixed(truth: Readings, dims: dict[str, int], images: list[int], **known: Any) -> dict[str, np.ndarray]:
    """Mixtures of images of which number n has z̃ = 10 k + n at place k."""
    flow, order = permutation_flow()
    n = len(next(iter(truth.values())))
    z_tilde = (10.0 * torch.arange(8)[None] + torch.arange(n)[:, None]).float()
    data = Faces()
    vars(data).update(known)
    subject = made_subject(
        network=Painter(order),
        flow=flow,
        dims=dims,
        data=data,
        heldout={"number": np.arange(n), "values": np.zeros((n, 1))},
        truth=truth,
        z_tilde=z_tilde,
    )
    return measure_mix(subject, images).arrays


def test_each_factor_of_a_mixture_is_that_of_its_options_image() -> None:
    arrays = mixed({"digit": torch.tensor([0, 1, 1, 0]), "color": torch.zeros(4, 3)}, DIMS, [2, 0, 3])
    assert arrays["factors"].tolist() == list(FACTORS)
    assert [arrays[f"labels_{k}"].tolist() for k in range(3)] == [["1", "0", "0"], ["1", "2", "3"], ["1", "2", "3"]]
    assert [arrays[f"inputs_{k}"].tolist() for k in range(3)] == [[27, 28, 29]] * 3
    levels = arrays["tiles"][:, 0, 0]  # the painter shows z̃'s places 0, 3 and 6, one of each factor
    expected = [[a, 30 + b, 60 + c] for a in (2, 0, 3) for b in (2, 0, 3) for c in (2, 0, 3)]
    assert levels.tolist() == [*expected, [2] * 3, [0] * 3, [3] * 3]


def test_an_attribute_is_taken_from_an_image_without_and_one_with_it() -> None:
    hat = torch.tensor([True, False, False, True, True])
    arrays = mixed({"hat": hat}, {"hat": 3, "residual": 5}, [0, 1])
    assert arrays["labels_0"].tolist() == ["hat: no", "hat: yes"]
    # the first ones that are not among the images themselves: 2 and 3
    assert arrays["tiles"][:4, 0, 0].tolist() == [[2, 30, 60], [2, 31, 61], [3, 30, 60], [3, 31, 61]]
    assert (arrays["inputs_0"].tolist(), arrays["inputs_1"].tolist()) == ([4, 5], [6, 7])
    assert arrays["tiles"][4:, 0, 0, 0].tolist() == [2, 3, 0, 1]
    # where there is no other, it is one of them
    arrays = mixed({"hat": hat[:2]}, {"hat": 3, "residual": 5}, [0, 1])
    assert arrays["tiles"][:4, 0, 0, 0].tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("there", [True, False])
def test_an_attribute_that_all_or_none_of_the_held_out_images_have_cannot_be_mixed(there: bool) -> None:
    with pytest.raises(UserError, match=r"evaluation.mix: all or none of the 3 held-out images have hat: take more"):
        mixed({"hat": torch.full((3,), there)}, {"hat": 3, "residual": 5}, [0, 1])


def test_a_class_is_called_by_its_name() -> None:
    arrays = mixed({"class": torch.tensor([1, 0])}, {"class": 4, "residual": 4}, [0, 1], classes=("fox", "bear"))
    assert arrays["labels_0"].tolist() == ["bear", "fox"]


def test_what_is_missing_is_mixed_as_unknown_and_stands_for_no_attribute() -> None:
    truth = {"coat": torch.tensor([1, MISSING, 0]), "hat": torch.tensor([-1, 1, 0], dtype=torch.int8)}
    names = {"coat": ("long", "short")}
    arrays = mixed(truth, {"coat": 3, "hat": 3, "residual": 2}, [0, 1], value_names=names)
    assert arrays["labels_0"].tolist() == ["short", "unknown"]
    assert arrays["labels_1"].tolist() == ["hat: no", "hat: yes"]
    assert arrays["inputs_1"].tolist() == [8 + 2, 8 + 1]  # after the mixtures come the images 0, 1 and 2
    with pytest.raises(UserError, match="all or none of the 3 held-out images have hat"):
        mixed({"hat": torch.tensor([-1, 1, 1], dtype=torch.int8)}, {"hat": 3, "residual": 5}, [0, 1])


RESPONSE = {"shown": 7, "vary": "sources", "n_variants": 9, "n_inputs": 9, "n_variants_each": 9}
LINEAR = {"start": 6, "ends": [0, 9], "rows": 3, "steps": 10, "rho": 0.5, "n_pairs": 5}
SECTIONS: dict[str, Any] = {
    "swap": {"n_pairs": 5},
    "probe": {"n_images": 100},
    "embedding": {"n_images": 20},
    "grid": {"targets": [1], "sources": [2]},
    "retrieval": {"n_queries": 2, "n_nearest": 3},
    "response": RESPONSE,
    "walk": {"steps": 5, "rho": 0.5},
    "mix": {"images": [1, 2]},
    "samples": {"n_samples": 100, "inception": False, "side": 2},
    "linear": LINEAR,
    "directions": {"strengths": [0.0, 1.0], "n_images": 1},
}


def evaluation(*names: str, **changed: Any) -> Evaluation:
    return validated(Evaluation, {name: SECTIONS[name] for name in names} | changed, "x.yaml")


CLASSES = {"kind": "autoencoder", "concepts": 1, "classes": 10, "attributes": False, "has_classes": True}
ATTRIBUTES = {"kind": "autoencoder", "concepts": 2, "classes": None, "attributes": True, "has_classes": False}


def test_sections_that_suit_the_experiment_are_accepted() -> None:
    evaluation().check(**CLASSES)
    shared = ("swap", "probe", "embedding", "grid", "retrieval")
    evaluation(*shared, "mix", "samples", "linear").check(**CLASSES)
    evaluation(*shared, "response", "walk").check(**CLASSES | {"kind": "classifier"})
    evaluation("samples", "linear").check(**CLASSES | {"concepts": 0})
    evaluation("samples", "directions").check(**ATTRIBUTES | {"concepts": 0})
    evaluation("swap", mix={"images": ["01"]}, grid={"targets": ["11"], "sources": ["00"]}).check(**ATTRIBUTES)


@pytest.mark.parametrize(
    ("names", "changed", "suits", "words"),
    [
        (("swap",), {}, CLASSES | {"concepts": 0}, "evaluation.swap needs concepts"),
        (("retrieval",), {}, CLASSES | {"concepts": 0}, "evaluation.retrieval needs concepts"),
        (("mix",), {}, CLASSES | {"kind": "classifier"}, "evaluation.mix needs an autoencoder: remove it"),
        (("response",), {}, CLASSES, "evaluation.response needs a classifier"),
        (("linear",), {}, ATTRIBUTES, "evaluation.linear needs images of classes"),
        (("directions",), {}, CLASSES, "evaluation.directions needs images with attributes"),
        (("walk", "response"), {}, CLASSES | {"kind": "classifier"}, "evaluation.walk starts at response's image"),
        (
            ("response",),
            {"response": RESPONSE | {"vary": "walk"}},
            CLASSES | {"kind": "classifier"},
            "needs the section",
        ),
        (
            (),
            {"grid": {"targets": [1], "sources": ["011"]}},
            CLASSES,
            "evaluation.grid.sources: 011: .* the number of a class",
        ),
        (
            (),
            {"mix": {"images": [1]}},
            ATTRIBUTES,
            "evaluation.mix.images: 1: an image is named by 2 digits, 0 or 1 for each attribute",
        ),
        ((), {"linear": LINEAR | {"start": 10}}, CLASSES, "evaluation.linear.start: 10: there are 10 classes"),
        ((), {"linear": LINEAR | {"ends": [1, 12]}}, CLASSES, "evaluation.linear.ends: 12: .* 0 to 9"),
    ],
)
def test_a_section_that_does_not_suit_the_experiment_is_named(
    names: tuple[str, ...], changed: dict[str, Any], suits: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        evaluation(*names, **changed).check(**suits)
    assert "\n" not in str(caught.value)


def test_components_of_a_swapped_latent_outside_their_range_in_training_are_counted() -> None:
    flow, order = permutation_flow()
    z_tilde = coded(truth())
    z = flow.inverse(z_tilde)[0]
    known = made_subject(flow=flow, dims=DIMS, data=order, pool_z=z)
    subject = Decoded(**{field.name: getattr(known, field.name) for field in dataclasses.fields(known)})
    vars(subject)["z_tilde"] = z_tilde
    assert set(swap_readings(subject, PAIRS)[1].values()) == {0.0}  # each component takes one of its own values
    rounded = dataclasses.replace(subject, pool_z=z * (1 - 1e-6))
    vars(rounded)["z_tilde"] = z_tilde
    assert set(swap_readings(rounded, PAIRS)[1].values()) == {0.0}
    narrow = dataclasses.replace(subject, pool_z=z.clamp(max=z.amax(0) - 0.1))
    vars(narrow)["z_tilde"] = z_tilde
    for name, part in zip(DIMS, factor_slices(DIMS), strict=True):
        swapped = z_tilde[TARGET].clone()
        swapped[:, part] = z_tilde[SOURCE][:, part]
        above = swapped > z_tilde.amax(0) - 0.05
        assert swap_readings(narrow, PAIRS)[1][name] == pytest.approx(above.double().mean().item())
