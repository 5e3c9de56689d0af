"""Decodes image files once: crops and resizes them into one uint8 array, which readers map.

Several processes decode a chunk of files at a time. An unfinished decode has a folder of its own, with the array so far
and a log with one line per chunk, so that it can be continued.
"""

import hashlib
import json
import math
import multiprocessing
import operator
import os
import shutil
import sys
import zlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features
from tqdm import tqdm

from reproduce.errors import ReproduceError, UserError
from reproduce.files import locked, read_array, shown
from reproduce.intake.image import Entry, Recipe, Source, open_archive, render_into, stamp_of, start_worker

_CHUNK_IMAGES, _CHUNK_BYTES = 32, 1 << 20
_QUEUED = 1000  # chunks that the pool is given at once; with tens of thousands it can hang (CPython's issue 105829)
_MAX_WORKERS = 8  # more would wait for the disk
_MAX_ZIP_WORKERS = 4  # each holds its own copy of the zip's directory: 100 MiB for CelebA's
_MAX_NAMED = 20

Task = partial[list[Entry]]  # decodes one chunk


def default_workers() -> int:
    """As many processes as this process may use cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MAX_WORKERS)


def label_array(sources: Sequence[Source]) -> np.ndarray:
    """The sources' labels, int64 `[n, K]`."""
    return np.array([source.labels for source in sources], np.int64)


@contextmanager
def decoded_images(
    sources: Sequence[Source], *, recipe: Recipe, work: Path, workers: int | None = None
) -> Iterator[tuple[np.ndarray, list[Entry]]]:
    """The pixels of all images, uint8 `[n, size, size, 3]`, mapped from the folder `work`, and what is known of each.

    `work` is removed when the block ends well. Until then, an interrupted decode continues where it was, unless the
    sources, their labels or the recipe have changed; a file that has changed since is decoded again. Interrupted or
    not, the result is the same, byte for byte. `workers`: the number of processes; 1 is this process.

    Raises:
        UserError: a file is missing, unreadable or refused, or a box lies outside its image. It names the file.
        ReproduceError: a worker died, or another process decodes the same.
    """
    if not sources:
        raise UserError("there are no images to decode")
    work.mkdir(parents=True, exist_ok=True)
    rows, log = work / "images.npy", work / f"{_fingerprint(sources, recipe)}.jsonl"
    with locked(work / "lock", busy=f"another process decodes into {shown(work)}: wait for it, or end it first"):
        entries = _resume(rows, log, sources, size=recipe.size)
        try:
            _decode_rest(rows, log, sources, recipe=recipe, entries=entries, workers=workers or default_workers())
        except BaseException:
            if not entries:
                shutil.rmtree(work)
            raise
        finally:
            open_archive.cache_clear()
        _report([(source.name, entry.note) for source, entry in zip(sources, entries, strict=True) if entry.note])
        yield read_array(rows, mapped=True), entries
        shutil.rmtree(work)


def _fingerprint(sources: Sequence[Source], recipe: Recipe) -> str:
    """A hash of all that an unfinished decode must share with another one to be continued by it."""
    digest = hashlib.sha256()
    for part in (recipe, pillow_version, features.version("libjpeg_turbo"), *sources):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def _resume(rows: Path, log: Path, sources: Sequence[Source], *, size: int) -> list[Entry]:
    """The entries of the images that are done; the log is cut to them.

    Nothing was synced to the disk, so a power cut may have kept the log and lost the pixels: their checksums show it.
    """
    if not (rows.exists() and log.exists()):
        for other in rows.parent.glob("*.jsonl"):
            other.unlink()
        rows.write_bytes(b"")
        log.touch()
    shape = (len(sources), size, size, 3)
    with rows.open("r+b") as file:  # header and size are right, whatever a crash has left
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        start = file.tell()
        file.truncate(start + math.prod(shape))
    pixels = np.memmap(rows, np.uint8, "r", start, shape)
    entries: list[Entry] = []
    kept = 0
    for line in log.read_bytes().splitlines(keepends=True):
        try:
            found = [Entry(*entry) for entry in json.loads(line)]
        except (ValueError, TypeError):  # a power cut may have damaged the line
            break
        at, end = len(entries), len(entries) + len(found)
        now = [(stamp_of(s), zlib.crc32(row)) for s, row in zip(sources[at:end], pixels[at:end], strict=True)]
        if not line.endswith(b"\n") or [(entry.stamp, entry.crc) for entry in found] != now:
            break
        entries += found
        kept += len(line)
    os.truncate(log, kept)
    return entries


def _decode_rest(
    rows: Path, log: Path, sources: Sequence[Source], *, recipe: Recipe, entries: list[Entry], workers: int
) -> None:
    """Decode what `entries` lacks, and add it there and to the log, chunk by chunk."""
    done, row_bytes = len(entries), recipe.size**2 * 3
    chunk = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // row_bytes))
    start = rows.stat().st_size - len(sources) * row_bytes
    tasks = [
        partial(render_into, rows, sources[at : at + chunk], recipe, offset=start + at * row_bytes)
        for at in range(done, len(sources), chunk)
    ]
    if any(source.root.suffix == ".zip" for source in sources):
        workers = min(workers, _MAX_ZIP_WORKERS)
    bar = tqdm(total=len(sources), initial=done, desc="decode", unit="image", disable=None)
    results = _decoded(tasks, min(workers, len(tasks)))
    with bar, closing(results), log.open("a", encoding="utf-8") as file:
        for part in results:
            file.write(json.dumps(part) + "\n")
            file.flush()
            entries += part
            bar.update(len(part))


def _decoded(tasks: Sequence[Task], workers: int) -> Generator[list[Entry], None, None]:
    """The tasks' results in order.

    The workers are processes and not threads, since a third of the time for an image is Python code in Pillow, which
    holds the GIL. They write their rows themselves: to send pixels here through a pipe would cost a tenth more.
    """
    if workers <= 1:
        yield from (task() for task in tasks)
        return
    # spawn: a fork would copy the locks of whatever threads torch has started
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker)
    try:
        for at in range(0, len(tasks), _QUEUED):
            yield from pool.map(operator.call, tasks[at : at + _QUEUED])
    except BrokenProcessPool as error:
        raise ReproduceError("a decoding process died (out of memory?): run the command again to continue") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _report(notes: Sequence[tuple[str, str]]) -> None:
    lines = [f"{name}: {note}" for name, note in notes[:_MAX_NAMED]]
    if len(notes) > _MAX_NAMED:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(note for _, note in notes).most_common())
        lines.append(f"{kinds} in all; the manifests name each one, in the column note")
    for line in lines:
        print(f"reproduce: warning: decode: {line}", file=sys.stderr)
