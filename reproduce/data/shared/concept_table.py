"""A CSV file of concepts: the first column names an image, and each further one is a concept, or divides the images."""

import csv
import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, field_validator

from reproduce.data.shared.base import ATTRIBUTE
from reproduce.data.shared.photos import Photos, check_folder, image_names, what_is_near
from reproduce.errors import UserError
from reproduce.factors import MISSING
from reproduce.files import shown
from reproduce.intake.image import Source, SquareCrop
from reproduce.schema import Strict
from reproduce.seeds import numpy_generator

Rows = list[tuple[int, list[str]]]  # the number of each line, and its cells

_SPLIT = "split"
_HELDOUT = ("heldout", "test", "val")  # what is held out is marked with the first of these that occurs
# two values that say whether something is there; any other two are classes
_NO_YES = (("no", "yes"), ("false", "true"), ("0", "1"), ("-1", "1"))
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")  # what becomes of 1 where a program takes an empty cell for a number


def _checked_name(name: str) -> str:
    if not name or name == "residual" or name.startswith(".") or set(name) & set("/\\"):
        raise ValueError(
            f"a concept cannot be called {name!r}: residual is what T keeps beside the concepts, and figures are files "
            "with a concept's name (no / or \\, no dot at its beginning); rename it"
        )
    return name


ConceptName = Annotated[str, AfterValidator(_checked_name)]


class ConceptTable(Strict):
    """A CSV file in UTF-8, with commas and a header, whose first column is each image's path.

    `file`: the CSV file; it and the images' paths are relative to the folder of the images. `concepts`: the columns
    that are concepts, in factor order; `all`: every one after the first. A column called `split` is no concept: it
    marks each image as `train`, or as `heldout`, `test` or `val`.
    """

    kind: Literal["csv"]
    file: str
    concepts: Annotated[tuple[ConceptName, ...], Field(min_length=1)] | Literal["all"]

    @field_validator("concepts")
    @classmethod
    def _different(cls, concepts: tuple[str, ...] | str) -> tuple[str, ...] | str:
        if len(set(concepts)) < len(concepts) and concepts != "all":
            raise ValueError("name none twice")
        return concepts

    def names(self, folder: Path) -> tuple[str, ...]:
        """The concepts' names; the header is read where `all` columns are concepts."""
        if self.concepts != "all":
            return self.concepts
        return tuple(_columns(folder / self.file, next(_rows(folder / self.file))[1], self.concepts))


def read_table(folder: Path, table: ConceptTable, *, heldout_fraction: float) -> Photos:
    """What the table says of the images in `folder`; no image is opened.

    A concept is an attribute where its values are no and yes, false and true (in capitals or not), 0 and 1, or -1 and
    1. Otherwise its values are classes, numbered in the order of numbers where all are numbers, and in alphabetical
    order where not; 3.0 is the same as 3. An empty cell is a missing value. Where no column divides the images, a share
    `heldout_fraction` of them is held out, which is about the same for each combination of values; a permutation that
    depends on the number of images alone decides which. The centred square of every image is taken. Warnings on stderr
    count the images that are left out.

    Raises UserError for a missing folder or file, a file that is no CSV in UTF-8, images that aren't there or are
    listed twice, unknown columns, a part without images, and a concept that has no pair or, in either part, one value.
    """
    check_folder(folder, "create it, and put the images and the CSV file there; or correct dataset.path")
    path = folder / table.file
    (_, header), *rows = _rows(path)
    columns = _columns(path, header, table.concepts)
    images = _listed_images(path, folder, rows)
    used, marked = _divided(path, header, rows)
    values, names = np.empty((len(used), len(columns)), np.int64), {}
    for k, (concept, column) in enumerate(columns.items()):
        values[:, k], names[concept] = _numbered([rows[i][1][column] for i in used])
    heldout = _held_out(values, heldout_fraction) if marked is None else marked
    for k, concept in enumerate(columns):
        _check_concept(path, concept, values[:, k], heldout=heldout)
    labels = zip(used, values.tolist(), strict=True)
    sources = [Source(folder, images[i], tuple(row), SquareCrop()) for i, row in labels]
    parts = [[source for source, own in zip(sources, heldout, strict=True) if own == part] for part in (False, True)]
    return Photos(names, *parts)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The number of each line that isn't empty and its cells, without spaces around them; the header comes first."""
    width = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in ([cell.strip() for cell in row] for row in reader):
                if any(cells):
                    width = width or len(cells)
                    if len(cells) != width:
                        raise UserError(
                            f"{shown(path)}, line {reader.line_num}: {len(cells)} cells, the header has {width}; a "
                            'cell with a comma in it needs quotes ("a, b")'
                        )
                    yield reader.line_num, cells
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise UserError(
            f"{shown(path)} {'is a folder' if path.is_dir() else 'does not exist'}: put the CSV file there, or correct "
            "dataset.labels.file, which is relative to dataset.path"
        ) from None
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)} is not a UTF-8 text file: save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{shown(path)}, line {reader.line_num}: this is no CSV ({error}): correct the line") from None
    if not width:
        raise UserError(f"{shown(path)} is empty: write a header, and a line for each image")


