"""Decoded images: geometry against a closed form, interruption, memory, and files that aren't what they should be."""

import hashlib
import io
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from reproduce.errors import ReproduceError, UserError
from reproduce.intake import decode
from reproduce.intake.decode import decoded_images, default_workers, label_array
from reproduce.intake.image import CentreCrop, Crop, Recipe, Source, SquareCrop, render, render_into

CELEBA = CentreCrop(160, 178)
N = 20
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc on this system")


def gradient(width: int, height: int, step: int = 1) -> Image.Image:
    """Red grows by `step` a column, green by `step` a row; linear, so that any bilinear mean is the centre's value."""
    x, y = np.meshgrid(step * np.arange(width), step * np.arange(height))
    return Image.fromarray(np.stack([x, y, 0 * x + 7], -1).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def rendered(data: bytes, *, size: int, crop: Crop, antialias: bool = True, convert: bool = False) -> np.ndarray:
    source = Source(Path("folder"), "image", (), crop)
    pixels, note = render(data, source, Recipe(size, "convert" if convert else "refuse", antialias))
    assert bool(note) == convert
    return np.frombuffer(pixels, np.uint8).reshape(size, size, 3)


def write_images(folder: Path, n: int = N, *, size: tuple[int, int] = (12, 16)) -> list[Source]:
    """`n` different small JPEG files, and their sources with two labels."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (n, size[1], size[0], 3), np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"{i:04d}.jpg", quality=90)
    return [Source(folder, f"{i:04d}.jpg", (i % 2, i % 3), SquareCrop()) for i in range(n)]


class Decoded(NamedTuple):
    images: np.ndarray
    entries: list[tuple[str, str]]  # of each image: its file's SHA-256, and the note


def run(sources: Sequence[Source], work: Path, *, workers: int = 1, **options: Any) -> Decoded:
    recipe = Recipe(**{"size": 8, "on_unusable": "refuse"} | options)
    with decoded_images(sources, recipe=recipe, work=work, workers=workers) as (images, entries):
        assert isinstance(images, np.memmap)
        assert (images.shape, images.dtype) == ((len(sources), recipe.size, recipe.size, 3), np.uint8)
        result = Decoded(np.array(images), [(entry.sha256, entry.note) for entry in entries])
    assert not work.exists()
    return result


def same(one: Decoded, other: Decoded) -> bool:
    return np.array_equal(one.images, other.images) and one.entries == other.entries


def log_in(work: Path) -> Path:
    """The log of the unfinished decode in `work`."""
    (log,) = work.glob("*.jsonl")
    return log


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "_CHUNK_IMAGES", 3)


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch, small_chunks: None) -> Callable[..., None]:
    """Decode until the fourth chunk begins, then Ctrl-C."""

    def interrupted(sources: Sequence[Source], folder: Path, **options: Any) -> None:
        calls: list[int] = []

        def stop(file: Path, part: Sequence[Source], recipe: Recipe, *, offset: int) -> Any:
            calls.append(len(part))
            if len(calls) == 4:
                raise KeyboardInterrupt
            return render_into(file, part, recipe, offset=offset)

        with monkeypatch.context() as patch:
            patch.setattr(decode, "render_into", stop)
            with pytest.raises(KeyboardInterrupt):
                run(sources, folder, **options)

    return interrupted


@pytest.fixture
def decoded_names(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the sources that are decoded from here on."""
    names: list[str] = []

    def note(file: Path, part: Sequence[Source], recipe: Recipe, *, offset: int) -> Any:
        names.extend(source.name for source in part)
        return render_into(file, part, recipe, offset=offset)

    monkeypatch.setattr(decode, "render_into", note)
    return names


# --- geometry


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(("width", "height", "half"), [(178, 218, False), (89, 109, True)])
def test_the_crop_of_160_of_178_lies_where_it_should_at_full_and_at_half_size(
    width: int, height: int, half: bool, antialias: bool
) -> None:
    # a half-size pixel x covers the full-size pixels 2x and 2x + 1, whose mean is half a level above its 2x
    image = gradient(width, height, step=2 if half else 1)
    pixels = rendered(encoded(image), size=64, crop=CELEBA, antialias=antialias) + 0.5 * half
    centres = (np.arange(64) + 0.5) * 160 / 64 - 0.5
    np.testing.assert_allclose(pixels[..., 0], np.broadcast_to(9 + centres, (64, 64)), atol=1.01)
    np.testing.assert_allclose(pixels[..., 1], np.broadcast_to(29 + centres, (64, 64)).T, atol=1.01)
    assert np.ptp(pixels[..., 2]) == 0


@pytest.mark.parametrize(
    ("crop", "left", "top", "side"),
    [
        (SquareCrop(), 20, 0, 80),
        (SquareCrop((10, 5, 50, 65)), 10, 15, 40),
        (SquareCrop((100, 60, 120, 80)), 100, 60, 20),
        (SquareCrop((0, 0, 120, 80)), 20, 0, 80),
        (CentreCrop(1, 2), 30, 10, 60),
    ],
)
def test_a_square_is_taken_from_the_middle_of_the_box(crop: Crop, left: int, top: int, side: int) -> None:
    pixels = rendered(encoded(gradient(120, 80)), size=20, crop=crop).astype(float)
    centres = (np.arange(20) + 0.5) * side / 20 - 0.5
    inside = slice(2, -2)  # at the image's edge the filter has one side only
    np.testing.assert_allclose(pixels[0, inside, 0], (left + centres)[inside], atol=0.51)
    np.testing.assert_allclose(pixels[inside, 0, 1], (top + centres)[inside], atol=0.51)


def test_an_image_of_the_right_size_is_unchanged() -> None:
    image = gradient(32, 32)
    for antialias in (True, False):
        assert np.array_equal(rendered(encoded(image), size=32, crop=SquareCrop(), antialias=antialias), image)


def test_without_antialiasing_stripes_alias_and_with_it_they_become_grey() -> None:
    columns = np.zeros((160, 160, 3), np.uint8)
    columns[:, ::2] = 255
    data = encoded(Image.fromarray(columns))
    assert np.ptp(rendered(data, size=64, crop=SquareCrop()).astype(int)) < 90
    assert np.ptp(rendered(data, size=64, crop=SquareCrop(), antialias=False).astype(int)) > 120


@pytest.mark.parametrize("crop", [SquareCrop(), SquareCrop((400, 100, 1200, 900)), CentreCrop(1, 2)])
def test_a_large_jpeg_read_reduced_keeps_its_geometry(crop: Crop, monkeypatch: pytest.MonkeyPatch) -> None:
    waves = 127.5 + 127.5 * np.sin(np.arange(1601) / 70)
    x, y = np.meshgrid(waves, waves[:1003])
    data = encoded(Image.fromarray(np.stack([x, y, x / 2], -1).astype(np.uint8)), "JPEG", quality=98)
    seen = []
    load = Image.Image.resize

    def resize(image: Image.Image, *args: Any, **keywords: Any) -> Image.Image:
        seen.append(image.size)
        return load(image, *args, **keywords)

    monkeypatch.setattr(Image.Image, "resize", resize)
    reduced = rendered(data, size=64, crop=crop).astype(float)
    monkeypatch.setattr("reproduce.intake.image._DRAFT_GAP", 1e9)
    full = rendered(data, size=64, crop=crop).astype(float)
    assert seen[0][0] < 1601 / 2 + 1
    assert seen[1] == (1601, 1003)
    assert np.abs(reduced - full).max() <= 4


def test_a_photo_marked_as_turned_is_turned_upright_unless_a_box_counts_its_pixels() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    image = gradient(40, 40)
    data = encoded(image, exif=exif)
    assert np.array_equal(rendered(data, size=40, crop=SquareCrop()), image.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(rendered(data, size=40, crop=SquareCrop((0, 0, 40, 40))), image)


@pytest.mark.parametrize("box", [(0, 0, 41, 20), (-1, 0, 10, 10), (0, 25, 10, 31), (30, 0, 30, 10), (50, 50, 60, 60)])
def test_a_box_outside_its_image_is_refused_by_name(tmp_path: Path, box: tuple[int, int, int, int]) -> None:
    gradient(40, 30).save(tmp_path / "a.png")
    for on_unusable in ("refuse", "convert"):
        with pytest.raises(UserError, match=rf"a\.png: the box {box[0]}, {box[1]}, .* outside the image's 40×30"):
            run([Source(tmp_path, "a.png", (0, 0), SquareCrop(box))], tmp_path / "work", on_unusable=on_unusable)
    assert not (tmp_path / "work").exists()


def test_a_crop_higher_than_its_image_is_refused_by_name(tmp_path: Path) -> None:
    gradient(178, 100).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: a crop of 160×160 pixels doesn't fit into its 178×100"):
        run([Source(tmp_path, "a.png", (0, 0), CELEBA)], tmp_path / "work")


# --- what comes out


@pytest.mark.parametrize("workers", [1, 2])
def test_pixels_and_entries_are_in_the_order_of_the_images(tmp_path: Path, small_chunks: None, workers: int) -> None:
    sources = write_images(tmp_path / "in")
    decoded = run(sources, tmp_path / "work", workers=workers)
    for source, entry, pixels in zip(sources, decoded.entries, decoded.images, strict=True):
        data = (source.root / source.name).read_bytes()
        assert entry == (hashlib.sha256(data).hexdigest(), "")
        assert np.array_equal(pixels, rendered(data, size=8, crop=SquareCrop()))
    assert np.array_equal(label_array(sources), [[i % 2, i % 3] for i in range(N)])
    assert label_array(sources).dtype == np.int64


def test_a_zip_and_a_folder_give_the_same_bytes(tmp_path: Path) -> None:
    sources = write_images(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for source in sources:
            archive.write(tmp_path / "in" / source.name, source.name)
    zipped = [Source(tmp_path / "in.zip", source.name, source.labels, source.crop) for source in sources]
    expected = run(sources, tmp_path / "work")
    assert same(run(zipped, tmp_path / "work"), expected)
    assert same(run(zipped, tmp_path / "work", workers=2), expected)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_at_most_four_processes_hold_a_zips_directory(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = write_images(tmp_path / "in", 6)
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
            for source in sources:
                archive.write(tmp_path / "in" / source.name, source.name)
        sources = [Source(tmp_path / "in.zip", source.name, source.labels, source.crop) for source in sources]
    started = []

    def here(tasks: Iterator[Any], workers: int) -> Iterator[Any]:
        started.append(workers)
        yield from (task() for task in tasks)

    monkeypatch.setattr(decode, "_CHUNK_IMAGES", 1)
    monkeypatch.setattr(decode, "_decoded", here)
    for workers in (8, 3):
        run(sources, tmp_path / "work", workers=workers)
    # six chunks would keep six busy
    assert started == [4 if kind == "zip" else 6, 3]


def test_no_progress_bar_where_no_terminal_is(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(write_images(tmp_path / "in"), tmp_path / "work")
    assert capfd.readouterr() == ("", "")


def test_the_workers_import_neither_torch_nor_numpy() -> None:
    code = "import sys, reproduce.intake.image; print({'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


# --- interruption


def test_an_interrupted_decode_continues_and_ends_byte_for_byte_the_same(
    tmp_path: Path, interrupt: Callable[..., None], decoded_names: list[str]
) -> None:
    sources = write_images(tmp_path / "in")
    expected = run(sources, tmp_path / "whole")
    interrupt(sources, tmp_path / "work")
    decoded_names.clear()
    assert same(run(sources, tmp_path / "work"), expected)
    assert decoded_names == [source.name for source in sources[9:]]


@pytest.mark.parametrize(
    "damage", ["torn line", "missing rows", "rows without a line", "lost rows", "lost header", "lost line"]
)
def test_what_a_crash_can_leave_is_cut_to_what_is_whole(
    tmp_path: Path, interrupt: Callable[..., None], damage: str
) -> None:
    sources = write_images(tmp_path / "in")
    expected = run(sources, tmp_path / "whole")
    interrupt(sources, tmp_path / "work")
    rows, log = tmp_path / "work" / "images.npy", log_in(tmp_path / "work")
    if damage == "torn line":
        log.write_bytes(log.read_bytes()[:-5])
    elif damage == "missing rows":
        rows.write_bytes(rows.read_bytes()[:-100])
    elif damage == "lost line":  # likewise
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(lines[0] + bytes(len(lines[1]) - 1) + b"\n" + b"".join(lines[2:]))
    elif damage == "lost rows":  # by a power cut: the log came to the disk first
        rows.write_bytes(rows.read_bytes()[:128] + bytes(N * 8 * 8 * 3))
    elif damage == "lost header":
        rows.write_bytes(bytes(rows.stat().st_size))
    else:
        rows.write_bytes(rows.read_bytes() + b"x" * 1000)
    assert same(run(sources, tmp_path / "work"), expected)


@pytest.mark.parametrize(
    "change",
    [{"size": 4}, {"antialias": False}, {"on_unusable": "convert"}],
    ids=lambda change: next(iter(change)),
)
def test_another_recipe_does_not_continue_what_this_one_began(
    tmp_path: Path, interrupt: Callable[..., None], decoded_names: list[str], change: dict[str, Any]
) -> None:
    sources = write_images(tmp_path / "in")
    expected = run(sources, tmp_path / "whole", **change)
    interrupt(sources, tmp_path / "work")
    decoded_names.clear()
    assert same(run(sources, tmp_path / "work", **change), expected)
    assert len(decoded_names) == N


@pytest.mark.parametrize("change", ["order", "label", "crop", "fewer", "folder"])
def test_other_sources_do_not_continue_what_these_began(
    tmp_path: Path, interrupt: Callable[..., None], decoded_names: list[str], change: str
) -> None:
    sources = write_images(tmp_path / "in")
    interrupt(sources, tmp_path / "work")
    last = sources[-1]
    other = {
        "order": sources[::-1],
        "label": [*sources[:-1], Source(last.root, last.name, (5, 5), last.crop)],
        "crop": [*sources[:-1], Source(last.root, last.name, last.labels, SquareCrop((0, 0, 4, 4)))],
        "fewer": sources[:-1],
        "folder": write_images(tmp_path / "elsewhere"),
    }[change]
    decoded_names.clear()
    run(other, tmp_path / "work")
    assert len(decoded_names) == len(other)


def test_a_file_that_changed_in_between_is_decoded_again(
    tmp_path: Path, interrupt: Callable[..., None], decoded_names: list[str]
) -> None:
    sources = write_images(tmp_path / "in")
    interrupt(sources, tmp_path / "work")
    gradient(20, 20).save(tmp_path / "in" / sources[4].name)
    decoded_names.clear()
    continued = run(sources, tmp_path / "work")
    assert decoded_names == [source.name for source in sources[3:]]
    assert same(continued, run(sources, tmp_path / "whole"))


def test_a_refused_file_that_is_replaced_lets_the_decode_continue(
    tmp_path: Path, small_chunks: None, decoded_names: list[str]
) -> None:
    sources = write_images(tmp_path / "in")
    whole = (tmp_path / "in" / sources[10].name).read_bytes()
    (tmp_path / "in" / sources[10].name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=sources[10].name):
        run(sources, tmp_path / "work")
    (tmp_path / "in" / sources[10].name).write_bytes(whole)
    decoded_names.clear()
    run(sources, tmp_path / "work")
    assert decoded_names == [source.name for source in sources[9:]]


def test_an_error_after_the_decode_leaves_its_pixels_for_the_next_one(tmp_path: Path, decoded_names: list[str]) -> None:
    sources = write_images(tmp_path / "in")
    expected = run(sources, tmp_path / "whole")

    def stopped() -> None:
        with decoded_images(sources, recipe=Recipe(8, "refuse"), work=tmp_path / "work", workers=1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    decoded_names.clear()
    assert same(run(sources, tmp_path / "work"), expected)
    assert decoded_names == []


_SLOW = """
import sys, time
from pathlib import Path
from reproduce.intake import decode
from reproduce.intake.image import Recipe, Source, SquareCrop
real = decode._decoded
def slow(tasks, workers):
    for entries in real(tasks, workers):
        time.sleep(0.2)
        yield entries
decode._decoded, decode._CHUNK_IMAGES = slow, 3
folder = Path(sys.argv[1])
sources = [Source(folder, f"{i:04d}.jpg", (i % 2, i % 3), SquareCrop()) for i in range(60)]
with decode.decoded_images(sources, recipe=Recipe(8, "refuse"), work=Path(sys.argv[2]), workers=2):
    pass
"""


@needs_proc
def test_a_killed_decode_continues_and_leaves_no_worker_behind(tmp_path: Path, decoded_names: list[str]) -> None:
    sources = write_images(tmp_path / "in", 60)
    process = subprocess.Popen([sys.executable, "-c", _SLOW, str(tmp_path / "in"), str(tmp_path / "work")])
    wait_until(lambda: list((tmp_path / "work").glob("*.jsonl")))
    wait_until(lambda: log_in(tmp_path / "work").read_bytes().count(b"\n") >= 2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert children
    wait_until(lambda: not any(is_running(child) for child in children))
    decoded_names.clear()
    continued = run(sources, tmp_path / "work")
    assert 0 < len(decoded_names) <= 57
    assert same(continued, run(sources, tmp_path / "whole"))


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def is_running(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def die_elsewhere(file: Path, part: Sequence[Source], recipe: Recipe, *, offset: int) -> Any:
    if multiprocessing.parent_process() is not None:
        os._exit(3)
    return render_into(file, part, recipe, offset=offset)


def test_a_worker_that_dies_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "render_into", die_elsewhere)
    monkeypatch.setattr(decode, "_CHUNK_IMAGES", 3)
    with pytest.raises(ReproduceError, match="a decoding process died"):
        run(write_images(tmp_path / "in"), tmp_path / "work", workers=2)


def test_a_second_process_does_not_write_the_same_rows(tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    work = tmp_path / "work"
    work.mkdir()
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ReproduceError, match="another process decodes"):
            run(write_images(tmp_path / "in"), work)
    assert work.exists()


# --- memory

_MEMORY = """
import sys, threading, time
from pathlib import Path
from reproduce.intake import decode
from reproduce.intake.image import Recipe, Source, SquareCrop

def anonymous(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))

def watch():
    global peak
    while True:
        children = Path(f"/proc/self/task/{threading.main_thread().native_id}/children").read_text().split()
        peak = max(peak, sum(map(anonymous, ["self", *children])))
        time.sleep(0.005)

peak = 0
threading.Thread(target=watch, daemon=True).start()
sources = [Source(Path(sys.argv[1]), "0000.jpg", (0, 0), SquareCrop())] * int(sys.argv[2])
with decode.decoded_images(sources, recipe=Recipe(64, "refuse"), work=Path(sys.argv[3]), workers=2):
    pass
print(peak)
"""


@needs_proc
def test_the_memory_does_not_grow_with_the_number_of_images(tmp_path: Path) -> None:
    write_images(tmp_path / "in", 1, size=(64, 64))
    peaks = []
    for n in (500, 3000):
        arguments = [sys.executable, "-c", _MEMORY, str(tmp_path / "in"), str(n), str(tmp_path / "work")]
        peaks.append(int(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout))
    growth = (peaks[1] - peaks[0]) / 1024
    assert growth < 10  # MiB; all 2,500 more images would take 29
    assert peaks[0] / 1024 < 200


# --- files that aren't what they should be


def unusable(folder: Path) -> dict[str, str]:
    """One file of each kind, and what its note says."""
    image = gradient(40, 40)
    folder.mkdir()
    for mode, name in (("L", "grey.jpg"), ("CMYK", "cmyk.jpg"), ("P", "palette.png"), ("RGBA", "clear.png")):
        image.convert(mode).save(folder / name)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = encoded(noise, "JPEG")
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    return {
        "grey.jpg": "grey, converted",
        "cmyk.jpg": "CMYK, converted",
        "palette.png": "palette, converted",
        "clear.png": "transparent, converted",
        "cut.jpg": "truncated, read as far",
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_unusable_files_are_converted_and_reported_by_name(
    tmp_path: Path, workers: int, small_chunks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = unusable(tmp_path / "in")
    gradient(40, 40).save(tmp_path / "in" / "fine.png")
    sources = [Source(tmp_path / "in", name, (0, 0), SquareCrop()) for name in (*notes, "fine.png")]
    decoded = run(sources, tmp_path / "work", on_unusable="convert", size=40, workers=workers)
    report = capsys.readouterr().err.splitlines()
    assert len(report) == len(notes)
    for line, (_, told), (name, note) in zip(report, decoded.entries, notes.items(), strict=False):
        assert line.startswith(f"reproduce: warning: decode: {name}: {note}")
        assert told.startswith(note)
    assert decoded.entries[-1][1] == ""
    images = decoded.images.astype(int)
    fine = images[-1]
    assert np.abs(images[3] - fine).max() == 0
    assert np.abs(images[1] - fine).mean() < 6  # CMYK as JPEG
    assert np.abs(images[0] - np.asarray(gradient(40, 40).convert("L").convert("RGB"))).mean() < 3
    upper, lower = images[4][:10], images[4][-10:]
    assert upper.std() > 20
    assert lower.std() < 5


def test_unusable_files_are_refused_by_name(tmp_path: Path) -> None:
    for name in unusable(tmp_path / "in"):
        with pytest.raises(
            UserError, match=rf"{name} is (not RGB but|truncated).*: replace it, or set dataset.on_unusable: convert$"
        ) as caught:
            run([Source(tmp_path / "in", name, (0, 0), SquareCrop())], tmp_path / "work")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "work").exists()


def test_a_refusal_in_a_worker_is_the_same_one_line(tmp_path: Path, small_chunks: None) -> None:
    sources = write_images(tmp_path / "in")
    (tmp_path / "in" / "0007.jpg").write_text("<html>quota</html>")
    with pytest.raises(
        UserError, match=r"0007\.jpg is not an image that Pillow reads: replace it, or take it off the list$"
    ):
        run(sources, tmp_path / "work", workers=2)


@pytest.mark.parametrize("on_unusable", ["refuse", "convert"])
def test_what_cannot_be_converted_is_refused_by_name_either_way(tmp_path: Path, on_unusable: str) -> None:
    def refused(name: str, match: str, root: Path = tmp_path) -> None:
        with pytest.raises(UserError, match=match):
            run([Source(root, name, (0, 0), SquareCrop())], tmp_path / "work", on_unusable=on_unusable)

    (tmp_path / "empty.jpg").touch()
    refused("empty.jpg", r"empty\.jpg is not an image")
    Image.fromarray(np.full((8, 8), 60_000, np.uint16)).save(tmp_path / "deep.png")
    refused("deep.png", r"deep\.png has Pillow's mode I;16")
    refused("absent.jpg", r"absent\.jpg does not exist")
    (tmp_path / "no.zip").write_text("<html>")
    refused("a.jpg", r"no\.zip cannot be read as a zip file", tmp_path / "no.zip")
    with zipfile.ZipFile(tmp_path / "yes.zip", "w") as archive:
        archive.writestr("b.jpg", b"x" * 50)
    refused("a.jpg", r"yes\.zip: a\.jpg does not exist", tmp_path / "yes.zip")
    data = (tmp_path / "yes.zip").read_bytes()
    (tmp_path / "yes.zip").write_bytes(data.replace(b"x" * 50, b"y" * 50))
    refused("b.jpg", r"yes\.zip: b\.jpg cannot be read: Bad CRC", tmp_path / "yes.zip")
    at = data.index(b"PK\x01\x02") + 8  # the flags in the zip's directory; bit 0: encrypted
    (tmp_path / "locked.zip").write_bytes(data[:at] + b"\x01" + data[at + 1 :])
    refused("b.jpg", r"locked\.zip: b\.jpg cannot be read: .*encrypted", tmp_path / "locked.zip")


def test_many_unusable_files_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gradient(10, 10).convert("L").save(tmp_path / "grey.png")
    sources = [Source(tmp_path, "grey.png", (0, 0), SquareCrop())] * 30
    decoded = run(sources, tmp_path / "work", on_unusable="convert")
    report = capsys.readouterr().err.splitlines()
    assert len(report) == 21
    assert report[-1].endswith("30 grey, converted to RGB in all; the manifests name each one, in the column note")
    assert [note for _, note in decoded.entries] == ["grey, converted to RGB"] * 30


def test_notes_from_before_an_interruption_are_reported_too(
    tmp_path: Path, interrupt: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    sources = write_images(tmp_path / "in")
    gradient(10, 10).convert("L").save(tmp_path / "in" / sources[0].name)
    interrupt(sources, tmp_path / "work", on_unusable="convert")
    assert json.loads(log_in(tmp_path / "work").read_text().splitlines()[0])
    run(sources, tmp_path / "work", on_unusable="convert")
    assert f"{sources[0].name}: grey, converted to RGB" in capsys.readouterr().err


def test_nothing_to_decode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no images to decode"):
        run([], tmp_path / "work")
    assert 1 <= default_workers() <= 8
