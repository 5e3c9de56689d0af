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
from torch import Tensor

from reproduce.errors import UserError
from reproduce.files import is_web_page
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import ActNorm, DoubleCoupling, Flow, Shuffle

Checkpoint = str | os.PathLike[str] | Mapping[str, Any]  # a file, its content, or a bare state dict
Slots = dict[str, Tensor]  # an official key, and a view of our tensor in the official layout, which takes its values

# only this kind of model has keys that begin so
_MARKS = {"flow": "realnvp.", "autoencoder": "decoder_layers.", "classifier": "classifier."}


def load_official_flow(path_or_state_dict: Checkpoint) -> Flow:
    """The T, supervised or not, of an official checkpoint or state dict: z `[B, N]` to z̃ `[B, N]`.

    UserError, which names the file, if it can't be read or holds another kind of model, and at the first key that is
    missing, unknown, of another shape, not finite, or says that its ActNorm was never initialised.
    """
    state = _read(path_or_state_dict, "flow")
    first = "realnvp.flow.0.flow."
    dim = state.shape(f"{first}0.loc", axes=4)[1]
    hidden_dim = state.shape(f"{first}1.s.0.main.0.weight", axes=2)[0]
    # blocks and layers are counted over all keys, so that a key that is missing in one place is reported
    keys = [key.split(".") for key in state.tensors if key.startswith("realnvp.flow.")]
    n_blocks, n_linear = len({key[2] for key in keys}), len({key[-2] for key in keys if "main" in key})
    if dim < 2 or n_linear < 2:
        raise state.error(f"{first}1 is no coupling: {dim} dimension(s), {n_linear} linear layer(s)")
    flow = Flow(dim=dim, n_blocks=n_blocks, hidden_dim=hidden_dim, hidden_depth=n_linear - 2)
    slots = _flow_slots(flow)
    state.copy_into(slots)
    for key, slot in slots.items():
        if key.endswith(".scale") and not slot.all():
            raise state.error(f"{key} has a 0: the layer has no inverse")
        if key.endswith(".forward_shuffle_idx"):
            if not slot.sort().values.equal(torch.arange(dim)):
                raise state.error(f"{key} is no permutation")
            backward = key.replace("forward_", "backward_")
            if not slot.argsort().equal(slots[backward]):
                raise state.error(f"{backward} does not undo forward_shuffle_idx")
    return flow


def load_official_autoencoder(path: Checkpoint) -> Autoencoder:
    """E and G of an official autoencoder; channels (1 or 3) and pixels (32 or 64) follow from the shapes.

    UserError as for `load_official_flow`.
    """
    state = _read(path, "autoencoder")
    latent_dim = state.shape("dense_decode.sub_layers.0.weight", axes=4)[0]
    model = Autoencoder(**_encoder_sizes(state), latent_dim=latent_dim)
    slots = _encoder_slots(model) | _affine_slots("dense_decode.sub_layers.0", model.decoder.dense)
    for i, layer in enumerate(reversed(model.decoder.layers)):  # numbered from the image: layer 0 is applied last
        slots |= _layer_slots(f"decoder_layers.{i}", layer)
    slots["image_layer.sub_layers.0.weight"] = model.decoder.image.weight
    state.copy_into(slots)
    return model


def load_official_classifier(path: Checkpoint) -> Classifier:
    """E and G of an official classifier; the number of classes too follows from the shapes.

    UserError as for `load_official_flow`.
    """
    state = _read(path, "classifier")
    n_classes, latent_dim = state.shape("classifier.weight", axes=2)
    model = Classifier(**_encoder_sizes(state), latent_dim=latent_dim, n_classes=n_classes)
    state.copy_into(_encoder_slots(model) | _affine_slots("classifier", model.head))
    return model


@dataclass(frozen=True)
class _State:
    """A state dict, and the name of the file that it comes from."""

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
    def copy_into(self, slots: Slots) -> None:
        """Copy every tensor into its slot; raise at the first that has none, is missing or doesn't fit."""
        for key, slot in slots.items():
            if key not in self.tensors:
                raise self.error(f"{key} is missing")
            value = self.tensors[key]
            if value.shape != slot.shape:
                raise self.error(f"{key} is {list(value.shape)}, where the other shapes ask for {list(slot.shape)}")
            if value.is_floating_point() != slot.is_floating_point():
                raise self.error(f"{key} holds {value.dtype}, where {slot.dtype} is expected")
            slot.copy_(value)
            if not slot.isfinite().all():  # after the copy: a float64 may be too large for float32
                raise self.error(f"{key} holds NaN or infinity")
            if key.endswith(".initialized") and not slot:
                raise self.error(f"{key} is 0: this ActNorm never saw data, so the model was never trained")
        if unknown := [key for key in self.tensors if key not in slots]:
            raise self.error(f"{unknown[0]} has no place in this architecture")


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
        strided = value.layout == torch.strided and not value.is_meta
        if not strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{name}: {key} is not a plain tensor that holds all of its values")
    state = _State(name, {str(key): value for key, value in content.items()})
    for kind, mark in _MARKS.items():
        first = next((key for key in state.tensors if key.startswith(mark)), None)
        if kind != wanted and first is not None:
            raise UserError(f"{name} is no {wanted}: it has the key {first} (load_official_{kind} reads it)")
    return state


def _load(path: Path) -> Any:
    try:
        if is_web_page(path):
            raise UserError(f"{path} is a web page, not a checkpoint: the download did not give the file")
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror or error}") from error
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


def _norm_slots(name: str, norm: Any) -> Slots:
    return {
        f"{name}.loc": norm.loc.view(1, -1, 1, 1),
        f"{name}.scale": norm.scale.view(1, -1, 1, 1),
        f"{name}.initialized": torch.zeros((), dtype=torch.uint8),  # ours has no such flag; it has to be set
    }


def _affine_slots(name: str, layer: Any) -> Slots:
    return {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}


def _layer_slots(name: str, layer: Any) -> Slots:
    return {f"{name}.sub_layers.0.weight": layer.convolution.weight} | _norm_slots(f"{name}.sub_layers.1", layer.norm)


def _encoder_slots(model: Autoencoder | Classifier) -> Slots:
    slots = _affine_slots("dense_encode.sub_layers.0", model.encoder.dense)
    for i, layer in enumerate(model.encoder.layers):
        slots |= _layer_slots(f"feature_layers.{i}", layer)
    return slots


def _flow_slots(flow: Flow) -> Slots:
    slots: Slots = {}
    for i, layer in enumerate(flow.layers):
        name = f"realnvp.flow.{i // 3}.flow.{i % 3}"
        if isinstance(layer, ActNorm):
            slots |= _norm_slots(name, layer)
        elif isinstance(layer, DoubleCoupling):
            for j, network in enumerate("st"):
                for half, nets in enumerate((layer.first, layer.second)):
                    for depth, (weight, bias) in enumerate(zip(nets.weights, nets.biases, strict=True)):
                        linear = f"{name}.{network}.{half}.main.{2 * depth}"
                        slots |= {f"{linear}.weight": weight[j].T, f"{linear}.bias": bias[j, 0]}
        elif isinstance(layer, Shuffle):
            slots |= {f"{name}.forward_shuffle_idx": layer.permutation, f"{name}.backward_shuffle_idx": layer.restoring}
    return slots
