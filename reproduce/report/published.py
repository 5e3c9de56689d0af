"""What the paper and the official README print (`paper_configs/published.yaml`), and how ours compares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, model_validator

from reproduce.schema import Strict, read_yaml, validated


class Quoted(Strict):
    """What one source prints."""

    source: Annotated[str, Field(min_length=1)]
    url: Annotated[str, Field(pattern=r"^https://")]


class PublishedDimensions(Quoted):
    """Factor sizes, `derived` ones worked out from the others."""

    dataset: Annotated[str, Field(min_length=1)]
    latent: Annotated[int, Field(gt=0)]
    dims: dict[str, Annotated[int, Field(ge=0)]]
    derived: tuple[str, ...]
    tolerance: Annotated[int, Field(ge=0)]

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

    def holds(self, dims: Mapping[str, int]) -> bool:
        """Whether every published factor is there and within the tolerance."""
        return all(off is not None and abs(off) <= self.tolerance for off in self.differences(dims).values())


class PublishedFID(Quoted):
    """One cell of the paper's Table 2; `spread` stands after ±, `reproduced`: ours is to match it, `note` is ours."""

    method: Annotated[str, Field(min_length=1)]
    reproduced: bool
    value: Annotated[float, Field(ge=0)]
    spread: Annotated[float, Field(ge=0)] | None
    note: str | None


class PublishedResponse(Quoted):
    """While a factor of one input is varied: the predicted class's index, and how many of the `answers` differ."""

    sigma: dict[str, Annotated[float, Field(ge=0)]]
    answers: Annotated[int, Field(gt=0)]
    differ: dict[str, Annotated[int, Field(ge=0)]]


class PublishedExperiment(Strict):
    """Everything published about one experiment."""

    dimensions: tuple[PublishedDimensions, ...]
    fid: tuple[PublishedFID, ...]
    response: tuple[PublishedResponse, ...]


class _File(RootModel[dict[str, PublishedExperiment]]):
    """The whole file: an entry an experiment."""


Published = Mapping[str, PublishedExperiment]


def load_published(path: Path) -> Published:
    """The published values by experiment; `UserError` where the file is missing, no YAML, or not of this shape."""
    return validated(_File, read_yaml(path), path).root
