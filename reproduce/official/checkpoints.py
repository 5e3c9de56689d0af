"""Reads checkpoints of the official code into our models.

Source: the key names and shapes of the official checkpoints, CompVis/iin at fa0d2d1. A file is a dict with `model`,
`loss` and `optimizer`, of which `model` is read, or a bare state dict. The architecture follows from the shapes, and
every key has to fit. Only tensors are read: a file that asks for anything else to be run is refused.
"""

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.files import is_web_page
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import ActNorm, DoubleCoupling, Flow, Shuffle

Source = str | os.PathLike[str] | Mapping[str, Any]

# what only that kind of model has among its keys
_MARKS = {"flow": "realnvp.", "autoencoder": "decoder_layers.", "classifier": "classifier."}


def load_official_flow(path_or_state_dict: Source) -> Flow:
    """The T, supervised or not, of an official checkpoint or state dict: z `[B, N]` to z̃ `[B, N]`.

    Raises UserError, naming the file, where it can't be read, holds another kind of model, and at the first key that
    is missing, unknown, of another shape, not finite, or says that its ActNorm was never initialised.
    """
    state, name = _read(path_or_state_dict, "flow")
    first = "realnvp.flow.0.flow."
    dim = _shape(state, f"{first}0.loc", 4, name)[1]
    hidden_dim = _shape(state, f"{first}1.s.0.main.0.weight", 2, name)[0]
    # numbers are counted over all keys, so that a key missing in one place is missed there
    blocks = {key.split(".")[2] for key in state if key.startswith("realnvp.flow.")}
    linear = {key.split(".")[-2] for key in state if key.startswith("realnvp.flow.") and ".main." in key}
    if dim < 2 or len(linear) < 2:
        raise UserError(f"{name}: {first}1 is no coupling: {dim} dimension(s), {len(linear)} linear layer(s)")
    flow = Flow(dim=dim, n_blocks=len(blocks), hidden_dim=hidden_dim, hidden_depth=len(linear) - 2)
    _fill(_flow_slots(flow), state, name)
    for i, layer in enumerate(flow.layers):
        _check_invertible(layer, f"realnvp.flow.{i // 3}.flow.{i % 3}", name)
    return flow


def load_official_autoencoder(path: Source) -> Autoencoder:
    """E and G of an official autoencoder's checkpoint: 1 or 3 channels, 32 or 64 pixels, or what its shapes say.

    Raises UserError as `load_official_flow` does.
    """
    state, name = _read(path, "autoencoder")
    latent_dim = _shape(state, "dense_decode.sub_layers.0.weight", 4, name)[0]
    model = Autoencoder(**_encoder_sizes(state, name), latent_dim=latent_dim)
    slots = _encoder_slots(model)
    # numbered from the image: layer 0 is applied last
    for i, layer in enumerate(reversed(model.decoder.layers)):
        slots |= _layer_slots(layer, f"decoder_layers.{i}")
    slots |= _affine_slots(model.encoder.dense, "dense_encode.sub_layers.0")
    slots |= _affine_slots(model.decoder.dense, "dense_decode.sub_layers.0")
    slots["image_layer.sub_layers.0.weight"] = model.decoder.image.weight
    _fill(slots, state, name)
    return model


def load_official_classifier(path: Source) -> Classifier:
    """E and G of an official classifier's checkpoint; the number of classes too follows from the shapes.

    Raises UserError as `load_official_flow` does.
    """
    state, name = _read(path, "classifier")
    n_classes, latent_dim = _shape(state, "classifier.weight", 2, name)
    model = Classifier(**_encoder_sizes(state, name), latent_dim=latent_dim, n_classes=n_classes)
    slots = _encoder_slots(model)
    slots |= _affine_slots(model.encoder.dense, "dense_encode.sub_layers.0")
    slots |= _affine_slots(model.head, "classifier")
    _fill(slots, state, name)
    return model


def _read(source: Source, wanted: str) -> tuple[dict[str, Tensor], str]:
    """The state dict in `source`, and what to call the source in a message."""
    if isinstance(source, Mapping):
        content, name = source, "the state dict"
    else:
        content, name = _load(Path(source)), os.fspath(source)
    if isinstance(content, Mapping):
        content = next((content[k] for k in ("model", "state_dict") if isinstance(content.get(k), Mapping)), content)
    if not isinstance(content, Mapping):
        raise UserError(f"{name} holds a {type(content).__name__}, where a checkpoint holds a dict of weights")
    state = {}
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{name}: {key} is a {type(value).__name__}, where a state dict has a tensor")
        state[str(key)] = value
    for kind, mark in _MARKS.items():
        first = next((key for key in state if key.startswith(mark)), None)
        if kind != wanted and first is not None:
            this, that = (f"{'an' if each == 'autoencoder' else 'a'} {each}" for each in (wanted, kind))
            raise UserError(f"{name} is not {this}: its key {first} is that of {that} (load_official_{kind} reads it)")
    return state, name


