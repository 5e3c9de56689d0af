"""The training curve of T."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from reproduce.figures.style import wrapped

__all__ = ["training_curve"]


def training_curve(log: pd.DataFrame, *, dataset: str, variant: str) -> Figure:
    """`log` has the columns step and loss (mean pair NLL in nats, constants dropped)."""
    figure, ax = plt.subplots(figsize=(5.2, 3.0))
    ax.plot(log["step"], log["loss"])
    # the first steps are far off and would flatten the rest
    later = log["loss"][len(log) // 10 :]
    margin = 0.05 * (later.max() - later.min() + 1e-9)
    ax.set_ylim(later.min() - margin, later.max() + 4 * margin)
    ax.set(xlabel="training step", ylabel="pair NLL of a batch (nats)")
    below = wrapped(dataset, inches=figure.get_figwidth(), fontsize=8.5)
    ax.set_title(f"Training T, {variant}" + "\n" * len(below), fontsize=11)
    ax.text(0.5, 1.03, "\n".join(below), transform=ax.transAxes, ha="center", fontsize=8.5, color="#555555")
    return figure
