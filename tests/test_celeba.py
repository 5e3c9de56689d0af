"""CelebA in its own layout, from a folder and from the zip; and what is said where something is missing."""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from reproduce.data.celeba import CelebA, read_celeba
from reproduce.data.shared.photos import Photos
from reproduce.errors import UserError
from reproduce.intake.decode import decoded_images, label_array
from reproduce.intake.image import CentreCrop, Recipe, Source

ATTRIBUTES = ("Eyeglasses", "Male", "No_Beard", "Smiling")
NAMES = ("Bald", "Eyeglasses", "Male", "No_Beard", "Smiling", "Young")
N = 24


def values(i: int) -> dict[str, int]:
    """All combinations of the four attributes come up."""
    return {
        "Bald": 0,
        "Eyeglasses": i & 1,
        "Male": i >> 1 & 1,
        "No_Beard": i >> 2 & 1,
        "Smiling": i % 3 // 2,
        "Young": 1,
    }


def part(i: int) -> int:
    return 0 if i < 12 else 1 if i < 15 else 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """24 images: 12 for training, 3 for validation, 9 for testing."""
    root = tmp_path / "celeba"
    (root / "img_align_celeba").mkdir(parents=True)
    attributes, division = [str(N), " ".join(NAMES) + " "], []
    for i in range(N):
        name = f"{i + 1:06d}.jpg"
        Image.new("RGB", (178, 218), (10 * i, 255 - 10 * i, 128)).save(root / "img_align_celeba" / name)
        attributes.append(f"{name} " + " ".join(f"{2 * values(i)[attribute] - 1:2d}" for attribute in NAMES))
        division.append(f"{name} {part(i)}")
    (root / "list_attr_celeba.txt").write_text("\n".join(attributes) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(division) + "\n")
    return root


def pack(folder: Path, *, keep: bool = False) -> Path:
    archive = folder / "img_align_celeba.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((folder / "img_align_celeba").iterdir()):
            file.write(path, f"img_align_celeba/{path.name}")
            if not keep:
                path.unlink()
    if not keep:
        (folder / "img_align_celeba").rmdir()
    return archive


def edit(path: Path, change: Callable[[list[str]], Sequence[str]]) -> None:
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


def settings(**changes: Any) -> CelebA:
    values: dict[str, Any] = {
        "name": "celeba",
        "attributes": ATTRIBUTES,
        "crop": 160,
        "n_train": "all",
        "n_heldout": "all",
        "image_size": 64,
        "dequantise": "none",
        "flip": False,
        "on_unusable": "refuse",
        "antialias": True,
    }
    return CelebA(**values | changes)


def read(folder: Path, **changes: Any) -> Photos:
    return read_celeba(folder, settings(**changes))


def decoded(sources: Sequence[Source], tmp_path: Path) -> np.ndarray:
    recipe = Recipe(size=64, on_unusable="refuse")
    with decoded_images(sources, recipe=recipe, work=tmp_path / "work", workers=1) as (images, _):
        return np.array(images)


def refused(folder: Path, match: str, **changes: Any) -> str:
    with pytest.raises(UserError, match=match) as caught:
        read(folder, **changes)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_parts_their_values_and_their_order(folder: Path) -> None:
    celeba = read(folder)
    assert celeba.names == ATTRIBUTES
    assert [source.name for source in celeba.train] == [f"img_align_celeba/{i + 1:06d}.jpg" for i in range(12)]
    assert [source.name for source in celeba.heldout] == [f"img_align_celeba/{i + 1:06d}.jpg" for i in range(15, 24)]
    for sources, numbers in ((celeba.train, range(12)), (celeba.heldout, range(15, 24))):
        expected = [[values(i)[attribute] for attribute in ATTRIBUTES] for i in numbers]
        assert np.array_equal(label_array(sources), expected)
        assert label_array(sources).dtype == np.int64
    assert celeba.train[0].crop == CentreCrop(160, 178)


def test_attributes_their_order_and_the_crop_are_chosen(folder: Path) -> None:
    celeba = read(folder, attributes=("Smiling", "Male"), crop=120)
    assert label_array(celeba.train).tolist() == [[values(i)["Smiling"], values(i)["Male"]] for i in range(12)]
    assert celeba.heldout[0].crop == CentreCrop(120, 178)


