"""What the paper and the official README print (`paper_configs/published.yaml`), and how ours compares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, RootModel, model_validator

from reproduce.report.numbers import Text
from reproduce.schema import Strict, read_yaml, validated


class Quoted(Strict):
    """What one source prints; the file explains the keys of this class and of those that follow."""

    source: Text
    url: Annotated[str, Field(pattern=r"^https://")]


class PublishedDimensions(Quoted):
    """The sizes of the factors."""

    dataset: Text
    latent: PositiveInt
    dims: dict[str, NonNegativeInt]
    derived: tuple[str, ...]
    tolerance: NonNegativeInt

    @model_validator(mode="after")
    def _consistent(self) -> "PublishedDimensions":
        if sum(self.dims.values()) != self.latent:
            raise ValueError(f"dims add up to {sum(self.dims.values())}, latent is {self.latent}")
        if unknown := set(self.derived) - set(self.dims):
            raise ValueError(f"derived names {', '.join(sorted(unknown))}, which dims lacks")
        return self

    def differences(self, dims: Mapping[str, int]) -> dict[str, int | None]:
        """Ours minus theirs for each published factor, None where we have no such factor."""
        return {name: dims[name] - size if name in dims else None for name, size in self.dims.items()}

    def holds(self, difference: int | None) -> bool:
        """Whether there is such a factor, and its difference is within the tolerance."""
        return difference is not None and abs(difference) <= self.tolerance


class PublishedFID(Quoted):
    """One cell of the paper's Table 2; `note` is ours."""

    method: Text
    reproduced: bool
    value: NonNegativeFloat
    spread: NonNegativeFloat | None = None
    note: str | None = None


class PublishedResponse(Quoted):
    """What a classifier predicts while one factor of a single input is varied."""

    sigma: dict[str, NonNegativeFloat]
    answers: PositiveInt
    differ: dict[str, NonNegativeInt]


class PublishedExperiment(Strict):
    """Everything published about one experiment."""

    dimensions: tuple[PublishedDimensions, ...] = ()
    fid: tuple[PublishedFID, ...] = ()
    response: tuple[PublishedResponse, ...] = ()


class _File(RootModel[dict[str, PublishedExperiment]]):
    """The whole file: one entry per experiment."""


Published = Mapping[str, PublishedExperiment]
NOTHING = PublishedExperiment()


def load_published(path: Path) -> Published:
    """The published values by experiment; `UserError` where the file is missing, no YAML, or not of this shape."""
    return validated(_File, read_yaml(path), path).root
