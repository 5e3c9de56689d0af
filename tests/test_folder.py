"""A folder of images of one's own: concepts from class folders or from a CSV file, and what is refused."""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from reproduce.cli import main
from reproduce.config import Experiment
from reproduce.data.folder import Folder, FolderImages
from reproduce.data.shared.base import known, pick_images, same_class_partners
from reproduce.data.shared.concept_table import ATTRIBUTE, _held_out, _numbered
from reproduce.errors import UserError
from reproduce.factors import MISSING
from reproduce.files import read_array, read_arrays, read_json, write_array, write_json
from reproduce.intake import decode
from reproduce.intake.download import Downloads
from reproduce.paths import CONFIGS
from reproduce.schema import read_yaml, validated
from reproduce.seeds import torch_generator
from reproduce.stages import fetch as fetch_stage

N = 24
SPECIES = ("cat", "dog", "fox")
FILES = {f"{split}_{what}" for split in ("train", "heldout") for what in ("images.npy", "labels.npy", "manifest.csv")}


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images: a second process would take longer to start than they take."""
    monkeypatch.setattr(decode, "default_workers", lambda: 1)


def picture(path: Path, number: int, mode: str = "RGB") -> None:
    """An image of one colour, whose red tells its number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (10 * number, 99, 50)).convert(mode).save(path)


