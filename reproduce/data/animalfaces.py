"""AnimalFaces: a folder of class folders, or an ImageNet training tree with FUNIT's lists of crop boxes.

Source of the lists' format and of the 119 + 30 classes: https://github.com/NVlabs/FUNIT (README, datasets/,
tools/extract_animalfaces.py: the four numbers are left, top, right, bottom). Which classes the paper used is not known.
"""

import os
import re
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from reproduce.data.shared.class_folders import Parts, check_classes, hold_out_images, photos_of, read_class_folders
from reproduce.data.shared.photos import Photos, PhotoSet, check_folder, located, read_lines
from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.intake.download import Downloads
from reproduce.intake.image import SquareCrop
from reproduce.schema import UnitInterval

_SOURCES = ("funit_train_list", "funit_test_list")
_LINE = re.compile(r"(?P<image>(?P<name>n\d{8})/(?P=name)_\d+\.JPEG)_(\d+)_(\d+)_(\d+)_(\d+)\.jpg")
_FUNIT = (
    "get ImageNet's training images (ILSVRC2012_img_train.tar) by hand from https://image-net.org/download.php, "
    "unpacked to one folder per class, and FUNIT's animals_list_train.txt and animals_list_test.txt from "
    "https://github.com/NVlabs/FUNIT/tree/master/datasets"
)


class AnimalFaces(PhotoSet):
    """Class folders; or, with `train_list`, an ImageNet training tree and FUNIT's lists."""

    name: Literal["animalfaces"]
    folder: str
    train_list: str | None = None
    test_list: str | None = None
    hold_out: Literal["images", "classes"] = "images"
    heldout_fraction: UnitInterval

    @model_validator(mode="after")
    def _lists(self) -> "AnimalFaces":
        if self.train_list is None and (self.test_list is not None or self.hold_out == "classes"):
            raise ValueError("test_list and hold_out: classes belong to FUNIT's lists: name train_list as well")
        if self.test_list is None and self.hold_out == "classes":
            raise ValueError("hold_out: classes holds out the classes of FUNIT's test list: name its file, test_list")
        return self

    def sources(self, downloads: Downloads) -> tuple[str, ...]:
        """FUNIT's lists, if the config names the files that they are fetched to."""
        wanted = [located(name).absolute() for name in (self.train_list, self.test_list) if name is not None]
        return tuple(name for name in _SOURCES if downloads.path(name).absolute() in wanted)

    def fetch(self, *, folder: Path, downloads: Downloads, work: Path) -> None:
        """Decode the images; see `PhotoSet.decode`."""
        for name in self.sources(downloads):
            downloads.obtain(name)
        root, lists = located(self.folder), [located(name) for name in (self.train_list, self.test_list) if name]
        if lists:
            photos = read_funit(root, lists, hold_out=self.hold_out, heldout_fraction=self.heldout_fraction)
        else:
            photos = read_class_folders(root, heldout_fraction=self.heldout_fraction)
        self.decode(photos, folder=folder, work=work)


def read_funit(
    tree: Path,
    lists: list[Path],
    *,
    hold_out: Literal["images", "classes"] = "images",
    heldout_fraction: float = 0.1,
) -> Photos:
    """The boxes that FUNIT's lists name, in an ImageNet training tree (`n…/n…_….JPEG`); no image is opened.

    The centred square of every box is taken.

    Arguments:
        lists: FUNIT's `animals_list_train.txt`, 119 classes, and perhaps its `animals_list_test.txt`, 30 others.
        hold_out: "images": `heldout_fraction` of the images of each class, of both lists where both are given; the
            boxes of one image stay together. "classes": the classes of the second list, numbered after the others.

    Raises UserError for a missing tree or list, a line of another format, images that are not in the tree, a class that
    is in both lists, fewer than two classes, or a class with fewer than two images.
    """
    check_folder(tree, _FUNIT)
    read = [_read_list(path) for path in lists]
    train, test = read if len(read) == 2 else (*read, {})
    if both := train.keys() & test.keys():
        raise UserError(f"the class {min(both)} is in both {shown(lists[0])} and {shown(lists[1])}")
    _check_present(tree, train | test)
    if hold_out == "images":
        merged = dict(sorted((train | test).items()))
        where = shown(lists[0]) + (" with the list for testing" if test else "")
        check_classes(merged, where, _FUNIT, least=3)
        return hold_out_images(tree, merged, heldout_fraction)
    for path, parts in zip(lists, read, strict=True):
        check_classes(parts, shown(path), _FUNIT)
    return photos_of(tree, train, test)


def _read_list(path: Path) -> Parts:
    """The boxes of each class, classes in alphabetical order."""
    parts: Parts = {}
    for number, line in enumerate(read_lines(path, _FUNIT), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line.strip())
        left, top, right, bottom = map(int, match.groups()[2:]) if match else (0, 0, 0, 0)
        if match is None or not (left < right and top < bottom):
            raise UserError(
                f"{shown(path)}, line {number}: {line.strip()[:80]!r} is not "
                "nXXXXXXXX/nXXXXXXXX_ID.JPEG_x1_y1_x2_y2.jpg with x1 < x2 and y1 < y2"
            )
        parts.setdefault(match["name"], []).append((match["image"], SquareCrop((left, top, right, bottom))))
    return dict(sorted(parts.items()))


def _check_present(tree: Path, parts: Parts) -> None:
    missing = []
    for name, images in parts.items():
        there = set(os.listdir(tree / name)) if (tree / name).is_dir() else set()
        missing += [image for image, _ in images if image.rpartition("/")[2] not in there]
    if missing:
        wanted = sum(map(len, parts.values()))
        raise UserError(
            f"{len(missing)} of the {wanted} listed images are not in {shown(tree)}, the first {missing[0]}: {_FUNIT}"
        )
