"""figures: draws one run, and publishes its numbers; computes nothing."""

import pandas as pd

from reproduce.config import load_run
from reproduce.figures.curves import training_curve
from reproduce.figures.layers import layers_figure
from reproduce.figures.registry import draw_all, save_as
from reproduce.figures.style import save, styled
from reproduce.files import copy, read_json
from reproduce.paths import RunPlaces


def run(profile: str, experiment: str, variant: str) -> None:
    """Copy the run's JSON, its main numbers and its machine notes to the results, and draw its figures there.

    The figures are `training.png`, `layers.png` where the variant estimates sizes, and what
    `reproduce.figures.registry` finds arrays for.
    """
    load_run(profile, experiment, variant)  # UserError for a name that is not known
    places = RunPlaces(profile, experiment, variant)
    results = {**read_json(places.evaluation / "run.json"), "name": variant}
    with styled():
        log = pd.read_csv(places.flow / "training.csv")
        save(training_curve(log, results), places.figures / "training.png")
        if "layers" in results:
            save(layers_figure(results), places.figures / "layers.png")
        for name, drawn in draw_all(places.evaluation, results):
            save_as(places.figures / name, drawn)
    copy(places.evaluation / "run.json", places.metrics)
    copy(places.evaluation / "main.json", places.headline)
    if places.machine_notes.exists():
        copy(places.machine_notes, places.machine)
