"""The data sets by name."""

from pathlib import Path

from reproduce.config import Dataset
from reproduce.data.colormnist import ColorMNIST
from reproduce.errors import UserError
from reproduce.paths import shown

__all__ = ["open_dataset"]

_DATASETS = {"colormnist": ColorMNIST}


def open_dataset(folder: Path, config: Dataset) -> ColorMNIST:
    """The data set that the fetch stage left in `folder`."""
    if not folder.is_dir():
        raise UserError(f"{shown(folder)} does not exist: run the fetch stage, or `dvc repro`, first")
    return _DATASETS[config.name](folder=folder, config=config)
