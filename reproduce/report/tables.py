"""Every table of the report, from the runs' JSON and the published values; titles and notes are in `numbers.yaml`."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from reproduce.report.claims import Claim, count_claims, judge_claims
from reproduce.report.diff import compared, difference
from reproduce.report.formats import Kind, Row, Spread, Table, framed, show
from reproduce.report.numbers import Number, declarations, declared
from reproduce.report.published import NOTHING, Published, PublishedDimensions
from reproduce.report.runs import Run, concepts, experiments, run_name, value

_RUN: dict[str, Kind] = {"experiment": "text", "dataset": "text", "variant": "text", "seed": "count"}


def _run_cells(run: Run) -> Row:
    return {column: run[column] for column in _RUN}


def _table(name: str, rows: Sequence[Row], *, kinds: Mapping[str, Kind], more: str = "", **reading: Any) -> Table:
    """The table of that name in `numbers.yaml`; `more` is added to its note, and `reading` says how it is read."""
    # a stand-in must say so wherever its numbers stand
    data = "; ".join(dict.fromkeys(f"{row['experiment']}: {row['dataset']}" for row in rows if row.get("dataset")))
    table = declarations().tables[name]
    note = f"{table.note} {more}".strip()
    return Table(name, table.title, note, f"Data: {data}.", framed(rows, kinds), kinds, **reading)


def _explained(numbers: Sequence[Number], rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each column that is not empty."""
    if any("dimensions" in row for row in rows):
        yield f"“Dimensions” is {declared('dims.<factor>').words}."
    for number in numbers:
        filled = [column for column in number.columns if any(row[column] is not None for row in rows)]
        if filled:
            yield f"{' or '.join(f'“{column[:1].upper()}{column[1:]}”' for column in filled)} is {number.words}."


def _declared(name: str, runs: Sequence[Run]) -> Table:
    """A table whose rows `numbers.yaml` declares, with a column for each number that names it."""
    table, numbers = declarations().tables[name], [own for own in declarations().numbers if own.table == name]
    per = (table.rows or "").split(" x ")
    kinds: dict[str, Kind] = dict(_RUN) if "run" in per else {"experiment": "text", "dataset": "text"}
    kinds |= {table.factor_column: "text", "dimensions": "count"} if "factor" in per else {}
    kinds |= {"concept": "text"} if "concept" in per else {}
    kinds |= (columns := {column: number.kind for number in numbers for column in number.columns})
    rows: list[Row] = []
    for run in runs:
        names = concepts([run])
        for factor, concept in product(run["dims"] if "factor" in per else [""], names if "concept" in per else [""]):
            row = _run_cells(run) | {"concept": concept}
            row |= {table.factor_column: factor, "dimensions": run["dims"].get(factor)}
            for number in numbers:
                row[number.columns[0 if names else -1]] = value(run, *number.keys(factor=factor, concept=concept))
            row = {column: row.get(column) for column in kinds}
            # what has a row per experiment is the same in each of its runs, and may not be measurable at all
            if row not in rows and ("run" in per or any(row[column] is not None for column in columns)):
                rows.append(row)
    reading: dict[str, Any] = {"more": " ".join(_explained(numbers, rows))}
    if "concept" in per and "factor" in per:
        reading |= {"split": True, "spread": Spread("concept", [*columns], by_value=len(columns) == 1)}
    return _table(name, rows, kinds=kinds, **reading)


def _for(published: Published, run: Run) -> Sequence[PublishedDimensions]:
    return published.get(run["experiment"], NOTHING).dimensions


def _verdict(run: Run, theirs: PublishedDimensions) -> str:
    found = theirs.differences(run["dims"]).values()
    offsets = ", ".join(show(off, "count", signed=True) for off in found)
    return f"{offsets}: {'within' if all(map(theirs.holds, found)) else 'beyond'} ±{theirs.tolerance}"


def _dimensions(runs: Sequence[Run], published: Published) -> Table:
    sources = dict.fromkeys(theirs.source for run in runs for theirs in _for(published, run))
    kinds: dict[str, Kind] = {"experiment": "text", "network": "text", "dataset": "text", "variant": "text"}
    kinds |= {"seed": "count", "factor": "text", "dimensions": "count", "score": "number"}
    kinds |= dict.fromkeys((f"against: {source}" for source in sources), "text")
    rows: list[Row] = []
    for own in experiments(runs).values():
        for run in own:
            row = _run_cells(run) | {"network": run["kind"]}
            row |= {f"against: {theirs.source}": _verdict(run, theirs) for theirs in _for(published, run)}
            rows += [
                row | {"factor": name, "dimensions": size, "score": run["scores"].get(name)}
                for name, size in run["dims"].items()
            ]
        for theirs in _for(published, own[0]):
            row = {"experiment": own[0]["experiment"], "network": own[0]["kind"], "dataset": theirs.dataset}
            row |= {"variant": theirs.source}
            rows += [row | {"factor": name, "dimensions": size} for name, size in theirs.dims.items()]
    spread, hidden = Spread("factor", ["dimensions", "score"], by_value=True), ["network", "dataset"]
    return _table("dimensions", rows, kinds=kinds, csv_only=hidden, split=True, spread=spread)


def _layers(runs: Sequence[Run]) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "layer": "text", "shape": "text", "factor": "text", "share": "share"}
    rows = []
    for run in runs:
        for name, layer in run.get("layers", {}).items():
            row = _run_cells(run) | {"layer": name, "shape": " × ".join(map(str, layer["shape"]))}
            rows += [row | {"factor": factor, "share": share} for factor, share in layer["shares"].items()]
    return _table("layers", rows, kinds=kinds, split=True, spread=Spread("factor", ["share"], by_value=True))


