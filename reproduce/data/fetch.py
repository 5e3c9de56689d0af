"""Every data set's images and labels, onto this disk."""

from pathlib import Path

from reproduce.config import AnimalFacesConfig, CelebAConfig, ColorMNISTConfig, Dataset, SmallSetConfig
from reproduce.data.colormnist import fetch_colormnist
from reproduce.data.fetch_files import fetch_files, missing_files
from reproduce.data.photos import CELEBA, fetch_animalfaces, fetch_celeba, funit_lists
from reproduce.data.rendered import fetch_rendered
from reproduce.data.small_sets import fetch_small_set
from reproduce.intake.download import Downloads


def needed_sources(config: Dataset, downloads: Downloads) -> tuple[str, ...]:
    """The names of the files from elsewhere that `fetch_dataset` will obtain."""
    if isinstance(config, ColorMNISTConfig) and config.source == "torchvision":
        return missing_files("mnist", downloads)
    if isinstance(config, SmallSetConfig) and config.source == "torchvision":
        return missing_files(config.name, downloads)
    if isinstance(config, CelebAConfig) and config.folder is None:
        return CELEBA
    if isinstance(config, AnimalFacesConfig):
        return funit_lists(config, downloads)
    return ()


def fetch_dataset(config: Dataset, *, folder: Path, downloads: Downloads, work: Path) -> None:
    """Write the images and labels into `folder`.

    Arguments:
        downloads: the files from elsewhere, fetched if they aren't there.
        work: where an unfinished decode waits to be continued.
    """
    if isinstance(config, ColorMNISTConfig):
        if config.source == "torchvision":
            fetch_files("mnist", downloads)
        fetch_colormnist(config, folder=folder, root=downloads.folder)
    elif isinstance(config, SmallSetConfig):
        if config.source == "torchvision":
            fetch_files(config.name, downloads)
        fetch_small_set(config, folder=folder, root=downloads.folder)
    elif isinstance(config, CelebAConfig):
        fetch_celeba(config, folder=folder, downloads=downloads, work=work)
    elif isinstance(config, AnimalFacesConfig):
        fetch_animalfaces(config, folder=folder, downloads=downloads, work=work)
    else:
        fetch_rendered(config, folder=folder)
