"""CelebA's and AnimalFaces' image files, decoded into the arrays that the stages read."""

import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

from reproduce.config import AnimalFacesConfig, CelebAConfig, PhotoConfig
from reproduce.data.animalfaces import read_class_folders, read_funit
from reproduce.data.celeba import read_celeba
from reproduce.files import read_array, write_array, write_json, write_text
from reproduce.intake.decode import decode_images, label_array
from reproduce.intake.download import Downloads
from reproduce.intake.image import Recipe, Source

CELEBA = ("celeba_images", "celeba_attributes", "celeba_division")


def fetch_celeba(config: CelebAConfig, *, folder: Path, downloads: Downloads, work: Path) -> None:
    """Write `{train,heldout}_{images,labels}.npy` and `…_manifest.csv`, and when all are whole, `attributes.json`."""
    if config.folder is None:
        files = [downloads.obtain(name) for name in CELEBA]
    celeba = read_celeba(
        files[0].parent if config.folder is None else _located(config.folder),
        attributes=config.attributes,
        crop=config.crop,
        n_train=config.n_train,
        n_heldout=config.n_heldout,
    )
    _decode(
        config,
        celeba.train,
        celeba.heldout,
        label_names=celeba.attributes,
        names=("attributes.json", celeba.attributes),
        folder=folder,
        work=work,
    )


def funit_lists(config: AnimalFacesConfig, downloads: Downloads) -> tuple[str, ...]:
    """The sources that the config's lists are: those that it looks for where they would be fetched to."""
    wanted = [_located(name) for name in (config.train_list, config.test_list) if name is not None]
    return tuple(name for name in ("funit_train_list", "funit_test_list") if downloads.path(name) in wanted)


def fetch_animalfaces(config: AnimalFacesConfig, *, folder: Path, downloads: Downloads, work: Path) -> None:
    """The same with `classes.json`: the classes' names."""
    root = _located(config.folder)
    for name in funit_lists(config, downloads):
        downloads.obtain(name)
    if config.train_list is None:
        animals = read_class_folders(root, heldout_fraction=config.heldout_fraction)
    else:
        animals = read_funit(
            root,
            train_list=_located(config.train_list),
            test_list=None if config.test_list is None else _located(config.test_list),
            hold_out=config.hold_out,
            heldout_fraction=config.heldout_fraction,
        )
    _decode(
        config,
        animals.train,
        animals.heldout,
        label_names=("class",),
        names=("classes.json", animals.classes),
        folder=folder,
        work=work,
    )


def _located(folder: str) -> Path:
    """A folder as the config names it: relative to the project, absolute, or below the home folder (`~`)."""
    return Path(folder).expanduser()


def _decode(
    config: PhotoConfig,
    train: Sequence[Source],
    heldout: Sequence[Source],
    *,
    label_names: Sequence[str],
    names: tuple[str, Sequence[str]],
    folder: Path,
    work: Path,
) -> None:
    """Both parts in one decode; then the final names, `names` (a file and what it lists) first gone and last to come.

    So a refused image leaves what was there, and without `names` nothing can be opened that is half old, half new.
    """
    sources = [*train, *heldout]
    whole = work / "whole"
    decode_images(
        sources,
        folder=whole,
        name="all",
        recipe=Recipe(config.image_size, config.on_unusable, config.antialias),
        label_names=label_names,
        work=work / "unfinished",
    )
    images, labels = read_array(whole / "all_images.npy", mapped=True), label_array(sources)
    with (whole / "all_manifest.csv").open(encoding="utf-8", newline="") as file:
        header, *manifest = csv.reader(file)
    n = len(train)
    (folder / names[0]).unlink(missing_ok=True)
    for split, part in (("train", slice(0, n)), ("heldout", slice(n, None))):
        write_array(folder / f"{split}_images.npy", images[part])
        write_array(folder / f"{split}_labels.npy", labels[part])
        write_text(folder / f"{split}_manifest.csv", _as_csv([header, *manifest[part]]))
    write_json(folder / names[0], names[1])
    shutil.rmtree(work)


def _as_csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
