"""The authors' networks, out of their archive."""

from pathlib import Path

from reproduce.errors import ReproduceError, UserError
from reproduce.files import shown
from reproduce.intake.archive import extract_members
from reproduce.intake.download import Downloads
from reproduce.official.convert import convert_official


def fetch_checkpoint(downloads: Downloads, *, archive: str, name: str, out: Path, work: Path) -> None:
    """Write the checkpoint `name` of the source `archive` as safetensors; the archive is fetched if it isn't there.

    Arguments:
        work: a folder for the original checkpoint, which is removed again.

    Raises:
        ReproduceError: the archive can't be had, or doesn't hold the checkpoint that is expected.
    """
    member = downloads.sources[archive].members[name]
    packed = downloads.obtain(archive)
    unpacked = work / f"{name}.ckpt"
    try:
        try:
            extract_members(packed, {member.path: unpacked}, limit=member.limit)
        except ReproduceError:
            downloads.forget(archive)
            raise
        convert_official(unpacked, kind=member.kind, out=out, name=member.path)
    except UserError as error:
        raise ReproduceError(f"{shown(packed)} holds another {member.path} than expected: {error}") from error
    finally:
        unpacked.unlink(missing_ok=True)
