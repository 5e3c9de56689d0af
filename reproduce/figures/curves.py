"""The training curve of T."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from reproduce.figures.style import wrapped


def training_curve(log: pd.DataFrame, run: Mapping[str, Any]) -> Figure:
    """`log`: `step` and `loss`, the mean NLL of a batch of pairs or single latents, in nats without constants."""
    of = "pairs" if len(run["dims"]) > 1 else "latents"
    figure, ax = plt.subplots(figsize=(5.2, 3.0))
    ax.plot(log["step"], log["loss"])
    # the first steps, or a single outlier, would flatten the rest
    low, high = log["loss"].min(), log["loss"].quantile(0.9)
    margin = 0.05 * (high - low + 1e-9)
    ax.set_ylim(low - margin, high + 4 * margin)
    ax.set(xlabel="training step", ylabel=f"NLL of training {of} (nats)")
    below = wrapped(run["dataset"], inches=figure.get_figwidth(), fontsize=8.5)
    ax.set_title(f"Training of T, variant {run['name']}" + "\n" * len(below), fontsize=11)
    ax.text(0.5, 1.03, "\n".join(below), transform=ax.transAxes, ha="center", fontsize=8.5, color="#555555")
    return figure
