"""Files that appear under their name whole or not at all."""

import hashlib
import json
import os
import secrets
import shutil
import sys
import tokenize
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from reproduce.errors import MissingFileError, ReproduceError

if TYPE_CHECKING:  # the processes that decode images import this module, and need no numpy
    import numpy as np


def shown(path: Path) -> str:
    """The path as messages show it: relative to the current folder where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, which becomes `path` when the block ends well and is removed when it doesn't."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # some writers make it readable for its owner alone
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(lock: Path, *, busy: str, wait: bool = False) -> Iterator[None]:
    """Hold the file `lock` against other processes. The file may remain: it blocks no one once no process holds it.

    `busy` says what the process that holds it is doing. With `wait`, `busy` goes to stderr and the lock is waited for.

    Raises:
        ReproduceError: the lock is held and `wait` is false, or the file system has no locks.
    """
    held = FileLock(lock)
    try:
        try:
            held.acquire(blocking=False)
        except Timeout:
            if not wait:
                raise ReproduceError(busy) from None
            print(busy, file=sys.stderr, flush=True)
            held.acquire()
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or "no file locks here"
        raise ReproduceError(
            f"{shown(lock)} cannot be locked ({reason}): move or link that folder to a disk where files can be locked"
        ) from error
    try:
        yield
    finally:
        held.release()


def copy(source: Path, target: Path) -> None:
    """Copy a file's content."""
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 with Unix line ends."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write JSON with the keys in their order; ValueError for NaN, which JSON does not have."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what a missing or damaged file raises into one line that names it."""
    try:
        yield
    except FileNotFoundError:
        raise MissingFileError(f"{shown(path)} does not exist") from None
    except (ValueError, EOFError, KeyError, NotImplementedError, tokenize.TokenError, zipfile.BadZipFile) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MissingFileError(f"{shown(path)} is damaged ({reason}) and must be deleted") from None


def read_json(path: Path) -> Any:
    """What `write_json` wrote; ReproduceError for a missing or damaged file, as for the readers below."""
    with _reading(path):
        return json.loads(path.read_text(encoding="utf-8"))


def read_array(path: Path, *, mapped: bool = False) -> "np.ndarray":
    """What `write_array` wrote, in memory or mapped from disk, read-only."""
    import numpy as np

    with _reading(path):
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)


def read_arrays(path: Path) -> "dict[str, np.ndarray]":
    """What `write_arrays` wrote."""
    import numpy as np

    with _reading(path), np.load(path, allow_pickle=False) as file:
        return dict(file)


def write_array(path: Path, array: "np.ndarray") -> None:
    """Write one array as .npy, which a reader can map instead of load."""
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def write_arrays(path: Path, arrays: "Mapping[str, np.ndarray]") -> None:
    """Write named arrays as .npz; equal arrays give equal bytes."""
    import numpy as np

    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def sha256(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_web_page(path: Path) -> bool:
    """Whether the file is a web page, as servers send in place of a file that they refuse."""
    with path.open("rb") as file:
        start = file.read(1024).lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")) or b"<html" in start
