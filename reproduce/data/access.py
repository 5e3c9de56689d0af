"""The data sets by the name that their config gives."""

from pathlib import Path

from reproduce.config import ColorMNISTConfig, Dataset
from reproduce.data.base import ImageData
from reproduce.data.colormnist import ColorMNIST
from reproduce.data.labelled import AttributeImages, ClassImages
from reproduce.files import read_json


def open_dataset(folder: Path, config: Dataset) -> ImageData:
    """The data set that `reproduce.data.fetch.fetch_dataset` left in `folder`."""
    if isinstance(config, ColorMNISTConfig):
        return ColorMNIST(folder=folder, config=config)
    if config.name in ("celeba", "rendered_faces"):
        return AttributeImages(folder=folder, config=config, attributes=read_json(folder / "attributes.json"))
    return ClassImages(folder=folder, config=config, classes=read_json(folder / "classes.json"))
