"""CelebA in its own layout: the images as a folder or a zip, the attributes, and the official division.

Sources: the lists' own format, and official `iin/data.py` for the crop and the default attributes.
"""

import difflib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from reproduce.data.shared.base import Count
from reproduce.data.shared.photos import Photos, PhotoSet, located
from reproduce.errors import UserError
from reproduce.files import is_web_page, shown
from reproduce.intake.download import Downloads
from reproduce.intake.image import CentreCrop, Source

_SOURCES = ("celeba_images", "celeba_attributes", "celeba_division")
ATTRIBUTES = ("Eyeglasses", "Male", "No_Beard", "Smiling")
_IMAGES, _ARCHIVE = "img_align_celeba", "img_align_celeba.zip"
_ATTRIBUTE_LIST, _DIVISION = "list_attr_celeba.txt", "list_eval_partition.txt"
_WIDTH = 178
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


class CelebA(PhotoSet):
    """CelebA in its own layout, fetched where no `folder` is named; `n_train`, `n_heldout`: the first ones, or all."""

    name: Literal["celeba"]
    folder: str | None = None
    attributes: Annotated[tuple[str, ...], Field(min_length=1)]
    crop: PositiveInt
    n_train: Count | Literal["all"]
    n_heldout: Count | Literal["all"]

    @property
    def concepts(self) -> tuple[str, ...]:
        """The attributes."""
        return self.attributes

    @property
    def has_attributes(self) -> bool:
        """Yes."""
        return True

    @property
    def counts(self) -> tuple[int, int]:
        """Those of list_eval_partition.txt, or what is taken of them."""
        return (
            162_770 if self.n_train == "all" else self.n_train,
            19_962 if self.n_heldout == "all" else self.n_heldout,
        )

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """CelebA's three files, where no folder is named."""
        return _SOURCES if self.folder is None else ()

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Decode the images; see `PhotoSet.decode`."""
        fetched = [downloads.obtain(name) for name in self.sources(downloads)]
        photos = read_celeba(
            fetched[0].parent if self.folder is None else located(self.folder),
            attributes=self.attributes,
            crop=self.crop,
            n_train=None if self.n_train == "all" else self.n_train,
            n_heldout=None if self.n_heldout == "all" else self.n_heldout,
        )
        self.decode(photos, folder=folder, work=work)


def read_celeba(
    folder: Path,
    *,
    attributes: Sequence[str] = ATTRIBUTES,
    crop: int = 160,
    n_train: int | None = None,
    n_heldout: int | None = None,
) -> Photos:
    """What `folder` holds; no image is opened.

    Arguments:
        folder: `list_attr_celeba.txt`, `list_eval_partition.txt`, and `img_align_celeba/` or `img_align_celeba.zip`.
        attributes: names from the first of them.
        crop: side of the centred square, in pixels of a 178 pixels wide image; scaled for images of another width.
        n_train, n_heldout: how many of the training and of the test images are taken, the first ones; all when None.

    Raises:
        UserError: something is missing or is not what its name says, with how to get the data by hand; an unknown
            attribute, or one that is never or always there.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{shown(folder)} {what}: {_by_hand(folder)}")
    for name in (_ATTRIBUTE_LIST, _DIVISION):
        if not (folder / name).is_file():
            raise UserError(f"{shown(folder)} has no {name}: {_by_hand(folder)}")
    values = _read_attributes(folder / _ATTRIBUTE_LIST, attributes)
    train, test = _read_division(folder / _DIVISION, set(values))
    for part, names, wanted in (("training", train, n_train), ("test", test, n_heldout)):
        if wanted is not None and wanted > len(names):
            raise UserError(f"{wanted} {part} images are asked for; {shown(folder / _DIVISION)} has {len(names)}")
    train, test = train[:n_train], test[:n_heldout]
    root = _images(folder, [*train, *test])
    square = CentreCrop(crop, _WIDTH)
    parts = []
    for part, names in (("training", train), ("test", test)):
        sources = [Source(root, f"{_IMAGES}/{name}", values[name], square) for name in names]
        for i, attribute in enumerate(attributes):
            seen = {source.labels[i] for source in sources}
            if len(seen) < 2:
                which = "all" if seen == {1} else "none"
                raise UserError(
                    f"{which} of the {len(sources)} {part} images in {shown(folder)} is {attribute}: "
                    "nothing tells such images apart, so leave it out of attributes"
                )
        parts.append(sources)
    return Photos("attributes", tuple(attributes), *parts)


