"""Networks on disk: safetensors whose header says how to rebuild what it holds."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from reproduce.errors import MissingFileError, ReproduceError
from reproduce.files import atomic_path, shown

N = TypeVar("N", bound=nn.Module)


def save_network(
    path: Path,
    network: nn.Module,
    *,
    precision: str = "float32",
    trained_on: str = "",
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write `network`, whose `config` holds the arguments that rebuild it, atomically.

    Arguments:
        precision: of the floating-point weights in the file, "float32" or "float16".
        trained_on: identifies the training data; the function `trained_on` reads it back.
        notes: further entries of the header, JSON values; `load_with_header` returns them.
    """
    dtype = {"float32": torch.float32, "float16": torch.float16}[precision]
    tensors = {
        name: value.to(dtype) if value.is_floating_point() else value for name, value in network.state_dict().items()
    }
    header = {
        "kind": type(network).__name__.lower(),
        "config": network.config,
        "trained_on": trained_on,
        **(notes or {}),
    }
    save_state(path, tensors, header=header)


def save_state(path: Path, tensors: Mapping[str, Tensor], *, header: Mapping[str, Any]) -> None:
    """Write `tensors` and a `header` of JSON values to a .safetensors file, atomically."""
    own = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}  # some share memory
    # the metadata has one entry: safetensors writes several in an order that changes from process to process
    metadata = {"network": json.dumps(header)}
    with atomic_path(path) as temporary:
        try:
            save_file(own, temporary, metadata=metadata)
        except SafetensorError as error:
            raise ReproduceError(f"{shown(path)} cannot be written ({error}): is the disk full?") from error


def load_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a .safetensors file or in what torch.save wrote; no code in the file is run.

    Raises ReproduceError for a file that is missing, damaged, or has anything but tensors by name.
    """
    if path.suffix == ".safetensors":
        return _read(path)[1]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise MissingFileError(f"{shown(path)} does not exist") from None
    except Exception as error:  # torch.load raises many kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ReproduceError(f"{shown(path)} holds no weights that can be read safely ({reason:.120})") from None
    state = state.get("state_dict", state) if isinstance(state, Mapping) else state
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ReproduceError(f"{shown(path)} is no state dict: tensors by name are needed")
    return dict(state)


def trained_on(path: Path) -> str:
    """The `trained_on` that `save_network` wrote into the header."""
    return _read(path)[0].get("trained_on", "")


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(str(path), framework="pt") as file:
            header = json.loads((file.metadata() or {}).get("network", "{}"))
            return dict(header), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a dict)
    except FileNotFoundError:
        raise MissingFileError(f"{shown(path)} does not exist") from None
    except (SafetensorError, OSError, TypeError, ValueError) as error:
        raise ReproduceError(
            f"{shown(path)} is not a readable safetensors file ({error}): restore it and run again"
        ) from None


def load_network(path: Path, expected: type[N]) -> N:
    """The network that `save_network` wrote, as float32, in evaluation mode; see `load_with_header`."""
    return load_with_header(path, expected)[0]


def load_with_header(path: Path, expected: type[N]) -> tuple[N, dict[str, Any]]:
    """The network that `save_network` wrote, as float32, in evaluation mode, and the header of its file.

    Raises ReproduceError for a file that is missing, damaged, of another kind, or whose header fits no network.
    """
    kind = expected.__name__.lower()
    header, tensors = _read(path)
    if header.get("kind") != kind:
        raise ReproduceError(f"{shown(path)} holds a network of kind {header.get('kind')!r}, not {kind!r}")
    try:
        network = expected(**header["config"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = f"its header describes no {kind} ({error})"
        raise ReproduceError(f"{shown(path)}: {reason}: restore it and run again") from None
    own = network.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own or tensors[name].shape != own[name].shape:
            raise ReproduceError(f"{shown(path)}: the key {name!r} does not fit a {kind} with {header['config']}")
        if not torch.isfinite(tensors[name]).all():
            raise ReproduceError(f"{shown(path)}: {name!r} holds NaN or infinity")
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})
    return network.eval(), header
