"""fetch: the data set's images and labels, and the authors' network where it is asked for, onto this disk."""

from reproduce.config import load_network_config, load_pipeline, load_sources, load_variant
from reproduce.data.fetch import fetch_dataset, needed_sources
from reproduce.intake.download import Downloads
from reproduce.official.fetch import fetch_checkpoint
from reproduce.paths import DOWNLOADS, MIRROR, WORK, Site


def run(profile: str, experiment: str) -> None:
    """Write `data/`, after a look at all the configs, whose mistakes would otherwise show hours later.

    With an official first stage, its network is `network.safetensors` there.
    """
    for variant in load_pipeline().variants:
        load_variant(variant)
    config = load_network_config(profile, experiment)
    site, work = Site(profile, experiment), WORK / "fetch" / profile / experiment
    sources = load_sources()
    downloads = Downloads(sources=sources.sources, folder=DOWNLOADS, mirror=MIRROR)
    checkpoint = config.first_stage.checkpoint
    names = list(needed_sources(config.dataset, downloads))
    if checkpoint is not None:
        names.insert(0, sources.archive_of(checkpoint))
    downloads.announce(names, profile=profile, disk_gb=sources.disk_gb.get(profile))
    if checkpoint is not None:  # first: it is what may be gone
        out = site.data / "network.safetensors"
        fetch_checkpoint(downloads, archive=names[0], name=checkpoint, out=out, work=work)
    fetch_dataset(config.dataset, folder=site.data, downloads=downloads, work=work)
