"""Image files, decoded once: cropped, resized and put into one uint8 array that readers map, beside a manifest.

The sources are decoded a chunk at a time, in several processes. An unfinished decode is a folder of its own with the
array so far and a log with one line per chunk. So the memory needed doesn't grow with the number of images, an
interrupted decode continues, and the final names appear when everything is whole.
"""

import csv
import hashlib
import json
import multiprocessing
import os
import shutil
import sys
import zlib
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import __version__ as pillow_version
from PIL import features
from tqdm import tqdm

from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path, locked, shown
from reproduce.intake.image import Entry, Recipe, Source, close_archives, render_into, stamp_of, start_worker

_CHUNK_IMAGES, _CHUNK_BYTES = 32, 1 << 20
_QUEUED = 4  # chunks for each process: enough that none waits
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


def decode_images(
    sources: Sequence[Source],
    *,
    folder: Path,
    name: str,
    recipe: Recipe,
    label_names: Sequence[str],
    workers: int | None = None,
    title: str = "decode",
    work: Path | None = None,
) -> None:
    """Write `folder/<name>_images.npy`, uint8 `[n, size, size, 3]`, and `folder/<name>_manifest.csv`.

    The array is plain .npy, for `np.load(mmap_mode="r")`. The manifest has one row per image, in the order of
    `sources`: `name`, one column per label, `sha256` of the source file's bytes, and `note`: empty, or what was
    converted. An interrupted decode continues where it was, unless the sources, their labels or the recipe have
    changed; a file that has changed since is decoded again. Interrupted or not, the result is the same, byte for byte.

    Arguments:
        sources: the images. The memory that grows with their number is about 0.4 kB for each.
        label_names: the names of the sources' labels.
        workers: the number of processes; by default as many as there are cores. For 1, it is this process.
        title: the name of the progress bar.
        work: a folder for the unfinished decode alone; by default `folder/.<name>.partial`.

    Raises:
        UserError: a file is missing, unreadable or refused, or a box lies outside its image. It names the file.
        ReproduceError: a worker died, or another process decodes the same.
    """
    if not sources:
        raise UserError(f"{title}: there are no images to decode")
    if any(len(source.labels) != len(label_names) for source in sources):
        raise UserError(f"{title}: every image needs the {len(label_names)} labels {', '.join(label_names)}")
    unfinished = _Unfinished(folder / f".{name}.partial" if work is None else work, sources, recipe, label_names)
    workers = min(workers or default_workers(), -(-len(sources) // unfinished.chunk))
    if any(source.root.suffix == ".zip" for source in sources):
        workers = min(workers, _MAX_ZIP_WORKERS)
    manifest = folder / f"{name}_manifest.csv"
    with unfinished.locked():
        try:
            done = unfinished.resume()
            bar = tqdm(total=len(sources), initial=done, desc=title, unit="image", disable=None)
            tasks = unfinished.tasks(done)
            with bar, closing(_decoded(tasks, workers)) as results, unfinished.log.open("a", encoding="utf-8") as log:
                for entries in results:
                    log.write(json.dumps(entries) + "\n")
                    log.flush()
                    bar.update(len(entries))
        finally:
            close_archives()
        notes = unfinished.publish(images=folder / f"{name}_images.npy", manifest=manifest)
        shutil.rmtree(unfinished.folder)
    _report(notes, title, manifest)


@dataclass(frozen=True)
class _Unfinished:
    """A decode under way: the array `rows`, and the `log`: a fingerprint, then the entries of each finished chunk.

    An entry has a checksum of its row, so nothing has to be synced on the way: what a power cut leaves is checked.
    """

    folder: Path
    sources: Sequence[Source]
    recipe: Recipe
    label_names: Sequence[str]

    @property
    def rows(self) -> Path:
        return self.folder / "images.npy"

    @property
    def log(self) -> Path:
        return self.folder / "log.jsonl"

    @property
    def row_bytes(self) -> int:
        return self.recipe.size**2 * 3

    @property
    def chunk(self) -> int:
        """How many images are decoded at once."""
        return max(1, min(_CHUNK_IMAGES, _CHUNK_BYTES // self.row_bytes))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the same rows; remove the folder where nothing was decoded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        busy = f"another process decodes into {shown(self.folder)}: wait for it, or end it first"
        with locked(self.folder / "lock", busy=busy):
            try:
                yield
            except BaseException:
                if sum(1 for _ in self._lines()) < 2:
                    shutil.rmtree(self.folder)
                raise

    def _lines(self) -> Iterator[bytes]:
        """The log's whole lines; a crash may have left a torn one."""
        if self.log.exists():
            with self.log.open("rb") as file:
                yield from (line for line in file if line.endswith(b"\n"))

    def _fingerprint(self) -> str:
        """A hash of all that an unfinished decode must share with another one to be continued by it."""
        versions = (pillow_version, features.version("libjpeg_turbo"))
        digest = hashlib.sha256(repr((self.recipe, tuple(self.label_names), versions)).encode())
        roots: dict[Path, str] = {}
        for source in self.sources:
            root = roots.setdefault(source.root, str(source.root.absolute()))
            digest.update(repr((root, source.name, source.labels, source.crop)).encode())
        return digest.hexdigest()

    def _first_line(self, fingerprint: str) -> bytes:
        """With the size of the array's file, which a crash may have left too short."""
        return json.dumps({"fingerprint": fingerprint, "bytes": self.rows.stat().st_size}).encode() + b"\n"

    def resume(self) -> int:
        """How many images are done; the log is cut to them. Where none can be kept, everything begins anew."""
        fingerprint, lines = self._fingerprint(), self._lines()
        if not self.rows.exists() or next(lines, b"") != self._first_line(fingerprint):
            shape = (len(self.sources), self.recipe.size, self.recipe.size, 3)
            np.lib.format.open_memmap(self.rows, "w+", np.uint8, shape)  # sparse, until rows are written
            self.log.write_bytes(self._first_line(fingerprint))
            return 0
        rows = np.load(self.rows, mmap_mode="r")
        done, kept = 0, len(self._first_line(fingerprint))
        for line in lines:
            entries = [Entry(*entry) for entry in json.loads(line)]
            for source, row, entry in zip(self.sources[done:], rows[done:], entries, strict=False):
                if (stamp_of(source), zlib.crc32(row)) != (entry.stamp, entry.crc):
                    os.truncate(self.log, kept)
                    return done
            done, kept = done + len(entries), kept + len(line)
        os.truncate(self.log, kept)
        return done

    def tasks(self, done: int) -> Iterator[Task]:
        """What decodes the chunks that follow the first `done` images."""
        start = self.rows.stat().st_size - len(self.sources) * self.row_bytes
        for at in range(done, len(self.sources), self.chunk):
            offset = start + at * self.row_bytes
            yield partial(render_into, self.rows, self.sources[at : at + self.chunk], self.recipe, offset=offset)

    def publish(self, *, images: Path, manifest: Path) -> list[tuple[str, str]]:
        """Give the files their final names, and return the notes.

        The manifest comes last and an older one goes first: where there is one, both files are whole.
        """
        lines = self._lines()
        next(lines)
        entries = (Entry(*entry) for line in lines for entry in json.loads(line))
        notes = []
        with atomic_path(manifest) as temporary:
            with temporary.open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["name", *self.label_names, "sha256", "note"])
                for source, entry in zip(self.sources, entries, strict=True):
                    writer.writerow([source.name, *source.labels, entry.sha256, entry.note])
                    if entry.note:
                        notes.append((source.name, entry.note))
            manifest.unlink(missing_ok=True)
            with self.rows.open("rb+") as rows:
                os.fsync(rows.fileno())
            shutil.move(self.rows, images)
        return notes


def _decoded(tasks: Iterable[Task], workers: int) -> Generator[list[Entry], None, None]:
    """The tasks' results in order.

    The workers are processes and not threads, since a third of an image's time is Pillow's Python, under one lock. They
    write their rows themselves: to send pixels here through a pipe would cost a tenth more.
    """
    if workers == 1:
        yield from (task() for task in tasks)
        return
    # spawn: a fork would copy the locks of whatever threads torch has started
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=start_worker)
    pending: deque[Future[list[Entry]]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(task))
            if len(pending) > _QUEUED * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise ReproduceError("a decoding process died (out of memory?): run the command again to continue") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _report(notes: Sequence[tuple[str, str]], title: str, manifest: Path) -> None:
    lines = [f"{name}: {note}" for name, note in notes[:_MAX_NAMED]]
    if len(notes) > _MAX_NAMED:
        kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(note for _, note in notes).most_common())
        lines.append(f"{kinds} in all; each is named in {shown(manifest)}, column note")
    for line in lines:
        print(f"reproduce: warning: {title}: {line}", file=sys.stderr)
