"""Every path that the project reads or writes, below the checkout that the command is run in."""

import os
from dataclasses import dataclass
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


@dataclass(frozen=True)
class ExperimentPlaces:
    """The artifacts of one experiment, which its variants share."""

    profile: str
    experiment: str

    @property
    def folder(self) -> Path:
        return ROOT / "artifacts" / self.profile / self.experiment

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def pairs(self) -> Path:
        return self.folder / "pairs"

    @property
    def first_stage(self) -> Path:
        return self.folder / "first_stage"

    @property
    def latents(self) -> Path:
        return self.folder / "latents"


@dataclass(frozen=True)
class RunPlaces(ExperimentPlaces):
    """The artifacts and results of one run: a variant, and for a further seed its number, as in `code-seed1`."""

    variant: str

    @property
    def dimensions(self) -> Path:
        return self.folder / self.variant / "dimensions.json"

    @property
    def flow(self) -> Path:
        return self.folder / self.variant / "flow"

    @property
    def evaluation(self) -> Path:
        return self.folder / self.variant / "evaluation"

    @property
    def machine_notes(self) -> Path:
        # no DVC out: how long a training took must neither rerun what follows nor make a checkout look changed
        return self.folder / self.variant / "machine.json"

    @property
    def metrics(self) -> Path:
        return results(self.profile) / "runs" / self.experiment / f"{self.variant}.json"

    @property
    def machine(self) -> Path:
        return self.metrics.with_name(f"{self.variant}.machine.json")

    @property
    def headline(self) -> Path:
        return results(self.profile) / "metrics" / self.experiment / f"{self.variant}.json"

    @property
    def figures(self) -> Path:
        return results(self.profile) / "figures" / self.experiment / self.variant
