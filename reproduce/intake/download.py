"""Files from elsewhere: fetched once, continued where they broke off, and verified before anything reads them.

pooch checks the checksum and moves a file to its name; how the bytes come is told here: by HTTP, in pieces where the
server can (RFC 9110, sections 13 and 14), from Google Drive by gdown, or from a local folder.
"""

import errno
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch
import requests
from tqdm import tqdm

from reproduce.config import Source
from reproduce.errors import ReproduceError
from reproduce.files import is_web_page, locked, read_json, sha256, shown, write_json

_CHUNK = 2**16  # what a broken transfer may lose
_TIMEOUT = (20, 60)  # seconds: to connect, and between two pieces
_FRUITLESS = 4  # attempts in a row that got no further
_PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
_WEB_PAGE = "a web page came in place of the file, as where a download quota is used up or a login is asked for"


class _Refused(Exception):
    """This address won't give the file; another may."""


class _Cut(Exception):
    """The transfer broke off; it may be continued."""


@dataclass(frozen=True, kw_only=True)
class Downloads:
    """The files of `paper_configs/sources.yaml` by name, and where they are kept.

    Arguments:
        sources: what can be obtained.
        folder: where the files lie, each under its source's `file`.
        mirror: a base URL or a folder that takes the place of every address; see `obtain`.
    """

    sources: Mapping[str, Source]
    folder: Path
    mirror: str | None = None

    def path(self, name: str) -> Path:
        """Where the file of the source `name` lies, or will."""
        return self.folder / self.sources[name].file

    def obtain(self, name: str) -> Path:
        """The verified file of the source `name`; see `obtain`."""
        return obtain(self.sources[name], folder=self.folder, mirror=self.mirror)

    def forget(self, name: str) -> None:
        """Take back the checksum that was noted when the file was first used: it turned out to be unusable."""
        notes, file = self.folder / "checksums.json", self.sources[name].file
        if notes.exists():
            with _locked(notes):
                write_json(notes, {key: digest for key, digest in read_json(notes).items() if key != file})

    def announce(self, names: Sequence[str], *, profile: str = "", disk_gb: float | None = None) -> None:
        """Tell on stderr how much of `names` has to be fetched, what the `profile` needs in all and what is free.

        Nothing is said where nothing is missing.

        Raises:
            ReproduceError: the files won't fit on the disk.
        """
        missing = [name for name in names if not self.path(name).exists()]
        if not missing:
            return
        wanted = sum(max(self.sources[name].bytes - _size(_part(self.path(name))), 0) for name in missing)
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


def obtain(source: Source, *, folder: Path, mirror: str | None = None) -> Path:
    """`folder/<source.file>`, verified; fetched if it isn't there.

    The addresses are tried in order. A broken transfer is continued, in this call or in a later one, where the server
    supports ranges and still has the same file. Where no checksum is published, the file's SHA-256 is noted in
    `folder/checksums.json` when it is first used, and asked for ever after. Of two processes that want the same file
    one fetches and the other waits.

    Arguments:
        mirror: a base URL or a folder: the file is taken from `<mirror>/<source.file>` and from nowhere else. A copy
            of `folder` will do.

    Raises:
        ReproduceError: no address gave the file, with what each answered and how to get it by hand; a file in `folder`
            that isn't the right one, which is left there; a full disk.
    """
    path = folder / source.file
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path):
        known = _known_hash(source, folder)
        if path.exists():
            _check(path, source, known)
        else:
            _fetch(path, source, known, mirror)
        if known is None:
            _note(folder, source.file, sha256(path))
    return path


def _known_hash(source: Source, folder: Path) -> str | None:
    """As pooch writes it: the published checksum, or the one noted at first use."""
    if source.sha256:
        return f"sha256:{source.sha256}"
    if source.md5:
        return f"md5:{source.md5}"
    notes = folder / "checksums.json"
    noted = read_json(notes).get(source.file) if notes.exists() else None
    return f"sha256:{noted}" if noted else None


def _note(folder: Path, file: str, digest: str) -> None:
    notes = folder / "checksums.json"
    with _locked(notes):
        known = read_json(notes) if notes.exists() else {}
        write_json(notes, dict(sorted((known | {file: digest}).items())))


def _check(path: Path, source: Source, known: str | None) -> None:
    """A file that was there before, perhaps put there by hand."""
    if is_web_page(path):
        problem = "is a web page, not the file"
    elif known is not None and not pooch.core.hash_matches(str(path), known):
        problem = f"is not the file that is expected: {_mismatch(path.stat().st_size, source, known)}"
    else:
        return
    raise ReproduceError(f"{shown(path)} {problem}; delete it and run again, or {source.by_hand}")


def _mismatch(size: int, source: Source, known: str) -> str:
    noted = "" if source.sha256 or source.md5 else ", as noted in downloads/checksums.json when it was first used"
    algorithm, _, digest = known.partition(":")
    return f"{size:,} bytes (about {source.bytes:,} are expected) whose {algorithm} is not {digest}{noted}"


def _fetch(path: Path, source: Source, known: str | None, mirror: str | None) -> None:
    addresses = source.urls if mirror is None else (f"{mirror.rstrip('/')}/{source.file}",)
    reasons = []
    for address in addresses:
        transfer = _Transfer(_part(path), verified=known is not None)
        pooch.get_logger().setLevel("WARNING")  # it would report each file in several lines
        try:
            pooch.retrieve(address, known, fname=path.name, path=path.parent, downloader=transfer)
        except _Refused as refusal:
            reasons.append(f"{address}: {refusal}")
        except ValueError:  # so does pooch say that the checksum is another; it has removed the file
            assert known is not None
            reasons.append(f"{address}: wrong checksum, removed: {_mismatch(transfer.size, source, known)}")
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise ReproduceError(
                f"the disk is full: {_readable(_size(_part(path)))} of {shown(path)} (about {_readable(source.bytes)}) "
                "are there; make room and run again, which continues"
            ) from error
        else:
            return
    told = "; ".join(reasons) or "there is no address for it"
    raise ReproduceError(f"{source.description} could not be fetched ({told}): {source.by_hand}")


