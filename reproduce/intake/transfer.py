"""Fetches one file by HTTP, from Google Drive, or from a path.

HTTP is our own code (RFC 9110, sections 13 and 14), since pooch's downloader and urllib3's Retry start a broken
transfer from the beginning, and CelebA has 1.4 GB.
"""

import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from reproduce.files import is_web_page, read_json, write_json

_CHUNK = 2**16  # bytes that a broken transfer may lose
_TIMEOUT = (20, 60)  # seconds: to connect, and between two chunks
_FRUITLESS = 4  # attempts in a row that got no further
_PAUSE = 1.0  # seconds before the second attempt, doubled before each further one
_WEB_PAGE = "a web page came in place of the file; perhaps a download quota is used up, or a login is needed"


class Refused(Exception):
    """This address doesn't give the file; another may."""


class _Cut(Exception):
    """The transfer broke off; it may be continued."""


class Transfer:
    """A downloader as pooch calls it: it fetches an address into `part`, which becomes the output when it is whole.

    When a transfer breaks, `part` stays, and a JSON file beside it that says what it is a part of; a later one
    continues there. `verified`: the file's checksum is known, so that a mixture of two versions would be noticed.
    """

    def __init__(self, part: Path, *, verified: bool) -> None:
        self.part, self.state = part, part.with_name(f"{part.name}.json")
        self.size = 0  # of the last file that came, in bytes
        self._verified = verified

    def __call__(self, address: str, output: str, _pooch: Any) -> None:
        if re.match(r"https?://(drive|docs)\.google\.com/", address):
            self._from_google_drive(address)
        elif re.match(r"https?://", address):
            self._by_http(address)
        elif re.match(r"\w+:/", address):
            raise Refused("the address is neither http(s) nor a path")
        else:
            self._copy(address)
        self.size = size_of(self.part)
        self.state.unlink(missing_ok=True)
        if is_web_page(self.part):
            self.part.unlink()
            raise Refused(_WEB_PAGE)
        os.replace(self.part, output)

    def _copy(self, path: str) -> None:
        try:
            shutil.copyfile(Path(path).expanduser(), self.part)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, RuntimeError):  # the last: no such ~user
            raise Refused("there is no such file") from None

    def _from_google_drive(self, address: str) -> None:
        import gdown

        self.part.unlink(missing_ok=True)  # gdown keeps an unfinished file under another name, and continues that
        download = partial(gdown.download, resume=True, retries=_FRUITLESS, timeout=_TIMEOUT, use_cookies=False)
        try:
            download(address, str(self.part), quiet=not sys.stderr.isatty())
        except (gdown.exceptions.DownloadError, requests.RequestException) as error:
            raise Refused(f"Google Drive: {_brief(error)}") from error

    def _by_http(self, address: str) -> None:
        furthest, fruitless = size_of(self.part), 0
        while True:
            try:
                return self._continue(address)
            except _Cut as cut:
                reached = size_of(self.part)
                fruitless = 0 if reached > furthest else fruitless + 1
                furthest = max(furthest, reached)
                if fruitless == _FRUITLESS:
                    raise Refused(f"{cut} ({_FRUITLESS} times)") from cut
                time.sleep(_PAUSE * 2**fruitless)

    def _continue(self, address: str) -> None:
        """Ask once for what is missing; keep the part only if the answer shows that it belongs to the same file."""
        state = read_json(self.state) if self.state.exists() else {}
        same = state.get("address") == address and bool(state.get("validator") or self._verified)
        have = size_of(self.part) if same else 0
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
                if not start:  # the old part goes first: the JSON file is about to describe the new one
                    self.part.unlink(missing_ok=True)
                if new != state:
                    write_json(self.state, new)
                self._receive(response, start, total)
        except requests.RequestException as error:
            raise _Cut(_brief(error)) from error
        if total is not None and (reached := size_of(self.part)) != total:
            raise _Cut(f"cut off at {reached:,} of {total:,} bytes")

    def _place(self, response: requests.Response, have: int, state: Mapping[str, Any]) -> tuple[int, int | None]:
        """The position in the file where the answer begins, and the file's size where the server gives it."""
        status = response.status_code
        if status == 206:
            match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", response.headers.get("Content-Range", ""))
            if match and (int(match[1]), _validator(response)) == (have, state.get("validator")):
                total = int(match[2])
                if state.get("total") in (None, total):
                    return have, total
        if status in (206, 416):  # another part, or none
            self.part.unlink(missing_ok=True)
            self.state.unlink(missing_ok=True)
            raise _Cut("the file has changed")
        if status in (408, 429) or status >= 500:
            raise _Cut(f"the server is busy or broken (HTTP {status})")
        if status != 200:
            raise Refused(f"{'dead link' if status in (404, 410) else 'the server refused'} (HTTP {status})")
        if response.headers.get("Content-Type", "").startswith("text/html"):
            raise Refused(_WEB_PAGE)
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        name = self.part.name.removeprefix(".").removesuffix(".part")
        with (
            self.part.open("ab" if start else "wb") as file,
            tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None) as bar,
        ):
            for chunk in response.iter_content(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))


def size_of(path: Path) -> int:
    """The file's size in bytes; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def _validator(response: requests.Response) -> str | None:
    """What tells this version of the file from others; a weak ETag can be that of other bytes."""
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
