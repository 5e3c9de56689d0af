"""Image files, decoded into the arrays that the pipeline reads: what CelebA and AnimalFaces share."""

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reproduce.data.shared.labelled import LabelledSet, write_split
from reproduce.files import read_array, write_json, write_text
from reproduce.intake.decode import decode_images, label_array
from reproduce.intake.image import Recipe, Source


@dataclass(frozen=True)
class Photos:
    """The images for training and those held out; a source's labels are its attributes, 0 or 1, or its class.

    `names`: of the attributes or of the classes, which `kind` says.
    """

    kind: Literal["attributes", "classes"]
    names: tuple[str, ...]
    train: list[Source]
    heldout: list[Source]


class PhotoSet(LabelledSet):
    """Image files; `on_unusable`: what becomes of one that is truncated or not RGB; see `reproduce.intake.decode`."""

    on_unusable: Literal["refuse", "convert"]
    antialias: bool

    def decode(self, photos: Photos, *, folder: Path, work: Path) -> None:
        """Write `{train,heldout}_{images,labels}.npy`, `…_manifest.csv`, and, when all are whole, the labels' names.

        Both parts go through one decode. A refused image leaves what was there before; without the names' file, which
        goes first and comes last, nothing can be opened that is half old, half new.
        """
        sources = [*photos.train, *photos.heldout]
        whole, listed = work / "whole", folder / f"{photos.kind}.json"
        decode_images(
            sources,
            folder=whole,
            name="all",
            recipe=Recipe(self.image_size, self.on_unusable, self.antialias),
            label_names=photos.names if photos.kind == "attributes" else ("class",),
            work=work / "unfinished",
        )
        images, labels = read_array(whole / "all_images.npy", mapped=True), label_array(sources)
        with (whole / "all_manifest.csv").open(encoding="utf-8", newline="") as file:
            header, *manifest = csv.reader(file)
        n = len(photos.train)
        listed.unlink(missing_ok=True)
        for split, part in (("train", slice(0, n)), ("heldout", slice(n, None))):
            write_split(folder, split, images[part], labels[part])
            write_text(folder / f"{split}_manifest.csv", _as_csv([header, *manifest[part]]))
        write_json(listed, photos.names)
        shutil.rmtree(work)


def located(folder: str) -> Path:
    """A folder as the config names it: relative to the current one, absolute, or below the home folder (`~`)."""
    return Path(folder).expanduser()


def _as_csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
