"""The derived costs: counts against numbers worked out by hand, and README's table against what is derived."""

from pathlib import Path

import pytest
import torch
from reproduce.report.costs import Counts, Machine, costs_table, counted, full_profile
from torch import nn

from reproduce.models.flow import Flow
from reproduce.training.flow import train_flow

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_operations_count_what_they_read_and_write_and_views_count_nothing():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    with Counts() as counts:
        product = a @ b
        a.t()
        a + 1
        a.add_(1)
    assert counts.operations == [(2 * 3 * 4 * 5, 4 * (12 + 20 + 15)), (0, 4 * 24), (0, 4 * 24)]
    assert product.shape == (3, 5)
    assert not product.any()  # counted, not computed


def test_an_operation_takes_its_longest_part():
    counts = Counts()
    counts.operations = [(600, 10), (0, 900), (1, 1)]
    machine = Machine(flops=100.0, bandwidth=300.0, start=0.5)
    assert counts.seconds(machine) == pytest.approx(600 / 100 + 900 / 300 + 0.5)


def test_a_step_is_counted_alone_and_what_it_keeps_is_neither_weights_nor_the_step_befores():
    inner, outer = nn.Linear(6, 8, bias=False), nn.Linear(8, 2, bias=False)

    def train(draw):
        outer(inner(draw(50, None)))  # the initialisation, on another batch
        for _ in range(2):
            outer(inner(draw(5, None))).sum().backward()

    counts, kept = counted(train, lambda n, _: torch.ones(n, 6) @ torch.ones(6, 6))
    # forward both; backward both weights, and the input of the second alone
    assert counts.arithmetic == 2 * 5 * (2 * 6 * 8 + 3 * 8 * 2)
    assert kept == 4 * 5 * (6 + 8)


def test_a_step_of_t_costs_six_operations_for_each_weight_and_latent():
    """Two for the forward pass and four for the backward one: ActNorm before it makes even z's gradient needed."""
    size = {"n_blocks": 3, "hidden_dim": 16, "hidden_depth": 1}

    def draw(n, _):
        return torch.ones(n, 8), torch.ones(n, 8), torch.zeros(n, dtype=torch.int64)

    counts, _ = counted(lambda d: train_flow(d, dims=(4, 4), steps=2, batch_size=5, **size), draw)
    weights = sum(p.numel() for name, p in Flow(dim=8, **size).named_parameters() if "weights" in name)
    assert counts.arithmetic == 6 * 2 * 5 * weights  # two latents a pair


def test_readme_shows_the_table_that_is_derived():
    shown = README.split("<!-- costs:begin -->\n")[1].split("<!-- costs:end -->")[0]
    assert shown == costs_table(full_profile()) + "\n"
