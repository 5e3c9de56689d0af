"""fetch: the data set's images and labels, and the authors' network where it is asked for, onto this disk."""

from reproduce.config import OfficialWeights, all_downloads, all_sources, load_experiment
from reproduce.official.convert import fetch_checkpoint
from reproduce.paths import WORK, ExperimentPlaces


def run(profile: str, experiment: str) -> None:
    """Write `data/`; the authors' network, where the config asks for it, is `network.safetensors` there."""
    config = load_experiment(profile, experiment)
    places, work = ExperimentPlaces(profile, experiment), WORK / "fetch" / profile / experiment
    sources, downloads = all_sources(), all_downloads()
    names, weights = [*config.dataset.sources(downloads)], getattr(config.first_stage, "source", None)
    if isinstance(weights, OfficialWeights):
        names.insert(0, sources.archive_of(weights.checkpoint))
    downloads.announce(names, profile=profile, disk_gb=sources.disk_gb.get(profile))
    if isinstance(weights, OfficialWeights):  # first, since the authors' archive is the source that may be gone
        out = places.data / "network.safetensors"
        fetch_checkpoint(downloads, archive=names[0], name=weights.checkpoint, out=out, work=work)
    config.dataset.fetch(folder=places.data, downloads=downloads, work=work)
