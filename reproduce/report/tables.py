"""Every table of the report, from the runs' JSON and the published values."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from reproduce.report.claims import Claim, count_claims, judge_claims
from reproduce.report.diff import compared, difference
from reproduce.report.formats import Kind, Row, Spread, Table, escape_markdown, framed, markdown_grid, show
from reproduce.report.numbers import Number, declarations, declared
from reproduce.report.published import Published, PublishedDimensions
from reproduce.report.runs import Run, concepts, experiments, run_name, value

SHRUNKEN = (
    "The variance of a concept's factor often comes out below 1: the likelihood multiplies the squared distance "
    "between the two members of a pair by 1/(1 − ρ²), about 20 for ρ = 0.975, and a factor with a smaller variance has "
    "smaller distances."
)

_RUN: dict[str, Kind] = {"experiment": "text", "dataset": "text", "variant": "text", "seed": "count"}


def _run_cells(run: Run) -> Row:
    return {column: run[column] for column in _RUN}


def _data(runs: Sequence[Run]) -> str:
    """Which data each experiment used: in every table, since a stand-in must say so wherever its numbers stand."""
    named = dict.fromkeys(f"{run['experiment']}: {run['dataset']}" for run in runs)
    return f"Data: {'; '.join(named)}."


def chance_levels(runs: Sequence[Run]) -> str:
    """A sentence that gives the probe score of a guess, for each concept."""
    known = {name: value(run, "metrics", "chance", name) for run in runs for name in concepts([run])}
    listed = ", ".join(f"{name} {show(level, 'number')}" for name, level in known.items() if level is not None)
    return f"A guess scores: {listed}." if listed else "A guess scores 0.5 for an attribute and 0 in R²."


def _cells(run: Run, numbers: Sequence[Number], *, factor: str, concept: str) -> Row:
    cells: Row = {}
    for number in numbers:
        column = number.column if concepts([run]) else number.column_without_concepts or number.column
        if column is not None:
            cells[column] = value(run, *number.keys(factor=factor, concept=concept))
    return cells


def _explained(numbers: Sequence[Number], rows: Sequence[Row]) -> Iterator[str]:
    """A sentence for each column that is not empty."""
    if any("dimensions" in row for row in rows):
        yield f"Dimensions: {declared('dims.<factor>').words}."
    for number in numbers:
        filled = " and ".join(column for column in number.columns if any(row[column] is not None for row in rows))
        if filled:
            yield f"{filled[0].upper()}{filled[1:]}: {number.words}."


def _also(name: str, runs: Sequence[Run]) -> list[str]:
    """What the notes of two tables say of these runs, or of the theory, beside what is declared."""
    return {"probes": [chance_levels(runs)], "factors": [SHRUNKEN]}.get(name, [])


def _declared(name: str, runs: Sequence[Run]) -> Table:
    """The table `name` of `paper_configs/numbers.yaml`, with a column for each number that names it."""
    table, numbers = declarations().tables[name], [own for own in declarations().numbers if own.table == name]
    per = table.rows.split(" x ")
    kinds: dict[str, Kind] = dict(_RUN) if "run" in per else {"experiment": "text", "dataset": "text"}
    kinds |= {table.factor_column: "text", "dimensions": "count"} if "factor" in per else {}
    kinds |= {"concept": "text"} if "concept" in per else {}
    kinds |= {column: number.kind for number in numbers for column in number.columns}
    rows: list[Row] = []
    for run in runs:
        names = (run["dims"] if "factor" in per else [""], concepts([run]) if "concept" in per else [""])
        for factor, concept in product(*names):
            row = _run_cells(run) | {table.factor_column: factor, "concept": concept}
            row |= {"dimensions": run["dims"].get(factor)} | _cells(run, numbers, factor=factor, concept=concept)
            row = {column: row.get(column) for column in kinds}
            if row not in rows:  # what has a row per experiment is the same in each of its runs
                rows.append(row)
    shown = [number for number in numbers if not number.csv_only]
    columns = tuple(column for number in shown for column in number.columns)
    split = "concept" in per and "factor" in per
    return Table(
        name,
        table.title,
        " ".join([table.note, *_explained(shown, rows), *_also(name, runs)]),
        _data(runs),
        framed(rows, kinds),
        kinds,
        ("dataset", *(column for number in numbers if number.csv_only for column in number.columns)),
        split,
        Spread("concept", columns, by_value=len(columns) == 1) if split else None,
    )


def _for(published: Published, run: Run) -> Sequence[PublishedDimensions]:
    entry = published.get(run["experiment"])
    return () if entry is None else entry.dimensions


def _verdict(run: Run, theirs: PublishedDimensions) -> str:
    offsets = ", ".join(show(off, "count", signed=True) for off in theirs.differences(run["dims"]).values())
    return f"{offsets}: {'within' if theirs.holds(run['dims']) else 'beyond'} ±{theirs.tolerance}"


def _dimensions(runs: Sequence[Run], published: Published) -> Table:
    sources = dict.fromkeys(theirs.source for run in runs for theirs in _for(published, run))
    kinds: dict[str, Kind] = {"experiment": "text", "network": "text", "dataset": "text", "variant": "text"}
    kinds |= {"seed": "count", "factor": "text", "dimensions": "count", "score": "number"}
    kinds |= dict.fromkeys((f"against: {source}" for source in sources), "text")
    rows: list[Row] = []
    for own in experiments(runs).values():
        for run in own:
            verdicts = {f"against: {theirs.source}": _verdict(run, theirs) for theirs in _for(published, run)}
            for name, size in run["dims"].items():
                row = _run_cells(run) | {"network": run["kind"], "factor": name, "dimensions": size}
                rows.append(row | {"score": run["scores"].get(name)} | verdicts)
        for theirs in _for(published, own[0]):
            row = {"experiment": own[0]["experiment"], "network": own[0]["kind"], "dataset": theirs.dataset}
            row |= {"variant": theirs.source}
            rows += [row | {"factor": name, "dimensions": size} for name, size in theirs.dims.items()]
    note = (
        "How many coordinates each factor gets, and the scores from which the estimator computes them. Where the paper "
        "or the official README prints dimensions, they have a row of their own, and “against” gives our dimensions "
        "minus theirs, factor by factor, and whether all differences are within the tolerance, which we chose."
    )
    spread = Spread("factor", ("dimensions", "score"), by_value=True)
    hidden, frame = ("network", "dataset"), framed([{**dict.fromkeys(kinds), **row} for row in rows], kinds)
    return Table("dimensions", "Dimensions of the factors", note, _data(runs), frame, kinds, hidden, True, spread)


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
    note = (
        "Our dimensions and the published ones, factor by factor. Derived: the source does not print this value; it "
        "is what the other factors leave of all coordinates. Holds: the difference is within the tolerance, which we "
        "chose."
    )
    title = "Our dimensions against the published ones"
    return Table("published", title, note, _data(runs), framed(rows, kinds), kinds)


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
    note = (
        "Every number of every run, named by its place in the run's JSON file, and below them the settings in which "
        "the variants differ. pp: percentage points. metrics.nll leaves out constants that depend on the dimensions, "
        "so it compares only between variants with the same dimensions."
    )
    return Table("variants", "The variants compared", note, _data(runs), framed(rows, kinds), kinds, split=True)


def _claims(runs: Sequence[Run], claims: Sequence[Claim]) -> Table:
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "claim": "text", "run": "text"}
    kinds |= {"ours": "quantity", "against": "quantity", "holds": "text", "wanted": "text", "tolerance": "quantity"}
    kinds |= {"quantity": "text", "at": "text", "source": "text"}
    rows: list[Row] = [
        {
            "experiment": verdict.run["experiment"],
            "dataset": verdict.run["dataset"],
            "run": run_name(verdict.run),
            "claim": verdict.claim.says,
            "source": verdict.claim.source,
            "wanted": verdict.claim.wanted,
            "quantity": verdict.claim.quantity,
            "at": verdict.at,
            "against": verdict.against,
            "tolerance": verdict.claim.tolerance,
            "ours": verdict.ours,
            "holds": verdict.holds,
        }
        for verdict in judge_claims(claims, runs)
    ]
    frame = framed(rows, kinds)
    note = (
        "What the paper says can be seen, and whether our numbers show it. Ours: the number that we compare. Against: "
        "what it is compared with. Wanted: the comparison, with its tolerance, which we chose. Quantity: the place of "
        "our number in the run's JSON file. Source: where the paper makes the claim. Where a claim is about several "
        "numbers, the table gives the one that speaks most against it. A dash in “holds”: this run has nothing to "
        "measure, because it lacks the number, or because the factor has no dimensions, so that nothing in it can be "
        "swapped or varied. "
        f"{'; '.join(map(str, count_claims(frame)))}."
    )
    spread = Spread("run", ("ours", "against", "holds"))
    hidden = ("dataset", "at", "tolerance")
    return Table("claims", "The paper's claims", note, _data(runs), frame, kinds, hidden, True, spread)


_SAMPLES = {
    "frechet": "ours: samples through T⁻¹",
    "frechet_prior": "ours: samples of the autoencoder's prior",
    "frechet_reconstruction": "ours: reconstructions",
}
_OTHER_DISTANCE = "distance in our classifier's features (not FID)"


def _frechet_note(runs: Sequence[Run], notes: Sequence[str]) -> str:
    without = [run["experiment"] for run in runs if value(run, "metrics", "frechet", "inception") is None]
    sentences = [
        "All are Fréchet distances between held-out images and as many others, in the features of a network; lower is "
        "nearer. FID is the distance in the features of the Inception network; ± as printed by the source, which does "
        f"not say what it is. The {_OTHER_DISTANCE} has another scale, so it compares only among our own rows: samples "
        "can hardly come nearer to the data than the reconstructions."
    ]
    if len(without) < len(runs):
        sentences.append("FID − paper's: our FID minus the one in the paper's own row, on the same data only.")
    if without:
        sentences.append(
            f"There is no FID of ours on {', '.join(dict.fromkeys(without))}: the configuration has inception: false "
            "there, which saves the download of the Inception network."
        )
    return " ".join([*sentences, *notes])


def _frechet(runs: Sequence[Run], published: Published) -> Table:
    """The paper's Table 2: a row per method, and for each experiment its columns."""
    measured = [run for run in runs if value(run, "metrics", "frechet")]
    rows: dict[tuple[str, str], Row] = {}
    kinds: dict[str, Kind] = {"method": "text", "source": "text"}
    notes = []
    for name, own in experiments(measured).items():
        theirs = published[name].fid if name in published else ()
        any_fid = any(value(run, "metrics", "frechet", "inception") is not None for run in own)
        kinds |= {f"{name}: FID": "number"} if theirs or any_fid else {}
        kinds |= {f"{name}: ±": "number"} if theirs else {}
        kinds |= {f"{name}: FID − paper's": "deviation"} if theirs and any_fid else {}
        kinds |= {f"{name}: {_OTHER_DISTANCE}": "number"}
        for entry in theirs:
            row = rows.setdefault((entry.method, entry.source), {})
            row |= {f"{name}: FID": entry.value, f"{name}: ±": entry.spread}
            notes += [f"{name}, {entry.method}, {entry.source}: {entry.note}."] if entry.note else []
        paper = next((entry.value for entry in theirs if entry.reproduced), None)
        for run, (key, method) in product(own, _SAMPLES.items()):
            row = rows.setdefault((method, run_name(run)), {})
            fid = value(run, "metrics", key, "inception")
            row |= {f"{name}: FID": fid, f"{name}: {_OTHER_DISTANCE}": value(run, "metrics", key, "classifier")}
            row |= {f"{name}: FID − paper's": difference(paper, fid)} if key == "frechet" else {}
    ordered = sorted(rows.items(), key=lambda item: item[0][0] in _SAMPLES.values())  # the published ones first
    frame = framed([{"method": method, "source": source} | row for (method, source), row in ordered], kinds)
    title = "Samples: Fréchet distances to the data"
    return Table("frechet", title, _frechet_note(measured, notes), _data(measured), frame, kinds)


