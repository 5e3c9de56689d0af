"""Official checkpoints as safetensors."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from reproduce.files import sha256
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import save_network
from reproduce.official.checkpoints import load_official_autoencoder, load_official_classifier, load_official_flow

_LOADERS: dict[str, Callable[[Path], Flow | Autoencoder | Classifier]] = {
    "autoencoder": load_official_autoencoder,
    "classifier": load_official_classifier,
    "flow": load_official_flow,
}


def convert_official(
    checkpoint: Path, *, kind: Literal["autoencoder", "classifier", "flow"], out: Path, name: str | None = None
) -> None:
    """Write the official `checkpoint` as our network of that `kind`, float32; all of its keys have to fit.

    The header's `origin` keeps what the file was: its `name` (the file's own by default), SHA-256, kind and number of
    weights.

    Raises:
        UserError: the file can't be read, is of another kind, or doesn't fit, with the first key that shows it. Nothing
            is written then.
    """
    network = _LOADERS[kind](checkpoint)
    origin: dict[str, str | int] = {
        "code": "CompVis/iin",
        "file": checkpoint.name if name is None else name,
        "kind": kind,
        "sha256": sha256(checkpoint),
        "weights": sum(parameter.numel() for parameter in network.parameters()),
    }
    save_network(out, network, origin=origin)
