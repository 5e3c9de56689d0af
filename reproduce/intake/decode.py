"""Image files, decoded once: cropped, resized and laid into one uint8 array that readers map, beside a manifest.

The decode goes through the sources in order, a chunk at a time, in several processes. What is done stands in a
folder of its own: the rows so far, and a log with one line a chunk. So the memory needed doesn't grow with the number
of images, an interrupted decode continues, and the final names appear when all is whole.
"""

import csv
import errno
import hashlib
import io
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features
from tqdm import tqdm

from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, locked, shown
from reproduce.intake.image import OnUnusable, Recipe, Source, close_archives, render_into, stamp_of, start_worker

_CHUNK_IMAGES, _CHUNK_BYTES = 32, 1 << 20
_QUEUED = 3  # tasks for each other process: enough that none waits while this one decodes
_SYNC_SECONDS = 0.25  # often, so that little is left to wait for in the end
_MAX_WORKERS = 8  # more would wait for the disk
_MAX_ZIP_WORKERS = 4  # each holds its own copy of the zip's directory: 100 MiB for CelebA's
_MAX_NAMED = 20

Entries = list[tuple[str, str, str]]  # SHA-256, stamp and note of each image of a chunk
Task = tuple[Path, int, Sequence[Source], Recipe]  # the arguments of render_into


def default_workers() -> int:
    """As many processes as this process may use cores, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MAX_WORKERS)


def label_array(sources: Sequence[Source]) -> np.ndarray:
    """The sources' labels, int64 `[n, K]`."""
    return np.array([source.labels for source in sources], np.int64)


def decode_images(
    sources: Sequence[Source],
    *,
    folder: Path,
    name: str,
    size: int,
    label_names: Sequence[str],
    on_unusable: OnUnusable,
    antialias: bool = True,
    workers: int | None = None,
    title: str = "decode",
    work: Path | None = None,
) -> None:
    """Write `folder/<name>_images.npy`, uint8 `[n, size, size, 3]`, and `folder/<name>_manifest.csv`.

    The array is plain .npy, for `np.load(mmap_mode="r")`. The manifest has one row an image, in the order of `sources`:
    `name`, one column a label, `sha256` of the source file's bytes, and `note`: empty, or what was converted.
    An interrupted decode continues where it was, unless a source, its crop or an argument that decides the result has
    changed; a file that changed since is decoded again. Interrupted or not, the result is the same, byte for byte.

    Arguments:
        sources: the images; about 0.4 kB each is all the memory that grows with their number.
        label_names: the names of the sources' labels.
        on_unusable: a file that is truncated or isn't RGB (grey, palette, CMYK, transparent) is refused by name, or
            converted and reported by name: a truncated one keeps what there is, transparency is dropped.
        antialias: see `reproduce.intake.image.resized`.
        workers: processes, this one among them; by default as many as there are cores.
        title: what the progress bar is called.
        work: a folder of its own for the unfinished decode; by default `folder/.<name>.partial`.

    Raises:
        UserError: a file is missing, unreadable or refused, or a box lies outside its image. It names the file.
        ReproduceError: a worker died, or another process decodes the same.
    """
    if not sources:
        raise UserError(f"{title}: there are no images to decode")
    if any(len(source.labels) != len(label_names) for source in sources):
        raise UserError(f"{title}: every image needs the {len(label_names)} labels {', '.join(label_names)}")
    recipe = Recipe(size=size, antialias=antialias, convert=on_unusable == "convert")
    work = folder / f".{name}.partial" if work is None else work
    chunk = max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (size * size * 3)))
    workers = min(workers or default_workers(), -(-len(sources) // chunk))
    if any(source.root.suffix == ".zip" for source in sources):
        workers = min(workers, _MAX_ZIP_WORKERS)
    images, manifest = folder / f"{name}_images.npy", folder / f"{name}_manifest.csv"
    with _locked(work), _processes(workers - 1) as pool:
        rows, log = work / "images.npy", work / "log.jsonl"
        try:
            done, start = _resume(rows, log, sources, recipe, label_names)
            tasks = (
                (rows, start + at * size * size * 3, sources[at : at + chunk], recipe)
                for at in range(done, len(sources), chunk)
            )
            bar = tqdm(total=len(sources), initial=done, desc=title, unit="image", disable=None)
            with bar, closing(_decoded(tasks, pool, workers - 1)) as results:
                _record(results, rows, log, bar)
        finally:
            close_archives()
        notes = _publish(rows, log, sources, images, manifest, label_names)
        shutil.rmtree(work)
    _report(notes, title, manifest)


def _record(results: Iterator[Entries], rows: Path, log: Path, bar: "tqdm[Any]") -> None:
    """Rows to the disk first, then the log lines that vouch for them: also a power cut leaves no line without rows."""
    waiting: list[bytes] = []
    last = time.monotonic()
    # in a thread, since this process decodes as well
    with rows.open("r+b") as images, log.open("ab") as lines, ThreadPoolExecutor(1) as disk:

        def sync(done: list[bytes]) -> None:
            os.fsync(images.fileno())
            lines.writelines(done)
            lines.flush()
            os.fsync(lines.fileno())

        syncing = disk.submit(sync, [])
        try:
            for entries in results:
                waiting.append(json.dumps(entries).encode() + b"\n")
                if time.monotonic() - last > _SYNC_SECONDS and syncing.done():
                    syncing.result()  # a full disk ends it here
                    syncing, waiting = disk.submit(sync, waiting), []
                    last = time.monotonic()
                bar.update(len(entries))
        finally:
            syncing.result()
            sync(waiting)


@contextmanager
def _processes(n: int) -> Iterator[ProcessPoolExecutor | None]:
    """`n` processes that decode, started at once, since that takes as long as some hundred images; None for none."""
    if not n:
        yield None
        return
    # spawn: a fork would copy the locks of whatever threads torch has started
    pool = ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), initializer=start_worker)
    try:
        for _ in range(n):
            pool.submit(int)
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(tasks: Iterable[Task], pool: ProcessPoolExecutor | None, others: int) -> Generator[Entries, None, None]:
    """The tasks' results in order, from this process and the `others` of the `pool`.

    Processes and not threads, since a third of an image's time is Pillow's Python, under one lock. They write their
    rows themselves: pixels sent here through a pipe would cost a tenth more. This process decodes as well, at first
    alone while the others start.
    """
    pending: deque[Future[Entries]] = deque()
    theirs: deque[Future[Entries]] = deque()
    try:
        for task in tasks:
            while theirs and theirs[0].done():
                theirs.popleft()
            if pool is not None and len(theirs) < _QUEUED * others:
                theirs.append(pool.submit(render_into, *task))
                pending.append(theirs[-1])
            else:
                pending.append(_here(task))
            while pending and pending[0].done():
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise ReproduceError("a decoding process died (out of memory?): run the command again to continue") from error


