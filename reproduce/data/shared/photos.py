"""What data sets of image files share: the files become the arrays that the pipeline reads."""

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from reproduce.data.shared.base import write_split
from reproduce.data.shared.labelled import LabelledSet
from reproduce.errors import UserError
from reproduce.factors import MISSING
from reproduce.files import is_web_page, shown, write_text
from reproduce.intake.decode import decoded_images, label_array
from reproduce.intake.image import Recipe, Source


@dataclass(frozen=True)
class Photos:
    """The images for training and those held out; a source's labels are its attributes, 0 or 1, or its class.

    `names` are those of the attributes or of the classes; where there may be both, those of each concept's values.
    """

    names: tuple[str, ...] | Mapping[str, Sequence[str]]
    train: list[Source]
    heldout: list[Source]


class PhotoSet(LabelledSet):
    """Image files; `on_unusable` says what happens to one that is truncated or not RGB (`reproduce.intake.image`)."""

    on_unusable: Literal["refuse", "convert"]
    antialias: bool

    def decode(self, photos: Photos, *, folder: Path, work: Path) -> None:
        """Write the arrays, the labels' names, and `{train,heldout}_manifest.csv` with one row per image.

        A row has the name, the labels (empty where missing), the SHA-256 of the file's bytes, and a note: empty, or
        what was converted. Both parts go through one decode, so that a refused image leaves what was there before.
        """
        import pandas as pd

        sources, n = [*photos.train, *photos.heldout], len(photos.train)
        recipe = Recipe(self.image_size, self.on_unusable, self.antialias)
        with (
            decoded_images(sources, recipe=recipe, work=work) as (images, entries),
            self.names_last(folder, photos.names),
        ):
            labels = label_array(sources)
            rows = [
                [s.name, *("" if label == MISSING else label for label in s.labels), e.sha256, e.note]
                for s, e in zip(sources, entries, strict=True)
            ]
            manifest = pd.DataFrame(rows, columns=["name", *self.concepts, "sha256", "note"])
            for split, part in (("train", slice(0, n)), ("heldout", slice(n, None))):
                write_split(folder, split, images=images[part], labels=labels[part])
                write_text(folder / f"{split}_manifest.csv", manifest[part].to_csv(index=False, lineterminator="\n"))


def located(folder: str) -> Path:
    """A path as the config names it: relative to the current folder, absolute, or below the home folder (`~`)."""
    return Path(os.path.expanduser(folder))  # Path.expanduser raises for an unknown user


def check_folder(folder: Path, by_hand: str) -> None:
    """UserError, with how to get it `by_hand`, where there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"{shown(folder)} {'is not a folder' if folder.exists() else 'does not exist'}: {by_hand}")


def image_names(folder: Path, root: Path) -> list[str]:
    """The image files in `folder` and in folders inside it, by their names below `root`; hidden ones don't count."""
    Image.init()
    readable = {ending for ending, kind in Image.EXTENSION.items() if kind in Image.OPEN}
    images = (path for path in folder.rglob("*") if path.suffix.lower() in readable and not path.is_dir())
    names = sorted(path.relative_to(root).as_posix() for path in images)
    return [name for name in names if "/." not in f"/{name}"]


def what_is_near(name: str, known: Sequence[str]) -> str:
    """What a message says after "there is no `name`": the known name that is nearest, or all of them."""
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"


def read_lines(path: Path, by_hand: str) -> list[str]:
    """The lines of a list; UserError, with how to get it `by_hand`, where it is missing or no text."""
    if not path.is_file():
        raise UserError(f"{shown(path)} does not exist: {by_hand}")
    if is_web_page(path):
        raise UserError(f"{shown(path)} is a web page, not the list: {by_hand}")
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)} is not a text file: {by_hand}") from None
