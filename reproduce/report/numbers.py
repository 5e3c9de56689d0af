"""What `paper_configs/numbers.yaml` declares: each number of a run, the tables and the page's figures."""

import re
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, model_validator

from reproduce import paths
from reproduce.errors import UserError
from reproduce.schema import Strict, read_yaml, validated

Text = Annotated[str, Field(min_length=1)]
_KEY = r"[^.]+(?:\.\d+)?"  # a key such as -1.5 has a dot in it


class Number(Strict):
    """One entry under `numbers`; the file explains the keys."""

    place: Text
    kind: Literal["share", "number", "count"]
    absolute: NonNegativeFloat
    relative: NonNegativeFloat = 0
    words: Text
    table: Text | None = None
    column: Text | None = None
    column_without_concepts: Text | None = None

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a place of this number looks like; a null may stand above it."""
        parts = [re.escape(part).replace(r"\*", ".+") for part in self.place.split(".")]
        parts = [re.sub(r"<\w+>", lambda _: _KEY, part) for part in parts]
        return re.compile(r"(?:\.".join(parts) + ")?" * (len(parts) - 1))

    @property
    def columns(self) -> list[str]:
        """The columns of its table, for runs with concepts and, where it is another one, for runs without."""
        return [column for column in (self.column, self.column_without_concepts) if column]

    def keys(self, *, factor: str, concept: str) -> list[str]:
        """The keys that lead to the number of this factor and concept in a run's JSON."""
        return [part.replace("<factor>", factor).replace("<concept>", concept) for part in self.place.split(".")]

    def tolerance(self, committed: float) -> float:
        """How far a number may lie from the committed one."""
        return self.absolute + self.relative * abs(committed)


class DeclaredTable(Strict):
    """One entry under `tables`; the file explains the keys."""

    title: Text
    note: Text
    rows: Literal["run", "run x factor", "run x concept", "run x factor x concept", "experiment x concept"] | None = (
        None
    )
    factor_column: Text = "factor"


class Figure(Strict):
    """One entry under `figures`; the file explains the keys."""

    title: Text
    how: Text
    numbers: Text
    paper: str = ""

    @property
    def sentences(self) -> list[str]:
        """Those of `numbers`."""
        return re.split(r"(?<=\.) ", self.numbers)

    @model_validator(mode="after")
    def _one_place_each(self) -> "Figure":
        for sentence in self.sentences:
            if not re.fullmatch(r"[^{}]*\{[^{}]+\}[^{}]*", sentence):
                raise ValueError(f"numbers: {sentence!r}: a sentence has exactly one place in braces")
        return self


class Declarations(Strict):
    """The whole file."""

    tables: dict[str, DeclaredTable]
    numbers: tuple[Number, ...]
    figures: Annotated[dict[str, Figure], Field(default_factory=dict)]

    @model_validator(mode="after")
    def _consistent(self) -> "Declarations":
        taken: set[tuple[str, str]] = set()
        for number in self.numbers:
            if (number.table is None) != (number.column is None):
                raise ValueError(f"{number.place}: table and column belong together")
            if number.table is None:
                continue
            rows = self.tables[number.table].rows if number.table in self.tables else None
            if rows is None:
                known = ", ".join(name for name, table in self.tables.items() if table.rows)
                raise ValueError(f"{number.place}: there is no table {number.table!r} with rows, only {known}")
            if loose := set(re.findall(r"<(\w+)>", number.place)) - set(rows.split(" x ")):
                raise ValueError(f"{number.place}: the table {number.table} has no row per {', '.join(sorted(loose))}")
            for column in number.columns:
                if (number.table, column) in taken:
                    raise ValueError(f"the table {number.table} has more than one column {column!r}")
                taken.add((number.table, column))
        return self


@cache
def _load(path: Path) -> Declarations:
    return validated(Declarations, read_yaml(path), path)


def declarations() -> Declarations:
    """What the file declares; `UserError` where it is missing, no YAML, or not of this shape."""
    return _load(paths.CONFIGS / "numbers.yaml")


def declared(place: str) -> Number:
    """The declaration of the number at this place, such as `metrics.swap.digit.color.target`."""
    found = next((number for number in declarations().numbers if number.pattern.fullmatch(place)), None)
    if found is None:
        raise UserError(f"paper_configs/numbers.yaml declares no number at {place}; add an entry")
    return found
