"""fetch: the data set's images and labels, and the authors' network where it is asked for, onto this disk."""

from reproduce.config import OfficialWeights, all_sources, load_experiment
from reproduce.intake.download import Downloads
from reproduce.official.convert import fetch_checkpoint
from reproduce.paths import DOWNLOADS, MIRROR, WORK, ExperimentPlaces


def run(profile: str, experiment: str) -> None:
    """Write `data/`; the authors' network, where the config asks for it, is `network.safetensors` there."""
    config = load_experiment(profile, experiment)
    places, work = ExperimentPlaces(profile, experiment), WORK / "fetch" / profile / experiment
    sources = all_sources()
    downloads = Downloads(sources=sources.sources, folder=DOWNLOADS, mirror=MIRROR)
    names = list(config.dataset.sources(downloads))
    official = isinstance(config.first_stage.source, OfficialWeights)
    if isinstance(config.first_stage.source, OfficialWeights):
        checkpoint = config.first_stage.source.checkpoint
        names.insert(0, sources.archive_of(checkpoint))
    downloads.announce(names, profile=profile, disk_gb=sources.disk_gb.get(profile))
    if official:  # first, since the authors' archive is the source that may be gone
        out = places.data / "network.safetensors"
        fetch_checkpoint(downloads, archive=names[0], name=checkpoint, out=out, work=work)
    config.dataset.fetch(folder=places.data, downloads=downloads, work=work)
