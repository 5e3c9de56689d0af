"""Official checkpoints become our models, or are refused in one line that says which key or file is at fault."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from reproduce import (
    Autoencoder,
    Classifier,
    UserError,
    load_official_autoencoder,
    load_official_classifier,
    load_official_flow,
)
from reproduce.seeds import torch_generator

State = dict[str, Tensor]
LOADERS: dict[str, Callable[[Any], nn.Module]] = {
    "flow": load_official_flow,
    "autoencoder": load_official_autoencoder,
    "classifier": load_official_classifier,
}


def images(n: int, channels: int, size: int) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch_generator(0, "test images")) * 2 - 1


def layer_state(layer: Any, name: str) -> State:
    return {
        f"{name}.sub_layers.0.weight": layer.convolution.weight,
        f"{name}.sub_layers.1.loc": layer.norm.loc,
        f"{name}.sub_layers.1.scale": layer.norm.scale,
        f"{name}.sub_layers.1.initialized": torch.tensor(1, dtype=torch.uint8),
    }


def affine_state(layer: Any, name: str) -> State:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}


def official_state(model: Autoencoder | Classifier) -> State:
    """The model's weights in the official layout, by the keys and shapes of the official checkpoints."""
    state = {}
    for i in range(4):
        state |= layer_state(model.encoder.layers[i], f"feature_layers.{i}")
    if isinstance(model, Autoencoder):
        for ours, theirs in ((2, 0), (1, 1), (0, 2)):
            state |= layer_state(model.decoder.layers[ours], f"decoder_layers.{theirs}")
    state |= affine_state(model.encoder.dense, "dense_encode.sub_layers.0")
    if isinstance(model, Autoencoder):
        state |= affine_state(model.decoder.dense, "dense_decode.sub_layers.0")
        state["image_layer.sub_layers.0.weight"] = model.decoder.image.weight
    else:
        state |= affine_state(model.head, "classifier")
    return {key: value.detach().clone() for key, value in state.items()}