def _columns(path: Path, header: list[str], wanted: Sequence[str]) -> dict[str, int]:
    """The number of the column of each concept."""
    known = [name for name in header[1:] if name != _SPLIT]
    if not known:
        raise UserError(
            f"{shown(path)} has no column for a concept (its header is {','.join(header)!r:.80}): the first column "
            "names the image, each further one is a concept, and commas separate them"
        )
    if wanted == "all":
        wanted = known
        for name in known:
            try:
                _checked_name(name)
            except ValueError as error:
                raise UserError(f"{shown(path)}: {error}") from None
    for name in wanted:
        if name not in known:
            raise UserError(f"{shown(path)} has no column {name} for a concept: {what_is_near(name, known)}")
    for name in (*wanted, _SPLIT):
        if header.count(name) > 1:
            raise UserError(f"{shown(path)} has {header.count(name)} columns {name}: rename or remove all but one")
    return {name: header.index(name, 1) for name in wanted}


def _divided(path: Path, header: list[str], rows: Rows) -> tuple[list[int], np.ndarray | None]:
    """The rows that are used, and whether each is held out, bool `[n]`; None where no column says so."""
    if _SPLIT not in header[1:]:
        return [*range(len(rows))], None
    marks = [cells[header.index(_SPLIT, 1)].lower() for _, cells in rows]
    for (line, _), mark in zip(rows, marks, strict=True):
        if mark not in ("train", *_HELDOUT):
            raise UserError(f"{shown(path)}, line {line}: {_SPLIT} is {mark!r}: it must be train, heldout, test or val")
    beside = next((mark for mark in _HELDOUT if mark in marks), None)
    if beside is None or "train" not in marks:
        lacking = "held-out image (none is marked heldout, test or val)" if beside is None else "image marked train"
        raise UserError(f"{shown(path)} has no {lacking}: correct the column {_SPLIT}, or remove it")
    used = [i for i, mark in enumerate(marks) if mark in ("train", beside)]
    if len(used) < len(rows):
        others = ", ".join(mark for mark in _HELDOUT if mark in marks and mark != beside)
        _warn(f"{shown(path)}: {len(rows) - len(used)} image(s) marked {others} are left out: {beside} is held out")
    return used, np.array([marks[i] == beside for i in used])


def _listed_images(path: Path, folder: Path, rows: Rows) -> list[str]:
    """The names of the images below `folder`, in the order of the rows."""
    if not rows:
        raise UserError(f"{shown(path)} has a header alone: write a line for each image")
    names: dict[str, int] = {}
    for line, cells in rows:
        name = posixpath.normpath(cells[0].replace("\\", "/")) if cells[0] else ""
        if not name or name.startswith(("/", "..")):
            raise UserError(
                f"{shown(path)}, line {line}: {cells[0]!r} is not the path of an image below {shown(folder)}"
            )
        if name in names:
            raise UserError(
                f"{shown(path)}, line {line}: {name} is there a second time (first in line {names[name]}): remove one"
            )
        names[name] = line
    there = image_names(folder, folder)
    known = set(there)
    missing = [name for name in names if name not in known and not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of the {len(names)} images that {shown(path)} lists are not in {shown(folder)}, the first "
            f"{missing[0]}: correct the paths, which begin at that folder, or remove the lines"
        )
    if left_out := [name for name in there if name not in names]:
        _warn(f"{len(left_out)} image(s) in {shown(folder)} are not used by {shown(path)}, the first {left_out[0]}")
    return list(names)


def _numbered(cells: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    """The number of each value, and the values' names."""
    cells = [_WHOLE.sub(r"\1", cell) if _WHOLE.fullmatch(cell) else cell for cell in cells]
    found = {cell for cell in cells if cell}
    for pair in _NO_YES:
        if {cell.lower() for cell in found} == set(pair):
            return [pair.index(cell.lower()) if cell else MISSING for cell in cells], ATTRIBUTE
    numeric = all(_NUMBER.fullmatch(value) for value in found)
    names = sorted(found, key=lambda value: (float(value) if numeric else 0, value))
    numbers = {name: number for number, name in enumerate(names)} | {"": MISSING}
    return [numbers[cell] for cell in cells], tuple(names)


def _held_out(values: np.ndarray, fraction: float) -> np.ndarray:
    """Whether each image is held out, bool `[n]`, given its `values` `[n, K]`; two images are left to be paired."""
    n = len(values)
    count = min(max(1, round(fraction * n)), max(0, n - 2))
    order = numpy_generator(0, "held-out images").permutation(n)
    order = order[np.lexsort(values[order].T[::-1])]  # images with the same values stand together, in random order
    heldout = np.zeros(n, bool)
    heldout[order[((np.arange(count) + 0.5) * n / max(1, count)).astype(int)]] = True
    return heldout


def _check_concept(path: Path, concept: str, values: np.ndarray, *, heldout: np.ndarray) -> None:
    """UserError for a concept that no two training images share, or that has fewer than two values in one part."""
    otherwise = "correct the column, or leave it out of dataset.labels.concepts"
    seen = values[values != MISSING]
    if len(seen) > 1 and len(np.unique(seen)) == len(seen):
        raise UserError(
            f"{shown(path)}: each of the {len(seen)} values of {concept} is different, as names are: no two images "
            f"share one, so that there is no pair; {otherwise}"
        )
    for part, chosen in (("training", ~heldout), ("held-out", heldout)):
        own = values[chosen]
        numbers, counts = np.unique(own[own != MISSING], return_counts=True)
        if len(numbers) < 2:
            raise UserError(
                f"{shown(path)}: the {len(own)} {part} images have {('no value', 'one value')[len(numbers)]} of "
                f"{concept}, a concept needs two: {otherwise}, or divide the images otherwise"
            )
        if part == "training" and counts.max() < 2:
            raise UserError(f"{shown(path)}: no two training images share a value of {concept}: {otherwise}")


def _warn(text: str) -> None:
    print(f"reproduce: warning: {text}", file=sys.stderr)
