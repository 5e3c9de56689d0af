"""What the paper says can be seen (`paper_configs/claims.yaml`), held against the numbers of the runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pandas as pd
from pydantic import Field, NonNegativeFloat, RootModel, model_validator

from reproduce.report.formats import Row, kind_of
from reproduce.report.numbers import Text, declared
from reproduce.report.runs import Run, experiments, is_number, run_name, value
from reproduce.schema import Strict, read_yaml, validated

PLACEHOLDERS = ("<concept>", "<other>", "<factor>", "<residual>", "<attribute>", "<lowest>", "<highest>")


def _placeholders(place: str | float) -> set[str]:
    return {part for part in str(place).split(".") if part.startswith("<")}


class Claim(Strict):
    """One entry of the file, which explains the keys."""

    says: Text
    source: Text
    quantity: Text
    comparison: Literal["above", "below", "near"]
    than: float | Text
    tolerance: NonNegativeFloat
    experiments: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    of: Text | None = None
    named: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Claim":
        own, other = _placeholders(self.quantity), _placeholders(self.than)
        if unknown := sorted((own | other) - set(PLACEHOLDERS)):
            raise ValueError(f"{', '.join(unknown)} stands for nothing; there are {', '.join(PLACEHOLDERS)}")
        if loose := sorted(other - own):
            raise ValueError(f"than has {', '.join(loose)}, which quantity lacks")
        if self.of is not None and not isinstance(self.than, str):
            raise ValueError("of names where `than` is looked up: it belongs to a place in the JSON, not to a number")
        if isinstance(self.than, str) != (self.named is not None):
            raise ValueError("named says what `than` is called: it belongs to a place in the JSON, and only to one")
        return self

    @property
    def wanted(self) -> str:
        """The comparison in a few words, such as `above the share without a swap − 10 pp`."""
        percent = kind_of(self.quantity) == "share"
        if isinstance(self.than, str):
            bound = f"{self.named}" + (f" in {self.of}" if self.of is not None else "")
        else:
            bound = f"{100 * self.than:g} %" if percent else f"{self.than:g}"
        by = f"{100 * self.tolerance:g} pp" if percent else f"{self.tolerance:g}"
        if self.comparison == "near":
            return f"{bound} ± {by}" if self.tolerance else f"exactly {bound}"
        sign = "−" if self.comparison == "above" else "+"
        return f"{self.comparison} {bound} {sign} {by}" if self.tolerance else f"{self.comparison} {bound}"

    def margin(self, ours: float, against: float) -> float:
        """By how much the claim holds; where it is negative, the claim fails. At 0 `near` holds, the others fail."""
        if self.comparison == "above":
            return ours - (against - self.tolerance)
        if self.comparison == "below":
            return against + self.tolerance - ours
        return self.tolerance - abs(ours - against)


class _File(RootModel[tuple[Claim, ...]]):
    """The whole file."""

    @model_validator(mode="after")
    def _each_once(self) -> "_File":
        for (says, quantity), times in Counter((claim.says, claim.quantity) for claim in self.root).items():
            if times > 1:
                raise ValueError(f"the claim {says!r} is listed {times} times for {quantity}: keep one")
        return self


def load_claims(path: Path) -> tuple[Claim, ...]:
    """The claims in the order of the file; `UserError` where it is missing, no YAML, or not of this shape."""
    return validated(_File, read_yaml(path), path).root


def _bindings(run: Run, used: set[str]) -> Iterator[dict[str, str]]:
    """What the placeholders stand for, in every combination."""
    *concepts, residual = run["dims"]
    moved = value(run, "metrics", "directions") or {}
    amounts = sorted({amount for rates in moved.values() for amount in rates}, key=float)
    choices = {"<concept>": concepts, "<other>": concepts, "<factor>": [*concepts, residual], "<residual>": [residual]}
    choices |= {"<attribute>": list(moved), "<lowest>": amounts[:1], "<highest>": amounts[-1:]}
    names = [name for name in PLACEHOLDERS if name in used]
    for chosen in product(*(choices[name] for name in names)):
        binding = dict(zip(names, chosen, strict=True))
        if "<other>" not in binding or binding["<other>"] != binding.get("<concept>"):
            yield binding


def _number(run: Run, keys: Sequence[str]) -> float | None:
    """The number at `keys`, None where there is none, or where it is about a factor without dimensions.

    A size itself, as in `dims.color`, is a measurement, even where it is 0.
    """
    parts = declared(".".join(keys)).place.split(".")
    factors = [key for part, key in zip(parts, keys, strict=False) if part == "<factor>"]
    if keys[0] == "metrics" and any(value(run, "dims", factor) == 0 for factor in factors):
        return None
    found = value(run, *keys)
    return found if is_number(found) else None


def _judge(claim: Claim, run: Run, other: Run) -> Row:
    """A claim in one run: the number that speaks most against it, its place, and what it is compared with.

    All are None where the run has nothing to judge: it lacks the numbers, or they are of factors without dimensions.
    """
    verdict: Row = {"experiment": run["experiment"], "dataset": run["dataset"], "run": run_name(run)}
    verdict |= {"claim": claim.says, "source": claim.source, "wanted": claim.wanted, "quantity": claim.quantity}
    verdict |= {"tolerance": claim.tolerance, "at": None, "ours": None, "against": None, "holds": None}
    lowest = float("inf")
    for binding in _bindings(run, _placeholders(claim.quantity)):
        # the parts are replaced one by one: an amount such as -1.5 has a dot in it
        keys = [binding.get(part, part) for part in claim.quantity.split(".")]
        ours, than = _number(run, keys), claim.than
        if isinstance(than, str):
            against = _number(other, [binding.get(part, part) for part in than.split(".")])
        else:
            against = than
        if ours is None or against is None:
            continue
        margin = claim.margin(ours, against)
        if margin < lowest:
            holds = margin >= 0 if claim.comparison == "near" else margin > 0
            verdict |= {"at": ".".join(keys), "ours": ours, "against": against, "holds": holds}
            lowest = margin
    return verdict


def judge_claims(claims: Sequence[Claim], runs: Sequence[Run]) -> list[Row]:
    """By experiment and claim, a verdict for each run, if some run of the experiment has the claim's numbers."""
    grouped = experiments(runs)
    verdicts: list[Row] = []
    for (experiment, own), claim in product(grouped.items(), claims):
        if claim.experiments is None or experiment in claim.experiments:
            others = {run_name(run): run for run in (grouped.get(claim.of, []) if claim.of else own)}
            found = [_judge(claim, run, others.get(run_name(run), {})) for run in own]
            if any(verdict["holds"] is not None for verdict in found):
                verdicts += found
    return verdicts


class Count(NamedTuple):
    """How many of `total` claims hold in the runs of one name, how many do not, how many have nothing to measure."""

    run: str
    total: int
    holds: int
    fails: int
    unmeasured: int

    def __str__(self) -> str:
        counts = f"{self.holds} with “yes”, {self.fails} with “no” and {self.unmeasured} with a dash"
        return f"Of {self.total} claims, {self.run} has {counts}"


def count_claims(frame: pd.DataFrame) -> list[Count]:
    """The counts for each run name in the table of claims, whose frame this is.

    Run names that occur in a common experiment get the same total; a claim of an experiment where a name has no run
    counts as not measured.
    """
    where = frame.groupby("run", sort=False)["experiment"].agg(set)
    claims = frame.drop_duplicates(["experiment", "claim", "quantity"])["experiment"]
    counts = []
    for name, judged in frame.groupby("run", sort=False)["holds"]:
        total = int(claims.isin(set().union(*(other for other in where if other & where[name]))).sum())
        holds, known = int(judged.fillna(False).sum()), int(judged.notna().sum())
        counts.append(Count(str(name), total, holds, known - holds, total - known))
    return counts
