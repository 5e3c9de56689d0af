"""Two variants side by side: every number with its difference, and the settings in which they differ."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.report.formats import kind_of, show
from reproduce.report.runs import Run, find_runs, is_number, load_run

Format = Literal["text", "csv", "json"]
COLUMNS = ["experiment", "quantity", "a", "b", "difference"]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def numbers(run: Run) -> dict[str, int | float | None]:
    """Every number that the run measured, or null, by its dotted path, in the order of the file."""
    leaves = (leaf for top in ("dims", "scores", "metrics") for leaf in _leaves(run[top], top))
    return {path: value for path, value in leaves if value is None or is_number(value)}


def settings(run: Run) -> dict[str, Any]:
    """Every value of the run's config by its dotted path; a list is one value, written as JSON."""
    return {
        path: json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
        for path, value in _leaves(run["config"], "config")
    }


def difference(a: Any, b: Any) -> int | float | None:
    """`b - a` to 12 digits, which leaves out what only rounding put there; None unless both are numbers."""
    if not (is_number(a) and is_number(b)):
        return None
    return b - a if isinstance(b - a, int) else float(f"{b - a:.12g}")


def diff_runs(run_a: Run, run_b: Run) -> pd.DataFrame:
    """Columns experiment, quantity, a, b, difference (b - a).

    First every number of either run, then the values of the config that differ; None where a run has no such value.
    """
    numbers_a, numbers_b = numbers(run_a), numbers(run_b)
    settings_a, settings_b = settings(run_a), settings(run_b)
    pairs: list[tuple[str, Any, Any]] = [
        (path, numbers_a.get(path), numbers_b.get(path)) for path in numbers_a | numbers_b
    ]
    pairs = [pair for pair in pairs if pair[1:] != (None, None)]
    pairs += [
        (path, settings_a.get(path), settings_b.get(path))
        for path in settings_a | settings_b
        if settings_a.get(path) != settings_b.get(path)
    ]
    rows = [(run_a["experiment"], path, a, b, difference(a, b)) for path, a, b in pairs]
    return pd.DataFrame(rows, columns=COLUMNS, dtype=object)


def _text(run_a: Run, run_b: Run, name_a: str, name_b: str) -> str:
    rows = [
        (path, show(a, kind_of(path)), show(b, kind_of(path)), show(off, kind_of(path), signed=True))
        for _, path, a, b, off in diff_runs(run_a, run_b).itertuples(index=False)
    ]
    columns = ["quantity", name_a, name_b, f"{name_b} − {name_a}"]
    grid = pd.DataFrame(rows, columns=columns, dtype=object).to_markdown(
        index=False, tablefmt="simple", disable_numparse=True, colalign=("left", "right", "right", "right")
    )
    return f"{run_a['experiment']}: {run_a['dataset']}\n\n{grid}\n"


def main_diff(
    results_dir: Path, variant_a: str, variant_b: str, experiment: str | None = None, format: Format = "text"
) -> str:
    """What `reproduce diff` prints about the runs of a profile.

    `results_dir` is `results/<profile>`. A variant is named as its file is: `code`, or `code-seed1` for a further
    seed. Without `experiment`, every one that has both. `csv` and `json` hold raw values, and name the variants
    that a and b stand for.
    """
    found = find_runs(results_dir / "runs")
    if not found:
        raise UserError(f"{shown(results_dir / 'runs')}: no runs; run `dvc repro`")
    if experiment is not None and experiment not in found:
        there = ", ".join(found)
        raise UserError(f"no runs of the experiment {experiment!r} in {shown(results_dir)}; there are {there}")
    chosen = found if experiment is None else {experiment: found[experiment]}
    for variant in (variant_a, variant_b):
        if all(variant not in named for named in chosen.values()):
            known = dict.fromkeys(name for named in chosen.values() for name in named)
            raise UserError(f"no run of the variant {variant!r} in {shown(results_dir)}; there are {', '.join(known)}")
    pairs = [
        (load_run(named[variant_a]), load_run(named[variant_b]))
        for named in chosen.values()
        if variant_a in named and variant_b in named
    ]
    if not pairs:
        raise UserError(f"no experiment in {results_dir} has both {variant_a!r} and {variant_b!r}")
    if format == "text":
        return "\n".join(_text(a, b, variant_a, variant_b) for a, b in pairs)
    frame = pd.concat([diff_runs(a, b) for a, b in pairs], ignore_index=True)
    frame.insert(1, "variant_a", variant_a)
    frame.insert(2, "variant_b", variant_b)
    if format == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    return json.dumps(frame.to_dict("records"), indent=1, ensure_ascii=False) + "\n"
