"""Every data set's images and labels, onto this disk."""

from pathlib import Path

from reproduce.config import AnimalFacesConfig, CelebAConfig, ColorMNISTConfig, Dataset, SmallSetConfig
from reproduce.data.colormnist import fetch_colormnist
from reproduce.data.photos import fetch_animalfaces, fetch_celeba
from reproduce.data.rendered import fetch_rendered
from reproduce.data.small_sets import fetch_small_set

__all__ = ["fetch_dataset"]


def fetch_dataset(config: Dataset, *, folder: Path, downloads: Path, work: Path) -> None:
    """Write the images and labels into `folder`.

    Arguments:
        downloads: where torchvision keeps what it fetches.
        work: where an unfinished decode waits to be continued.
    """
    if isinstance(config, ColorMNISTConfig):
        fetch_colormnist(config, folder=folder, downloads=downloads)
    elif isinstance(config, SmallSetConfig):
        fetch_small_set(config, folder=folder, downloads=downloads)
    elif isinstance(config, CelebAConfig):
        fetch_celeba(config, folder=folder, downloads=downloads, work=work)
    elif isinstance(config, AnimalFacesConfig):
        fetch_animalfaces(config, folder=folder, work=work)
    else:
        fetch_rendered(config, folder=folder)