def _by_hand(folder: Path) -> str:
    return (
        f"get {_ARCHIVE} (Align&Cropped Images), {_ATTRIBUTE_LIST} and {_DIVISION} by hand from {_PAGE} "
        f"and put the three files into {shown(folder)}"
    )


def _lines(path: Path) -> list[str]:
    if is_web_page(path):
        raise UserError(f"{shown(path)} is a web page, not CelebA's list: {_by_hand(path.parent)}")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)} is not a text file: {_by_hand(path.parent)}") from None


def _read_attributes(path: Path, attributes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The chosen attributes of every image."""
    count, names, *rows = [*_lines(path), "", ""]
    rows = rows[:-2]
    known = names.split()
    if not count.strip().isdigit() or not known:
        raise UserError(f"{shown(path)} does not begin with a count and the attributes' names: {_by_hand(path.parent)}")
    if not attributes or len(set(attributes)) < len(attributes):
        raise UserError(f"attributes: name at least one, none twice, not {', '.join(attributes) or 'nothing'}")
    for name in attributes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise UserError(f"{shown(path)} has no attribute {name}: {hint}")
    columns = [known.index(name) + 1 for name in attributes]
    level = {"-1": 0, "1": 1}
    values: dict[str, tuple[int, ...]] = {}
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}  # 200,000 images have few different ones
    for number, row in enumerate(rows, 3):
        fields = row.split()
        if not fields:
            continue
        try:
            if len(fields) != len(known) + 1:
                raise KeyError
            value = tuple(level[fields[column]] for column in columns)
        except KeyError:
            raise UserError(f"{shown(path)}, line {number}: not an image name and {len(known)} times -1 or 1") from None
        values[fields[0]] = shared.setdefault(value, value)
    if len(values) != int(count):
        raise UserError(f"{shown(path)} announces {int(count)} images and lists {len(values)}: {_by_hand(path.parent)}")
    return values


def _read_division(path: Path, known: set[str]) -> tuple[list[str], list[str]]:
    """The names of the training and of the test images, in the file's order."""
    parts: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    seen: set[str] = set()
    for number, row in enumerate(_lines(path), 1):
        fields = row.split()
        if not fields:
            continue
        if len(fields) != 2 or fields[1] not in parts:
            raise UserError(f"{shown(path)}, line {number}: not an image name and 0, 1 or 2")
        if fields[0] not in known:
            raise UserError(f"{shown(path)}, line {number}: {fields[0]} is not in {_ATTRIBUTE_LIST}")
        if fields[0] in seen:
            raise UserError(f"{shown(path)}, line {number}: {fields[0]} is there a second time")
        seen.add(fields[0])
        parts[fields[1]].append(fields[0])
    for part, what in (("0", "training"), ("2", "test")):
        if not parts[part]:
            raise UserError(f"{shown(path)} has no {what} image (none is marked {part}): {_by_hand(path.parent)}")
    return parts["0"], parts["2"]


def _images(folder: Path, names: Sequence[str]) -> Path:
    """The folder itself or the archive in it: whichever holds all images, the folder first."""
    unpacked, archive = folder / _IMAGES, folder / _ARCHIVE
    if not unpacked.is_dir() and not archive.exists():
        raise UserError(f"{shown(folder)} has neither {_IMAGES}/ nor {_ARCHIVE}: {_by_hand(folder)}")
    problem = ""
    if unpacked.is_dir():
        there = set(os.listdir(unpacked))
        problem = _missing(unpacked, [name for name in names if name not in there])
        if not problem:
            return folder
    if archive.exists():
        members = _members(archive)
        problem = _missing(archive, [name for name in names if f"{_IMAGES}/{name}" not in members])
        if not problem:
            return archive
    raise UserError(f"{problem}: {_by_hand(folder)}")


def _missing(where: Path, names: Sequence[str]) -> str:
    return f"{len(names)} images of {_DIVISION} are not in {shown(where)}, the first {names[0]}" if names else ""


def _members(archive: Path) -> set[str]:
    if is_web_page(archive):
        raise UserError(
            f"{shown(archive)} is a web page, not the archive (what Google Drive sends when its download quota is used "
            f"up): delete it, and {_by_hand(archive.parent)}"
        )
    try:
        with zipfile.ZipFile(archive) as file:
            return set(file.namelist())
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{shown(archive)} is not a whole zip file ({error}): {_by_hand(archive.parent)}") from error
