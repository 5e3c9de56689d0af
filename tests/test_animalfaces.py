"""Animals from class folders and from FUNIT's lists; and what is said where something is missing."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from reproduce.data.animalfaces import AnimalFaces, read_funit
from reproduce.data.shared.class_folders import read_class_folders
from reproduce.data.shared.photos import Photos
from reproduce.errors import UserError
from reproduce.intake.decode import decoded_images, label_array
from reproduce.intake.image import Recipe, Source, SquareCrop

BEAR, CAT, DOG, FOX = "n02132136", "n02123159", "n02086240", "n02119022"
SETTINGS: dict[str, Any] = {
    "name": "animalfaces",
    "folder": "anywhere",
    "heldout_fraction": 0.1,
    "image_size": 32,
    "dequantise": "none",
    "flip": True,
    "on_unusable": "refuse",
    "antialias": True,
}


def decoded(sources: list[Source], work: Path, *, size: int) -> np.ndarray:
    recipe = Recipe(size=size, on_unusable="refuse")
    with decoded_images(sources, recipe=recipe, work=work, workers=1) as (images, _):
        return np.array(images)


def fill(folder: Path, n: int, *, ending: str = ".jpg", size: tuple[int, int] = (24, 20)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("RGB", size, (10 * i, 99, 50)).save(folder / f"{i:03d}{ending}")


def names(sources: list[Source]) -> list[str]:
    return [source.name for source in sources]


def classes_of(animals: Photos, sources: list[Source]) -> dict[str, int]:
    return dict(Counter(animals.names[source.labels[0]] for source in sources))


# --- class folders


def test_class_folders_hold_out_the_same_share_of_each_class(tmp_path: Path) -> None:
    for name, n in (("dogs", 20), ("cats", 50), ("panda", 3)):
        fill(tmp_path / name, n)
    animals = read_class_folders(tmp_path, heldout_fraction=0.2)
    assert animals.names == ("cats", "dogs", "panda")
    assert classes_of(animals, animals.train) == {"cats": 40, "dogs": 16, "panda": 2}
    assert classes_of(animals, animals.heldout) == {"cats": 10, "dogs": 4, "panda": 1}
    assert len({*names(animals.train), *names(animals.heldout)}) == 73
    for source in (*animals.train, *animals.heldout):
        assert source.name.startswith(animals.names[source.labels[0]] + "/")
        assert source.crop == SquareCrop()
    assert read_class_folders(tmp_path, heldout_fraction=0.2) == animals


@pytest.mark.parametrize(("fraction", "n_heldout"), [(0.01, 1), (0.99, 3)])
def test_one_image_is_held_out_and_two_are_left_to_be_paired(tmp_path: Path, fraction: float, n_heldout: int) -> None:
    for name in ("cat", "dog"):
        fill(tmp_path / name, 5)
    animals = read_class_folders(tmp_path, heldout_fraction=fraction)
    assert classes_of(animals, animals.heldout) == dict.fromkeys(animals.names, n_heldout)
    assert classes_of(animals, animals.train) == dict.fromkeys(animals.names, 5 - n_heldout)


def test_a_class_of_two_images_is_enough_where_others_are_held_out(tmp_path: Path) -> None:
    for name, n in (("cat", 3), ("dog", 2)):
        fill(tmp_path / "train" / name, n)
    refused_folders(tmp_path, r"train has 2 image\(s\) of the class dog; two for pairs and one to hold out are needed")
    for name in ("cat", "dog"):
        fill(tmp_path / "test" / name, 1)
    animals = read_class_folders(tmp_path)
    assert classes_of(animals, animals.train) == {"cat": 3, "dog": 2}


def test_a_further_class_does_not_change_what_is_held_out_of_the_others(tmp_path: Path) -> None:
    for name in ("a", "c"):
        fill(tmp_path / name, 20)
    before = names(read_class_folders(tmp_path).heldout)
    fill(tmp_path / "b", 20)
    assert {name for name in names(read_class_folders(tmp_path).heldout) if not name.startswith("b/")} == set(before)
    assert before != sorted(before)[:2] + [f"c/{i:03d}.jpg" for i in range(2)]


@pytest.mark.parametrize("beside", ["val", "test"])
def test_afhqs_layout(tmp_path: Path, beside: str) -> None:
    for name in ("cat", "dog", "wild"):
        fill(tmp_path / "train" / name, 5)
        fill(tmp_path / beside / name, 2)
    animals = read_class_folders(tmp_path)
    assert animals.names == ("cat", "dog", "wild")
    assert names(animals.train)[:2] == ["train/cat/000.jpg", "train/cat/001.jpg"]
    assert classes_of(animals, animals.train) == dict.fromkeys(animals.names, 5)
    assert classes_of(animals, animals.heldout) == dict.fromkeys(animals.names, 2)
    assert all(name.startswith(f"{beside}/") for name in names(animals.heldout))


def test_test_comes_before_val_and_train_alone_holds_images_out(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        fill(tmp_path / "train" / name, 10)
    assert all(name.startswith("train/") for name in names(read_class_folders(tmp_path).heldout))
    for part in ("val", "test"):
        for name in ("cat", "dog"):
            fill(tmp_path / part / name, 1)
    assert names(read_class_folders(tmp_path).heldout) == ["test/cat/000.jpg", "test/dog/000.jpg"]


def test_any_image_ending_counts_and_nothing_else_does(tmp_path: Path) -> None:
    for ending in (".jpg", ".PNG", ".webp", ".bmp", ".Jpeg", ".tif"):
        fill(tmp_path / "a", 2, ending=ending)
    fill(tmp_path / "b" / "deeper", 3)
    fill(tmp_path / ".hidden", 3)
    fill(tmp_path / "__MACOSX", 3)
    for name in ("notes.txt", ".DS_Store", "._000.jpg", "Thumbs.db"):
        (tmp_path / "a" / name).write_text("x")
    (tmp_path / "readme.txt").write_text("x")
    animals = read_class_folders(tmp_path)
    assert animals.names == ("a", "b")
    assert classes_of(animals, animals.train + animals.heldout) == {"a": 12, "b": 3}
    assert "b/deeper/000.jpg" in names(animals.train + animals.heldout)


def test_class_folders_decode(tmp_path: Path) -> None:
    for name, ending in (("a", ".png"), ("b", ".jpg")):
        fill(tmp_path / "in" / name, 4, ending=ending)
    animals = read_class_folders(tmp_path / "in")
    assert decoded(animals.train, tmp_path / "work", size=16).shape == (6, 16, 16, 3)
    assert label_array(animals.train).tolist() == [[0]] * 3 + [[1]] * 3


def refused_folders(folder: Path, match: str, **options: Any) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read_class_folders(folder, **options)
    assert "\n" not in str(caught.value)


def test_class_folders_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    refused_folders(tmp_path / "nowhere", r"nowhere does not exist: put there by hand one folder of images per class")
    (tmp_path / "file").write_text("x")
    refused_folders(tmp_path / "file", r"file is not a folder: put there by hand one folder of images per class")
    refused_folders(tmp_path, r"has 0 classes, two are needed: put there by hand")
    fill(tmp_path / "cat", 3)
    refused_folders(tmp_path, r"has 1 class, two are needed")
    fill(tmp_path / "dog", 1)
    refused_folders(
        tmp_path,
        r"has 1 image\(s\) of the class dog; two for pairs and one to hold out are needed: add some, or remove",
    )
    (tmp_path / "cow").mkdir()
    refused_folders(tmp_path, r"has 0 image\(s\) of the class cow; two for pairs")
    (tmp_path / "cow").rmdir()
    fill(tmp_path / "dog", 2)
    for fraction in (0.0, 1.0, -0.1):
        with pytest.raises(ValidationError, match="heldout_fraction"):
            AnimalFaces(**SETTINGS | {"heldout_fraction": fraction})


def test_held_out_classes_must_be_those_for_training(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        fill(tmp_path / "train" / name, 3)
    fill(tmp_path / "val" / "cat", 1)
    refused_folders(tmp_path, r"val has no images of the class dog")
    fill(tmp_path / "val" / "dog", 1)
    fill(tmp_path / "val" / "cow", 1)
    refused_folders(tmp_path, r"train has no images of the class cow")


# --- FUNIT's lists


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Four classes of ten images, 60 x 40."""
    for name in (BEAR, CAT, DOG, FOX):
        (tmp_path / "train" / name).mkdir(parents=True)
        for i in range(10):
            x, y = np.meshgrid(np.arange(60), np.arange(40))
            image = Image.fromarray(np.stack([x, y, x * 0 + i], -1).astype(np.uint8))
            image.save(tmp_path / "train" / name / f"{name}_{i}.JPEG", "PNG")  # exact; Pillow looks inside
    return tmp_path / "train"


