"""fetch: the data set's images and labels, onto this disk."""

from reproduce.config import load_experiment, load_pipeline, load_variant
from reproduce.data.access import dataset_class
from reproduce.paths import DOWNLOADS, Site

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `data/`, after a look at all the configs, whose mistakes would otherwise show hours later."""
    for variant in load_pipeline().variants:
        load_variant(variant)
    config = load_experiment(profile, experiment)
    folder = Site(profile, experiment).data
    dataset_class(config.dataset).fetch(folder=folder, config=config.dataset, downloads=DOWNLOADS)
