"""Extracts members of an archive whose checksum nobody has published.

This is our own code, since tarfile's `data` filter and pooch's Untar only guard where a member is written: they accept
sparse files of any size and headers of gigabytes, and take a torn end for the end.
"""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, shown

_HEADER_LIMIT = 2**20
_LONG_HEADERS = (b"x", b"g", b"X", b"L", b"K")  # POSIX's, POSIX's global, Solaris's; GNU's for a name and for a link


class _Member(tarfile.TarInfo):
    """A header, read more strictly than tarfile reads it."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Member":
        member = super().frombuf(buf, encoding, errors)
        if member.type in _LONG_HEADERS and member.size > _HEADER_LIMIT:  # tarfile would hold it in memory
            raise tarfile.ReadError(f"a header of {member.size:,} bytes")
        return member

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_Member":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # a block of zeros: the archive's end
                raise
            raise tarfile.ReadError(str(error)) from error  # tarfile takes it for the end as well


def extract_members(archive: Path, members: Mapping[str, Path], *, limit: int) -> None:
    """Write the members of a gzipped tar file that `members` names (name: target); all appear, or none.

    A member is taken by its exact name, and only as a regular file. Nothing else in the archive is ever written,
    whatever its type and wherever its name points to. The archive is read once, to its end.

    ReproduceError if a member is missing, is there twice, is no regular file (a link, a device, a sparse file) or has
    more than `limit` bytes, and if the archive is damaged or cut short.
    """
    where = shown(archive)
    seen: set[str] = set()
    with ExitStack() as files:
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
                for member in tar:
                    if member.name in members:
                        if member.name in seen:
                            raise ReproduceError(f"{where} holds {member.name} twice: it is unclear which one is meant")
                        _check(member, where, limit=limit)
                        content = tar.extractfile(member)
                        assert content is not None
                        with files.enter_context(atomic_path(members[member.name])).open("wb") as file:
                            shutil.copyfileobj(content, file, 2**20)
                    seen.add(member.name)
                while stream.read(2**20):  # at its end, gzip compares its checksum
                    pass
        except (tarfile.TarError, ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ReproduceError(
                f"{where} is damaged or cut short ({reason}): delete it, and fetch it again"
            ) from error
        if missing := sorted(members.keys() - seen):
            elsewhere = any(name.endswith(missing[0].rpartition("/")[2]) for name in seen)
            hint = "; a file of that name lies elsewhere in it" if elsewhere else ""
            raise ReproduceError(f"{where} has no {missing[0]}{hint}")


def _check(member: tarfile.TarInfo, where: str, *, limit: int) -> None:
    kinds = {
        "a sparse file": member.issparse(),
        "a link": member.issym() or member.islnk(),
        "a folder": member.isdir(),
        "a device or pipe": member.isdev(),
        "of an unknown type": not member.isreg(),
    }
    if kind := next((name for name, found in kinds.items() if found), None):
        raise ReproduceError(f"{where}: {member.name} is {kind}, not a plain file")
    if member.size > limit:
        raise ReproduceError(f"{where}: {member.name} is {member.size:,} bytes, {limit:,} at most are expected")
