"""The public interface: T, the estimators of its factor sizes, its likelihood and its swaps; README has an example."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reproduce.dimensions import DimensionEstimate, PairMoments, estimate_dimensions
    from reproduce.errors import ReproduceError, UserError
    from reproduce.factors import factor_slices
    from reproduce.interpret import interpolate, swap
    from reproduce.likelihood import density_nll, pair_nll
    from reproduce.models.convolutional import Autoencoder, Classifier, Posterior
    from reproduce.models.flow import Flow
    from reproduce.official.checkpoints import load_official_autoencoder, load_official_classifier, load_official_flow
    from reproduce.pairs import ConceptPairs
    from reproduce.training.flow import train_density, train_flow

_HOMES = {
    "dimensions": ("DimensionEstimate", "PairMoments", "estimate_dimensions"),
    "errors": ("ReproduceError", "UserError"),
    "factors": ("factor_slices",),
    "interpret": ("interpolate", "swap"),
    "likelihood": ("density_nll", "pair_nll"),
    "models.convolutional": ("Autoencoder", "Classifier", "Posterior"),
    "models.flow": ("Flow",),
    "official.checkpoints": ("load_official_autoencoder", "load_official_classifier", "load_official_flow"),
    "pairs": ("ConceptPairs",),
    "training.flow": ("train_density", "train_flow"),
}

__all__ = [
    "Autoencoder",
    "Classifier",
    "ConceptPairs",
    "DimensionEstimate",
    "Flow",
    "PairMoments",
    "Posterior",
    "ReproduceError",
    "UserError",
    "density_nll",
    "estimate_dimensions",
    "factor_slices",
    "interpolate",
    "load_official_autoencoder",
    "load_official_classifier",
    "load_official_flow",
    "pair_nll",
    "swap",
    "train_density",
    "train_flow",
]


def __getattr__(name: str) -> Any:
    """Import the module of the name that is asked for, and no other: torch alone takes seconds."""
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = value = getattr(importlib.import_module(f"reproduce.{home}"), name)
            return value
    raise AttributeError(f"module 'reproduce' has no attribute {name!r}")
