"""The numbers of a run are right on constructed cases whose answers are known, and tell source from target."""

import math
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from reproduce.data.colormnist import to_unit_range
from reproduce.errors import UserError
from reproduce.evaluation.grid import as_uint8, pick_images, swap_cells
from reproduce.evaluation.look import Readings, background_color, follows, look_at_images, look_at_logits
from reproduce.evaluation.metrics import (
    accuracy,
    color_errors,
    different_pairs,
    factor_statistics,
    headline,
    heldout_nll,
    probe_scores,
    reconstruction_rates,
    round_trip,
    swap_rates,
    swap_readings,
)
from reproduce.likelihood import pair_nll
from reproduce.models.convolutional import Autoencoder
from reproduce.models.flow import DoubleCoupling, Flow
from reproduce.seeds import numpy_generator, torch_generator

FACTORS = ("digit", "color", "residual")
DIMS = (3, 3, 2)
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


def test_a_swap_takes_one_factor_from_the_source_and_the_others_from_the_target() -> None:
    flow, order = permutation_flow()
    values = truth() | {"number": torch.arange(6).float()}
    readings = swap_readings(flow, coded(truth()), TARGET, SOURCE, dims=DIMS, look=lambda z: decoded(z, order))
    assert len(readings) == 3
    for swapped, reading in zip(("digit", "color", "number"), readings, strict=True):
        for concept, read in reading.items():
            assert torch.equal(read, values[concept][SOURCE if concept == swapped else TARGET]), (swapped, concept)


def test_swap_rates_of_a_perfect_t() -> None:
    flow, order = permutation_flow()
    readings = swap_readings(flow, coded(truth()), TARGET, SOURCE, dims=DIMS, look=lambda z: decoded(z, order))
    assert swap_rates(readings, truth(), TARGET, SOURCE, factors=FACTORS) == {
        "digit": {"digit": FOLLOWS, "color": STAYS},
        "color": {"digit": STAYS, "color": FOLLOWS},
        "residual": {"digit": STAYS, "color": STAYS},
    }


def test_a_factor_of_size_zero_swaps_nothing_and_the_residual_everything() -> None:
    flow, order = permutation_flow()
    readings = swap_readings(flow, coded(truth()), TARGET, SOURCE, dims=(0, 0, 8), look=lambda z: decoded(z, order))
    rates = swap_rates(readings, truth(), TARGET, SOURCE, factors=FACTORS)
    assert rates["digit"] == rates["color"] == {"digit": STAYS, "color": STAYS}
    assert rates["residual"] == {"digit": FOLLOWS, "color": FOLLOWS}


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
    rates = swap_rates([first, second, {}], values, target, source, factors=FACTORS)
    assert rates == {
        "digit": {"digit": {"source": 2 / 4, "target": 1 / 4}, "color": {"source": 2 / 4, "target": 1 / 4}},
        "color": {"digit": {"source": 1 / 4, "target": 3 / 4}, "color": {"source": 0.0, "target": 1.0}},
        "residual": {"digit": None, "color": None},
    }


def test_a_concept_in_which_no_pair_differs_has_no_swap_rate() -> None:
    values = {"digit": torch.tensor([4, 4]), "color": torch.tensor([[0.2, 0, 0], [0.2, 0, 0.1]])}
    target, source = torch.tensor([0, 1]), torch.tensor([1, 0])
    reading = {key: value[source] for key, value in values.items()}
    rates = swap_rates([reading] * 3, values, target, source, factors=FACTORS)
    assert rates["digit"] == {"digit": None, "color": FOLLOWS}
    with pytest.raises(ValueError, match="shorter"):
        swap_rates([reading] * 2, values, target, source, factors=FACTORS)


