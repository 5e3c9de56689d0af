"""The derived costs: counts against numbers worked out by hand, and the page's table against what is derived."""

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from reproduce.models.convolutional import Classifier
from reproduce.models.flow import Flow
from reproduce.training.flow import train_flow
from reproduce.training.optimisation import NetworkTraining

ROOT = Path(__file__).parent.parent
costs = runpy.run_path(str(ROOT / "tools/costs.py"))


def test_a_step_is_counted_alone():
    inner, outer = nn.Linear(6, 8, bias=False), nn.Linear(8, 2, bias=False)

    def train(steps):
        outer(inner(torch.ones(50, 6)))  # an initialisation, on another batch
        for _ in range(steps):
            outer(inner(torch.ones(costs["BATCH"], 6))).sum().backward()

    # forward both; backward both weights, and the input of the second alone
    assert costs["step_flop"](train) == 2 * (2 * 6 * 8 + 3 * 8 * 2)


def test_a_step_of_t_costs_six_operations_for_each_weight_and_latent():
    """Two for the forward pass and four for the backward one: ActNorm before it makes even z's gradient needed."""
    size = {"n_blocks": 3, "hidden_dim": 16, "hidden_depth": 1}
    weights = sum(p.numel() for name, p in Flow(dim=8, **size).named_parameters() if "weights" in name)
    assert costs["flow_flop"](8, **size) == 6 * 2 * weights  # two latents per pair


class Started(TorchDispatchMode):
    """Counts the operations that PyTorch starts."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def test_a_step_of_t_starts_as_many_operations_as_the_table_counts():
    def draw(n, generator):
        return *torch.randn(2, n, 64, generator=generator), torch.zeros(n, dtype=torch.int64)

    counts = []
    for steps in (1, 2):
        with Started() as started:
            train_flow(draw, dims=(32, 32), steps=steps, batch_size=2, hidden_dim=8)
        counts.append(started.count)
    assert (counts[1] - counts[0]) * 6e-6 == pytest.approx(costs["T_STARTS"], rel=0.02)


def test_a_network_is_counted_at_its_own_size():
    class Stage:
        width = 2
        training = NetworkTraining(steps=9, initialize_batch=9)

    sizes = {"in_channels": 1, "image_size": 16, "latent_dim": 5}
    weights = {name: p for name, p in Classifier(width=2, **sizes).named_parameters() if "weight" in name}
    pixels = [64, 16, 4, 1, 1, 1]  # of each layer's output
    forward = [2 * p.numel() * n for p, n in zip(weights.values(), pixels, strict=True)]
    # backward the same twice, but for the gradient of the images
    assert costs["network_flop"](Stage, **sizes) == 3 * sum(forward) - forward[0]


@pytest.mark.parametrize(("value", "shown"), [(0.0099, "< 0.01"), (0.0123, "0.012"), (12.34, "12"), (351.4, "351")])
def test_two_digits_are_shown_and_no_exponent(value, shown):
    assert costs["short"](value) == shown


def test_the_page_shows_the_table_that_is_derived():
    page = (ROOT / "docs/paper-scale.md").read_text(encoding="utf-8")
    assert page.split("<!-- costs:begin -->\n")[1].split("<!-- costs:end -->")[0] == costs["table"]() + "\n"
