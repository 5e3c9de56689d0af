"""fetch: the data set's images and labels, onto this disk."""

from reproduce.config import load_network_config, load_pipeline, load_variant
from reproduce.data.fetch import fetch_dataset
from reproduce.paths import DOWNLOADS, WORK, Site

__all__ = ["run"]


def run(profile: str, experiment: str) -> None:
    """Write `data/`, after a look at all the configs, whose mistakes would otherwise show hours later."""
    for variant in load_pipeline().variants:
        load_variant(variant)
    config = load_network_config(profile, experiment)
    work = WORK / "fetch" / profile / experiment
    fetch_dataset(config.dataset, folder=Site(profile, experiment).data, downloads=DOWNLOADS, work=work)