def write_list(path: Path, classes: tuple[str, ...], *, end: str = "\n") -> Path:
    """Two boxes in every image of each class."""
    lines = [
        f"{name}/{name}_{i}.JPEG_{box}.jpg"
        for name in classes
        for box in ("2_3_22_33", "30_0_60_40")
        for i in range(10)
    ]
    path.write_bytes(end.join([*lines, ""]).encode())
    return path


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_names_images_and_boxes(tree: Path, tmp_path: Path, end: str) -> None:
    animals = read_funit(tree, [write_list(tmp_path / "list.txt", (DOG, BEAR), end=end)], heldout_fraction=0.3)
    assert animals.names == (DOG, BEAR)
    assert classes_of(animals, animals.train) == {DOG: 14, BEAR: 14}
    assert classes_of(animals, animals.heldout) == {DOG: 6, BEAR: 6}
    assert {source.crop for source in animals.train} == {SquareCrop((2, 3, 22, 33)), SquareCrop((30, 0, 60, 40))}
    # no image has one of its boxes on either side
    assert not set(names(animals.train)) & set(names(animals.heldout))


def test_the_boxes_are_decoded_where_they_are(tree: Path, tmp_path: Path) -> None:
    animals = read_funit(tree, [write_list(tmp_path / "list.txt", (DOG, BEAR))])
    images = decoded(animals.train, tmp_path / "work", size=10).astype(float)
    for source, image in zip(animals.train, images, strict=True):
        # the middle square of 2, 3, 22, 33 is 2, 8, 22, 28; of 30, 0, 60, 40 it is 30, 5, 60, 35
        left, top, step = (2, 8, 2) if source.crop == SquareCrop((2, 3, 22, 33)) else (30, 5, 3)
        centres = (np.arange(10) + 0.5) * step - 0.5
        np.testing.assert_allclose(image[5, 1:-1, 0], (left + centres)[1:-1], atol=0.51)
        np.testing.assert_allclose(image[1:-1, 5, 1], (top + centres)[1:-1], atol=0.51)
        assert image[0, 0, 2] == int(source.name.rpartition("_")[2].removesuffix(".JPEG"))


