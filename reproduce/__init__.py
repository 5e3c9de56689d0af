"""The public interface: T, the estimators of its factor sizes, its likelihood and its swaps; README has an example."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `as` marks what a type checker lets others import
    from reproduce.dimensions import DimensionEstimate as DimensionEstimate
    from reproduce.dimensions import PairMoments as PairMoments
    from reproduce.dimensions import estimate_dimensions as estimate_dimensions
    from reproduce.errors import ReproduceError as ReproduceError
    from reproduce.errors import UserError as UserError
    from reproduce.factors import factor_slices as factor_slices
    from reproduce.interpret import interpolate as interpolate
    from reproduce.interpret import swap as swap
    from reproduce.likelihood import density_nll as density_nll
    from reproduce.likelihood import pair_nll as pair_nll
    from reproduce.models.convolutional import Autoencoder as Autoencoder
    from reproduce.models.convolutional import Classifier as Classifier
    from reproduce.models.convolutional import Posterior as Posterior
    from reproduce.models.flow import Flow as Flow
    from reproduce.official.checkpoints import load_official_autoencoder as load_official_autoencoder
    from reproduce.official.checkpoints import load_official_classifier as load_official_classifier
    from reproduce.official.checkpoints import load_official_flow as load_official_flow
    from reproduce.pairs import ConceptPairs as ConceptPairs
    from reproduce.saved import SavedFlow as SavedFlow
    from reproduce.saved import load_flow as load_flow
    from reproduce.splitting import Split as Split
    from reproduce.splitting import split as split
    from reproduce.training.flow import train_density as train_density
    from reproduce.training.flow import train_flow as train_flow

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
    "saved": ("SavedFlow", "load_flow"),
    "splitting": ("Split", "split"),
    "training.flow": ("train_density", "train_flow"),
}

__all__ = sorted(name for names in _HOMES.values() for name in names)


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import the module of the name that is asked for, and no other: torch alone takes seconds."""
    for home, names in _HOMES.items():
        if name in names:
            globals()[name] = value = getattr(importlib.import_module(f"reproduce.{home}"), name)
            return value
    raise AttributeError(f"module 'reproduce' has no attribute {name!r}")