def build_tables(runs: Sequence[Run], published: Published, claims: Sequence[Claim] = ()) -> dict[str, Table]:
    """Every table that has a row by its name, in the order to read them."""
    tables = [
        _claims(runs, claims),
        _dimensions(runs, published),
        _published(runs, published),
        _frechet(runs, published),
        *(_declared(name, runs) for name in declarations().tables),
        _variants(runs),
    ]
    return {table.name: table for table in tables if len(table.frame)}


def table_files(tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    """The name and the text of each table's files: CSV, Markdown and LaTeX."""
    for name, table in tables.items():
        yield f"{name}.csv", table.csv()
        yield f"{name}.md", table.markdown()
        yield f"{name}.tex", table.latex()


def _lowest(run: Run, swapped: Sequence[str], side: str) -> str:
    """The lowest share of a concept under the swaps of the factors `swapped`.

    Of their own concepts for the side `source`, of the other ones for `target`.
    """
    shares = [
        value(run, "metrics", "swap", factor, concept, side)
        for factor in swapped
        for concept in concepts([run])
        if (factor == concept) == (side == "source")
    ]
    return show(min((share for share in shares if share is not None), default=None), "share")


def readme_table(runs: Sequence[Run]) -> str:
    """The paper's formula against the official code, in Markdown: a row per experiment with concepts and variant."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        if run["variant"] in ("paper", "code") and run["seed"] == 0 and concepts([run]):
            *named, residual = run["dims"]
            rows.append(
                {
                    "experiment": run["experiment"],
                    "variant": run["variant"],
                    "data": run["dataset"],
                    "network": run["kind"],
                    "dimensions": ", ".join(f"{name} {size}" for name, size in run["dims"].items()),
                    "swapped concept follows": _lowest(run, named, "source"),
                    "other concepts stay": _lowest(run, named, "target"),
                    "all stay under residual": _lowest(run, [residual], "target"),
                }
            )
    legend = (
        "A swap replaces one factor of an image by that of another image, the source. “Swapped concept follows”: the "
        "share of swaps of a concept's factor after which the image shows the source's value of that concept. “Other "
        "concepts stay”: the share of the same swaps after which another concept is unchanged. “All stay under "
        "residual”: the share of swaps of the residual after which a concept is unchanged. Each is the lowest over the "
        "concepts; a dash: there is no such concept."
    )
    frame = pd.DataFrame(rows, dtype=object)
    return f"{markdown_grid(frame, [position > 4 for position in range(frame.shape[1])])}\n\n{escape_markdown(legend)}"