def test_a_class_follows_where_it_is_equal_and_a_measurement_where_it_is_nearer() -> None:
    own, other = torch.tensor([1, 2, 3]), torch.tensor([5, 2, 4])
    assert follows(torch.tensor([1, 2, 4]), own, other).tolist() == [True, True, False]
    own, other = torch.zeros(4, 3), torch.tensor([1.0, 0, 0]).expand(4, 3)
    reading = torch.tensor([[0.4, 9, 0], [0.6, 9, 0], [0.5, 0, 0], [-3, 0, 0]])
    assert follows(reading, own, other).tolist() == [True, False, False, True]
    assert follows(reading, other, own).tolist() == [False, True, False, False]


def test_different_pairs_are_all_ordered_pairs_alike_and_never_an_image_with_itself() -> None:
    torch.manual_seed(0)
    target, source = different_pairs(5, 20_000, torch_generator(0, "pairs"))
    assert target.shape == source.shape == (20_000,)
    counts = Counter(zip(target.tolist(), source.tolist(), strict=True))
    assert set(counts) == {(a, b) for a in range(5) for b in range(5) if a != b}
    assert all(abs(count - 1000) < 5 * 1000**0.5 for count in counts.values())
    torch.manual_seed(1)
    again = different_pairs(5, 20_000, torch_generator(0, "pairs"))
    assert torch.equal(again[0], target)
    assert torch.equal(again[1], source)


def test_two_images_are_the_fewest_that_make_pairs() -> None:
    target, source = different_pairs(2, 50, torch_generator(0, "pairs"))
    assert torch.equal(target + source, torch.ones(50, dtype=torch.int64))
    for n in (0, 1):
        with pytest.raises(UserError, match=rf"{n} held-out image\(s\)"):
            different_pairs(n, 5, torch_generator(0, "pairs"))


def test_reconstruction_rates_count_classes_over_images_and_measurements_over_pairs() -> None:
    values = {
        "digit": torch.tensor([0, 1, 2, 0]),
        "color": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    }
    # image 1 looks like image 3, the others like themselves
    reading = {"digit": torch.tensor([0, 1, 2, 9]), "color": values["color"][[0, 3, 2, 3]]}
    target, source = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([1, 0, 2, 3, 0])
    rates = reconstruction_rates(reading, values, target, source, concepts=FACTORS[:-1])
    # from what image 1 shows, its own colour is √2 away, 0's 1, and 2's √2 too
    assert rates == {"digit": 3 / 4, "color": 3 / 5}
    del reading["color"]
    rates = reconstruction_rates(reading, values, target, source, concepts=FACTORS[:-1])
    assert rates == {"digit": 3 / 4, "color": None}


def test_color_errors_are_distances_from_the_color_that_should_be_seen() -> None:
    color = torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 1]])
    target, source = torch.tensor([0, 1, 2]), torch.tensor([1, 0, 0])
    off = torch.tensor([[0.3, 0.4, 0], [0, 0, 0], [0, 0, 0.1]])
    plain = {"color": color + off}
    readings = [
        {"color": color[target] + torch.tensor([0, 0.6, 0.8])},
        {"color": color[source] + torch.tensor([0.0, 0, 0.25])},
        {"color": color[source]},
    ]
    errors = color_errors(plain, readings, {"color": color}, target, source, factors=FACTORS)
    assert errors is not None
    assert list(errors) == ["reconstruction", *FACTORS]
    # what shows the source's colour where the target's should be is off by 1, 1 and √3
    wrong = (1 + 1 + 3**0.5) / 3
    assert list(errors.values()) == pytest.approx([0.2, 1.0, 0.25, wrong], rel=1e-6)
    blind: Readings = {"digit": torch.zeros(3, dtype=torch.int64)}
    assert color_errors(blind, [blind] * 3, {"color": color}, target, source, factors=FACTORS) is None


class OneHot:
    """Classifies an image by its first pixel, and a latent by its first component."""

    def __call__(self, images: Tensor) -> Tensor:
        return self.classify(images.flatten(1))

    def classify(self, z: Tensor) -> Tensor:
        return torch.eye(10)[z[:, 0].long()]


def test_accuracy_is_the_share_of_right_classes_in_whatever_batches() -> None:
    labels = torch.arange(1203) % 10
    images = labels.float()[:, None, None, None].clone()
    images[[0, 499, 500, 1202]] = (images[[0, 499, 500, 1202]] + 1) % 10
    classifier: Any = OneHot()
    assert accuracy(classifier, images, labels) == 1199 / 1203


