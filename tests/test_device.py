"""Devices that this machine need not have: what their tensors can't do isn't asked of them."""

import pytest
import torch
from test_training import NETWORK, TRAINING, draw_pairs, images
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import reproduce
from reproduce import likelihood
from reproduce.device import widest
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.training import first_stage, loop
from reproduce.training.objective import AutoencoderObjective


class Doubles(TorchDispatchMode):
    """The operations that made or took float64 tensors."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if any(isinstance(x, torch.Tensor) and x.dtype == torch.float64 for x in tree_leaves((args, kwargs, result))):
            self.found.add(str(function))
        return result


def test_sums_are_as_wide_as_the_device_allows():
    assert [widest(torch.device(name)) for name in ("cpu", "cuda:1", "mps")] == [
        torch.float64,
        torch.float64,
        torch.float32,
    ]


@pytest.mark.parametrize("what", ["flow", "autoencoder", "classifier"])
def test_a_training_without_float64_uses_none(monkeypatch, what):
    """MPS refuses float64; the training is the same as on any device but for `widest`."""
    for module in (loop, first_stage):
        monkeypatch.setattr(module, "widest", lambda _: torch.float32)
    training = TRAINING.model_copy(update={"steps": 3})
    objective = AutoencoderObjective(error="absolute", kl_weight=1.0, initial_logvar=0.0)
    with Doubles() as doubles:
        if what == "flow":
            reproduce.train_flow(draw_pairs, dims=(3, 2, 3), steps=3, n_blocks=1, hidden_dim=8)
        elif what == "autoencoder":
            options = {"objective": objective, "training": training, "seed": 0}
            first_stage.train_autoencoder(Autoencoder(**NETWORK), images, **options)
        else:
            first_stage.train_classifier(Classifier(n_classes=2, **NETWORK), images, training=training, seed=0)
    assert not doubles.found


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_the_factor_may_lie_beside_latents_on_a_gpu_or_on_the_cpu(monkeypatch, place):
    """Latents are drawn on the GPU, the factor on the CPU; fake tensors know their device and mix no two."""
    for check in ("check_factor", "check_dims"):  # they read values, and fake tensors have none
        monkeypatch.setattr(likelihood, check, lambda *_: None)
    with FakeTensorMode():
        z = torch.zeros(5, 8, device="cuda")
        factor = torch.zeros(5, dtype=torch.int64, device=place)
        nll = likelihood.pair_nll(z, z.sum(1), z, z.sum(1), factor, (3, 2, 3))
    assert nll.device.type == "cuda"
    assert nll.shape == (5,)
