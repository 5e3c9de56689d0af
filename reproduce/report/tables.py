"""Every table of the report, from the runs' JSON and the published values."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from reproduce.errors import ReproduceError
from reproduce.files import write_text
from reproduce.report.claims import Claim, judge_claims
from reproduce.report.diff import difference, numbers, settings
from reproduce.report.formats import Kind, Spread, Table, escape_markdown, markdown_grid, show
from reproduce.report.published import Published, PublishedDimensions
from reproduce.report.runs import Run, concepts, experiments, run_name, value

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
    sources = dict.fromkeys(theirs.source for run in runs for theirs in _for(published, run))
    kinds: dict[str, Kind] = {"experiment": "text", "network": "text", "dataset": "text", "variant": "text"}
    kinds |= {"seed": "count", "factor": "text", "dimensions": "count", "score": "number"}
    kinds |= dict.fromkeys((f"against: {source}" for source in sources), "text")
    rows: list[dict[str, Any]] = []
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
        "The dimensions each factor gets and the scores behind them, ours by variant and, where there are any, as "
        "published. Against: ours minus theirs, factor by factor; the tolerance is ours."
    )
    spread, constant = Spread("factor", ("dimensions", "score"), by_value=True), ("network", "dataset")
    return Table.of(
        "dimensions", "Factor dimensions", note, _data(runs), rows, kinds, *constant, split=True, spread=spread
    )


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


_ATTRIBUTES = "Of a yes-or-no attribute, both directions count equally."
_COLORS = (
    "A colour is read off the image's border and counts for the nearer of the two; its error is the mean RGB distance "
    "from what it should be."
)


def _note(runs: Sequence[Run], *sentences: str) -> str:
    measured = any(value(run, "metrics", "color_error") for run in runs)
    return " ".join([*sentences, _ATTRIBUTES, *([_COLORS] if measured else [])])


def _unswapped_cells(run: Run, concept: str) -> dict[str, Any]:
    return {
        "reconstruction": value(run, "metrics", "reconstruction", concept),
        "judge": value(run, "metrics", "judge", concept),
        "error of the reconstruction": value(run, "metrics", f"{concept}_error", "reconstruction"),
    }


_UNSWAPPED: dict[str, Kind] = {"reconstruction": "share", "judge": "share", "error of the reconstruction": "number"}


def _swaps(runs: Sequence[Run]) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "swapped": "text", "dimensions": "count", "concept": "text"}
    kinds |= {"follows source": "share", "stays with target": "share", "error after the swap": "number", **_UNSWAPPED}
    rows = []
    for run in runs:
        for swapped, size in run["dims"].items():
            for concept in concepts([run]):
                row = _run_cells(run) | {"swapped": swapped, "dimensions": size, "concept": concept}
                row["follows source"] = value(run, "metrics", "swap", swapped, concept, "source")
                row["stays with target"] = value(run, "metrics", "swap", swapped, concept, "target")
                row["error after the swap"] = value(run, "metrics", f"{concept}_error", swapped)
                rows.append(row | _unswapped_cells(run, concept))
    note = _note(
        runs,
        "One factor of the target is replaced by the source's. Over held-out pairs that differ in a concept: how often "
        "the result shows the source's value, and how often the target's.",
    )
    spread = Spread("concept", ("follows source", "stays with target", "error after the swap"))
    csv_only = ("dataset", *_UNSWAPPED)
    return Table.of(
        "swaps", "Swapping one factor", note, _data(runs), rows, kinds, *csv_only, split=True, spread=spread
    )


def _unswapped(runs: Sequence[Run]) -> Table:
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "concept": "text", **_UNSWAPPED}
    rows: list[dict[str, Any]] = []
    for run in runs:
        for concept in concepts([run]):
            row = {"experiment": run["experiment"], "dataset": run["dataset"], "concept": concept}
            row |= _unswapped_cells(run, concept)
            if row not in rows:  # T has no part in them, so they are the same in every variant
                rows.append(row)
    note = _note(
        runs,
        "With nothing swapped: how often a held-out reconstruction is judged right, which no swap can be expected to "
        "beat; and how often the judge is right on the held-out images themselves.",
    )
    return Table.of("unswapped", "Reconstructions and judges", note, _data(runs), rows, kinds, "dataset")


def _probes(runs: Sequence[Run]) -> Table:
    kinds: dict[str, Kind] = {**_RUN, "factor": "text", "dimensions": "count", "concept": "text"}
    kinds |= {"chance": "number", "probe score": "number"}
    rows = [
        _run_cells(run)
        | {"factor": name, "dimensions": size, "concept": concept}
        | {"chance": value(run, "metrics", "chance", concept)}
        | {"probe score": value(run, "metrics", "probe", name, concept)}
        for run in runs
        for name, size in run["dims"].items()
        for concept in concepts([run])
    ]
    note = (
        "How well a linear probe reads each concept from each factor alone, on held-out images: accuracy for a class, "
        "balanced accuracy for a yes-or-no attribute, R² for a measured value such as a colour. "
        f"{chance_levels(runs)}"
    )
    spread, csv_only = Spread("concept", ("probe score",), by_value=True), ("dataset", "chance")
    return Table.of("probes", "Linear probes", note, _data(runs), rows, kinds, *csv_only, split=True, spread=spread)


def chance_levels(runs: Sequence[Run]) -> str:
    """What a probe scores that knows nothing, in a sentence."""
    known = {name: value(run, "metrics", "chance", name) for run in runs for name in concepts([run])}
    told = ", ".join(f"{name} {show(level, 'number')}" for name, level in known.items() if level is not None)
    return f"A guess scores: {told}." if told else "A guess scores 0.5 for an attribute and 0 in R²."


SHRUNKEN = (
    "Where the correlation comes out below ρ, the variance comes out below 1: the likelihood weighs the distance "
    "between the members of a pair with 1/(1 − ρ²), about 20 for ρ = 0.975, and a smaller factor has smaller distances."
)


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
        f"concept's factor. {SHRUNKEN} Measured on held-out images."
    )
    return Table.of("factors", "Statistics of the factors", note, _data(runs), rows, kinds, "dataset")


def _fit(runs: Sequence[Run]) -> Table:
    pairs, single = "pair NLL (nats)", "NLL of single latents (nats)"
    kinds: dict[str, Kind] = {**_RUN, pairs: "number", single: "number", "round trip error": "number"}
    kinds |= {"held-out pairs": "count"}
    rows = [
        _run_cells(run)
        | {pairs if concepts([run]) else single: value(run, "metrics", "nll")}
        | {"round trip error": value(run, "metrics", "round_trip"), "held-out pairs": value(run, "metrics", "pairs")}
        for run in runs
    ]
    note = (
        "The likelihood leaves out constants that depend on the dimensions, as the official code does: compare it only "
        "where the dimensions are equal. Without concepts it is that of one held-out latent, not of a pair."
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
    return Table.of("variants", "The variants compared", note, _data(runs), rows, kinds, "dataset", split=True)


def _claims(runs: Sequence[Run], claims: Sequence[Claim]) -> Table:
    kinds: dict[str, Kind] = {"experiment": "text", "dataset": "text", "claim": "text", "run": "text"}
    kinds |= {"ours": "quantity", "against": "quantity", "holds": "text", "wanted": "text", "tolerance": "quantity"}
    kinds |= {"quantity": "text", "at": "text", "source": "text"}
    rows = [
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
    note = (
        "What the paper says can be seen, and whether our numbers show it. Wanted: the comparison, with a tolerance "
        "that is ours. Against: the number that ours is compared with, before the tolerance. Quantity: its place in "
        "the run's JSON; where it stands for several numbers, the one that speaks most against the claim is given. A "
        "dash: the run has no such number, or it is of a factor without dimensions, in which nothing can be swapped or "
        "varied."
    )
    spread = Spread("run", ("ours", "against", "holds"))
    return Table.of(
        "claims",
        "The paper's claims",
        note,
        _data(runs),
        rows,
        kinds,
        *("dataset", "at", "tolerance"),
        split=True,
        spread=spread,
    )


_DISTANCES = {
    "inception": "FID (Inception features)",
    "classifier": "Fréchet distance (features of our own classifier, not FID)",
}
_SAMPLES = {
    "frechet": "ours: samples through T⁻¹",
    "frechet_prior": "ours: decoded prior samples",
    "frechet_reconstruction": "ours: reconstructions",
}


def _frechet(runs: Sequence[Run], published: Published) -> Table:
    """The paper's Table 2: a row a method, and for each experiment its columns."""
    measured = [run for run in runs if value(run, "metrics", "frechet")]
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    columns: dict[str, Kind] = {"method": "text", "source": "text", "distance": "text"}
    notes = []
    for name, own in experiments(measured).items():
        theirs = published[name].fid if name in published else ()
        columns |= {f"{name}: value": "number"}
        columns |= {f"{name}: ±": "number"} if theirs else {}
        if theirs and any(value(run, "metrics", "frechet", "inception") is not None for run in own):
            columns |= {f"{name}: − paper's": "deviation"}
        for entry in theirs:
            row = rows.setdefault((entry.method, entry.source, _DISTANCES["inception"]), {})
            row |= {f"{name}: value": entry.value, f"{name}: ±": entry.spread}
            notes += [f"{name}, {entry.method}, {entry.source}: {entry.note}."] if entry.note else []
        paper = next((entry.value for entry in theirs if entry.reproduced), None)
        for run, (key, method), (features, distance) in product(own, _SAMPLES.items(), _DISTANCES.items()):
            found = value(run, "metrics", key, features)
            if found is not None:
                row = rows.setdefault((method, run_name(run), distance), {})
                compares = (key, features) == ("frechet", "inception")
                row |= {f"{name}: value": found, f"{name}: − paper's": difference(paper, found) if compares else None}
    without = [run["experiment"] for run in measured if value(run, "metrics", "frechet", "inception") is None]
    absent = (
        f"No FID of ours on {', '.join(dict.fromkeys(without))}: the configuration has inception: false there, so that "
        "the weights of the Inception network need not be downloaded."
    )
    note = " ".join(
        [
            "The Fréchet distance between held-out images and as many samples, in the features of a network; lower is "
            "nearer, and no sample can be expected to beat a reconstruction. Only FID compares with the published "
            "values, and only on the paper's data. ±: as printed; the paper doesn't say of what.",
            *(["− paper's: ours minus the paper's own row."] if len(without) < len(measured) else []),
            *([absent] if without else []),
            *notes,
        ]
    )
    # FID first
    ordered = sorted(rows.items(), key=lambda item: list(_DISTANCES.values()).index(item[0][2]))
    cells = [dict(zip(columns, key, strict=False)) | row for key, row in ordered]
    return Table.of("frechet", "Samples: Fréchet distances", note, _data(measured), cells, columns)


