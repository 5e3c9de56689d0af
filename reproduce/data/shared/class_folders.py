"""A folder of images per class: which images there are, and which of them are held out."""

from pathlib import Path

from reproduce.data.shared.photos import Photos, check_folder, image_names
from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.intake.image import Source, SquareCrop
from reproduce.seeds import numpy_generator

_BY_HAND = (
    "put there by hand one folder of images per class, or train/ and test/ (or val/) with those in each, as AFHQ has "
    "(https://github.com/clovaai/stargan-v2)"
)

Parts = dict[str, list[tuple[str, SquareCrop]]]  # class -> its images' names below the root, and the crop of each


def read_class_folders(folder: Path, *, heldout_fraction: float = 0.1) -> Photos:
    """What `folder` holds; no image is opened.

    Classes are numbered in alphabetical order. The held-out images are those of `test/`, or of `val/` where there is no
    `test/`; where there is neither, they are a share `heldout_fraction` of each class's images, by a permutation that
    depends on the class's name and its number of images alone. The centred square of every image is taken.

    Raises UserError for a missing folder, fewer than two classes, a class with fewer than two images, or held-out
    classes that aren't those for training.
    """
    check_folder(folder, _BY_HAND)
    divided = (folder / "train").is_dir()
    train = _class_folders(folder, "train" if divided else "")
    beside = next((name for name in ("test", "val") if divided and (folder / name).is_dir()), None)
    check_classes(train, shown(folder / "train" if divided else folder), _BY_HAND, least=2 if beside else 3)
    if beside is None:
        return hold_out_images(folder, train, heldout_fraction)
    heldout = _class_folders(folder, beside)
    for name in sorted(train.keys() | heldout.keys()):
        if not train.get(name) or not heldout.get(name):
            lacking = beside if train.get(name) else "train"
            raise UserError(f"{shown(folder / lacking)} has no images of the class {name}; {_BY_HAND}")
    return photos_of(folder, train, heldout)


def photos_of(root: Path, train: Parts, heldout: Parts) -> Photos:
    """The classes are numbered in the order of `train`, and those that are held out alone come after them."""
    numbers = {name: number for number, name in enumerate(train | heldout)}

    def sources(parts: Parts) -> list[Source]:
        return [Source(root, image, (numbers[name],), crop) for name, images in parts.items() for image, crop in images]

    return Photos(tuple(numbers), sources(train), sources(heldout))


def _class_folders(root: Path, below: str) -> Parts:
    """The images in each folder of `root/below` and in folders inside it; what is hidden doesn't count."""
    parts: Parts = {}
    for entry in sorted((root / below).iterdir()):
        if entry.is_dir() and not entry.name.startswith((".", "__")):
            parts[entry.name] = [(name, SquareCrop()) for name in image_names(entry, root)]
    return parts


def check_classes(parts: Parts, where: str, by_hand: str, *, least: int = 2) -> None:
    """`least`: of a class's images; a pair needs two, and a third one is held out where whole classes are not."""
    if len(parts) < 2:
        raise UserError(f"{where} has {len(parts)} class{'' if len(parts) == 1 else 'es'}, two are needed: {by_hand}")
    for name, images in parts.items():
        if (found := len({image for image, _ in images})) < least:
            needed = "two for pairs" + (" and one to hold out" if least > 2 else "")
            raise UserError(
                f"{where} has {found} image(s) of the class {name}; {needed} are needed: add some, or remove the class"
            )


def hold_out_images(root: Path, parts: Parts, fraction: float) -> Photos:
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
    return photos_of(root, train, heldout)
