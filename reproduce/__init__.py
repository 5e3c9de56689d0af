"""T, its estimators, its likelihood and its swaps, for a network of one's own; see README."""

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

_HOME = {
    "Autoencoder": "models.convolutional",
    "Classifier": "models.convolutional",
    "ConceptPairs": "pairs",
    "DimensionEstimate": "dimensions",
    "Flow": "models.flow",
    "PairMoments": "dimensions",
    "Posterior": "models.convolutional",
    "ReproduceError": "errors",
    "UserError": "errors",
    "density_nll": "likelihood",
    "estimate_dimensions": "dimensions",
    "factor_slices": "factors",
    "interpolate": "interpret",
    "load_official_autoencoder": "official.checkpoints",
    "load_official_classifier": "official.checkpoints",
    "load_official_flow": "official.checkpoints",
    "pair_nll": "likelihood",
    "swap": "interpret",
    "train_density": "training.flow",
    "train_flow": "training.flow",
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
    """Import what is asked for and no more: torch alone takes seconds."""
    if name not in _HOME:
        raise AttributeError(f"module 'reproduce' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"reproduce.{_HOME[name]}"), name)
    globals()[name] = value
    return value
