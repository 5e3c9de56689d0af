"""figures: draws one run; computes nothing."""

import pandas as pd

from reproduce.config import load_experiment, load_variant
from reproduce.figures.curves import training_curve
from reproduce.figures.style import save, styled
from reproduce.figures.swap_grid import prediction_grid, swap_grid
from reproduce.files import read_arrays, read_json
from reproduce.paths import Run

__all__ = ["run"]


def run(profile: str, experiment: str, variant: str) -> None:
    """Write `swap_<factor>.png` or `predictions_<factor>.png`, and `training.png`."""
    load_experiment(profile, experiment)  # UserError for a name that isn't known
    load_variant(variant)
    site = Run(profile, experiment, variant)
    result = read_json(site.metrics)
    grid = read_arrays(site.evaluation / "grid.npz")
    inputs = (grid["targets"], grid["sources"])
    names = grid["class_names"].tolist() if "class_names" in grid else None
    with styled():
        for k, (factor, size) in enumerate(result["dims"].items()):
            words = {"factor": factor, "size": size, "dataset": result["dataset"], "variant": variant}
            if result["kind"] == "autoencoder":
                save(swap_grid(*inputs, grid[f"cells_{k}"], **words), site.figures / f"swap_{factor}.png")
            else:
                classes = (grid["target_classes"], grid["source_classes"])
                figure = prediction_grid(*inputs, *classes, grid[f"cells_{k}"], class_names=names, **words)
                save(figure, site.figures / f"predictions_{factor}.png")
        log = pd.read_csv(site.flow / "training.csv")
        save(training_curve(log, dataset=result["dataset"], variant=variant), site.figures / "training.png")