def test_the_first_images_of_either_part_can_be_enough(folder: Path) -> None:
    whole, part = read(folder), read(folder, n_train=5, n_heldout=7)
    assert part.train == whole.train[:5]
    assert part.heldout == whole.heldout[:7]
    assert read(folder, n_train=12, n_heldout=9) == whole
    refused(folder, r"^13 training images are asked for; .*list_eval_partition\.txt has 12$", n_train=13)
    refused(folder, r"^10 test images are asked for; .*list_eval_partition\.txt has 9$", n_heldout=10)


def test_windows_line_ends_are_read_as_well(folder: Path) -> None:
    expected = read(folder)
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        (folder / name).write_bytes((folder / name).read_bytes().replace(b"\n", b"\r\n"))
    assert read(folder) == expected


def test_the_zip_gives_the_same_decoded_bytes_as_the_folder(folder: Path, tmp_path: Path) -> None:
    from_folder = [decoded(sources, tmp_path) for sources in (read(folder).train, read(folder).heldout)]
    archive = pack(folder)
    celeba = read(folder)
    assert celeba.train[0].root == archive
    assert np.array_equal(decoded(celeba.train, tmp_path), from_folder[0])
    images = decoded(celeba.heldout, tmp_path)
    assert np.array_equal(images, from_folder[1])
    assert images.shape == (9, 64, 64, 3)
    assert np.abs(images[2, 32, 32].astype(int) - (170, 85, 128)).max() <= 3


def test_an_unfinished_extraction_is_passed_over_for_the_whole_zip(folder: Path) -> None:
    archive = pack(folder, keep=True)
    assert read(folder).train[0].root == folder
    (folder / "img_align_celeba" / "000005.jpg").unlink()
    assert read(folder).train[0].root == archive


# --- what is missing or is something else


def test_what_is_missing_is_named_with_how_to_get_it(folder: Path, tmp_path: Path) -> None:
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt"):
        content = (folder / name).read_text()
        (folder / name).unlink()
        assert "mmlab" in refused(folder, f"{name} does not exist: get")
        (folder / name).write_text(content)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", r"file is not a folder: get img_align_celeba\.zip")
    message = refused(tmp_path / "nowhere", "nowhere does not exist: get img_align_celeba.zip")
    for name in ("list_attr_celeba.txt", "list_eval_partition.txt", "mmlab.ie.cuhk.edu.hk"):
        assert name in message
    pack(folder).unlink()
    refused(folder, "has neither img_align_celeba/ nor img_align_celeba.zip: get")
    (folder / "img_align_celeba").write_text("a file in place of the folder")
    (folder / "img_align_celeba.zip").mkdir()
    refused(folder, "has neither img_align_celeba/ nor img_align_celeba.zip: get")


def test_missing_images_are_counted_and_the_first_is_named(folder: Path) -> None:
    for i in (3, 7, 13, 20):  # 13 is a validation image, which nothing reads
        (folder / "img_align_celeba" / f"{i:06d}.jpg").unlink()
    refused(folder, r"^3 images of list_eval_partition\.txt are not in .*img_align_celeba, the first 000003\.jpg: get")
    pack(folder)
    refused(folder, r"^3 images .* not in .*img_align_celeba\.zip, the first 000003\.jpg: get")


PAGES = [
    "<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head></html>",
    "\n <html><body>Too many users have viewed or downloaded this file recently.</body></html>",
]


@pytest.mark.parametrize("page", PAGES)
def test_a_web_page_saved_as_the_zip_is_recognised(folder: Path, page: str) -> None:
    pack(folder).write_text(page)
    refused(folder, r"img_align_celeba\.zip is a web page, not the archive .*quota.*delete it, and get")


def test_a_zip_that_was_cut_off_is_recognised(folder: Path) -> None:
    archive = pack(folder)
    archive.write_bytes(archive.read_bytes()[:-1000])
    refused(folder, r"img_align_celeba\.zip is not a whole zip file .*: get")