def test_the_test_lists_classes_are_held_out_or_divided_as_the_others(tree: Path, tmp_path: Path) -> None:
    lists = [write_list(tmp_path / "train.txt", (FOX, DOG)), write_list(tmp_path / "test.txt", (BEAR, CAT))]
    animals = read_funit(tree, lists, hold_out="classes")
    assert animals.names == (DOG, FOX, CAT, BEAR)
    assert classes_of(animals, animals.train) == {DOG: 20, FOX: 20}
    assert classes_of(animals, animals.heldout) == {CAT: 20, BEAR: 20}
    animals = read_funit(tree, lists)
    assert animals.names == (DOG, FOX, CAT, BEAR)
    assert classes_of(animals, animals.train) == dict.fromkeys(animals.names, 18)
    assert classes_of(animals, animals.heldout) == dict.fromkeys(animals.names, 2)


def refused_lists(tree: Path, match: str, *, train_list: Path, test_list: Path | None = None, **options: Any) -> None:
    with pytest.raises(UserError, match=match) as caught:
        read_funit(tree, [train_list] if test_list is None else [train_list, test_list], **options)
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named_with_how_to_get_it(tree: Path, tmp_path: Path) -> None:
    listed = write_list(tmp_path / "list.txt", (DOG, BEAR))
    refused_lists(listed, r"list\.txt is not a folder: get ImageNet's training images", train_list=listed)
    refused_lists(tmp_path / "nowhere", "nowhere does not exist: get ImageNet's training images", train_list=listed)
    refused_lists(
        tree, r"no\.txt does not exist: get ImageNet.* FUNIT's animals_list_train", train_list=tmp_path / "no.txt"
    )
    with pytest.raises(ValidationError, match="name its file, test_list"):
        AnimalFaces(**SETTINGS | {"train_list": str(listed), "hold_out": "classes"})
    (tree / DOG / f"{DOG}_3.JPEG").unlink()
    (tree / DOG / f"{DOG}_5.JPEG").unlink()
    refused_lists(
        tree, rf"^4 of the 40 listed images are not in .*train, the first {DOG}/{DOG}_3\.JPEG: get", train_list=listed
    )
    refused_lists(tmp_path, r"^40 of the 40 listed images are not in", train_list=listed)


@pytest.mark.parametrize(
    "line",
    [
        f"{DOG}/{DOG}_1.JPEG 1 2 3 4",
        f"{DOG}/{DOG}_1.JPEG_1_2_3.jpg",
        f"{DOG}/{BEAR}_1.JPEG_1_2_3_4.jpg",
        f"../{DOG}_1.JPEG_1_2_3_4.jpg",
        f"{DOG}/{DOG}_1.JPEG_1_2_3_4.jpg and more",
        f"{DOG}/{DOG}_1.JPEG_-1_2_3_4.jpg",
        f"{DOG}/{DOG}_1.JPEG_5_2_5_4.jpg",
        f"{DOG}/{DOG}_1.JPEG_1_9_3_4.jpg",
    ],
)
def test_a_malformed_line_is_named_by_file_and_number(tree: Path, tmp_path: Path, line: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"{DOG}/{DOG}_1.JPEG_1_2_3_4.jpg\n\n{line}\n")
    refused_lists(tree, r"list\.txt, line 3: .* is not nXXXXXXXX/nXXXXXXXX_ID\.JPEG_x1_y1_x2_y2\.jpg", train_list=path)


