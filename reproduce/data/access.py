"""The data sets by name."""

from pathlib import Path

from reproduce.config import Dataset
from reproduce.data.colormnist import ColorMNIST

__all__ = ["dataset_class", "open_dataset"]

_DATASETS = {"colormnist": ColorMNIST}


def dataset_class(config: Dataset) -> type[ColorMNIST]:
    """The class of a data set: what it is called, what it shows, how it is fetched."""
    return _DATASETS[config.name]


def open_dataset(folder: Path, config: Dataset) -> ColorMNIST:
    """The data set that `fetch` left in `folder`."""
    return dataset_class(config)(folder=folder, config=config)