def _here(task: Task) -> "Future[Entries]":
    """Decoded in this process; a refusal waits for its turn, so that of several the first file is named."""
    future: Future[Entries] = Future()
    try:
        future.set_result(render_into(*task))
    except Exception as error:
        future.set_exception(error)
    return future


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Keep a second process from writing the same rows; an attempt that got nowhere leaves no folder."""
    work.mkdir(parents=True, exist_ok=True)
    busy = f"another process decodes into {shown(work)}: wait for it, or end it first"
    with locked(work / "lock", busy=busy):
        try:
            yield
        except BaseException:
            log = work / "log.jsonl"
            if not log.exists() or next(_entries(log), None) is None:
                shutil.rmtree(work)
            raise


def _fingerprint(sources: Sequence[Source], recipe: Recipe, label_names: Sequence[str]) -> str:
    """What an unfinished decode must have been made from, to be continued."""
    digest = hashlib.sha256(
        repr((recipe, tuple(label_names), pillow_version, features.version("libjpeg_turbo"))).encode()
    )
    roots: dict[Path, str] = {}
    for source in sources:
        root = roots.setdefault(source.root, str(source.root.absolute()))
        digest.update(repr((root, source.name, source.labels, source.crop)).encode())
    return digest.hexdigest()


def _first_line(log: Path) -> bytes:
    with log.open("rb") as file:
        return file.readline()


def _entries(log: Path) -> Iterator[tuple[bytes, list[tuple[str, str, str]]]]:
    """The log's whole lines after the first, and what they say."""
    with log.open("rb") as file:
        file.readline()
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield line, json.loads(line)


def _resume(
    rows: Path, log: Path, sources: Sequence[Source], recipe: Recipe, label_names: Sequence[str]
) -> tuple[int, int]:
    """How many images are done, both files cut to just that; and where in the file the first image begins."""
    header = io.BytesIO()
    shape = (len(sources), recipe.size, recipe.size, 3)
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
    first = json.dumps({"fingerprint": _fingerprint(sources, recipe, label_names)}).encode() + b"\n"
    start, row_bytes = len(header.getvalue()), recipe.size * recipe.size * 3
    if not (rows.exists() and log.exists() and _first_line(log) == first):
        rows.write_bytes(header.getvalue())
        log.write_bytes(first)
        return 0, start
    room = (rows.stat().st_size - start) // row_bytes
    done, kept = 0, len(first)
    for line, entries in _entries(log):
        part = sources[done : done + len(entries)]
        unchanged = all(stamp_of(source) == stamp for source, (_, stamp, _) in zip(part, entries, strict=True))
        if done + len(entries) > room or not unchanged:
            break
        done, kept = done + len(entries), kept + len(line)
    os.truncate(rows, start + done * row_bytes)
    os.truncate(log, kept)
    return done, start


def _publish(
    rows: Path, log: Path, sources: Sequence[Source], images: Path, manifest: Path, label_names: Sequence[str]
) -> list[tuple[str, str]]:
    """The final names. The manifest comes last and an older one goes first: where it stands, both are whole."""
    notes = []
    with atomic_path(manifest) as temporary:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["name", *label_names, "sha256", "note"])
            remaining = iter(sources)
            for _, entries in _entries(log):
                for (digest, _, note), source in zip(entries, remaining, strict=False):
                    writer.writerow([source.name, *source.labels, digest, note])
                    if note:
                        notes.append((source.name, note))
        manifest.unlink(missing_ok=True)
        try:
            os.replace(rows, images)
        except OSError as error:
            if error.errno != errno.EXDEV:  # `work` on another disk
                raise
            with atomic_path(images) as copy:
                shutil.copyfile(rows, copy)
    return notes


def _report(notes: Sequence[tuple[str, str]], title: str, manifest: Path) -> None:
    for name, note in notes[:_MAX_NAMED]:
        print(f"reproduce: warning: {title}: {name}: {note}", file=sys.stderr)
    if len(notes) > _MAX_NAMED:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(note for _, note in notes).most_common())
        print(
            f"reproduce: warning: {title}: {kinds} in all; each is named in {shown(manifest)}, column note",
            file=sys.stderr,
        )