@pytest.fixture(scope="module")
def flow_state(golden: Path) -> State:
    return torch.load(golden / "flow_small.pt", weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def states(flow_state: State) -> dict[str, State]:
    """A small state dict in the official layout for each kind of model."""
    small = {"width": 2, "latent_dim": 3}
    return {
        "flow": flow_state,
        "autoencoder": official_state(Autoencoder(**small)),
        "classifier": official_state(Classifier(**small)),
    }


def refusal(kind: str, source: Any) -> str:
    """The message, one line, with which `source` is refused."""
    with pytest.raises(UserError) as caught:
        LOADERS[kind](source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_official_autoencoder_encodes_and_decodes_as_it_did(official_checkpoints: Path) -> None:
    model = load_official_autoencoder(official_checkpoints / "cmnist_ae.ckpt")
    expected = torch.load(official_checkpoints / "cmnist_ae_io.pt", weights_only=True)
    with torch.no_grad():
        posterior = model.encode(expected["x"])
        decoded = model.decode(expected["mean"])
    torch.testing.assert_close(posterior.mean, expected["mean"], rtol=0, atol=1e-5)
    torch.testing.assert_close(posterior.logvar, expected["logvar"], rtol=0, atol=1e-5)
    torch.testing.assert_close(decoded, expected["decoded"], rtol=0, atol=1e-5)


def test_the_official_classifier_encodes_and_classifies_as_it_did(official_checkpoints: Path) -> None:
    model = load_official_classifier(official_checkpoints / "cmnist_clf.ckpt")
    expected = torch.load(official_checkpoints / "cmnist_clf_io.pt", weights_only=True)
    with torch.no_grad():
        z = model.encode(expected["x"])
        logits = model.classify(expected["z"])
    torch.testing.assert_close(z, expected["z"], rtol=0, atol=1e-5)
    torch.testing.assert_close(logits, expected["logits"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_an_autoencoder_of_any_official_shape_is_read(channels: int, size: int) -> None:
    model = Autoencoder(in_channels=channels, image_size=size, width=2, latent_dim=5, seed=3)
    x = images(4, channels, size)
    model.initialize(x)
    read = load_official_autoencoder({"model": official_state(model), "loss": {}, "optimizer": {}})
    assert torch.equal(read.encode(x).mean, model.encode(x).mean)
    assert torch.equal(read.encode(x).logvar, model.encode(x).logvar)
    z = torch.randn(4, 5, generator=torch_generator(0, "test latents"))
    assert torch.equal(read.decode(z), model.decode(z))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [32, 64])
def test_a_classifier_of_any_official_shape_is_read(channels: int, size: int) -> None:
    model = Classifier(n_classes=7, in_channels=channels, image_size=size, width=2, latent_dim=5, seed=3)
    x = images(4, channels, size)
    model.initialize(x)
    read = load_official_classifier(official_state(model))
    assert torch.equal(read.encode(x), model.encode(x))
    assert torch.equal(read(x), model(x))


def test_the_flow_has_the_architecture_of_its_shapes(flow_state: State) -> None:
    assert load_official_flow(flow_state).config == {"dim": 64, "n_blocks": 3, "hidden_dim": 32, "hidden_depth": 2}


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before PyTorch 1.6"])
@pytest.mark.parametrize("as_text", [True, False])
def test_every_form_of_a_checkpoint_gives_the_same_flow(
    tmp_path: Path, flow_state: State, wrapped: bool, zipped: bool, as_text: bool
) -> None:
    content = {"model": flow_state, "loss": {}, "optimizer": {"state": {}}} if wrapped else flow_state
    path = tmp_path / "model-120000.ckpt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    read = load_official_flow(str(path) if as_text else path).state_dict()
    expected = load_official_flow(flow_state).state_dict()
    assert all(torch.equal(read[key], expected[key]) for key in expected)


@pytest.mark.parametrize("kind", LOADERS)
def test_every_key_is_needed(states: dict[str, State], kind: str) -> None:
    for key in states[kind]:
        rest = {k: v for k, v in states[kind].items() if k != key}
        assert f"{key} is missing" in refusal(kind, rest)


@pytest.mark.parametrize("kind", LOADERS)
def test_every_shape_is_checked(states: dict[str, State], kind: str) -> None:
    for key, value in states[kind].items():
        misshapen = states[kind] | {key: torch.cat([value, value]) if value.ndim else value[None]}
        assert "state dict: " in refusal(kind, misshapen)
        empty = states[kind] | {key: value[:0] if value.ndim else value[None][:0]}
        assert "state dict: " in refusal(kind, empty)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused(states: dict[str, State], kind: str, value: float) -> None:
    for key, weights in states[kind].items():
        if weights.is_floating_point():
            bad = weights.clone()
            bad.view(-1)[-1] = value
            assert f"{key} holds NaN or infinity" in refusal(kind, states[kind] | {key: bad})


@pytest.mark.parametrize("kind", LOADERS)
def test_a_tensor_that_does_not_hold_all_of_its_values_is_refused(
    tmp_path: Path, states: dict[str, State], kind: str
) -> None:
    """A small file could otherwise ask for any amount of memory."""
    key = next(key for key, value in states[kind].items() if value.ndim > 1)
    huge = torch.zeros(1).expand(10**6, 10**6)
    for value in (huge, states[kind][key].to_sparse(), torch.empty(states[kind][key].shape, device="meta")):
        torch.save(states[kind] | {key: value}, tmp_path / "model.ckpt")
        for source in (states[kind] | {key: value}, tmp_path / "model.ckpt"):
            assert f"{key} is not a plain tensor that holds all of its values" in refusal(kind, source)


@pytest.mark.parametrize("kind", LOADERS)
def test_an_untrained_model_is_refused(states: dict[str, State], kind: str) -> None:
    flags = [key for key in states[kind] if key.endswith("initialized")]
    assert flags
    for key in flags:
        message = refusal(kind, states[kind] | {key: torch.tensor(0, dtype=torch.uint8)})
        assert f"{key} is 0" in message


@pytest.mark.parametrize("kind", LOADERS)
def test_a_key_without_a_place_is_refused(tmp_path: Path, states: dict[str, State], kind: str) -> None:
    path = tmp_path / "model.ckpt"
    torch.save(states[kind] | {"feature_layers.4.sub_layers.0.weight": torch.zeros(1)}, path)
    message = refusal(kind, path)
    assert message.startswith(str(path))
    assert "feature_layers.4.sub_layers.0.weight has no place" in message


@pytest.mark.parametrize("wanted", LOADERS)
@pytest.mark.parametrize("given", LOADERS)
def test_another_kind_of_model_is_named(tmp_path: Path, states: dict[str, State], wanted: str, given: str) -> None:
    path = tmp_path / "model.ckpt"
    torch.save({"model": states[given], "loss": {}, "optimizer": {}}, path)
    if wanted == given:
        assert sum(p.numel() for p in LOADERS[wanted](path).parameters()) > 0
    else:
        message = refusal(wanted, path)
        assert f"{path} is no {wanted}: it has the key " in message
        assert f"load_official_{given}" in message


def test_a_block_in_the_middle_is_missed_by_name(flow_state: State) -> None:
    rest = {k: v for k, v in flow_state.items() if not k.startswith("realnvp.flow.1.")}
    assert "realnvp.flow.1.flow.0.loc is missing" in refusal("flow", rest)


def test_a_shuffle_has_to_be_a_permutation_and_its_inverse(flow_state: State) -> None:
    forward, backward = (f"realnvp.flow.1.flow.2.{way}_shuffle_idx" for way in ("forward", "backward"))
    twice = flow_state[forward].clone()
    twice[0] = twice[1]
    assert f"{forward} is no permutation" in refusal("flow", flow_state | {forward: twice})
    out_of_range = flow_state[forward] + 1
    assert f"{forward} is no permutation" in refusal("flow", flow_state | {forward: out_of_range})
    exchanged = flow_state | {backward: flow_state[forward]}
    assert f"{backward} does not undo" in refusal("flow", exchanged)
    assert f"{forward} holds torch.float32" in refusal("flow", flow_state | {forward: flow_state[forward].float()})


def test_a_scale_of_0_is_refused_since_it_has_no_inverse(flow_state: State) -> None:
    key = "realnvp.flow.2.flow.0.scale"
    scale = flow_state[key].clone()
    scale[0, 5] = 0
    assert f"{key} has a 0" in refusal("flow", flow_state | {key: scale})


class Intruder:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", LOADERS)
def test_code_in_a_checkpoint_is_never_run(tmp_path: Path, states: dict[str, State], kind: str) -> None:
    mark, path = tmp_path / "was here", tmp_path / "model.ckpt"
    content = {"model": states[kind], "loss": Intruder(mark), "optimizer": {}}
    torch.save(content, path)
    assert f"{path} is not a checkpoint, or holds more than tensors" in refusal(kind, path)
    path.write_bytes(pickle.dumps(content["loss"]))
    assert str(path) in refusal(kind, path)
    assert not mark.exists()


def test_a_file_cut_short_anywhere_is_refused(tmp_path: Path, flow_state: State) -> None:
    path = tmp_path / "model.ckpt"
    for zipped in (True, False):
        torch.save({"model": flow_state}, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        for kept in (0, 1, 10, 100, 1000, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:kept])
            assert str(path) in refusal("flow", path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\n<!DOCTYPE html>\n<html><body>Link expired</body></html>", "is a web page"),
        (b"<html>", "is a web page"),
        (b"PK\x03\x04 not really a zip archive", "is not a checkpoint"),
        (b"just text\n", "is not a checkpoint"),
        (bytes(range(256)) * 8, "is not a checkpoint"),
    ],
)
def test_a_file_of_another_format_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.ckpt"
    path.write_bytes(content)
    assert f"{path} {reason}" in refusal("flow", path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path / 'nothing.ckpt'} can't be read" in refusal("flow", tmp_path / "nothing.ckpt")
    assert f"{tmp_path} can't be read" in refusal("autoencoder", tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "holds a list"),
        (torch.zeros(3), "holds a Tensor"),
        ({"model": {"feature_layers": 3}}, "feature_layers is a int"),
        ({"epoch": 3}, "epoch is a int"),
        ({}, "realnvp.flow.0.flow.0.loc is missing"),
        ({"model": {}}, "realnvp.flow.0.flow.0.loc is missing"),
    ],
)
def test_a_checkpoint_without_weights_is_refused(tmp_path: Path, content: Any, reason: str) -> None:
    path = tmp_path / "model.ckpt"
    torch.save(content, path)
    message = refusal("flow", path)
    assert str(path) in message
    assert reason in message