def _load(path: Path) -> Any:
    try:
        page = is_web_page(path)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
    if page:
        raise UserError(f"{path} is a web page, not a checkpoint: the download did not give the file")
    try:
        with warnings.catch_warnings():  # a file worth a warning is either read whole or refused
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path} is not a checkpoint, or holds more than tensors, which is not read") from error
    except Exception as error:  # what a damaged file raises depends on where the damage is
        raise UserError(f"{path} is not a checkpoint, or is cut short ({type(error).__name__})") from error


def _shape(state: Mapping[str, Tensor], key: str, axes: int, name: str) -> list[int]:
    if key not in state:
        raise UserError(f"{name}: {key} is missing")
    shape = list(state[key].shape)
    if len(shape) != axes or 0 in shape:
        raise UserError(f"{name}: {key} is {shape}, where {axes} axes are expected, none of size 0")
    return shape


def _encoder_sizes(state: Mapping[str, Tensor], name: str) -> dict[str, int]:
    width, in_channels, _, _ = _shape(state, "feature_layers.0.sub_layers.0.weight", 4, name)
    side = _shape(state, "dense_encode.sub_layers.0.weight", 4, name)[2]
    return {"width": width, "in_channels": in_channels, "image_size": 16 * side}


# Slots: the official name of each tensor, and a view of ours in the official layout that takes its values. The flag
# `initialized` has no counterpart; it must be set.


def _initialized() -> Tensor:
    return torch.zeros((), dtype=torch.uint8)


def _flow_slots(flow: Flow) -> dict[str, Tensor]:
    slots: dict[str, Tensor] = {}
    for i, layer in enumerate(flow.layers):
        prefix = f"realnvp.flow.{i // 3}.flow.{i % 3}"
        if isinstance(layer, ActNorm):
            slots[f"{prefix}.loc"] = layer.loc.view(1, -1, 1, 1)
            slots[f"{prefix}.scale"] = layer.scale.view(1, -1, 1, 1)
            slots[f"{prefix}.initialized"] = _initialized()
        elif isinstance(layer, DoubleCoupling):
            for j, network in enumerate("st"):
                for half, nets in enumerate((layer.first, layer.second)):
                    for depth, (weight, bias) in enumerate(zip(nets.weights, nets.biases, strict=True)):
                        linear = f"{prefix}.{network}.{half}.main.{2 * depth}"
                        slots[f"{linear}.weight"] = weight[j].T
                        slots[f"{linear}.bias"] = bias[j, 0]
        elif isinstance(layer, Shuffle):
            slots[f"{prefix}.forward_shuffle_idx"] = layer.permutation
            slots[f"{prefix}.backward_shuffle_idx"] = layer.restoring
    return slots


def _layer_slots(layer: Any, prefix: str) -> dict[str, Tensor]:
    return {
        f"{prefix}.sub_layers.0.weight": layer.convolution.weight,
        f"{prefix}.sub_layers.1.loc": layer.norm.loc,
        f"{prefix}.sub_layers.1.scale": layer.norm.scale,
        f"{prefix}.sub_layers.1.initialized": _initialized(),
    }


def _affine_slots(layer: Any, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.weight": layer.weight, f"{prefix}.bias": layer.bias}


def _encoder_slots(model: Autoencoder | Classifier) -> dict[str, Tensor]:
    slots: dict[str, Tensor] = {}
    for i, layer in enumerate(model.encoder.layers):
        slots |= _layer_slots(layer, f"feature_layers.{i}")
    return slots


@torch.no_grad()
def _fill(slots: Mapping[str, Tensor], state: Mapping[str, Tensor], name: str) -> None:
    """Copy every tensor into its slot; raise at the first that has none, is missing or doesn't fit."""
    for key, slot in slots.items():
        if key not in state:
            raise UserError(f"{name}: {key} is missing")
        value = state[key]
        if value.shape != slot.shape:
            raise UserError(f"{name}: {key} is {list(value.shape)}, where the other shapes ask for {list(slot.shape)}")
        if key.endswith(".initialized"):
            if not bool(value):
                raise UserError(f"{name}: {key} is 0: this ActNorm never saw data, so the model was never trained")
            continue
        if value.is_floating_point() != slot.is_floating_point():
            raise UserError(f"{name}: {key} holds {value.dtype}, where {slot.dtype} is expected")
        slot.copy_(value)
        if not slot.isfinite().all():  # after the copy: a float64 may be too large for float32
            raise UserError(f"{name}: {key} holds NaN or infinity")
    for key in state:
        if key not in slots:
            raise UserError(f"{name}: {key} has no place in this architecture")


def _check_invertible(layer: nn.Module, prefix: str, name: str) -> None:
    if isinstance(layer, ActNorm) and not layer.scale.all():
        raise UserError(f"{name}: {prefix}.scale has a 0: the layer has no inverse")
    if isinstance(layer, Shuffle):
        if not layer.permutation.sort().values.equal(torch.arange(len(layer.permutation))):
            raise UserError(f"{name}: {prefix}.forward_shuffle_idx is no permutation")
        if not layer.permutation.argsort().equal(layer.restoring):
            raise UserError(f"{name}: {prefix}.backward_shuffle_idx does not undo forward_shuffle_idx")
