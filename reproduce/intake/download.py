"""Fetches files, each one once, and verifies them before anything reads them."""

import errno
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pooch
from tqdm import tqdm

from reproduce.errors import ReproduceError
from reproduce.files import is_web_page, locked, read_json, sha256, shown, write_json
from reproduce.intake.sources import Source
from reproduce.intake.transfer import Refused, Transfer, size_of

_readable = partial(tqdm.format_sizeof, suffix="B")


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """Sources by name, and the folder that their files are kept in, each under its source's `file`.

    `mirror`: a base URL or a folder (a copy of `folder`, say): every file is taken from `<mirror>/<file>` alone.
    """

    sources: Mapping[str, Source]
    folder: Path
    mirror: str | None = None

    def path(self, name: str) -> Path:
        """Where the file of the source `name` lies, or will lie."""
        return self.folder / self.sources[name].file

    def obtain(self, name: str) -> Path:
        """The verified file of the source `name`, which is fetched if it isn't there.

        The addresses are tried in order. A broken transfer is continued, in this call or in a later one, where the
        server supports ranges and still has the same file. Where no checksum is published, the file's SHA-256 is noted
        in `checksums.json` when the file is first used, and required from then on. Of two processes that want the same
        file, one fetches it and the other waits.

        ReproduceError if no address gives the file (with what each answered, and how to get the file by hand), if the
        file in the folder is another one (it is left there), and if the disk is full.
        """
        source, path = self.sources[name], self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            known, problem = self._known_hash(source), ""
            if not path.exists():
                self._fetch(source, path, known)
            elif is_web_page(path):
                problem = "is a web page, not the file"
            elif known is not None and not pooch.core.hash_matches(str(path), known):
                problem = f"is not the file that is expected: {self._mismatch(source, known, size_of(path))}"
            if problem:
                raise ReproduceError(f"{shown(path)} {problem}; delete it and run again, or {source.by_hand}")
            if known is None:
                self._note(source.file, sha256(path))
        return path

    def forget(self, name: str) -> None:
        """Drop the checksum that was noted when the file was first used: the file turned out to be unusable."""
        if self.sources[name].file in self._noted():
            self._note(self.sources[name].file, None)

    def announce(self, names: Sequence[str], *, profile: str = "", disk_gb: float | None = None) -> None:
        """Print to stderr how much of `names` is still to be fetched, if any, what `profile` needs, and what is free.

        ReproduceError if the files don't fit on the disk.
        """
        missing = [name for name in names if not self.path(name).exists()]
        if not missing:
            return
        wanted = sum(max(self.sources[name].bytes - size_of(_part(self.path(name))), 0) for name in missing)
        free = _free(self.folder)
        whole = "" if disk_gb is None else f"; the profile {profile} needs about {disk_gb:g} GB of disk in all"
        few = " (perhaps too few)" if disk_gb is not None and free < disk_gb * 1e9 else ""
        files = f"{len(missing)} file{'s' if len(missing) > 1 else ''}, {_readable(wanted)}"
        print(f"fetch: {files} to fetch{whole}; {_readable(free)} are free{few}", file=sys.stderr, flush=True)
        if wanted > free:
            raise ReproduceError(
                f"{_readable(wanted)} are to be fetched into {shown(self.folder)}, where {_readable(free)} are free: "
                "make room, or link that folder to a larger disk"
            )

    @property
    def _notes(self) -> Path:
        return self.folder / "checksums.json"

    def _noted(self) -> dict[str, str]:
        return read_json(self._notes) if self._notes.exists() else {}

    def _note(self, file: str, digest: str | None) -> None:
        with _locked(self._notes):
            known = self._noted() | {file: digest}
            write_json(self._notes, {key: value for key, value in sorted(known.items()) if value})

    def _known_hash(self, source: Source) -> str | None:
        """The published checksum, or the one noted at first use, in pooch's notation."""
        if source.md5 and not source.sha256:
            return f"md5:{source.md5}"
        digest = source.sha256 or self._noted().get(source.file)
        return f"sha256:{digest}" if digest else None

    def _mismatch(self, source: Source, known: str, size: int) -> str:
        noted = "" if source.sha256 or source.md5 else f", as noted in {shown(self._notes)} when it was first used"
        algorithm, _, digest = known.partition(":")
        return f"{size:,} bytes (about {source.bytes:,} are expected) whose {algorithm} is not {digest}{noted}"

    def _fetch(self, source: Source, path: Path, known: str | None) -> None:
        pooch.get_logger().setLevel("WARNING")  # it would report each file in several lines
        reasons = []
        for address in source.urls if self.mirror is None else (f"{self.mirror.rstrip('/')}/{source.file}",):
            transfer = Transfer(_part(path), verified=known is not None)
            try:
                pooch.retrieve(address, known, fname=path.name, path=path.parent, downloader=transfer)
                return
            except Refused as refusal:
                reasons.append(f"{address}: {refusal}")
            except ValueError:  # pooch found another checksum, and removed the file
                assert known is not None
                reasons.append(f"{address}: wrong checksum, removed: {self._mismatch(source, known, transfer.size)}")
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                raise ReproduceError(
                    f"the disk is full: {_readable(size_of(_part(path)))} of about {_readable(source.bytes)} of "
                    f"{shown(path)} have come; make room and run again to continue"
                ) from error
        reason = "; ".join(reasons) or "there is no address for it"
        raise ReproduceError(f"{source.description} could not be fetched ({reason}): {source.by_hand}")


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _free(folder: Path) -> int:
    """Bytes free where `folder` is or will be."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(existing).free


def _locked(path: Path) -> AbstractContextManager[None]:
    """Lock `path` against other processes; wait for one that holds it."""
    busy = f"waiting for another process that fetches {shown(path)}"
    return locked(path.with_name(f".{path.name}.lock"), busy=busy, wait=True)