def _published(runs: Sequence[Run], published: Published) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "source": "text", "factor": "text", "ours": "count", "published": "count"}
    kinds |= {"derived": "text", "difference": "offset", "tolerance": "count", "holds": "text"}
    rows = []
    for run in runs:
        for theirs in _for(published, run):
            for name, off in theirs.differences(run["dims"]).items():
                row = _run_cells(run) | {"source": theirs.source, "factor": name, "ours": run["dims"].get(name)}
                row |= {"published": theirs.dims[name], "derived": name in theirs.derived, "difference": off}
                rows.append(row | {"tolerance": theirs.tolerance, "holds": theirs.holds(off)})
    return _table("published", rows, kinds=kinds)


def _variants(runs: Sequence[Run]) -> Table:
    variants = list(dict.fromkeys(run["variant"] for run in runs))
    base = "code" if "code" in variants else variants[-1]
    differences = {name: f"{base} − {name}" for name in variants if name != base}
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "seed": "count", "quantity": "text"}
    kinds |= dict.fromkeys(variants, "quantity") | dict.fromkeys(differences.values(), "difference")
    grouped: dict[tuple[str, str, int], dict[str, Run]] = {}
    for run in runs:
        grouped.setdefault((run["experiment"], run["dataset"], run["seed"]), {})[run["variant"]] = run
    rows: list[Row] = []
    for (experiment, dataset, seed), own in grouped.items():
        for place, cells in compared(own).items():
            offsets = {label: difference(cells.get(name), cells.get(base)) for name, label in differences.items()}
            row = {"experiment": experiment, "dataset": dataset, "seed": seed, "quantity": place}
            rows.append(row | cells | offsets)
    return _table("variants", rows, kinds=kinds, split=True)


def _claims(runs: Sequence[Run], claims: Sequence[Claim]) -> Table:
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "claim": "text", "run": "text"}
    kinds |= {"ours": "quantity", "against": "quantity", "holds": "text", "wanted": "text", "tolerance": "quantity"}
    kinds |= {"quantity": "text", "at": "text", "source": "text"}
    rows = judge_claims(claims, runs)
    counts = "".join(f"{count}. " for count in count_claims(framed(rows, kinds)))
    spread, hidden = Spread("run", ["ours", "against", "holds"]), ["dataset", "at", "tolerance"]
    return _table("claims", rows, kinds=kinds, more=counts, csv_only=hidden, split=True, spread=spread)


_SAMPLES = {
    "frechet": "ours: samples through T⁻¹",
    "frechet_prior": "ours: samples of the autoencoder's prior",
    "frechet_reconstruction": "ours: reconstructions",
}
_NO_FID = {
    False: "the configuration sets inception: false, which saves the download of the Inception network",
    True: "the Inception network could not be fetched",
}
_OTHER_DISTANCE = "distance in the judge's features (not FID)"


def _lacks_fid(run: Run, *, wanted: bool) -> bool:
    asked = bool(value(run, "config", "evaluation", "samples", "inception"))
    return value(run, "metrics", "frechet", "inception") is None and asked == wanted


def _frechet(runs: Sequence[Run], published: Published) -> Table:
    """The paper's Table 2, a row per method; our other distance has a column of its own."""
    measured = [run for run in runs if value(run, "metrics", "frechet")]
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "method": "text", "source": "text"}
    kinds |= {"FID": "number", "±": "number", "FID − paper's": "deviation", _OTHER_DISTANCE: "number", "note": "text"}
    rows: list[Row] = []
    for name, own in experiments(measured).items():
        theirs = published.get(name, NOTHING).fid
        for entry in theirs:
            row = {"experiment": name, "method": entry.method, "source": entry.source, "note": entry.note}
            rows.append(row | {"FID": entry.value, "±": entry.spread})
        paper = next((entry.value for entry in theirs if entry.reproduced), None)
        for run, (key, method) in product(own, _SAMPLES.items()):
            fid, other = (value(run, "metrics", key, features) for features in ("inception", "classifier"))
            row = _run_cells(run) | {"method": method, "source": run_name(run), "FID": fid, _OTHER_DISTANCE: other}
            rows.append(row | {"FID − paper's": difference(paper, fid) if key == "frechet" else None})
    more = " ".join(
        f"Our FID was not computed for {', '.join(names)}: {why}."
        for wanted, why in _NO_FID.items()
        if (names := dict.fromkeys(run["experiment"] for run in measured if _lacks_fid(run, wanted=wanted)))
    )
    return _table("frechet", rows, kinds=kinds, more=more, split=True)


def build_tables(runs: Sequence[Run], published: Published, claims: Sequence[Claim] = ()) -> dict[str, Table]:
    """Every table that has a row by its name, in the order to read them."""
    own = {
        "claims": lambda: _claims(runs, claims),
        "dimensions": lambda: _dimensions(runs, published),
        "layers": lambda: _layers(runs),
        "published": lambda: _published(runs, published),
        "frechet": lambda: _frechet(runs, published),
        "variants": lambda: _variants(runs),
    }
    tables = {name: own[name]() if name in own else _declared(name, runs) for name in declarations().tables}
    return {name: table for name, table in tables.items() if len(table.frame)}


def table_files(tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    """The name and the text of each table's files: CSV, Markdown and LaTeX."""
    for name, table in tables.items():
        yield from ((f"{name}.csv", table.csv()), (f"{name}.md", table.markdown()), (f"{name}.tex", table.latex()))
