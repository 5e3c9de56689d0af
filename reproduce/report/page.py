"""`index.html`: one page with every figure and table of a profile, that loads nothing from elsewhere."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from reproduce.report.formats import Table, show, split_heading
from reproduce.report.pictures import figure_blocks, swap_blocks, training_block
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, experiments, factors, run_name, value
from reproduce.report.tables import SHRUNKEN, build_tables, chance_levels


@dataclass(frozen=True)
class Cell:
    """One cell: its text, how many rows it covers, the share it stands for (0 to 1), and its CSS classes."""

    text: str
    rows: int = 1
    share: float | None = None
    classes: str = ""


@dataclass(frozen=True)
class Grid:
    """A table as HTML needs it: headings in two rows where any column has a group."""

    title: str
    note: str
    groups: list[tuple[str, int]]
    headings: list[tuple[str, bool]]
    rows: list[list[Cell]]


Tone = Callable[[Mapping[str, Any], str], str]
"""From a row and a column: `good` or `bad` for a value that one would want high or low, else nothing."""


def _swap_tone(row: Mapping[str, Any], column: str) -> str:
    concept, side = split_heading(column)
    follows = {"follows source": True, "stays with target": False}.get(side)
    return "" if follows is None else "good" if follows == (row["swapped"] == concept) else "bad"


def _claim_tone(row: Mapping[str, Any], column: str) -> str:
    holds = row[column] if column.endswith(": holds") else None
    return "" if holds is None else "good" if holds else "bad"


def _no_tone(row: Mapping[str, Any], column: str) -> str:
    return ""


def _grid(table: Table, *hidden: str, tone: Tone = _no_tone) -> Grid:
    """A table that has no parts, without the `hidden` columns and those that are null throughout."""
    shown = table.display()
    columns = [name for name in map(str, shown) if name not in hidden and not table.frame[name].isna().all()]
    numeric = [table.kinds[name] != "text" for name in columns]
    split = [split_heading(name) for name in columns]
    groups: list[tuple[str, int]] = []
    for group, _ in split:
        if groups and group and groups[-1][0] == group:
            groups[-1] = (group, groups[-1][1] + 1)
        else:
            groups.append((group, 1))
    raw_rows = [dict(zip(table.kinds, cells, strict=True)) for cells in table.frame.itertuples(index=False, name=None)]
    rows = []
    for at, texts in enumerate(shown[columns].to_numpy().tolist()):
        cells = []
        for position, (name, text) in enumerate(zip(columns, texts, strict=True)):
            raw, kind = raw_rows[at][name], table.kinds[name]
            covered = 1
            if position == 0 and len(columns) > 1:
                same = shown[name].to_list()
                if at and same[at - 1] == text:
                    continue
                covered = next((step for step, other in enumerate(same[at:]) if other != text), len(same) - at)
            share = float(raw) if kind == "share" and text != show(None) else None
            quiet = text == show(None) or (kind in ("difference", "offset") and not re.search("[1-9]", text))
            kinds = {"num": numeric[position], "quiet": quiet, "long": len(text) > 30 and not numeric[position]}
            classes = [name for name, applies in kinds.items() if applies]
            classes += [tone(raw_rows[at], name)]
            cells.append(Cell(text, covered, share, " ".join(filter(None, classes))))
        rows.append(cells)
    headings = [(own, right) for (_, own), right in zip(split, numeric, strict=True)]
    return Grid(table.title, table.note, groups, headings, rows)


def _bars(runs: Sequence[Run], published: Published) -> list[dict[str, Any]]:
    """The factor sizes of each run and of each published source, as parts of N."""
    entry = published.get(runs[0]["experiment"])
    sized = [(run_name(run), run["dims"], False) for run in runs]
    sized += [(theirs.source, theirs.dims, True) for theirs in (entry.dimensions if entry else ())]
    return [
        {
            "label": label,
            "published": theirs,
            "parts": [(name, size, 100 * size / sum(dims.values())) for name, size in dims.items()],
            "alt": f"{label}: {', '.join(f'{name} {size}' for name, size in dims.items())}",
        }
        for label, dims, theirs in sized
    ]


def _alike(runs: Sequence[Run]) -> list[str]:
    """A sentence for each set of runs whose factors have the same sizes, and so the same T where all else is equal."""
    groups: dict[tuple[int, ...], list[Run]] = {}
    for run in runs:
        groups.setdefault(tuple(run["dims"].values()), []).append(run)
    sentences = []
    for *others, last in groups.values():
        if others:
            names = f"{', '.join(run_name(run) for run in others)} and {run_name(last)} give the same sizes here"
            same = all(run["metrics"] == last["metrics"] for run in others)
            sentences.append(f"{names}{', so their T, numbers and figures are the same' if same else ''}.")
    return sentences


@dataclass(frozen=True)
class Quote:
    """Which values of an experiment are quoted from where."""

    experiment: str
    what: str
    source: str
    url: str


def _quotes(runs: Sequence[Run], published: Published) -> list[Quote]:
    found: list[Quote] = []
    for name in experiments(runs):
        if name not in published:
            continue
        for sizes in published[name].dimensions:
            derived = f" ({', '.join(sizes.derived)} derived)" if sizes.derived else ""
            found.append(Quote(name, f"dimensions{derived}, tolerance ±{sizes.tolerance}", sizes.source, sizes.url))
        found += [
            Quote(name, "the network's response", theirs.source, theirs.url) for theirs in published[name].response
        ]
        found += [Quote(name, "FID", theirs.source, theirs.url) for theirs in published[name].fid]
    return list(dict.fromkeys(found))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


_PASSING = {"training", "flow", "copied_from"}  # which training it was, for the next one to know


def _environment(machine: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """What the run was made on, without what it took: that would change the page at every rerun."""
    rows = []
    for key, found in (machine or {}).items():
        if key not in _PASSING and not (key.endswith("_seconds") or key.startswith("peak_memory")):
            text = ", ".join(f"{name} {of}" for name, of in found.items()) if isinstance(found, dict) else str(found)
            rows.append((key.replace("_", " "), text))
    return rows


def _experiment(
    name: str,
    runs: Sequence[Run],
    machines: Sequence[Mapping[str, Any] | None],
    figures_dir: Path,
    published: Published,
) -> dict[str, Any]:
    tables = build_tables(runs, published)
    hidden = ["experiment"] + (["seed"] if len({run["seed"] for run in runs}) == 1 else [])
    tones = {"swaps": _swap_tone}
    return {
        "name": name,
        "id": _slug(name),
        "kind": runs[0]["kind"],
        "dataset": runs[0]["dataset"],
        "factors": factors(runs),
        "concepts": concepts(runs),
        "latent": sum(runs[0]["dims"].values()),
        "bars": _bars(runs, published),
        "alike": _alike(runs),
        "grids": {
            key: _grid(table.parts()[0], *hidden, "dimensions", tone=tones.get(key, _no_tone))
            for key, table in tables.items()
        },
        "swaps": swap_blocks(runs, figures_dir),
        "figures": figure_blocks(runs, figures_dir, published),
        "training": training_block(runs, figures_dir),
        "judged": [name for name in concepts(runs) if value(runs[-1], "metrics", "judge", name) is not None],
        "color_measured": any(value(run, "metrics", "color_error") for run in runs),
        "chance": chance_levels(runs),
        "runs": [
            {
                "name": run_name(run),
                "config": json.dumps(run["config"], indent=2, ensure_ascii=False),
                "environment": _environment(machine),
            }
            for run, machine in zip(runs, machines, strict=True)
        ],
    }


def _compared(runs: Sequence[Run], published: Published) -> list[tuple[str, str, Grid]]:
    """For each experiment that has published values: its name, its data, and our dimensions beside theirs."""
    own = [run for run in runs if run["experiment"] in published and published[run["experiment"]].dimensions]
    if not own:
        return []
    hidden = ["seed", *(f"score: {name}" for name in factors(own))]
    parts = build_tables(own, published)["dimensions"].parts()
    names = experiments(own).items()
    return [(name, of[0]["dataset"], _grid(part, *hidden)) for (name, of), part in zip(names, parts, strict=True)]


def _claimed(tables: Mapping[str, Table], runs: Sequence[Run]) -> list[tuple[str, str, Grid]]:
    """For each experiment that a claim speaks of: its name, its data, and the claims beside our numbers."""
    if "claims" not in tables:
        return []
    grids = []
    for part in tables["claims"].parts():
        name = part.name.removeprefix("claims-")
        dataset = next(run["dataset"] for run in runs if run["experiment"] == name)
        grids.append((name, dataset, _grid(part, "quantity", "source", tone=_claim_tone)))
    return grids


def _counted(tables: Mapping[str, Table]) -> list[tuple[str, int, int]]:
    """For each variant how many of the claims hold, of how many that could be judged."""
    if "claims" not in tables:
        return []
    grouped = tables["claims"].frame.groupby("run", sort=False)["holds"]
    return [(str(name), int(own.dropna().sum()), int(own.notna().sum())) for name, own in grouped]


def render_page(
    profile: str,
    runs: Sequence[Run],
    machines: Sequence[Mapping[str, Any] | None],
    tables: Mapping[str, Table],
    figures_dir: Path,
    published: Published,
) -> str:
    """The whole page.

    `machines` has what `load_machines` gives for the runs. `tables` are all of `build_tables(runs, …)`; the files of
    that name stand in `tables/` beside the page. Figures are read from `figures_dir/<experiment>/<run>/`, those of
    `reproduce.report.pictures` that are there.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reproduce.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    collapsed: dict[str, list[str]] = {}
    for run in runs:
        if concepts([run]) and not any(run["dims"][name] for name in concepts([run])):
            collapsed.setdefault(run["variant"], []).append(run["experiment"])
    variants = {run_name(run): run["description"] for run in runs if run["seed"] == 0}
    made_on = {(run["experiment"], run_name(run)): machine for run, machine in zip(runs, machines, strict=True)}
    return environment.get_template("index.html.j2").render(
        profile=profile,
        seeds=sorted({run["seed"] for run in runs}),
        variants=list(variants.items()),
        collapsed={name: list(dict.fromkeys(where)) for name, where in collapsed.items()},
        claimed=_claimed(tables, runs),
        counted=_counted(tables),
        compared=_compared(runs, published),
        sampled=_grid(tables["frechet"]) if "frechet" in tables else None,
        any_concepts=bool(concepts(runs)),
        shrunken=SHRUNKEN,
        fit_note=tables["fit"].note,
        experiments=[
            _experiment(name, own, [made_on[name, run_name(run)] for run in own], figures_dir, published)
            for name, own in experiments(runs).items()
        ],
        most_runs=max(len(own) for own in experiments(runs).values()),
        quotes=_quotes(runs, published),
        tables=list(tables.values()),
        data=list(dict.fromkeys((run["experiment"], run["dataset"]) for run in runs)),
    )
