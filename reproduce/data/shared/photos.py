"""What CelebA and AnimalFaces share: image files become the arrays that the pipeline reads."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reproduce.data.shared.base import write_split
from reproduce.data.shared.labelled import LabelledSet
from reproduce.errors import UserError
from reproduce.files import is_web_page, read_array, shown, write_text
from reproduce.intake.decode import decode_images, label_array
from reproduce.intake.image import Recipe, Source


@dataclass(frozen=True)
class Photos:
    """The images for training and those held out; a source's labels are its attributes, 0 or 1, or its class.

    `names` are those of the attributes or of the classes.
    """

    names: tuple[str, ...]
    train: list[Source]
    heldout: list[Source]


class PhotoSet(LabelledSet):
    """Image files; `on_unusable` says what happens to one that is truncated or not RGB (`reproduce.intake.image`)."""

    on_unusable: Literal["refuse", "convert"]
    antialias: bool

    def decode(self, photos: Photos, *, folder: Path, work: Path) -> None:
        """Write the arrays, `{train,heldout}_manifest.csv` and the labels' names.

        Both parts go through one decode, so that a refused image leaves what was there before.
        """
        import pandas as pd

        sources, n, whole = [*photos.train, *photos.heldout], len(photos.train), work / "whole"
        decode_images(
            sources,
            folder=whole,
            name="all",
            recipe=Recipe(self.image_size, self.on_unusable, self.antialias),
            label_names=self.concepts,
            work=work / "unfinished",
        )
        images, labels = read_array(whole / "all_images.npy", mapped=True), label_array(sources)
        manifest = pd.read_csv(whole / "all_manifest.csv", dtype=str, keep_default_na=False)
        with self.names_last(folder, photos.names):
            for split, part in (("train", slice(0, n)), ("heldout", slice(n, None))):
                write_split(folder, split, images=images[part], labels=labels[part])
                write_text(folder / f"{split}_manifest.csv", manifest[part].to_csv(index=False, lineterminator="\n"))
        shutil.rmtree(work)


def located(folder: str) -> Path:
    """A path as the config names it: relative to the current folder, absolute, or below the home folder (`~`)."""
    return Path(folder).expanduser()


def check_folder(folder: Path, by_hand: str) -> None:
    """UserError, with how to get it `by_hand`, where there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"{shown(folder)} {'is not a folder' if folder.exists() else 'does not exist'}: {by_hand}")


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