class _Transfer:
    """A downloader as pooch calls it: what `address` has, into a file beside the wanted one and then to `output`.

    The file and a note of what it is part of outlive a broken transfer.
    """

    def __init__(self, part: Path, *, verified: bool) -> None:
        self.part, self.state = part, part.with_name(f"{part.name}.json")
        self._verified = verified  # a checksum would tell a mixture of two versions
        self.size = 0

    def __call__(self, address: str, output: str, _pooch: Any) -> None:
        if re.match(r"https?://(drive|docs)\.google\.com/", address):
            self._from_google_drive(address)
        elif re.match(r"https?://", address):
            self._by_http(address)
        elif re.match(r"\w+:/", address):
            raise _Refused("neither http(s) nor a path")
        else:
            self._copy(address)
        page = is_web_page(self.part)
        self.size = self.part.stat().st_size
        self.state.unlink(missing_ok=True)
        if page:
            self.part.unlink()
            raise _Refused(_WEB_PAGE)
        os.replace(self.part, output)

    def _copy(self, path: str) -> None:
        try:
            shutil.copyfile(Path(path).expanduser(), self.part)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, RuntimeError):  # the last: no such ~user
            raise _Refused("there is no such file") from None

    def _from_google_drive(self, address: str) -> None:
        import gdown

        # gdown keeps the unfinished file beside, under a name of its own, and continues it
        self.part.unlink(missing_ok=True)
        try:
            gdown.download(
                address,
                str(self.part),
                resume=True,
                retries=_FRUITLESS,
                timeout=_TIMEOUT,
                quiet=not sys.stderr.isatty(),
                use_cookies=False,
            )
        except (gdown.exceptions.DownloadError, requests.RequestException) as error:
            raise _Refused(f"Google Drive: {_brief(error)}") from error

    def _by_http(self, address: str) -> None:
        furthest, fruitless = _size(self.part), 0
        while True:
            try:
                return self._continue(address)
            except _Cut as cut:
                reached = _size(self.part)
                fruitless = 0 if reached > furthest else fruitless + 1
                furthest = max(furthest, reached)
                if fruitless == _FRUITLESS:
                    raise _Refused(f"{cut} ({_FRUITLESS} times)") from cut
                time.sleep(_PAUSE * 2**fruitless)

    def _continue(self, address: str) -> None:
        """One request for what is missing. What is there is kept only where the answer shows that it belongs to it."""
        state = read_json(self.state) if self.state.exists() else {}
        same = state.get("address") == address and bool(state.get("validator") or self._verified)
        have = _size(self.part) if same else 0
        if have and have == state["total"]:
            return
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if state["validator"]:
                headers["If-Range"] = state["validator"]
        try:
            with requests.get(address, headers=headers, stream=True, timeout=_TIMEOUT) as response:
                start, total = self._place(response, have, state)
                new = {"address": address, "validator": _validator(response), "total": total}
                if not start:
                    self.part.unlink(missing_ok=True)  # before the note of what it is part of changes
                if new != state:
                    write_json(self.state, new)
                self._receive(response, start, total)
        except requests.RequestException as error:
            raise _Cut(_brief(error)) from error
        if total is not None and (reached := _size(self.part)) != total:
            raise _Cut(f"cut off at {reached:,} of {total:,} bytes")

    def _place(self, response: requests.Response, have: int, state: Mapping[str, Any]) -> tuple[int, int | None]:
        """Where in the file the answer begins, and the file's size if it is told."""
        status = response.status_code
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if match and (int(match[1]), _validator(response)) == (have, state["validator"]):
                total = int(match[2])
                if state["total"] in (None, total):
                    return have, total
            raise self._forgotten("the file has changed")
        if status == 416:
            raise self._forgotten("the file has become shorter")
        if status in (408, 429) or status >= 500:
            raise _Cut(f"the server is busy or broken (HTTP {status})")
        if status in (404, 410):
            raise _Refused(f"dead link (HTTP {status})")
        if status != 200:
            raise _Refused(f"the server refused (HTTP {status})")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise _Refused(_WEB_PAGE)
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None

    def _forgotten(self, reason: str) -> _Cut:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        return _Cut(reason)

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        name = self.part.name.removeprefix(".").removesuffix(".part")
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None) as bar,
        ):
            for piece in response.iter_content(_CHUNK):
                file.write(piece)
                bar.update(len(piece))


def _validator(response: requests.Response) -> str | None:
    """What tells this version of the file from another; a weak ETag doesn't tell its bytes."""
    etag = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")


def _brief(error: Exception) -> str:
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut"
    if isinstance(error, requests.ConnectionError):
        return "no connection to the server; is there a network?"
    return " ".join(str(error).split())[:200] or type(error).__name__


def _part(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _free(folder: Path) -> int:
    """Bytes free where `folder` is or will be."""
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    return shutil.disk_usage(existing).free


def _readable(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB" if size < 999.5 else f"{size:.0f} GB"


def _locked(path: Path) -> AbstractContextManager[None]:
    """Hold `path` against other processes, waiting for one that holds it."""
    busy = f"waiting for another process that fetches {shown(path)}"
    return locked(path.with_name(f".{path.name}.lock"), busy=busy, wait=True)
