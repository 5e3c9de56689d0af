"""One image file: where it is, which part of it is taken, and how that becomes `size` × `size` RGB pixels.

Every worker process of a decode imports this module, so it imports neither torch nor numpy.
"""

import hashlib
import io
import math
import multiprocessing
import os
import signal
import threading
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageFile, ImageOps

from reproduce.errors import UserError
from reproduce.files import shown

Region = tuple[float, float, float, float]  # left, top, right, bottom, in pixels

# the modes that Pillow turns into RGB as a viewer would; 16-bit and floating-point grey would be clipped
_CONVERTIBLE = {"1", "L", "LA", "La", "P", "PA", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}
_KINDS = {"1": "black and white", "L": "grey", "LA": "grey with transparency", "P": "palette", "RGBA": "transparent"}
# a JPEG is read reduced, but this many times larger than the result: this halves the time; the PSNR to a full decode is
# above 50 dB
_DRAFT_GAP = 2


@dataclass(frozen=True, slots=True)
class CentreCrop:
    """The square about the centre, `side` pixels wide where the image is `of_width` wide, and scaled for other widths.

    The official code takes 160 of CelebA's 178. Edges may lie between pixels (in a half-size image at 4.5 and 84.5).
    """

    side: int
    of_width: int

    def region(self, width: int, height: int) -> Region:
        side = self.side * width / self.of_width
        if side > min(width, height):
            raise ValueError(f"a crop of {side:g}×{side:g} pixels doesn't fit into its {width}×{height}")
        return (width - side) / 2, (height - side) / 2, (width + side) / 2, (height + side) / 2


@dataclass(frozen=True, slots=True)
class SquareCrop:
    """The largest square in the middle of `box` (left, top, right, bottom, in pixels), or of the whole image.

    This is what the official code's SmallestMaxSize and CenterCrop leave: nothing is stretched.
    """

    box: tuple[int, int, int, int] | None = None

    def region(self, width: int, height: int) -> Region:
        left, top, right, bottom = self.box or (0, 0, width, height)
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"the box {left}, {top}, {right}, {bottom} lies outside the image's {width}×{height}")
        side = min(right - left, bottom - top)
        left, top = left + (right - left - side) // 2, top + (bottom - top - side) // 2
        return left, top, left + side, top + side


Crop = CentreCrop | SquareCrop


class Source(NamedTuple):
    """One image: the file `name` inside `root`, which is a folder or a zip; its labels; and the part that is taken."""

    root: Path
    name: str
    labels: tuple[int, ...]
    crop: Crop

    def __str__(self) -> str:
        return f"{shown(self.root)}: {self.name}" if self.root.suffix == ".zip" else shown(self.root / self.name)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How images become `size` × `size` pixels.

    A file that is truncated or isn't RGB (grey, palette, CMYK, transparent) is refused, or converted and reported: a
    truncated file is read as far as it goes, and transparency is dropped.

    With `antialias`, images are resized by Pillow's bilinear filter, which widens as the image shrinks. Without it,
    each pixel is interpolated from the four around its centre, as by OpenCV's INTER_LINEAR in the official code: from
    160 to 64 pixels, that skips part of the image and leaves jagged edges.
    """

    size: int
    on_unusable: Literal["refuse", "convert"]
    antialias: bool = True


class Entry(NamedTuple):
    """What is known of a decoded image: its file's SHA-256 and stamp, a note (mostly empty), and its pixels' CRC."""

    sha256: str
    stamp: str
    note: str
    crc: int


@lru_cache(maxsize=2)
def open_archive(path: Path) -> zipfile.ZipFile:
    """The zip file, which stays open until `open_archive.cache_clear()`."""
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{shown(path)} cannot be read as a zip file: {error}") from error


def stamp_of(source: Source) -> str:
    """The size and time of the file, or of the zip that holds it; empty without a file."""
    file = source.root if source.root.suffix == ".zip" else os.path.join(source.root, source.name)
    try:
        status = os.stat(file)
    except OSError:
        return ""
    return f"{status.st_size} {status.st_mtime_ns}"


def _read(source: Source) -> bytes:
    try:
        if source.root.suffix == ".zip":
            return open_archive(source.root).read(source.name)
        with open(os.path.join(source.root, source.name), "rb", buffering=0) as file:  # one read takes it whole
            return file.read()
    except (FileNotFoundError, KeyError):  # the second: in a zip
        raise UserError(f"{source} does not exist") from None
    except (OSError, zipfile.BadZipFile, zlib.error, RuntimeError, EOFError) as error:  # RuntimeError: encrypted
        raise UserError(f"{source} cannot be read: {error}") from error


def start_worker() -> None:
    """Prepare a worker process: it leaves Ctrl-C to its parent, and ends when its parent is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def leave() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def render_into(file: Path, sources: Sequence[Source], recipe: Recipe, *, offset: int) -> list[Entry]:
    """Write the sources' pixels `[n, size, size, 3]` to `offset` of a file."""
    pixels, entries = [], []
    for source in sources:
        stamp = stamp_of(source)  # before the file is read, so that a later change is noticed
        data = _read(source)
        image, note = render(data, source, recipe)
        pixels.append(image)
        entries.append(Entry(hashlib.sha256(data).hexdigest(), stamp, note, zlib.crc32(image)))
    with file.open("r+b") as rows:
        rows.seek(offset)
        rows.writelines(pixels)
    return entries


