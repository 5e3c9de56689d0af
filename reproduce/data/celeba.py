"""CelebA in its own layout: the images as a folder or a zip, the attributes, and the official division.

Sources: the lists' own format, and official `iin/data.py` for the crop and the default attributes.
"""

import os
import zipfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from reproduce.data.shared.base import Count
from reproduce.data.shared.photos import Photos, PhotoSet, check_folder, located, read_lines, what_is_near
from reproduce.errors import UserError
from reproduce.files import is_web_page, shown
from reproduce.intake.download import Downloads
from reproduce.intake.image import CentreCrop, Source

_SOURCES = ("celeba_images", "celeba_attributes", "celeba_division")
_IMAGES, _ARCHIVE = "img_align_celeba", "img_align_celeba.zip"
_ATTRIBUTE_LIST, _DIVISION = "list_attr_celeba.txt", "list_eval_partition.txt"
_WIDTH = 178
_PAGE = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


class CelebA(PhotoSet):
    """CelebA in its own layout; it is fetched where no `folder` is named.

    `n_train` and `n_heldout` take the first images of each part, or all. `crop` is the side of the centred square, in
    pixels of an image that is 178 pixels wide; for images of another width it is scaled.
    """

    name: Literal["celeba"]
    folder: str | None = None
    attributes: Annotated[tuple[str, ...], Field(min_length=1)]
    crop: Annotated[int, Field(ge=1, le=_WIDTH)]
    n_train: Count | Literal["all"]
    n_heldout: Count | Literal["all"]

    has_attributes: ClassVar = True

    @field_validator("attributes")
    @classmethod
    def _different(cls, attributes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(attributes)) < len(attributes):
            raise ValueError("name none twice")
        return attributes

    @property
    def concepts(self) -> tuple[str, ...]:
        return self.attributes

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        return _SOURCES if self.folder is None else ()

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Decode the images; see `PhotoSet.decode`."""
        fetched = [downloads.obtain(name) for name in self.sources(downloads)]
        photos = read_celeba(fetched[0].parent if self.folder is None else located(self.folder), self)
        self.decode(photos, folder=folder, work=work)


def read_celeba(folder: Path, settings: CelebA) -> Photos:
    """What `folder` holds, as far as `settings` ask for it; no image is opened.

    A UserError says what is missing or is not what its name says, and how to get the data by hand; it names an unknown
    attribute, and one that has the same value in all images.
    """
    check_folder(folder, _by_hand(folder))
    attributes, values = settings.attributes, _read_attributes(folder / _ATTRIBUTE_LIST, settings.attributes)
    marked = _read_division(folder / _DIVISION, values)
    taken = []
    for part, mark, wanted in (("training", "0", settings.n_train), ("test", "2", settings.n_heldout)):
        names = marked[mark]
        if not names:
            raise UserError(
                f"{shown(folder / _DIVISION)} has no {part} image (none is marked {mark}): {_by_hand(folder)}"
            )
        n = len(names) if wanted == "all" else wanted
        if n > len(names):
            raise UserError(f"{n} {part} images are asked for; {shown(folder / _DIVISION)} has {len(names)}")
        taken.append(names[:n])
        for k, attribute in enumerate(attributes):
            seen = {values[name][k] for name in names[:n]}
            if len(seen) < 2:
                raise UserError(
                    f"all of the {n} {part} images in {shown(folder)} have the value {1 if seen == {1} else -1} for "
                    f"{attribute}; a concept needs both values: remove {attribute} from attributes"
                )
    train, test = taken
    root, square = _images(folder, [*train, *test]), CentreCrop(settings.crop, _WIDTH)
    parts = [[Source(root, f"{_IMAGES}/{name}", values[name], square) for name in names] for names in taken]
    return Photos(attributes, *parts)


def _by_hand(folder: Path) -> str:
    return (
        f"get {_ARCHIVE} (Align&Cropped Images), {_ATTRIBUTE_LIST} and {_DIVISION} by hand from {_PAGE} "
        f"and put the three files into {shown(folder)}"
    )


def _read_attributes(path: Path, attributes: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """The chosen attributes of every image."""
    lines = read_lines(path, _by_hand(path.parent))
    count, known = (lines[0].strip(), lines[1].split()) if len(lines) > 1 else ("", [])
    if not count.isdigit() or not known:
        raise UserError(f"{shown(path)} does not begin with a count and the attributes' names: {_by_hand(path.parent)}")
    for name in attributes:
        if name not in known:
            raise UserError(f"{shown(path)} has no attribute {name}: {what_is_near(name, known)}")
    columns = [known.index(name) for name in attributes]
    form = f"{len(known)} values, each -1 or 1"
    values = {
        name: tuple(int(levels[column] == "1") for column in columns)
        for _, name, levels in _rows(path, lines, first=3, width=len(known), allowed={"-1", "1"}, form=form)
    }
    if len(values) != int(count):
        raise UserError(f"{shown(path)} announces {int(count)} images and lists {len(values)}: {_by_hand(path.parent)}")
    return values


def _read_division(path: Path, known: Collection[str]) -> dict[str, list[str]]:
    """The names of the images that are marked 0 (training), 1 (validation) and 2 (test), in the file's order."""
    marked: dict[str, list[str]] = {"0": [], "1": [], "2": []}
    seen: set[str] = set()
    lines = read_lines(path, _by_hand(path.parent))
    for number, name, (mark,) in _rows(path, lines, first=1, width=1, allowed=set(marked), form="0, 1 or 2"):
        if name not in known or name in seen:
            problem = "is there a second time" if name in known else f"is not in {_ATTRIBUTE_LIST}"
            raise UserError(f"{shown(path)}, line {number}: {name} {problem}")
        seen.add(name)
        marked[mark].append(name)
    return marked


def _rows(
    path: Path, lines: Sequence[str], *, first: int, width: int, allowed: Collection[str], form: str
) -> Iterator[tuple[int, str, list[str]]]:
    """The number of each line from the `first` on, its image's name and its `width` values; blank lines are skipped."""
    for number, line in enumerate(lines[first - 1 :], first):
        if line.strip():
            name, *values = line.split()
            if len(values) != width or not set(values) <= set(allowed):
                raise UserError(f"{shown(path)}: line {number} is not an image's name followed by {form}")
            yield number, name, values


def _images(folder: Path, names: Sequence[str]) -> Path:
    """The folder itself or the archive in it: whichever holds all images, the folder first."""
    problem = f"{shown(folder)} has neither {_IMAGES}/ nor {_ARCHIVE}"
    for place, root in ((folder / _IMAGES, folder), (folder / _ARCHIVE, folder / _ARCHIVE)):
        if place.is_file() if place == root else place.is_dir():
            there = _members(place) if place == root else {f"{_IMAGES}/{name}" for name in os.listdir(place)}
            missing = [name for name in names if f"{_IMAGES}/{name}" not in there]
            if not missing:
                return root
            problem = f"{len(missing)} images of {_DIVISION} are not in {shown(place)}, the first {missing[0]}"
    raise UserError(f"{problem}: {_by_hand(folder)}")


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