@pytest.mark.parametrize("name", ["list_attr_celeba.txt", "list_eval_partition.txt"])
def test_lists_that_are_something_else_are_recognised(folder: Path, name: str) -> None:
    (folder / name).write_text(PAGES[0])
    refused(folder, rf"{name} is a web page, not the list: get")
    (folder / name).write_bytes(b"\xff\xfe\x00\x81")
    refused(folder, rf"{name} is not a text file: get")
    (folder / name).write_text("")
    refused(folder, rf"{name} (does not begin with a count|has no training image)")


def test_an_unknown_attribute_is_named_with_what_is_near(folder: Path) -> None:
    refused(
        folder, r"list_attr_celeba\.txt has no attribute Glasses: did you mean Eyeglasses\?", attributes=("Glasses",)
    )
    refused(folder, "has no attribute X: it has Bald, Eyeglasses, Male", attributes=("Male", "X"))


def test_an_attribute_with_one_value_only_is_refused(folder: Path) -> None:
    refused(
        folder,
        r"^all of the 12 training images in .* have the value -1 for Bald; .* values: remove Bald from attributes$",
        attributes=("Male", "Bald"),
    )
    refused(folder, "all of the 12 training images .* have the value 1 for Young", attributes=("Young",))
    edit(folder / "list_attr_celeba.txt", lambda rows: [*rows[:17], *(row.replace(" 1", "-1") for row in rows[17:])])
    refused(folder, r"all of the 9 test images .* have the value -1 for Eyeglasses")


@pytest.mark.parametrize(
    ("line", "text", "match"),
    [
        (5, "000003.jpg 1 1 1", "line 5 is not an image's name followed by 6 values, each -1 or 1"),
        (5, "000003.jpg -1 0 -1 1 1 1", "line 5 is not an image's name followed by 6 values, each -1 or 1"),
        (1, "200000", "announces 200000 images and lists 24: get"),
        (1, "000001.jpg -1 -1", "does not begin with a count"),
    ],
)
def test_a_damaged_attribute_list_is_named_with_its_line(folder: Path, line: int, text: str, match: str) -> None:
    edit(folder / "list_attr_celeba.txt", lambda rows: [*rows[: line - 1], text, *rows[line:]])
    refused(folder, rf"list_attr_celeba\.txt.*{match}")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("000003.jpg", "line 3 is not an image's name followed by 0, 1 or 2"),
        ("000003.jpg 3", "line 3 is not an image's name followed by 0, 1 or 2"),
        ("999999.jpg 0", r"line 3: 999999\.jpg is not in list_attr_celeba\.txt"),
        ("000001.jpg 0", r"line 3: 000001\.jpg is there a second time"),
        ("000001.jpg 2", r"line 3: 000001\.jpg is there a second time"),
    ],
)
def test_a_damaged_division_is_named_with_its_line(folder: Path, text: str, match: str) -> None:
    edit(folder / "list_eval_partition.txt", lambda rows: [*rows[:2], text, *rows[3:]])
    refused(folder, rf"list_eval_partition\.txt[:,] {match}")


def test_a_division_without_test_images_is_refused(folder: Path) -> None:
    edit(folder / "list_eval_partition.txt", lambda rows: rows[:15])
    refused(folder, r"list_eval_partition\.txt has no test image \(none is marked 2\): get")


# --- real images, where there are some


def test_real_images_of_full_and_of_half_size_decode_to_nearly_the_same(samples: Path, tmp_path: Path) -> None:
    photos = {name: read_celeba(samples / name, settings(attributes=("Male",))) for name in ("celeba", "celeba_half")}
    sources = {name: {each.name: each for each in (*part.train, *part.heldout)} for name, part in photos.items()}
    both = sorted(sources["celeba"].keys() & sources["celeba_half"].keys())[:200]
    full, half = (
        decoded([by_name[each] for each in both], tmp_path).astype(float)
        for by_name in (sources["celeba"], sources["celeba_half"])
    )
    assert full.shape == half.shape
    difference = np.sqrt(np.mean((full - half) ** 2))
    shifted = np.sqrt(np.mean((full[:, :, 1:] - half[:, :, :-1]) ** 2))
    assert difference < 6
    assert difference < shifted / 2
