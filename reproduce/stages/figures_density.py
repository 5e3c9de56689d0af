"""figures_density: draws an unsupervised run; computes nothing."""

import pandas as pd

from reproduce.config import load_unsupervised
from reproduce.figures.curves import training_curve
from reproduce.figures.style import save, styled
from reproduce.files import read_json
from reproduce.paths import Run

__all__ = ["run"]


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `training.png`."""
    load_unsupervised(profile, experiment)  # UserError for a name that isn't known
    site = Run(profile, experiment, variant)
    result = read_json(site.metrics)
    with styled():
        log = pd.read_csv(site.flow / "training.csv")
        save(training_curve(log, dataset=result["dataset"], variant=variant), site.figures / "training.png")