def render(data: bytes, source: Source, recipe: Recipe) -> tuple[bytes, str]:
    """Pixels `[size, size, 3]` of a file's bytes, and a note on what had to be converted (mostly empty).

    A photo that its camera marked as turned is turned upright, unless a box was given, which counts stored pixels.
    UserError, which names the file, if it is no image, is refused, or is smaller than its crop.
    """
    image, region, note = _loaded(data, source, recipe)
    if image.mode != "RGB":
        kind = _KINDS.get(image.mode, image.mode)
        if image.mode not in _CONVERTIBLE:
            raise UserError(f"{source} has Pillow's mode {image.mode}, which cannot become 8-bit RGB: convert it first")
        if recipe.on_unusable == "refuse":
            raise UserError(f"{source} is not RGB but {kind}: replace it, or set dataset.on_unusable: convert")
        note = ", ".join(filter(None, [note, f"{kind}, converted to RGB"]))
        with warnings.catch_warnings():  # a palette with transparency
            warnings.simplefilter("ignore")
            image = image.convert("RGB")
    size = (recipe.size, recipe.size)
    if recipe.antialias:
        image = image.resize(size, Image.Resampling.BILINEAR, box=region)
    else:
        image = image.transform(size, Image.Transform.EXTENT, region, Image.Resampling.BILINEAR)
    if source.crop == SquareCrop():
        with suppress(Exception):  # damaged EXIF data are ignored
            ImageOps.exif_transpose(image, in_place=True)
    return image.tobytes(), note


def _loaded(data: bytes, source: Source, recipe: Recipe) -> tuple[Image.Image, Region, str]:
    """The image with its pixels, the part to take, and a note if it is truncated: what is missing is black or grey."""
    image, region = _opened(data, source, recipe)
    try:
        image.load()
        return image, region, ""
    except Exception as error:  # Pillow raises many kinds on damaged files
        if recipe.on_unusable == "refuse":
            raise UserError(
                f"{source} is truncated or damaged ({error}): replace it, or set dataset.on_unusable: convert"
            ) from error
    image, region = _opened(data, source, recipe)
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        image.load()
    except Exception as error:
        raise UserError(f"{source} is damaged beyond reading ({error}): replace it") from error
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
    return image, region, "truncated, read as far as it goes"


def _opened(data: bytes, source: Source, recipe: Recipe) -> tuple[ImageFile.ImageFile, Region]:
    """The image, before its pixels are read, and the part to take; a JPEG much larger than needed is reduced."""
    try:
        image = Image.open(io.BytesIO(data))
    except Exception as error:
        raise UserError(f"{source} is not an image that Pillow reads: replace it, or take it off the list") from error
    width, height = image.size
    try:
        region = source.crop.region(width, height)
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    shrink = (region[2] - region[0]) / (_DRAFT_GAP * recipe.size)
    if recipe.antialias and image.format == "JPEG" and shrink >= 2:
        reduced = image.draft(None, (math.ceil(width / shrink), math.ceil(height / shrink)))
        if reduced is not None:
            scale = reduced[1][2] / width
            region = (region[0] * scale, region[1] * scale, region[2] * scale, region[3] * scale)
    return image, region