def build_tables(runs: Sequence[Run], published: Published, claims: Sequence[Claim] = ()) -> dict[str, Table]:
    """Every table that has a row by its name, in the order to read them."""
    tables = [
        _claims(runs, claims),
        _dimensions(runs, published),
        _published(runs, published),
        _frechet(runs, published),
        _swaps(runs),
        _unswapped(runs),
        _probes(runs),
        _factors(runs),
        _fit(runs),
        _variants(runs),
    ]
    return {table.name: table for table in tables if len(table.frame)}


def write_tables(tables: Mapping[str, Table], folder: Path) -> None:
    """`<name>.csv`, `.md` and `.tex` for each table, in `folder`."""
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.csv())
        write_text(folder / f"{name}.md", table.markdown())
        write_text(folder / f"{name}.tex", table.latex())


def _lowest_staying(run: Run, swapped: Sequence[str]) -> float | None:
    """The lowest share in which a concept stays the target's while another factor, one of `swapped`, is replaced."""
    names = [(factor, concept) for factor in swapped for concept in concepts([run]) if concept != factor]
    shares = [value(run, "metrics", "swap", factor, concept, "target") for factor, concept in names]
    return min((share for share in shares if share is not None), default=None)


def readme_table(runs: Sequence[Run]) -> str:
    """The summary for the README, in Markdown: the dimensions and what each swap changes, a row a run with concepts.

    Experiments with other factors get a table of their own, since they share few columns.
    """
    runs = [run for run in runs if concepts([run])]
    grouped: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        grouped.setdefault(tuple(run["dims"]), []).append(run)
    parts = []
    for names, own in grouped.items():
        named, residual = names[:-1], names[-1]
        columns = ["experiment", "variant", " / ".join(names), *(f"{name} follows" for name in named)]
        columns += ["others stay", f"all stay under {residual}"]
        rows = []
        for run in own:
            shares = [value(run, "metrics", "swap", name, name, "source") for name in named]
            shares += [_lowest_staying(run, named), _lowest_staying(run, [residual])]
            sizes = " / ".join(str(size) for size in run["dims"].values())
            rows.append([run["experiment"], run_name(run), sizes, *(show(share, "share") for share in shares)])
        parts.append(markdown_grid(columns, rows, [False, False] + [True] * (len(columns) - 2)))
    legend = (
        "“C follows”: the concept C swapped, the share of results that show the source's C. “Others stay”: any concept "
        "swapped, the share in which another concept stays the target's; the lowest of these. “All stay under "
        "residual”: the residual swapped, the lowest share in which a concept stays the target's."
    )
    return "\n\n".join([*parts, legend, escape_markdown(_data(runs))])


def inject(text: str, table: str) -> str:
    """`text` with what stands between the results markers replaced by `table`."""
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ReproduceError(f"README.md needs one line {BEGIN!r} and after it one line {END!r}")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{table}\n{text[text.index(END) :]}"