def test_a_web_page_in_place_of_a_list_is_recognised(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("<html>\n")
    refused_lists(tree, r"list\.txt is a web page, not the list: get ImageNet", train_list=path)


def test_a_box_outside_its_image_is_named(tree: Path, tmp_path: Path) -> None:
    path = write_list(tmp_path / "list.txt", (DOG, BEAR))
    path.write_text(path.read_text() + f"{DOG}/{DOG}_4.JPEG_30_10_61_40.jpg\n")
    animals = read_funit(tree, [path])
    with pytest.raises(UserError, match=rf"{DOG}_4\.JPEG: the box 30, 10, 61, 40 lies outside the image's 60×40"):
        decoded(animals.train + animals.heldout, tmp_path / "work", size=8)
    assert not (tmp_path / "work").exists()


def test_classes_that_are_too_few_too_small_or_in_both_lists_are_refused(tree: Path, tmp_path: Path) -> None:
    one = write_list(tmp_path / "one.txt", (DOG,))
    two = write_list(tmp_path / "two.txt", (DOG, BEAR))
    refused_lists(tree, r"one\.txt has 1 class, two are needed: get", train_list=one)
    refused_lists(tree, rf"the class {DOG} is in both .*two\.txt and .*one\.txt$", train_list=two, test_list=one)
    small = tmp_path / "small.txt"
    # two boxes, but in one image
    small.write_text(two.read_text() + f"{CAT}/{CAT}_1.JPEG_0_0_9_9.jpg\n{CAT}/{CAT}_1.JPEG_3_3_9_9.jpg\n")
    refused_lists(tree, rf"small\.txt has 1 image\(s\) of the class {CAT}; two for pairs", train_list=small)


def few(path: Path, **counts: int) -> Path:
    """The first images of each class, one box each."""
    path.write_text("".join(f"{name}/{name}_{i}.JPEG_0_0_9_9.jpg\n" for name, n in counts.items() for i in range(n)))
    return path


def test_where_images_are_held_out_both_lists_together_have_the_classes(tree: Path, tmp_path: Path) -> None:
    dogs, bears = few(tmp_path / "dogs.txt", **{DOG: 4}), few(tmp_path / "bears.txt", **{BEAR: 3})
    animals = read_funit(tree, [dogs, bears])
    assert classes_of(animals, animals.train) == {DOG: 3, BEAR: 2}
    assert classes_of(animals, animals.heldout) == {DOG: 1, BEAR: 1}
    # each list has to have them where classes are held out
    refused_lists(tree, r"dogs\.txt has 1 class", train_list=dogs, test_list=bears, hold_out="classes")
    both = few(tmp_path / "both.txt", **{DOG: 2, FOX: 2})
    refused_lists(tree, r"bears\.txt has 1 class", train_list=both, test_list=bears, hold_out="classes")
    # two images are enough for a class that is not divided
    other = few(tmp_path / "other.txt", **{BEAR: 2, CAT: 2})
    animals = read_funit(tree, [both, other], hold_out="classes")
    assert classes_of(animals, animals.train) == {DOG: 2, FOX: 2}
    refused_lists(tree, rf"2 image\(s\) of the class {DOG}; two for pairs and one to", train_list=both, test_list=other)
    one = few(tmp_path / "one.txt", **{CAT: 1})
    refused_lists(tree, rf"has 1 image\(s\) of the class {CAT}; two for pairs", train_list=dogs, test_list=one)


# --- real images and lines, where there are some


def test_real_class_folders_decode(samples: Path, tmp_path: Path) -> None:
    animals = read_class_folders(samples / "animal_faces")
    assert animals.names == ("cats", "dogs", "panda")
    assert len(animals.train) + len(animals.heldout) == 442
    images = decoded(animals.heldout, tmp_path, size=64)
    assert images.shape[0] == len(animals.heldout)
    assert images.std(axis=(1, 2, 3)).min() > 5


def test_funits_own_lines_are_read(samples: Path, tmp_path: Path) -> None:
    refused_lists(
        tmp_path,
        r"^300 of the 300 listed images are not in .*, the first n02086240/n02086240_12630\.JPEG: get",
        train_list=samples / "animals_list_sample.txt",
    )