def probe_data(purpose: str, n: int = 600) -> tuple[Tensor, Readings]:
    """z̃ with the digit in the first factor, the colour in the second, noise alone in the third."""
    generator = torch_generator(0, purpose)
    digit, color = torch.randint(3, (n,), generator=generator), torch.rand(n, 3, generator=generator)
    noise = torch.randn(n, 8, generator=generator)
    z_tilde = torch.cat([3 * torch.eye(3)[digit] - 5, color @ torch.tensor([[2.0, 0, 0], [1, -1, 0], [0, 1, 3]])], 1)
    z_tilde = torch.cat([z_tilde + 0.01 * noise[:, :6], noise[:, 6:]], 1)
    return z_tilde, {"digit": digit, "color": color}


def test_a_probe_reads_what_is_there_and_nothing_else() -> None:
    scores = probe_scores(*probe_data("train"), *probe_data("heldout"), dims=DIMS, factors=FACTORS)
    assert list(scores) == list(FACTORS)
    assert all(list(row) == ["digit", "color"] for row in scores.values())
    flat: Any = {(factor, concept): score for factor, row in scores.items() for concept, score in row.items()}
    assert flat["digit", "digit"] == 1.0
    assert flat["color", "color"] == pytest.approx(1.0, abs=0.01)
    for factor in ("color", "residual"):
        assert flat[factor, "digit"] == pytest.approx(1 / 3, abs=0.08)
    for factor in ("digit", "residual"):
        assert flat[factor, "color"] == pytest.approx(0.0, abs=0.05)


def test_a_probe_is_fitted_on_training_and_scored_on_held_out_latents() -> None:
    heldout, truth = probe_data("heldout")
    contrary = {"digit": (truth["digit"] + 1) % 3, "color": 1 - truth["color"]}
    scores: Any = probe_scores(*probe_data("train"), heldout, contrary, dims=DIMS, factors=FACTORS)
    assert scores["digit"]["digit"] == 0.0
    assert scores["color"]["color"] == pytest.approx(-3.0, abs=0.2)  # twice the deviation, squared, over the variance


def test_nothing_can_be_read_from_a_factor_of_size_zero() -> None:
    scores = probe_scores(*probe_data("train"), *probe_data("heldout"), dims=(0, 6, 2), factors=FACTORS)
    assert scores["digit"] == {"digit": None, "color": None}
    assert scores["color"]["digit"] == 1.0


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
            correlated(n, width, rho, f"{factor} {k}") for k, (width, rho) in enumerate(zip(DIMS, rhos, strict=True))
        ]
        groups.append((np.concatenate([a for a, _ in parts], 1), np.concatenate([b for _, b in parts], 1)))
    a, b = (np.concatenate(side) for side in zip(*groups, strict=True))
    a[:, :3], b[:, :3] = 2 * a[:, :3] + 1, 2 * b[:, :3] - 3
    b[:, 3:6] *= 3
    return torch.from_numpy(a), torch.from_numpy(b), torch.tensor([0] * 60 + [1] * 40)


def test_factor_statistics_are_those_that_were_put_in() -> None:
    statistics = factor_statistics(*statistics_pairs(), dims=DIMS, factors=FACTORS)
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
    statistics = factor_statistics(
        torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(factor), dims=DIMS, factors=FACTORS
    )
    ends = np.cumsum([0, *DIMS])
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
    statistics = factor_statistics(a, b, shared, dims=(0, 6, 2), factors=FACTORS)
    assert statistics["digit"] == {"mean": None, "variance": None, "pair_correlation": None}
    assert statistics["color"]["pair_correlation"] is None
    assert statistics["color"]["variance"] == pytest.approx((8 + 5) / 2)
    assert statistics["residual"]["pair_correlation"] is not None


