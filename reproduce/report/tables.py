"""Every table of the report, from the runs' JSON and the published values."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reproduce.errors import ReproduceError
from reproduce.files import write_text
from reproduce.report.diff import difference, numbers, settings
from reproduce.report.formats import Kind, Table, escape_markdown, markdown_grid, show
from reproduce.report.published import Published, PublishedDimensions
from reproduce.report.runs import Run, concepts, experiments, factors, run_name, value

__all__ = ["build_tables", "inject", "readme_table", "write_tables"]

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

_RUN: dict[str, Kind] = {"experiment": "text", "dataset": "text", "variant": "text", "seed": "count"}


def _run_cells(run: Run) -> dict[str, Any]:
    return {column: run[column] for column in _RUN}


def _data(runs: Sequence[Run]) -> str:
    """Which data each experiment used: in every table, since a stand-in must say so wherever its numbers stand."""
    named = dict.fromkeys(f"{run['experiment']}: {run['dataset']}" for run in runs)
    return f"Data: {'; '.join(named)}."


def _for(published: Published, run: Run) -> Sequence[PublishedDimensions]:
    entry = published.get(run["experiment"])
    return () if entry is None else entry.dimensions


def _verdict(run: Run, theirs: PublishedDimensions) -> str:
    offsets = ", ".join(show(off, "count", signed=True) for off in theirs.differences(run["dims"]).values())
    return f"{offsets}: {'within' if theirs.holds(run['dims']) else 'beyond'} ±{theirs.tolerance}"


def _dimensions(runs: Sequence[Run], published: Published) -> Table:
    names = factors(runs)
    sources = dict.fromkeys(theirs.source for run in runs for theirs in _for(published, run))
    kinds: dict[str, Kind] = {"experiment": "text", "network": "text", "dataset": "text", "variant": "text"}
    kinds |= {"seed": "count", **dict.fromkeys(names, "count")}
    kinds |= dict.fromkeys((f"score: {name}" for name in names), "number")
    kinds |= dict.fromkeys((f"against: {source}" for source in sources), "text")
    rows: list[dict[str, Any]] = []
    for own in experiments(runs).values():
        for run in own:
            row = _run_cells(run) | {"network": run["kind"]} | run["dims"]
            row |= {f"score: {name}": score for name, score in run["scores"].items()}
            row |= {f"against: {theirs.source}": _verdict(run, theirs) for theirs in _for(published, run)}
            rows.append(row)
        for theirs in _for(published, own[0]):
            row = {"experiment": own[0]["experiment"], "network": own[0]["kind"], "dataset": theirs.dataset}
            rows.append(row | {"variant": theirs.source} | theirs.dims)
    note = (
        "The dimensions each factor gets, ours by variant and as published. "
        "Against: ours minus theirs, factor by factor; the tolerance is ours."
    )
    return Table.of("dimensions", "Factor dimensions", note, _data(runs), rows, kinds)


def _published(runs: Sequence[Run], published: Published) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "source": "text", "factor": "text", "ours": "count", "published": "count"}
    kinds |= {"derived": "text", "difference": "offset", "tolerance": "count", "holds": "text"}
    rows = []
    for run in runs:
        for theirs in _for(published, run):
            for name, off in theirs.differences(run["dims"]).items():
                row = _run_cells(run) | {"source": theirs.source, "factor": name, "ours": run["dims"].get(name)}
                row |= {"published": theirs.dims[name], "derived": name in theirs.derived, "difference": off}
                row |= {"tolerance": theirs.tolerance, "holds": off is not None and abs(off) <= theirs.tolerance}
                rows.append(row)
    note = "Dimension by dimension. Derived: not printed, what the other factors leave of N. The tolerance is ours."
    return Table.of("published", "Ours against the published values", note, _data(runs), rows, kinds, "dataset")


def _swaps(runs: Sequence[Run]) -> Table:
    errors = dict.fromkeys(key for run in runs for key, found in run["metrics"].items() if _is_error(key, found))
    kinds: dict[str, Kind] = {**_RUN, "swapped": "text", "dimensions": "count"}
    for name in concepts(runs):
        for column in ("follows source", "stays with target", "reconstruction", "judge"):
            kinds[f"{name}: {column}"] = "share"
    for key in errors:
        kinds |= {f"{key.replace('_', ' ')}: after the swap": "number"}
        kinds |= {f"{key.replace('_', ' ')}: reconstruction": "number"}
    rows = []
    for run in runs:
        for swapped, size in run["dims"].items():
            row = _run_cells(run) | {"swapped": swapped, "dimensions": size}
            for name in concepts([run]):
                row[f"{name}: follows source"] = value(run, "metrics", "swap", swapped, name, "source")
                row[f"{name}: stays with target"] = value(run, "metrics", "swap", swapped, name, "target")
                row[f"{name}: reconstruction"] = value(run, "metrics", "reconstruction", name)
                row[f"{name}: judge"] = value(run, "metrics", "judge", name)
            for key in errors:
                row[f"{key.replace('_', ' ')}: after the swap"] = value(run, "metrics", key, swapped)
                row[f"{key.replace('_', ' ')}: reconstruction"] = value(run, "metrics", key, "reconstruction")
            rows.append(row)
    note = (
        "One factor of the target is replaced by the source's. Over held-out pairs that differ in a concept: how often "
        "the result shows the source's value, and how often the target's. Beside them, how often the unswapped "
        "reconstruction is judged right, and the held-out accuracy of the judge itself."
    )
    if errors:
        note += (
            " A colour is read off the image's border and counts for the nearer of the two; its error is the mean RGB "
            "distance from what it should be."
        )
    return Table.of("swaps", "Swapping one factor", note, _data(runs), rows, kinds, "dataset")


def _is_error(key: str, found: Any) -> bool:
    return key.endswith("_error") and isinstance(found, dict)


def _probes(runs: Sequence[Run]) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "factor": "text", "dimensions": "count"}
    kinds |= {f"reads: {name}": "number" for name in concepts(runs)}
    rows = [
        _run_cells(run)
        | {"factor": name, "dimensions": size}
        | {f"reads: {concept}": value(run, "metrics", "probe", name, concept) for concept in concepts([run])}
        for run in runs
        for name, size in run["dims"].items()
    ]
    note = (
        "How well a linear probe reads each concept from each factor alone, on held-out images: accuracy for a class, "
        "R² for a measured value such as a colour."
    )
    return Table.of("probes", "Linear probes", note, _data(runs), rows, kinds, "dataset")


def _factors(runs: Sequence[Run]) -> Table:
    columns = {"mean": "mean", "variance": "variance", "pair_correlation": "pair correlation"}
    kinds: dict[str, Kind] = {**_RUN, "factor": "text", "dimensions": "count"}
    kinds |= dict.fromkeys(columns.values(), "number")
    rows = [
        _run_cells(run)
        | {"factor": name, "dimensions": size}
        | {column: value(run, "metrics", "factors", name, key) for key, column in columns.items()}
        for run in runs
        for name, size in run["dims"].items()
    ]
    note = (
        "T is trained towards mean 0, variance 1, and, between images that share a concept, a high correlation of that "
        "concept's factor. Measured on held-out images."
    )
    return Table.of("factors", "Statistics of the factors", note, _data(runs), rows, kinds, "dataset")


def _fit(runs: Sequence[Run]) -> Table:
    columns = {"nll": "pair NLL (nats)", "round_trip": "round trip error", "pairs": "held-out pairs"}
    kinds: dict[str, Kind] = {**_RUN, "pair NLL (nats)": "number", "round trip error": "number"}
    kinds |= {"held-out pairs": "count"}
    rows = [_run_cells(run) | {column: value(run, "metrics", key) for key, column in columns.items()} for run in runs]
    note = (
        "The pair likelihood leaves out constants that depend on the dimensions, as the official code does: compare it "
        "only where the dimensions are equal."
    )
    return Table.of("fit", "Likelihood and round trip of T", note, _data(runs), rows, kinds, "dataset")


def _reference(runs: Sequence[Run]) -> str:
    # what the others are held against
    names = [run["variant"] for run in runs]
    return "code" if "code" in names else names[-1]


def _variants(runs: Sequence[Run]) -> Table:
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    base = _reference(runs)
    differences = {name: f"{base} − {name}" for name in variants if name != base}
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "seed": "count", "quantity": "text"}
    kinds |= dict.fromkeys(variants, "quantity") | dict.fromkeys(differences.values(), "difference")
    grouped: dict[tuple[str, int], dict[str, Run]] = {}
    for run in runs:
        grouped.setdefault((run["experiment"], run["seed"]), {})[run["variant"]] = run
    rows = []
    for (experiment, seed), own in grouped.items():
        measured = {name: numbers(run) for name, run in own.items()}
        chosen = {name: settings(run) for name, run in own.items()}
        paths = dict.fromkeys(path for found in measured.values() for path in found)
        paths = {path: None for path in paths if any(found.get(path) is not None for found in measured.values())}
        paths |= {
            path: None
            for found in chosen.values()
            for path in found
            if len({repr(other.get(path)) for other in chosen.values()}) > 1
        }
        dataset = next(iter(own.values()))["dataset"]
        for path in paths:
            cells = {name: (measured[name] | chosen[name]).get(path) for name in own}
            offsets = {label: difference(cells.get(name), cells.get(base)) for name, label in differences.items()}
            rows.append(
                {"experiment": experiment, "dataset": dataset, "seed": seed, "quantity": path} | cells | offsets
            )
    note = (
        "Every number of every run by its place in the run's JSON, then the values of the config that differ. "
        "pp: percentage points. metrics.nll leaves out constants that depend on the dimensions."
    )
    return Table.of("variants", "The variants compared", note, _data(runs), rows, kinds, "dataset")


def build_tables(runs: Sequence[Run], published: Published) -> dict[str, Table]:
    """Every table by its name, in the order to read them."""
    tables = [
        _dimensions(runs, published),
        _published(runs, published),
        _swaps(runs),
        _probes(runs),
        _factors(runs),
        _fit(runs),
        _variants(runs),
    ]
    return {table.name: table for table in tables}


def write_tables(tables: Mapping[str, Table], folder: Path) -> None:
    """`<name>.csv`, `.md` and `.tex` for each table, in `folder`."""
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.csv())
        write_text(folder / f"{name}.md", table.markdown())
        write_text(folder / f"{name}.tex", table.latex())


def _swap_columns(names: Sequence[str]) -> list[tuple[str, str, str, str]]:
    """For each swapped factor and concept the column's title, the factor, the concept and the side that counts."""
    return [
        (f"swap {swapped}: {name} {'follows' if name == swapped else 'stays'}", swapped, name, side)
        for swapped in names
        for name in names[:-1]
        for side in ["source" if name == swapped else "target"]
    ]


def readme_table(runs: Sequence[Run]) -> str:
    """The summary for the README, in Markdown: the dimensions and what each swap changes, a row a run.

    Experiments with other factors get a table of their own, since they share no columns.
    """
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(tuple(run["dims"]), []).append(run)
    parts = []
    for names, own in grouped.items():
        swaps = _swap_columns(names)
        columns = ["experiment", "variant", " / ".join(names), *(title for title, *_ in swaps)]
        rows = [
            [
                run["experiment"],
                run_name(run),
                " / ".join(str(size) for size in run["dims"].values()),
                *(show(value(run, "metrics", "swap", *keys), "share") for _, *keys in swaps),
            ]
            for run in own
        ]
        parts.append(markdown_grid(columns, rows, [False, False] + [True] * (len(columns) - 2)))
    return "\n\n".join([*parts, escape_markdown(_data(runs))])


def inject(text: str, table: str) -> str:
    """`text` with what stands between the results markers replaced by `table`."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ReproduceError(f"README.md needs one line {BEGIN!r} and after it one line {END!r}")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"
