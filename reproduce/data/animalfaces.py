"""AnimalFaces: a folder of class folders, or an ImageNet training tree with FUNIT's lists of crop boxes.

Source of the lists' format and of the 119 + 30 classes: https://github.com/NVlabs/FUNIT (README, datasets/,
tools/extract_animalfaces.py: the four numbers are left, top, right, bottom). Which classes the paper used is not known.
"""

import os
import re
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import model_validator

from reproduce.data.shared.photos import Photos, PhotoSet, check_folder, located, read_lines
from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.intake.download import Downloads
from reproduce.intake.image import Source, SquareCrop
from reproduce.schema import UnitInterval
from reproduce.seeds import numpy_generator

_SOURCES = ("funit_train_list", "funit_test_list")
_LINE = re.compile(r"(?P<image>(?P<name>n\d{8})/(?P=name)_\d+\.JPEG)_(\d+)_(\d+)_(\d+)_(\d+)\.jpg")
_FUNIT = (
    "get ImageNet's training images (ILSVRC2012_img_train.tar) by hand from https://image-net.org/download.php, "
    "unpacked to one folder per class, and FUNIT's animals_list_train.txt and animals_list_test.txt from "
    "https://github.com/NVlabs/FUNIT/tree/master/datasets"
)
_FOLDERS = (
    "put there by hand one folder of images per class, or train/ and test/ (or val/) with those in each, as AFHQ has "
    "(https://github.com/clovaai/stargan-v2)"
)

Parts = dict[str, list[tuple[str, SquareCrop]]]  # class -> its images' names below the root, and the crop of each


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


def read_class_folders(folder: Path, *, heldout_fraction: float = 0.1) -> Photos:
    """What `folder` holds; no image is opened.

    Classes are numbered in alphabetical order. The held-out images are those of `test/`, or of `val/` where there is no
    `test/`; where there is neither, they are a share `heldout_fraction` of each class's images, by a permutation that
    depends on the class's name and its number of images alone. The centred square of every image is taken.

    Raises UserError for a missing folder, fewer than two classes, a class with fewer than two images, or held-out
    classes that aren't those for training.
    """
    check_folder(folder, _FOLDERS)
    divided = (folder / "train").is_dir()
    train = _class_folders(folder, "train" if divided else "")
    beside = next((name for name in ("test", "val") if divided and (folder / name).is_dir()), None)
    _check_classes(train, shown(folder / "train" if divided else folder), _FOLDERS, least=2 if beside else 3)
    if beside is None:
        return _hold_out_images(folder, train, heldout_fraction)
    heldout = _class_folders(folder, beside)
    for name in sorted(train.keys() | heldout.keys()):
        if not train.get(name) or not heldout.get(name):
            lacking = beside if train.get(name) else "train"
            raise UserError(f"{shown(folder / lacking)} has no images of the class {name}; {_FOLDERS}")
    return _photos(folder, train, heldout)


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
        _check_classes(merged, where, _FUNIT, least=3)
        return _hold_out_images(tree, merged, heldout_fraction)
    for path, parts in zip(lists, read, strict=True):
        _check_classes(parts, shown(path), _FUNIT)
    return _photos(tree, train, test)


def _photos(root: Path, train: Parts, heldout: Parts) -> Photos:
    """The classes are numbered in the order of `train`, and those that are held out alone come after them."""
    numbers = {name: number for number, name in enumerate(train | heldout)}

    def sources(parts: Parts) -> list[Source]:
        return [Source(root, image, (numbers[name],), crop) for name, images in parts.items() for image, crop in images]

    return Photos(tuple(numbers), sources(train), sources(heldout))


def _class_folders(root: Path, below: str) -> Parts:
    """The images in each folder of `root/below` and in folders inside it; what is hidden doesn't count."""
    Image.init()
    readable = {ending for ending, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    parts: Parts = {}
    for entry in sorted((root / below).iterdir()):
        if entry.is_dir() and not entry.name.startswith((".", "__")):
            images = (path for path in entry.rglob("*") if path.suffix.lower() in readable and not path.is_dir())
            names = sorted(path.relative_to(root).as_posix() for path in images)
            parts[entry.name] = [(name, SquareCrop()) for name in names if "/." not in name]
    return parts


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


def _check_classes(parts: Parts, where: str, by_hand: str, *, least: int = 2) -> None:
    """`least`: of a class's images; a pair needs two, and a third one is held out where whole classes are not."""
    if len(parts) < 2:
        raise UserError(f"{where} has {len(parts)} class{'' if len(parts) == 1 else 'es'}, two are needed: {by_hand}")
    for name, images in parts.items():
        if (found := len({image for image, _ in images})) < least:
            needed = "two for pairs" + (" and one to hold out" if least > 2 else "")
            raise UserError(
                f"{where} has {found} image(s) of the class {name}; {needed} are needed: add some, or remove the class"
            )


def _hold_out_images(root: Path, parts: Parts, fraction: float) -> Photos:
    """At least one image of each class is held out, and two are left to be paired."""
    train: Parts = {}
    heldout: Parts = {}
    for name, images in parts.items():
        files = sorted({image for image, _ in images})
        count = min(max(1, round(fraction * len(files))), len(files) - 2)
        order = numpy_generator(0, f"held-out images of {name}").permutation(len(files))
        chosen = {files[i] for i in order[:count]}
        train[name] = [part for part in images if part[0] not in chosen]
        heldout[name] = [part for part in images if part[0] in chosen]
    return _photos(root, train, heldout)