def test_the_heldout_nll_is_the_mean_over_the_pairs() -> None:
    flow, order = permutation_flow(dim=4, n_blocks=1)
    with torch.no_grad():
        dict(flow.named_parameters())["layers.0.scale"].fill_(2.0)
    generator = torch_generator(0, "nll")
    z_a, z_b = (torch.randn(50, 4, generator=generator) for _ in range(2))
    factor = torch.randint(2, (50,), generator=generator)
    nll, zt_a, zt_b = heldout_nll(flow, z_a, z_b, factor, dims=(1, 2, 1), rho=0.9)
    assert torch.equal(zt_a, 2 * z_a[:, order])
    assert torch.equal(zt_b, 2 * z_b[:, order])
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
    assert round_trip(drifting, torch.zeros(3, 4)) == 0.25
    flow, _ = permutation_flow()
    assert round_trip(flow, torch.randn(5, 8, generator=torch_generator(0, "trip"))) == 0.0


def test_the_headline_tells_what_follows_and_what_stays() -> None:
    def rates(source: float, target: float) -> dict[str, float]:
        return {"source": source, "target": target}

    metrics = {
        "swap": {
            "digit": {"digit": rates(0.1, 0.2), "color": rates(0.3, 0.4)},
            "color": {"digit": rates(0.5, 0.6), "color": rates(0.7, 0.8)},
            "residual": {"digit": rates(0.9, 0.95), "color": None},
        },
        "nll": -3.0,
        "round_trip": 1e-6,
        "judge": {"digit": 1.0},
    }
    dims = {"digit": 3, "color": 3, "residual": 2}
    assert headline(metrics, dims) == {
        "dims": dims,
        "swap": {
            "digit": {"digit follows": 0.1, "color stays": 0.4},
            "color": {"digit stays": 0.6, "color follows": 0.7},
            "residual": {"digit stays": 0.95},
        },
        "nll": -3.0,
        "round_trip": 1e-6,
    }


def images_in(color: Tensor, size: int = 32) -> Tensor:
    """Backgrounds of ColorMNIST: minus the colour everywhere."""
    return -color[:, :, None, None].expand(len(color), 3, size, size).clone()


def test_the_background_color_is_exact_where_ink_touches_the_border() -> None:
    color = torch.tensor([[0.1, 0.5, 0.9], [0.7, 0.0, 1.0]])
    images = images_in(color)
    images[:, :, 0:14, :] = color[:, :, None, None]  # 104 of the border's 240 pixels
    images[:, :, 14:, 2:30] = 0.3 * color[:, :, None, None]  # the interior, and the lower border: 56 more
    images[:, :, 30:, 2:30] = -color[:, :, None, None]
    assert torch.equal(background_color(images), color)


def test_only_the_border_tells_the_background_color() -> None:
    color = torch.tensor([[0.2, 0.4, 0.6]])
    images = images_in(color)
    images[:, :, 2:-2, 2:-2] = 0.77
    assert torch.equal(background_color(images), color)
    inner, outer = images_in(color), images_in(color)
    inner[:, :, 1:-1, 1:-1] = 0.77  # the border's inner ring, 116 of its 240 pixels
    outer[:, :, [0, -1]] = outer[:, :, :, 0] = 0.77  # most of its outer ring, 94 of 124
    assert torch.equal(background_color(inner), color)
    assert torch.equal(background_color(outer), color)


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

    def __call__(self, images: Tensor) -> Tensor:
        return self.classify((images[:, :1, 8, 8] + 1) * 127.5 + 0.5)


def test_looking_at_images_keeps_each_latent_with_its_own_readings() -> None:
    _, order = permutation_flow()
    z_tilde = torch.zeros(1203, 8)
    z_tilde[:, 0] = torch.arange(1203) % 10
    z_tilde[:, 3], z_tilde[:, 6] = torch.arange(1203) % 256, torch.arange(1203) // 256
    judge: Any = FirstPixel()
    read = look_at_images(Painter(order), judge)(z_tilde[:, order.argsort()])
    assert torch.equal(read["digit"], torch.arange(1203) % 10)
    torch.testing.assert_close(read["color"], 1 - z_tilde[:, [0, 3, 6]] / 127.5)


