"""Every path that the project reads or writes, below the checkout that the command is run in."""

import os
from pathlib import Path


def _find_root() -> Path:
    """The nearest folder, from the current one up, that holds `dvc.yaml`; so that a copy works on its own files."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), here)


ROOT = _find_root()
CONFIGS = ROOT / "paper_configs"
PIPELINE = CONFIGS / "pipeline.yaml"
PRETRAINED = ROOT / "pretrained"
DOWNLOADS = ROOT / "downloads"
# a base URL or a folder that takes the place of every address in paper_configs/sources.yaml
MIRROR = os.environ.get("REPRODUCE_MIRROR") or None
WORK = ROOT / ".work"


def experiment_config(profile: str, experiment: str) -> Path:
    """The config file of one experiment."""
    return CONFIGS / profile / f"{experiment}.yaml"


def results(profile: str) -> Path:
    """What a reader looks at: index.html, tables/, figures/ and runs/."""
    return ROOT / "results" / profile


class ExperimentPlaces:
    """The artifacts of one experiment, which its runs share."""

    def __init__(self, profile: str, experiment: str) -> None:
        self.profile, self.experiment = profile, experiment
        self.folder = ROOT / "artifacts" / profile / experiment
        self.data = self.folder / "data"
        self.pairs = self.folder / "pairs"
        self.first_stage = self.folder / "first_stage"
        self.network = self.first_stage / "network.safetensors"
        self.latents = self.folder / "latents"


class RunPlaces(ExperimentPlaces):
    """The artifacts and results of one run: a variant, and for a further seed its number, as in `code-seed1`."""

    def __init__(self, profile: str, experiment: str, variant: str) -> None:
        super().__init__(profile, experiment)
        self.variant = variant
        own, shown = self.folder / variant, results(profile)
        self.dimensions = own / "dimensions.json"
        self.flow = own / "flow"
        self.evaluation = own / "evaluation"
        # not a DVC out: the time that a training took must neither rerun later stages nor make a checkout look changed
        self.machine_notes = own / "machine.json"
        self.metrics = shown / "runs" / experiment / f"{variant}.json"
        self.machine = shown / "runs" / experiment / f"{variant}.machine.json"
        self.headline = shown / "metrics" / experiment / f"{variant}.json"
        self.figures = shown / "figures" / experiment / variant
