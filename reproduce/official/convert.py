"""The authors' networks, out of their archive, as safetensors of ours."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from reproduce.errors import ReproduceError, UserError
from reproduce.files import sha256, shown
from reproduce.intake.archive import extract_members
from reproduce.intake.download import Downloads
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
    weights. UserError as for `load_official_flow`; nothing is written then.
    """
    network = _LOADERS[kind](checkpoint)
    origin = {
        "code": "CompVis/iin",
        "file": name or checkpoint.name,
        "kind": kind,
        "sha256": sha256(checkpoint),
        "weights": sum(parameter.numel() for parameter in network.parameters()),
    }
    save_network(out, network, notes={"origin": origin})


def fetch_checkpoint(downloads: Downloads, *, archive: str, name: str, out: Path, work: Path) -> None:
    """Write the checkpoint `name` of the source `archive` as safetensors; the archive is fetched if it isn't there.

    `work`: a folder for the original checkpoint, which is removed again. ReproduceError if the archive can't be had, or
    doesn't hold the checkpoint that is expected.
    """
    member, packed = downloads.sources[archive].members[name], downloads.obtain(archive)
    unpacked = work / f"{name}.ckpt"
    try:
        extract_members(packed, {member.path: unpacked}, limit=member.limit)
        convert_official(unpacked, kind=member.kind, out=out, name=member.path)
    except ReproduceError as error:
        downloads.forget(archive)  # so that another archive can take its place
        if not isinstance(error, UserError):
            raise
        raise ReproduceError(f"{shown(packed)} holds another {member.path} than expected: {error}") from error
    finally:
        unpacked.unlink(missing_ok=True)
