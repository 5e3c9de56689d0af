"""The files of MNIST, FashionMNIST and CIFAR-10, where torchvision's classes look for them."""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10, MNIST, CelebA, FashionMNIST

from reproduce.config import all_sources
from reproduce.data.shared.torchvision import missing_files, unpacked
from reproduce.errors import ReproduceError
from reproduce.intake.download import Downloads
from reproduce.seeds import numpy_generator

SOURCES = all_sources().sources
RAW = {"mnist": MNIST, "fashionmnist": FashionMNIST}


def downloads(base: Path, name: str = "downloads") -> Downloads:
    """Everything from the folder `mirror`, and, since the files are made up, without checksums."""
    sources = {key: source.model_copy(update={"md5": None}) for key, source in SOURCES.items()}
    return Downloads(sources=sources, folder=base / name, mirror=str(base / "mirror"))


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(base: Path, name: str) -> dict[str, np.ndarray]:
    random = numpy_generator(0, name)
    arrays = {}
    for part, n in (("train", 7), ("test", 5)):
        for what, array in (("images", random.integers(0, 256, (n, 28, 28))), ("labels", random.integers(0, 10, n))):
            path = base / "mirror" / SOURCES[f"{name}_{part}_{what}"].file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(idx(array)))
            arrays[f"{part}_{what}"] = array
    return arrays


def write_cifar10(base: Path) -> np.ndarray:
    images = numpy_generator(0, "cifar10").integers(0, 256, (7, 3072), dtype=np.uint8)
    (base / "mirror").mkdir()
    with tarfile.open(base / "mirror/cifar-10-python.tar.gz", "w:gz") as tar:
        for i, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]):
            content = pickle.dumps({"data": images[i : i + 1], "labels": [i], "label_names": list("abcdefghij")})
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        tar.addfile(tarfile.TarInfo("../readme"), io.BytesIO())
    return images


@pytest.mark.parametrize("name", ["mnist", "fashionmnist"])
def test_torchvision_reads_the_digits_and_the_clothes(tmp_path: Path, name: str) -> None:
    arrays, source = write_idx(tmp_path, name), downloads(tmp_path)
    assert len(missing_files(name, source)) == 4
    root = unpacked(name, source)
    for part in ("train", "test"):
        data = RAW[name](str(root), train=part == "train", download=False)
        np.testing.assert_array_equal(data.data.numpy(), arrays[f"{part}_images"])
        np.testing.assert_array_equal(data.targets.numpy(), arrays[f"{part}_labels"])
    assert missing_files(name, source) == ()
    (tmp_path / "mirror").rename(tmp_path / "gone")
    assert unpacked(name, source) == root


def test_torchvision_reads_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, source = write_cifar10(tmp_path), downloads(tmp_path)
    assert missing_files("cifar10", source) == ("cifar10",)
    root = unpacked("cifar10", source)
    assert missing_files("cifar10", source) == ()
    assert not (tmp_path / "readme").exists()
    monkeypatch.setattr("torchvision.datasets.utils.check_md5", lambda *_: True)  # of the real batches
    train, test = (CIFAR10(str(root), train=part, download=False) for part in (True, False))
    np.testing.assert_array_equal(train.data, images[:5].reshape(5, 3, 32, 32).transpose(0, 2, 3, 1))
    assert (train.targets, test.targets, test.classes) == ([0, 1, 2, 3, 4], [5], list("abcdefghij"))


def test_files_that_were_unpacked_by_hand_are_taken(tmp_path: Path) -> None:
    arrays = write_idx(tmp_path, "mnist")
    source = Downloads(sources=SOURCES, folder=tmp_path / "downloads", mirror=str(tmp_path / "nothing"))
    raw = tmp_path / "downloads/MNIST/raw"
    raw.mkdir(parents=True)
    for packed in (tmp_path / "mirror/MNIST/raw").iterdir():
        (raw / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
    data = MNIST(str(unpacked("mnist", source)), train=False, download=False)
    np.testing.assert_array_equal(data.data.numpy(), arrays["test_images"])


def test_without_the_files_one_line_says_where_they_go(tmp_path: Path) -> None:
    source = Downloads(sources=SOURCES, folder=tmp_path / "downloads", mirror=str(tmp_path / "nothing"))
    words = r"MNIST's training images could not be fetched .*put it there as downloads/MNIST/raw/train-images-idx3"
    with pytest.raises(ReproduceError, match=words):
        unpacked("mnist", source)


def test_a_packed_file_that_is_another_or_damaged_is_not_unpacked(tmp_path: Path) -> None:
    write_idx(tmp_path, "mnist")
    official = Downloads(sources=SOURCES, folder=tmp_path / "downloads", mirror=str(tmp_path / "mirror"))
    with pytest.raises(ReproduceError, match="wrong checksum"):
        unpacked("mnist", official)
    packed = tmp_path / "mirror/MNIST/raw/train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(ReproduceError, match=r"train-images-idx3-ubyte\.gz is damaged .*delete it and run again"):
        unpacked("mnist", downloads(tmp_path))
    assert not list((tmp_path / "downloads").rglob("*-ubyte"))


def test_the_checksums_and_addresses_are_torchvisions() -> None:
    """torchvision is who tried them."""
    by_file = {source.file: source for source in SOURCES.values()}
    for data in (MNIST, FashionMNIST):
        for name, md5 in data.resources:
            source = by_file[f"{data.__name__}/raw/{name}"]
            assert source.md5 == md5
            assert source.urls[0] == data.mirrors[0] + name
    assert (by_file[CIFAR10.filename].md5, by_file[CIFAR10.filename].urls) == (CIFAR10.tgz_md5, (CIFAR10.url,))
    wanted = {name: (md5, (f"https://drive.google.com/uc?id={key}",)) for key, md5, name in CelebA.file_list}
    for name in ("celeba_images", "celeba_attributes", "celeba_division"):
        source = SOURCES[name]
        assert wanted[source.file.removeprefix("torchvision/celeba/")] == (source.md5, source.urls)


def test_a_name_with_a_checksum_in_it_begins_with_its_own() -> None:
    for name in ("vgg16", "inception"):
        assert SOURCES[name].sha256 is not None
        digits = SOURCES[name].file.removesuffix(".pth").rpartition("-")[2]
        assert len(digits) == len(hashlib.sha256().hexdigest()) / 8
        assert SOURCES[name].sha256.startswith(digits)