def row(i: int) -> dict[str, str]:
    """Of every third image nobody knows whether it smiles; the id is no concept, the year is one that isn't chosen."""
    smiling = "" if i % 3 == 0 else ("yes" if i % 2 else "No")
    return {
        "image": f"photos/{i:02d}.png",
        "species": SPECIES[i % 4 // 2 + i % 2],
        "smiling": smiling,
        "id": f"#{i}",
        "year": str(2000 + i % 2),
    }


def write_rows(path: Path, rows: Iterable[dict[str, str]]) -> None:
    rows = list(rows)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """24 images and what is known of them."""
    for i in range(N):
        picture(tmp_path / "mine" / row(i)["image"], i)
    write_rows(tmp_path / "mine" / "labels.csv", map(row, range(N)))
    return tmp_path / "mine"


TABLE: dict[str, Any] = {"kind": "csv", "file": "labels.csv", "concepts": ["species", "smiling"]}
EVERY: dict[str, Any] = TABLE | {"concepts": "all"}


def settings(root: Path | str, **changes: Any) -> Folder:
    values = {
        "name": "folder",
        "path": str(root),
        "labels": TABLE,
        "heldout_fraction": 0.25,
        "image_size": 24,
        "dequantise": "none",
        "flip": False,
        "on_unusable": "refuse",
        "antialias": True,
    }
    return validated(Folder, values | changes, "x.yaml")


def fetch(root: Path, base: Path, **changes: Any) -> Path:
    downloads = Downloads(sources={}, folder=base / "downloads")
    settings(root, **changes).fetch(folder=base / "data", downloads=downloads, work=base / "work")
    return base / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def fetched(folder: Path, split: str) -> tuple[list[int], np.ndarray]:
    """The numbers that the images of a part show, and their labels."""
    images = read_array(folder / f"{split}_images.npy")
    assert (images == images[:, :1, :1]).all()
    return (images[:, 0, 0, 0] // 10).tolist(), read_array(folder / f"{split}_labels.npy")


# --- a CSV file


def test_a_table_becomes_arrays_labels_names_and_manifests(root: Path, tmp_path: Path) -> None:
    folder = fetch(root, tmp_path)
    assert set(contents(folder)) == FILES | {"concepts.json"}
    assert read_json(folder / "concepts.json") == {"species": [*SPECIES], "smiling": [*ATTRIBUTE]}
    seen: list[int] = []
    for split, n in (("train", 18), ("heldout", 6)):
        numbers, labels = fetched(folder, split)
        assert labels.dtype == np.int64
        assert labels.shape == (n, 2)
        assert labels.tolist() == [
            [
                SPECIES.index(row(i)["species"]),
                {"": MISSING, "No": 0, "yes": 1}[row(i)["smiling"]],
            ]
            for i in numbers
        ]
        with (folder / f"{split}_manifest.csv").open() as file:
            lines = list(csv.DictReader(file))
        assert [line["name"] for line in lines] == [row(i)["image"] for i in numbers]
        assert [line["smiling"] for line in lines] == [
            {"": "", "No": "0", "yes": "1"}[row(i)["smiling"]] for i in numbers
        ]
        seen += numbers
    assert sorted(seen) == [*range(N)]


def test_the_columns_and_their_order_are_chosen(root: Path, tmp_path: Path) -> None:
    labels = TABLE | {"concepts": ["year", "species"]}
    folder = fetch(root, tmp_path, labels=labels)
    assert settings(root, labels=labels).concepts == ("year", "species")
    assert read_json(folder / "concepts.json") == {"year": ["2000", "2001"], "species": [*SPECIES]}
    numbers, values = fetched(folder, "train")
    assert values[:, 0].tolist() == [i % 2 for i in numbers]


def test_all_columns_are_concepts_but_the_first_and_the_split(root: Path, tmp_path: Path) -> None:
    rows = [row(i) for i in range(N)]
    for i, one in enumerate(rows):
        del one["id"]
        one["split"] = "train" if i < 16 else "test"
    write_rows(root / "labels.csv", rows)
    assert settings(root, labels=EVERY).concepts == ("species", "smiling", "year")
    folder = fetch(root, tmp_path, labels=EVERY)
    assert list(read_json(folder / "concepts.json")) == ["species", "smiling", "year"]
    assert fetched(folder, "heldout")[0] == [*range(16, N)]


@pytest.mark.parametrize(
    ("cells", "numbers", "names"),
    [
        (["b", "a", "b", "", "B"], [2, 1, 2, MISSING, 0], ("B", "a", "b")),
        (["Yes", "no", "YES", ""], [1, 0, 1, MISSING], ATTRIBUTE),
        (["True", "False"], [1, 0], ATTRIBUTE),
        (["0", "1", "0"], [0, 1, 0], ATTRIBUTE),
        (["-1", "1"], [0, 1], ATTRIBUTE),
        (["1.0", "", "0.0"], [1, MISSING, 0], ATTRIBUTE),  # as pandas writes a column with an empty cell
        (["10", "9", "9.5"], [2, 0, 1], ("9", "9.5", "10")),
        (["3.0", "10", "3"], [0, 1, 0], ("3", "10")),
        (["1", "2"], [0, 1], ("1", "2")),
        (["without", "with"], [1, 0], ("with", "without")),
        (["male", "female"], [1, 0], ("female", "male")),
        (["yes", "no", "maybe"], [2, 1, 0], ("maybe", "no", "yes")),
    ],
)
def test_values_are_numbered_and_two_that_mean_no_and_yes_are_an_attribute(
    cells: list[str], numbers: list[int], names: tuple[str, ...]
) -> None:
    assert _numbered(cells) == (numbers, names)


@pytest.mark.parametrize(
    ("marks", "heldout", "left_out"),
    [
        (["train"] * 16 + ["test"] * 8, range(16, 24), ""),
        (["Train"] * 16 + ["heldout"] * 8, range(16, 24), ""),
        (["val"] * 10 + ["train"] * 14, range(10), ""),
        (["test"] * 8 + ["val"] * 4 + ["train"] * 12, range(8), "4 image(s) marked val are left out: test is held out"),
    ],
)
def test_a_column_divides_the_images(
    root: Path,
    tmp_path: Path,
    marks: list[str],
    heldout: range,
    left_out: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_rows(root / "labels.csv", [row(i) | {"split": marks[i]} for i in range(N)])
    folder = fetch(root, tmp_path)
    assert fetched(folder, "heldout")[0] == [*heldout]
    assert fetched(folder, "train")[0] == [i for i in range(N) if marks[i].lower() == "train"]
    said = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [left_out in line for line in said] == [True] * bool(left_out)


def test_a_share_of_every_combination_is_held_out() -> None:
    # 20 cats of which 10 smile, 10 dogs, 10 images of which nothing is known
    values = np.array([[0, 0]] * 10 + [[0, 1]] * 10 + [[1, 0]] * 10 + [[MISSING, MISSING]] * 10)[np.arange(40) * 7 % 40]
    heldout = _held_out(values, 0.2)
    groups = [(values == of).all(1) for of in ((0, 0), (0, 1), (1, 0), (MISSING, MISSING))]
    assert [int(heldout[group].sum()) for group in groups] == [2, 2, 2, 2]
    assert (heldout == _held_out(values, 0.2)).all()
    # which of a group is by chance, not by its place in the file
    assert [np.flatnonzero(heldout[group]).tolist() for group in groups] != [[2, 7]] * 4
    assert not np.array_equal(heldout, _held_out(values[:39], 0.2)[np.arange(40) % 39])
    # one image at least is held out, and two are left
    assert _held_out(values, 0.001).sum() == 1
    assert _held_out(values, 0.999).sum() == 38


def test_the_table_may_lie_elsewhere_and_come_from_another_program(root: Path, tmp_path: Path) -> None:
    whole = contents(fetch(root, tmp_path / "a"))
    text = (root / "labels.csv").read_text().replace("photos/", " .\\photos\\").replace("\n", "\r\n")
    text = text.replace("image,", '"image, its path",')
    (root / "labels.csv").unlink()
    (tmp_path / "other.csv").write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n,,,,\r\n")
    labels = TABLE | {"file": str(tmp_path / "other.csv")}
    assert contents(fetch(root, tmp_path / "b", labels=labels)) == whole


def test_a_cell_may_hold_commas_and_lines(root: Path, tmp_path: Path) -> None:
    whole = contents(fetch(root, tmp_path / "a"))
    write_rows(root / "labels.csv", [row(i) | {"caption": f'a "cat",\nor not: {i}'} for i in range(N)])
    assert contents(fetch(root, tmp_path / "b")) == whole


def test_images_that_the_table_lacks_are_counted_on_stderr(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(root / "labels.csv", map(row, range(3, N)))
    picture(root / ".hidden" / "a.png", 0)
    (root / "notes.txt").write_text("no image")
    assert len(fetched(fetch(root, tmp_path), "train")[0]) == 16
    (said,) = (line for line in capsys.readouterr().err.splitlines() if "warning" in line)
    assert said.startswith("reproduce: warning: 3 image(s) in ")
    assert said.endswith("labels.csv, the first photos/00.png")


# --- what is refused


def edited(change: Any) -> Any:
    def edit(root: Path) -> None:
        rows = [row(i) for i in range(N)]
        change(rows)
        write_rows(root / "labels.csv", rows)

    return edit


def text(old: str, new: str) -> Any:
    def edit(root: Path) -> None:
        path = root / "labels.csv"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))

    return edit


def set_all(column: str, value: str, part: slice = slice(None)) -> Any:
    return edited(lambda rows: [one.update({column: value}) for one in rows[part]])


def marked(*marks: str) -> Any:
    return edited(lambda rows: [one.update(split=marks[i % len(marks)]) for i, one in enumerate(rows)])


CASES: list[tuple[Any, dict[str, Any], str]] = [
    (None, {"path": "nowhere"}, r"^nowhere does not exist: create it, and put the images and the CSV file there"),
    (
        None,
        {"labels": TABLE | {"file": "no.csv"}},
        r"no\.csv does not exist: put the CSV file there, or",
    ),
    (None, {"labels": TABLE | {"file": "photos"}}, r"mine/photos is a folder: put the CSV"),
    (None, {"labels": TABLE | {"file": "photos/03.png"}}, r"03\.png is not a UTF-8 text file: save it as CSV in UTF-8"),
    (lambda root: (root / "labels.csv").write_bytes(b""), {}, r"labels\.csv is empty: write a header"),
    (lambda root: (root / "labels.csv").write_text("image,species,smiling\n"), {}, r"has a header alone: write a line"),
    (lambda root: (root / "labels.csv").write_bytes("image,Größe\n".encode("latin-1")), {}, r"not a UTF-8 text file"),
    (
        lambda root: (root / "labels.csv").write_text("image;species;smiling\n"),
        {},
        r"has no column for a concept \(its header is 'image;species;smiling'\): .* commas separate them",
    ),
    (
        text("photos/05.png,", "photos/05.png,a,"),
        {},
        r"line 7: 6 cells, the header has 5; a cell with a comma",
    ),
    (text("photos/05.png,", ""), {}, r"labels\.csv, line 7: 4 cells, the header has 5"),
    (text("photos/05.png,", '"photos"/05.png,'), {}, r"labels\.csv, line 7: this is no CSV \("),
    (text("photos/05.png", "photos/04.png"), {}, r"line 7: photos/04\.png is there a second time \(first in line 6\)"),
    (text("photos/05.png", "./photos//04.png"), {}, r"line 7: photos/04\.png is there a second time"),
    (text("photos/05.png", ""), {}, r"line 7: '' is not the path of an image below "),
    (
        text("photos/05.png", "../mine/photos/05.png"),
        {},
        r"line 7: '\.\./mine/photos/05\.png' is not the path",
    ),
    (text("photos/05.png", "/photos/05.png"), {}, r"line 7: '/photos/05\.png' is not the path of an image"),
    (
        lambda root: [(root / f"photos/{i:02d}.png").unlink() for i in (7, 3)],
        {},
        r"^2 of the 24 images that .*labels\.csv lists are not in .*mine, the first photos/03\.png: correct the paths",
    ),
    (None, {"labels": TABLE | {"concepts": ["specie"]}}, r"has no column specie for a concept: did you mean species\?"),
    (None, {"labels": TABLE | {"concepts": ["x"]}}, r"has no column x .*: it has species, smiling, id, year"),
    (None, {"labels": TABLE | {"concepts": ["image"]}}, r"has no column image for a concept"),
    (marked("train", "test"), {"labels": TABLE | {"concepts": ["split"]}}, r"has no column split for a concept"),
    (text("smiling", "species"), {"labels": EVERY}, r"labels\.csv has 2 columns species: rename or remove all but one"),
    (
        text("smiling", "residual"),
        {"labels": EVERY},
        r"csv: a concept cannot be called 'residual'",
    ),
    (text("smiling", ""), {"labels": EVERY}, r"csv: a concept cannot be called ''"),
    (
        None,
        {"labels": TABLE | {"concepts": ["id"]}},
        r"each of the 24 values of id is different, as names are: no two images share one",
    ),
    (set_all("species", "cat"), {}, r"the 18 training images have one value of species, a concept needs two: correct"),
    (set_all("smiling", ""), {}, r"the 18 training images have no value of smiling, a concept needs two"),
    (
        edited(lambda rows: [one.update(split="train" if one["smiling"] != "No" else "test") for one in rows]),
        {},
        r"training images have one value of smiling, a concept needs two: .* or divide the images otherwise",
    ),
    (
        edited(lambda rows: [one.update(split="test" if i in (1, 5) else "train") for i, one in enumerate(rows)]),
        {},
        r"the 2 held-out images have one value of species",
    ),
    (
        edited(
            lambda rows: [one.update(split="train" if i < 2 else "test", year=str(i % 5)) for i, one in enumerate(rows)]
        ),
        {"labels": TABLE | {"concepts": ["year"]}},
        r"no two training images share a value of year",
    ),
    (marked("train", "tset"), {}, r"labels\.csv, line 3: split is 'tset': it must be train, heldout, test or val"),
    (marked("train", ""), {}, r"labels\.csv, line 3: split is ''"),
    (marked("train"), {}, r"has no held-out image \(none is marked heldout, test or val\): correct the column split"),
    (marked("test", "val"), {}, r"has no image marked train: correct the column split"),
    (lambda root: Image.new("I;16", (9, 9)).save(root / "photos/05.png"), {}, r"05\.png has Pillow's mode I;16"),
    (lambda root: picture(root / "photos/05.png", 5, "L"), {}, r"05\.png is not RGB but grey"),
]


@pytest.mark.parametrize(("edit", "changes", "words"), CASES)
def test_what_cannot_be_used_is_one_line_and_writes_nothing(
    root: Path, tmp_path: Path, edit: Any, changes: dict[str, Any], words: str
) -> None:
    if edit is not None:
        edit(root)
    with pytest.raises(UserError, match=words) as caught:
        fetch(root, tmp_path, **changes)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": TABLE | {"concepts": ["species", "residual"]}}, r"labels\.concepts\.1: a concept cannot be called"),
        ({"labels": TABLE | {"concepts": ["a/b"]}}, r"labels\.concepts\.0: a concept cannot be called 'a/b'"),
        ({"labels": TABLE | {"concepts": ["species", "species"]}}, r"labels\.concepts: name none twice"),
        ({"labels": TABLE | {"concepts": []}}, r"labels\.concepts: "),
        ({"labels": TABLE | {"concept": "species"}}, r"labels\.concept: unknown key"),
        (
            {"labels": {"kind": "folders", "concept": "residual"}},
            r"labels\.concept: a concept cannot be called",
        ),
        ({"labels": {"kind": "json"}}, r"labels: .*'folders', 'csv'"),
        ({"labels": {"file": "labels.csv"}}, r"labels: the key that says which kind it is is missing"),
        ({"image_size": 7}, r"image_size"),
        ({"image_size": 1025}, r"image_size"),
        ({"heldout_fraction": 0.0}, r"heldout_fraction"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        settings("anywhere", **changes)
    assert "\n" not in str(caught.value)


# --- class folders


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for kind, numbers in (("b", range(10)), ("a", range(10, 15))):
        for i in numbers:
            picture(tmp_path / "classes" / kind / f"{i}.png", i)
    return tmp_path / "classes"


def test_class_folders_are_one_concept_with_a_name_of_its_own(classes: Path, tmp_path: Path) -> None:
    folder = fetch(classes, tmp_path, labels={"kind": "folders"}, heldout_fraction=0.2)
    assert read_json(folder / "concepts.json") == {"class": ["a", "b"]}
    for split, counts in (("train", [4, 8]), ("heldout", [1, 2])):
        numbers, labels = fetched(folder, split)
        assert np.bincount(labels[:, 0]).tolist() == counts
        assert labels[:, 0].tolist() == [int(i < 10) for i in numbers]
    named = settings(classes, labels={"kind": "folders", "concept": "breed"})
    assert (named.concepts, named.has_classes) == (("breed",), True)
    folder = fetch(classes, tmp_path, labels={"kind": "folders", "concept": "breed"})
    data = named.open(folder)
    assert (data.concepts, data.classes, data.n_outputs) == (("breed",), ("a", "b"), 2)
    assert (folder / "heldout_manifest.csv").read_text().startswith("name,breed,sha256,note\n")
    with pytest.raises(UserError, match=r"has 0 classes, two are needed"):
        fetch(classes / "a", tmp_path, labels={"kind": "folders"})


def test_class_folders_may_be_divided(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "divided").mkdir()
    classes.rename(tmp_path / "divided" / "train")
    for kind in ("a", "b"):
        picture(tmp_path / "divided" / "test" / kind / "20.png", 20)
    folder = fetch(tmp_path / "divided", tmp_path, labels={"kind": "folders"})
    assert fetched(folder, "heldout")[0] == [20, 20]


# --- opened


VALUES = {
    "train": [[0, 1], [1, 0], [2, MISSING], [MISSING, 1], [0, 0]],
    "heldout": [[2, 1], [1, MISSING], [2, 0], [1, 1], [MISSING, 0]],
}


@pytest.fixture
def data(tmp_path: Path) -> FolderImages:
    return opened(tmp_path, VALUES)


def opened(folder: Path, values: dict[str, list[list[int]]]) -> FolderImages:
    for split, labels in values.items():
        write_array(folder / f"{split}_images.npy", np.zeros((len(labels), 8, 8, 3), np.uint8))
        write_array(folder / f"{split}_labels.npy", np.array(labels))
    write_json(folder / "concepts.json", {"species": SPECIES, "smiling": ATTRIBUTE})
    return settings("anywhere").open(folder)


def test_an_opened_folder_has_its_concepts_and_an_output_for_each_value(data: FolderImages) -> None:
    assert data.concepts == ("species", "smiling")
    assert (data.classes, dict(data.value_names)) == (None, {"species": SPECIES})
    assert (data.channels, data.n_outputs, data.n_heldout) == (3, 4, 5)


def test_a_class_is_a_number_and_an_attribute_is_there_or_not_or_unknown(data: FolderImages) -> None:
    truth = data.truth(data.heldout())
    assert truth["species"].dtype == torch.int64
    assert truth["species"].tolist() == [2, 1, 2, 1, MISSING]
    assert truth["smiling"].dtype == torch.int8
    assert truth["smiling"].tolist() == [1, -1, 0, 1, 0]
    assert known(truth["species"]).tolist() == [True, True, True, True, False]
    assert known(truth["smiling"]).tolist() == [True, False, True, True, True]
    all_known = {key: value[[0, 2, 3]] for key, value in data.heldout().items()}
    smiling = data.truth(all_known)["smiling"]
    assert smiling.dtype == torch.bool
    assert smiling.tolist() == [True, False, True]
    assert known(smiling).all()


def test_logits_are_read_concept_by_concept(data: FolderImages) -> None:
    read = data.read(torch.tensor([[0.0, 2, 1, -3], [5, 1, 2, 9]]), None)
    assert read["species"].tolist() == [1, 0]
    assert read["smiling"].dtype == torch.bool
    assert read["smiling"].tolist() == [False, True]


def test_a_classifier_is_told_each_value_and_none_where_one_is_missing(data: FolderImages, tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole", {"train": [[0, 1], [2, 0]], "heldout": [[1, 1], [0, 0]]})
    targets = whole.random_images(50, torch_generator(0, "test"))[1]
    assert {tuple(row) for row in targets.tolist()} == {(1, 0, 0, 1), (0, 0, 1, 0)}
    assert whole.frequencies().tolist() == [0.5, 0, 0.5, 0.5]
    with pytest.raises(UserError, match=r"^some training images have no value of species, and a classifier or judge"):
        data.random_images(50, torch_generator(0, "test"))


def test_held_out_pairs_are_those_of_each_concept_among_the_images_that_have_a_value(data: FolderImages) -> None:
    pairs, random = data.heldout_pairs(), np.random.RandomState(1)
    assert pairs.factor.tolist() == [0] * 4 + [1] * 4
    assert pairs.first.tolist() == [0, 1, 2, 3, 0, 2, 3, 4]
    members = [[0, 2], [1, 3], [0, 2], [1, 3], [0, 3], [2, 4], [0, 3], [2, 4]]
    assert pairs.second.tolist() == [several[random.randint(0, 2)] for several in members]


def test_the_pairs_of_class_folders_are_those_of_animal_faces(classes: Path, tmp_path: Path) -> None:
    labels = {"kind": "folders"}
    data = settings(classes, labels=labels).open(fetch(classes, tmp_path, labels=labels, heldout_fraction=0.5))
    pairs, own = data.heldout_pairs(), data.heldout()["values"][:, 0]
    assert pairs.first.tolist() == [*range(len(own))]
    assert pairs.second.tolist() == same_class_partners(own, np.random.RandomState(1)).tolist()


def test_images_to_show_are_named_by_values_that_are_known(data: FolderImages) -> None:
    values = data.heldout()["values"]
    assert pick_images(values, {"x": [2, 1, 2], "y": [(1, 1)]}) == [[0, 1, 2], [3]]
    with pytest.raises(UserError, match=r"^x: there are not enough held-out images of 0; there are 2 of 2, 2 of 1$"):
        pick_images(values, {"x": [0]})
    with pytest.raises(
        UserError, match=r"not enough .* of \[1, 0\]; there are 1 of \[2, 1\], 1 of \[2, 0\], 1 of \[1, 1\]$"
    ):
        pick_images(values, {"x": [(1, 0)]})


# --- images


def test_images_become_squares_of_any_size_and_other_modes_are_converted(root: Path, tmp_path: Path) -> None:
    for i, mode in enumerate(("L", "P", "RGBA", "1")):
        picture(root / row(i)["image"], i, mode)
    # the middle square is red, the rest blue
    pixels = np.zeros((30, 60, 3), np.uint8)
    pixels[..., 2] = 200
    pixels[:, 15:45] = (240, 0, 0)
    Image.fromarray(pixels).save(root / row(4)["image"])
    folder = fetch(root, tmp_path, image_size=224, on_unusable="convert")
    images, names = [], []
    for split in ("train", "heldout"):
        images += [*read_array(folder / f"{split}_images.npy")]
        with (folder / f"{split}_manifest.csv").open() as file:
            names += [(line["name"], line["note"]) for line in csv.DictReader(file)]
    assert {image.shape for image in images} == {(224, 224, 3)}
    notes = dict(names)
    assert [notes[row(i)["image"]] for i in range(5)] == [
        "grey, converted to RGB",
        "palette, converted to RGB",
        "transparent, converted to RGB",
        "black and white, converted to RGB",
        "",
    ]
    square = images[[name for name, _ in names].index(row(4)["image"])]
    assert (square[:, 4:-4] == (240, 0, 0)).all()  # but where the edge is blurred
    data = settings(root, image_size=224).open(folder)
    rendered = data.render_heldout({key: value[:2] for key, value in data.heldout().items()})
    assert rendered.shape == (2, 3, 224, 224)
    assert rendered.abs().max() <= 1


# --- in a config, and as stages


def experiment(root: Path, **changes: Any) -> dict[str, Any]:
    """CelebA's sample experiment on these images."""
    content: dict[str, Any] = read_yaml(CONFIGS / "sample" / "celeba_ae.yaml")
    dataset = settings(root).model_dump(mode="json")
    dataset.pop("augment")
    content |= {"dataset": dataset | changes, "pairs": {"weights": [1.0, 2.0], "balanced": False}, "device": "cpu"}
    content["pool"] = {"size": "all"}
    content["evaluation"] = {"swap": {"n_pairs": 10}, "grid": {"targets": [0, 1], "sources": [2]}}
    return content


def test_an_experiment_has_the_concepts_that_its_folder_names(root: Path) -> None:
    assert validated(Experiment, experiment(root), "x.yaml").concepts == ("species", "smiling")
    everything = experiment(root, labels=EVERY)
    everything["pairs"]["weights"] = [1.0] * 4
    assert validated(Experiment, everything, "x.yaml").concepts == ("species", "smiling", "id", "year")


def test_what_does_not_suit_the_folder_is_named(root: Path) -> None:
    def refused(content: dict[str, Any], words: str) -> None:
        with pytest.raises(UserError, match=words) as caught:
            validated(Experiment, content, "x.yaml")
        assert "\n" not in str(caught.value)

    refused(experiment(root, labels=EVERY), r"^x\.yaml: pairs\.weights: folder has 4 concept\(s\): give one number")
    refused(experiment(root / "no", labels=EVERY), r"^x\.yaml: .*no/labels\.csv does not exist: put the CSV file")
    linear = experiment(root)
    linear["evaluation"]["linear"] = {"start": 0, "ends": [1], "rows": 3, "steps": 10, "rho": 0.5, "n_pairs": 5}
    refused(linear, r"evaluation\.linear needs images of classes")
    classifier = experiment(root)
    for key in ("objective", "judge"):
        del classifier["first_stage"][key]
    classifier["first_stage"]["kind"] = "classifier"
    refused(classifier, r"a classifier needs classes, folder has attributes")
    classifier["dataset"]["labels"] = {"kind": "folders"}
    classifier["pairs"]["weights"] = [1.0]
    classifier["evaluation"] = {"swap": {"n_pairs": 10}}
    assert validated(Experiment, classifier, "x.yaml").concepts == ("class",)


@pytest.fixture
def project(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one experiment, own/mine, on the folder `mine` in it."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    monkeypatch.setattr("reproduce.paths.CONFIGS", tmp_path / "paper_configs")
    monkeypatch.setattr(fetch_stage, "WORK", tmp_path / ".work")
    monkeypatch.chdir(tmp_path)
    write_json(tmp_path / "paper_configs/own/mine.yaml", experiment(Path("mine"), flip=True))
    return tmp_path


def test_the_stages_fetch_and_pairs_run_on_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--profile", "own", "--experiment", "mine"]
    assert main(["fetch", *arguments]) == 0
    assert main(["pairs", *arguments]) == 0
    assert "mine: 36 images to learn from, 6 held out, concept(s) species, smiling" in capsys.readouterr().out
    pairs = project / "artifacts/own/mine/pairs"
    assert read_json(pairs / "concepts.json") == ["species", "smiling"]
    pool = read_arrays(pairs / "pool.npz")
    labels = read_array(project / "artifacts/own/mine/data/train_labels.npy")
    assert pool["values"].tolist() == np.concatenate([labels, labels]).tolist()
    heldout, drawn = read_arrays(pairs / "heldout.npz")["values"], read_arrays(pairs / "heldout_pairs.npz")
    first, second = heldout[drawn["first"], drawn["factor"]], heldout[drawn["second"], drawn["factor"]]
    assert (first == second).all()
    assert (first != MISSING).all()


def test_a_mistake_ends_a_stage_with_code_2_and_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mine/photos/07.png").unlink()
    assert main(["fetch", "--profile", "own", "--experiment", "mine"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("reproduce: error: 1 of the 24 images that mine/labels.csv lists are not in mine, the first")
    assert not (project / "artifacts").exists()
    content = json.loads((project / "paper_configs/own/mine.yaml").read_text())
    content["dataset"]["labels"]["concepts"] = ["id", "species"]
    write_json(project / "paper_configs/own/mine.yaml", content)
    picture(project / "mine/photos/07.png", 7)
    assert main(["fetch", "--profile", "own", "--experiment", "mine"]) == 2
    assert "each of the 24 values of id is different" in capsys.readouterr().err
