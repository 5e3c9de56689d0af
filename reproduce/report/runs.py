"""The runs' JSON files, read and checked."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, NonNegativeInt, PositiveInt, ValidationError

from reproduce.errors import UserError
from reproduce.files import read_json, shown
from reproduce.schema import Strict

_FIRST = ("paper", "normalised", "code")

Run = dict[str, Any]


class Layer(Strict):
    """A layer's `shape` (C, H, W), and the share of it that the variant's estimator gives each factor."""

    shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    shares: dict[str, float]


class RunFile(Strict):
    """The JSON that a run writes: what `Run` holds. Further keys are allowed.

    Factors stand in their order, the residual last, and layers from the first to z; without an estimate there are none.
    `metrics` holds numbers at the places that `paper_configs/numbers.yaml` declares; what has no meaning is null.
    """

    model_config = ConfigDict(extra="allow")

    profile: str
    experiment: str
    variant: str
    seed: NonNegativeInt
    dataset: str
    kind: str
    description: str
    dims: Annotated[dict[str, NonNegativeInt], Field(min_length=1)]
    scores: dict[str, float | None]
    layers: Annotated[dict[str, Layer], Field(default_factory=dict)]
    metrics: dict[str, JsonValue]
    config: dict[str, JsonValue]


def run_name(run: Run) -> str:
    """The run's file name without its ending: the variant, and the seed where it isn't 0."""
    return run["variant"] if run["seed"] == 0 else f"{run['variant']}-seed{run['seed']}"


def concepts(runs: Iterable[Run]) -> list[str]:
    """The factors of these runs without the residuals, in the order of their first appearance."""
    return [*dict.fromkeys(name for run in runs for name in list(run["dims"])[:-1])]


def experiments(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each experiment, in the order given."""
    grouped: dict[str, list[Run]] = {}
    for run in runs:
        grouped.setdefault(run["experiment"], []).append(run)
    return grouped


def value(run: Run, *keys: str) -> Any:
    """The entry at `keys`, None where any step of the way is missing or null."""
    found: Any = run
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def is_number(value: Any) -> bool:
    """Whether it is an int or a float; JSON's true and false are neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def load_run(path: Path) -> Run:
    """One run's JSON; `UserError` where it is not of the form of `RunFile`, or of another run."""
    text = path.read_bytes()
    try:
        RunFile.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = f"{'.'.join(map(str, first['loc']))}: " if first["loc"] else ""
        raise UserError(f"{shown(path)}: {key}{first['msg']}; delete the file and run `dvc repro`") from None
    run: Run = json.loads(text)
    name = f"{run['experiment']}/{run_name(run)}"
    if name != f"{path.parent.name}/{path.stem}":
        raise UserError(f"{shown(path)}: holds {name}; delete the file and run `dvc repro`")
    return run


def no_runs(runs_dir: Path) -> UserError:
    """The error of a profile without runs, which names the profiles that have some."""
    others = sorted(path.parent.name for path in runs_dir.parent.parent.glob("*/runs") if path != runs_dir)
    choice = f", or name a profile that has runs: {', '.join(others)}" if others else ""
    return UserError(f"{shown(runs_dir)}: no runs; run `dvc repro`{choice}")


def find_runs(runs_dir: Path) -> dict[str, dict[str, Path]]:
    """The files below `runs_dir` by experiment and run name, the variants of the paper first."""

    def order(path: Path) -> tuple[str, int, str]:
        variant = path.stem.split("-seed")[0]
        return path.parent.name, _FIRST.index(variant) if variant in _FIRST else len(_FIRST), path.stem

    found: dict[str, dict[str, Path]] = {}
    for path in sorted(runs_dir.glob("*/*.json"), key=order):
        if not path.name.endswith(".machine.json"):
            found.setdefault(path.parent.name, {})[path.stem] = path
    return found


def load_runs(runs_dir: Path, expected: Sequence[tuple[str, str]] | None = None) -> list[Run]:
    """Every run below `runs_dir` (`results/<profile>/runs`); `UserError` where there is none, or a file is damaged.

    With `expected`, pairs of experiment and run name: only those of them that are there, in that order.
    """
    if expected is None:
        paths = [path for named in find_runs(runs_dir).values() for path in named.values()]
    else:
        paths = [runs_dir / experiment / f"{name}.json" for experiment, name in expected]
    runs = [load_run(path) for path in paths if path.exists()]
    if not runs:
        raise no_runs(runs_dir)
    return runs


def missing_runs(runs: Iterable[Run], expected: Sequence[tuple[str, str]]) -> list[str]:
    """Those of the `expected` pairs that are not among the `runs`, each as `<experiment>/<run name>`."""
    there = {(run["experiment"], run_name(run)) for run in runs}
    return ["/".join(pair) for pair in expected if pair not in there]


def load_machines(runs_dir: Path, runs: Iterable[Run]) -> list[dict[str, Any] | None]:
    """What each run's `.machine.json` says: how long it took, on what, with which versions; None if missing."""
    paths = [runs_dir / run["experiment"] / f"{run_name(run)}.machine.json" for run in runs]
    return [read_json(path) if path.is_file() else None for path in paths]
