"""Reads checkpoints of the official code into our models.

Source: the key names and shapes of the official checkpoints, CompVis/iin at fa0d2d1. A file is a dict with `model`,
`loss` and `optimizer`, of which `model` is read, or a bare state dict. The architecture follows from the shapes, and
every key has to fit. Only tensors are read: a file that asks for anything else to be run is refused.
"""

import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from reproduce.errors import UserError
from reproduce.files import is_web_page
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import ActNorm, DoubleCoupling, Flow, Shuffle

Checkpoint = str | os.PathLike[str] | Mapping[str, Any]  # a file, its content, or a bare state dict

# how a key begins that only this kind of model has
_MARKS = {"flow": "realnvp.", "autoencoder": "decoder_layers.", "classifier": "classifier."}


def load_official_flow(path_or_state_dict: Checkpoint) -> Flow:
    """The T, supervised or not, of an official checkpoint or state dict: z `[B, N]` to z̃ `[B, N]`.

    Raises UserError, naming the file, where it can't be read, holds another kind of model, and at the first key that
    is missing, unknown, of another shape, not finite, or says that its ActNorm was never initialised.
    """
    state = _read(path_or_state_dict, "flow")
    first = "realnvp.flow.0.flow."
    dim = state.shape(f"{first}0.loc", axes=4)[1]
    hidden_dim = state.shape(f"{first}1.s.0.main.0.weight", axes=2)[0]
    # numbers are counted over all keys, so that a key missing in one place is missed there
    keys = [key for key in state.tensors if key.startswith("realnvp.flow.")]
    blocks = {key.split(".")[2] for key in keys}
    linear = {key.split(".")[-2] for key in keys if ".main." in key}
    if dim < 2 or len(linear) < 2:
        raise state.error(f"{first}1 is no coupling: {dim} dimension(s), {len(linear)} linear layer(s)")
    flow = Flow(dim=dim, n_blocks=len(blocks), hidden_dim=hidden_dim, hidden_depth=len(linear) - 2)
    state.copy_into(_flow_slots(flow))
    for i, layer in enumerate(flow.layers):
        _check_invertible(layer, f"realnvp.flow.{i // 3}.flow.{i % 3}", state)
    return flow


def load_official_autoencoder(path: Checkpoint) -> Autoencoder:
    """E and G of an official autoencoder's checkpoint; channels (1 or 3) and pixels (32 or 64) follow from the shapes.

    Raises UserError as `load_official_flow` does.
    """
    state = _read(path, "autoencoder")
    latent_dim = state.shape("dense_decode.sub_layers.0.weight", axes=4)[0]
    model = Autoencoder(**_encoder_sizes(state), latent_dim=latent_dim)
    slots = _encoder_slots(model)
    # numbered from the image: layer 0 is applied last
    for i, layer in enumerate(reversed(model.decoder.layers)):
        slots |= _layer_slots(layer, f"decoder_layers.{i}")
    slots |= _affine_slots(model.decoder.dense, "dense_decode.sub_layers.0")
    slots["image_layer.sub_layers.0.weight"] = model.decoder.image.weight
    state.copy_into(slots)
    return model


def load_official_classifier(path: Checkpoint) -> Classifier:
    """E and G of an official classifier's checkpoint; the number of classes too follows from the shapes.

    Raises UserError as `load_official_flow` does.
    """
    state = _read(path, "classifier")
    n_classes, latent_dim = state.shape("classifier.weight", axes=2)
    model = Classifier(**_encoder_sizes(state), latent_dim=latent_dim, n_classes=n_classes)
    state.copy_into(_encoder_slots(model) | _affine_slots(model.head, "classifier"))
    return model


@dataclass(frozen=True)
class _State:
    """A state dict, and what messages call the place where it comes from."""

    name: str
    tensors: Mapping[str, Tensor]

    def error(self, problem: str) -> UserError:
        return UserError(f"{self.name}: {problem}")

    def shape(self, key: str, *, axes: int) -> list[int]:
        if key not in self.tensors:
            raise self.error(f"{key} is missing")
        shape = list(self.tensors[key].shape)
        if len(shape) != axes or 0 in shape:
            raise self.error(f"{key} is {shape}, where {axes} axes are expected, none of size 0")
        return shape

    @torch.no_grad()
    def copy_into(self, slots: Mapping[str, Tensor]) -> None:
        """Copy every tensor into its slot; raise at the first that has none, is missing or doesn't fit."""
        for key, slot in slots.items():
            if key not in self.tensors:
                raise self.error(f"{key} is missing")
            value = self.tensors[key]
            if value.shape != slot.shape:
                raise self.error(f"{key} is {list(value.shape)}, where the other shapes ask for {list(slot.shape)}")
            if key.endswith(".initialized"):
                if not bool(value):
                    raise self.error(f"{key} is 0: this ActNorm never saw data, so the model was never trained")
                continue
            if value.is_floating_point() != slot.is_floating_point():
                raise self.error(f"{key} holds {value.dtype}, where {slot.dtype} is expected")
            slot.copy_(value)
            if not slot.isfinite().all():  # after the copy: a float64 may be too large for float32
                raise self.error(f"{key} holds NaN or infinity")
        for key in self.tensors:
            if key not in slots:
                raise self.error(f"{key} has no place in this architecture")


def _read(source: Checkpoint, wanted: str) -> _State:
    if isinstance(source, Mapping):
        content, name = source, "the state dict"
    else:
        content, name = _load(Path(source)), os.fspath(source)
    if isinstance(content, Mapping):
        content = next((content[k] for k in ("model", "state_dict") if isinstance(content.get(k), Mapping)), content)
    if not isinstance(content, Mapping):
        raise UserError(f"{name} holds a {type(content).__name__}, where a checkpoint holds a dict of weights")
    for key, value in content.items():
        if not isinstance(value, Tensor):
            raise UserError(f"{name}: {key} is a {type(value).__name__}, where a state dict has a tensor")
    state = _State(name, {str(key): value for key, value in content.items()})
    for kind, mark in _MARKS.items():
        first = next((key for key in state.tensors if key.startswith(mark)), None)
        if kind != wanted and first is not None:
            this, that = (f"{'an' if each == 'autoencoder' else 'a'} {each}" for each in (wanted, kind))
            raise UserError(f"{name} is not {this}: its key {first} is that of {that} (load_official_{kind} reads it)")
    return state


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


def _encoder_sizes(state: _State) -> dict[str, int]:
    width, in_channels, _, _ = state.shape("feature_layers.0.sub_layers.0.weight", axes=4)
    side = state.shape("dense_encode.sub_layers.0.weight", axes=4)[2]
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
    slots = _affine_slots(model.encoder.dense, "dense_encode.sub_layers.0")
    for i, layer in enumerate(model.encoder.layers):
        slots |= _layer_slots(layer, f"feature_layers.{i}")
    return slots


def _check_invertible(layer: nn.Module, prefix: str, state: _State) -> None:
    if isinstance(layer, ActNorm) and not layer.scale.all():
        raise state.error(f"{prefix}.scale has a 0: the layer has no inverse")
    if isinstance(layer, Shuffle):
        if not layer.permutation.sort().values.equal(torch.arange(len(layer.permutation))):
            raise state.error(f"{prefix}.forward_shuffle_idx is no permutation")
        if not layer.permutation.argsort().equal(layer.restoring):
            raise state.error(f"{prefix}.backward_shuffle_idx does not undo forward_shuffle_idx")
