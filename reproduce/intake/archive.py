"""Members of an archive whose checksum nobody has published.

This is our own code, since tarfile's `data` filter and pooch's Untar guard where a member is written, and not how much
a header makes them read: sparse files of any size, headers of gigabytes, a torn end that is taken for the end.
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
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


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
    """Write the named members of a gzipped tar file, which is read once, in order, to its end.

    A member is taken by its exact name, and only as a regular file. Nothing else in the archive is ever written,
    whatever its type and wherever its name points to. All files appear, or none.

    Arguments:
        members: the name inside the archive: the file to write.
        limit: the size in bytes that no member may exceed.

    Raises:
        ReproduceError: a member is missing, is there twice, is no regular file (links, devices, sparse files) or is
            too large; the archive is damaged or cut short.
    """
    where = shown(archive)
    with ExitStack() as files:
        written: set[str] = set()
        try:
            with gzip.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
                near = set()
                for member in tar:
                    if member.name not in members:
                        near |= {name for name in members if member.name.endswith(name.rpartition("/")[2])}
                        continue
                    if member.name in written:
                        raise ReproduceError(f"{where} holds {member.name} twice: it is unclear which one is meant")
                    if not member.isreg() or member.issparse():
                        raise ReproduceError(f"{where}: {member.name} is {_type(member)}, not a plain file")
                    if member.size > limit:
                        raise ReproduceError(
                            f"{where}: {member.name} is {member.size:,} bytes, {limit:,} at most are expected"
                        )
                    target = files.enter_context(atomic_path(members[member.name]))
                    content = tar.extractfile(member)
                    assert content is not None
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file, 2**20)
                    written.add(member.name)
                while stream.read(2**20):  # to gzip's own checksum
                    pass
        except ReproduceError:
            raise
        except (tarfile.TarError, ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ReproduceError(
                f"{where} is damaged or cut short ({reason}): delete it, and fetch it again"
            ) from error
        if missing := sorted(members.keys() - written):
            other = "; a file of that name lies elsewhere in it" if missing[0] in near else ""
            raise ReproduceError(f"{where} has no {missing[0]}{other}")


def _type(member: tarfile.TarInfo) -> str:
    if member.issparse():
        return "a sparse file"
    if member.issym() or member.islnk():
        return "a link"
    return "a folder" if member.isdir() else "a device or pipe" if member.isdev() else "of an unknown type"
