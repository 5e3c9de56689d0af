"""Two variants side by side: every number with its difference, and the settings in which they differ."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from reproduce.errors import UserError
from reproduce.files import shown
from reproduce.report.formats import kind_of, show
from reproduce.report.runs import Run, find_runs, is_number, load_run, no_runs

Format = Literal["text", "csv", "json"]


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    else:
        yield path, value


def numbers(run: Run) -> dict[str, int | float | None]:
    """Every number that the run measured, or null, by its dotted path, in the order of the file."""
    leaves = (leaf for top in ("dims", "scores", "layers", "metrics") for leaf in _leaves(run.get(top, {}), top))
    return {path: value for path, value in leaves if value is None or is_number(value)}


def _settings(run: Run) -> dict[str, Any]:
    """Every value of the run's config by its dotted path; a list is one value, written as JSON."""
    leaves = dict(_leaves(run["config"], "config"))
    return {path: json.dumps(of, ensure_ascii=False) if isinstance(of, list) else of for path, of in leaves.items()}


def difference(a: Any, b: Any) -> int | float | None:
    """`b - a` rounded to 12 digits, which hides rounding errors; None unless both are numbers."""
    if not (is_number(a) and is_number(b)):
        return None
    return b - a if isinstance(b - a, int) else float(f"{b - a:.12g}")


def compared(runs: Mapping[str, Run]) -> dict[str, dict[str, Any]]:
    """For each place in the runs' JSON what each run has there, None where it has nothing.

    First every number that one of them has, then the values of the config in which they differ.
    """
    found = {name: numbers(run) | _settings(run) for name, run in runs.items()}
    places = dict.fromkeys(place for values in found.values() for place in values)
    rows: dict[str, dict[str, Any]] = {}
    for place in sorted(places, key=lambda place: place.startswith("config.")):
        row = {name: values.get(place) for name, values in found.items()}
        different = len({repr(value) for value in row.values()}) > 1
        if different or not (place.startswith("config.") or set(row.values()) == {None}):
            rows[place] = row
    return rows


def diff_runs(run_a: Run, run_b: Run) -> pd.DataFrame:
    """Columns experiment, quantity, a, b, difference (b - a), with the rows of `compared`."""
    rows = [
        (run_a["experiment"], place, row["a"], row["b"], difference(row["a"], row["b"]))
        for place, row in compared({"a": run_a, "b": run_b}).items()
    ]
    return pd.DataFrame(rows, columns=["experiment", "quantity", "a", "b", "difference"], dtype=object)


def _differing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[a != b for a, b in zip(frame["a"], frame["b"], strict=True)]]


def _text(frame: pd.DataFrame, dataset: str, names: tuple[str, str], *, everything: bool) -> str:
    listed = frame if everything else _differing(frame)
    same = len(frame) - len(_differing(frame))
    blocks = [f"{frame['experiment'].iloc[0]}: {dataset}"]
    if len(listed):
        rows = []
        for _, place, a, b, off in listed.itertuples(index=False):
            kind = kind_of(place)
            rows.append((place, show(a, kind), show(b, kind), show(off, kind, signed=True)))
        grid = pd.DataFrame(rows, columns=["quantity", *names, f"{names[1]} − {names[0]}"], dtype=object)
        alignment = ("left", "right", "right", "right")
        blocks.append(grid.to_markdown(index=False, tablefmt="simple", disable_numparse=True, colalign=alignment))
    unlisted = "" if everything or not same else "; --all lists them too"
    blocks.append(f"{same} of {len(frame)} values are the same in both variants{unlisted}.")
    return "\n\n".join(blocks) + "\n"


def _chosen(results_dir: Path, variants: tuple[str, str], experiment: str | None) -> list[tuple[Run, Run]]:
    """The runs of both variants, of each experiment that has them; `UserError` says what is missing."""
    found, where = find_runs(results_dir / "runs"), shown(results_dir)
    if not found:
        raise no_runs(results_dir / "runs")
    if experiment is not None:
        if experiment not in found:
            raise UserError(f"no runs of the experiment {experiment!r} in {where}; there are {', '.join(found)}")
        found = {experiment: found[experiment]}
    known = dict.fromkeys(name for named in found.values() for name in named)
    for variant in variants:
        if variant not in known:
            raise UserError(f"no run of the variant {variant!r} in {where}; there are {', '.join(known)}")
    a, b = variants
    pairs = [(load_run(named[a]), load_run(named[b])) for named in found.values() if a in named and b in named]
    if not pairs:
        raise UserError(f"no experiment in {where} has both {a!r} and {b!r}")
    return pairs


def main_diff(
    results_dir: Path,
    variant_a: str,
    variant_b: str,
    *,
    experiment: str | None = None,
    format: Format = "text",
    everything: bool = False,
) -> str:
    """What `reproduce diff` prints about the runs of a profile, in `results_dir` (`results/<profile>`).

    A variant is named as its file is: `code`, or `code-seed1` for a further seed. Without `experiment`, every
    experiment that has both is compared. Values that are the same in both are left out, unless `everything` is true;
    the text counts them. `csv` and `json` hold raw values, and name the variants that a and b stand for.
    """
    pairs = _chosen(results_dir, (variant_a, variant_b), experiment)
    frames = [diff_runs(a, b) for a, b in pairs]
    if format == "text":
        titled, names = zip(frames, pairs, strict=True), (variant_a, variant_b)
        return "\n".join(_text(frame, a["dataset"], names, everything=everything) for frame, (a, _) in titled)
    frame = pd.concat(frames if everything else [_differing(of) for of in frames], ignore_index=True)
    frame.insert(1, "variant_a", variant_a)
    frame.insert(2, "variant_b", variant_b)
    if format == "csv":
        return frame.to_csv(index=False, lineterminator="\n")
    return json.dumps(frame.to_dict("records"), indent=1, ensure_ascii=False) + "\n"