def test_looking_at_logits_gives_the_predicted_class() -> None:
    classifier: Any = OneHot()
    read = look_at_logits(classifier)(torch.tensor([[3.0, 8], [0, 9], [7, 1]]))
    assert list(read) == ["digit"]
    assert read["digit"].tolist() == [3, 0, 7]


def test_images_become_bytes_in_hwc_order() -> None:
    images = torch.tensor([-1.0, 1, 0, -2, 2, 0.5])[None, :, None, None].expand(1, 6, 1, 2)
    shown = as_uint8(images)
    assert shown.dtype == np.uint8
    assert shown.shape == (1, 1, 2, 6)
    assert shown[0, 0].tolist() == [[0, 255, 128, 0, 255, 191]] * 2
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert np.array_equal(as_uint8(to_unit_range(levels))[0, :, :, 0], levels[0, 0].numpy())


def test_picked_images_show_the_wanted_values_and_none_twice() -> None:
    values = np.array([5, 8, 5, 8, 8, 6, 5])
    assert pick_images(values, [8, 6, 5], [8, 8, 5]) == [[1, 5, 0], [3, 4, 2]]
    assert pick_images(values, [5, 5, 5]) == [[0, 2, 6]]
    for wanted in ([[6], [6]], [[9]], [[8, 8], [8, 8]]):
        with pytest.raises(UserError, match=f"not enough held-out images of {wanted[-1][-1]};"):
            pick_images(values, *wanted)


def grid_latents(order: Tensor) -> tuple[Tensor, Tensor]:
    """Two targets and three sources; component 3k of z̃ is 10 + 20k + number for a target, 100 more for a source."""
    targets, sources = torch.zeros(2, 8), torch.zeros(3, 8)
    for k in range(3):
        targets[:, 3 * k] = 10.0 + 20 * k + torch.arange(2)
        sources[:, 3 * k] = 110.0 + 20 * k + torch.arange(3)
    return targets[:, order.argsort()], sources[:, order.argsort()]


def test_rows_are_targets_and_columns_sources_whose_factor_is_taken() -> None:
    flow, order = permutation_flow()
    grids = swap_cells(Painter(order), flow, *grid_latents(order), dims=DIMS)
    assert [grid.shape for grid in grids] == [(2, 3, 16, 16, 3)] * 3
    for factor, grid in enumerate(grids):
        for r in range(2):
            for c in range(3):
                expected = [10 + 20 * k + r for k in range(3)]
                expected[factor] = 110 + 20 * factor + c
                assert np.unique(grid[r, c].reshape(-1, 3), axis=0).tolist() == [expected], (factor, r, c)


def test_a_factor_of_size_zero_shows_its_rows_target_in_every_cell() -> None:
    flow, order = permutation_flow()
    grids = swap_cells(Painter(order), flow, *grid_latents(order), dims=(0, 6, 2))
    assert grids[0][:, :, 0, 0].tolist() == [[[10 + r, 30 + r, 50 + r]] * 3 for r in range(2)]
    assert grids[1][:, :, 0, 0].tolist() == [[[110 + c, 130 + c, 50 + r] for c in range(3)] for r in range(2)]


def test_cells_of_a_classifier_are_its_predictions() -> None:
    flow, order = permutation_flow()

    class Reader(OneHot):
        def classify(self, z: Tensor) -> Tensor:
            return super().classify(z[:, order])

    targets, sources = torch.zeros(2, 8), torch.zeros(3, 8)
    targets[:, 0], sources[:, 0] = torch.tensor([1.0, 2]), torch.tensor([7.0, 8, 9])
    reader: Any = Reader()
    grids = swap_cells(reader, flow, targets[:, order.argsort()], sources[:, order.argsort()], dims=DIMS)
    assert grids[0].tolist() == [[7, 8, 9], [7, 8, 9]]
    assert grids[1].tolist() == grids[2].tolist() == [[1, 1, 1], [2, 2, 2]]
