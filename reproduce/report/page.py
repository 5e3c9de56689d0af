"""`index.html`: one page with every figure and table of a profile. It loads nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from reproduce.report.formats import Table, show, split_heading
from reproduce.report.pictures import FIGURES, blocks, mix, picture
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, experiments, factors, run_name

_FOLDER = Path(__file__).parent
_ENDING = {
    "claims": "claims",
    "dimensions": "published",
    "frechet": "samples",
    "unswapped": "judges",
    "probes": "probes",
    "factors": "statistics",
    "fit": "likelihood",
    "variants": "differences",
}
"""The tables at the end of the page, in their order, and the ids of their sections."""

Cell = tuple[str, str, str]
"""The text of a cell, its CSS classes, and its style: the share for which a bar stands behind the text."""


@dataclass(frozen=True)
class Grid:
    """A table as HTML needs it.

    `groups` are headings with the number of columns below them; `headings` say whether their column holds numbers;
    the rows of a body share the text in their first column.
    """

    caption: str
    groups: list[tuple[str, int]]
    headings: list[tuple[str, bool]]
    bodies: list[tuple[str, list[list[Cell]]]]


def _tone(row: Mapping[str, Any], column: str, collapsed: Sequence[str]) -> str:
    """`good`, `bad` or `plain` for a value that is wanted, unwanted or neither, else nothing.

    A run whose concepts have no dimensions must not look good for what is true without any factor.
    """
    group, own = split_heading(column)
    if own in ("follows source", "stays with target"):
        wanted = (own == "follows source") == (row["swapped"] == group)
        return "plain" if row["dimensions"] == 0 else "good" if wanted else "bad"
    if own == "holds" and row[column] is not None:
        return "bad" if not row[column] else "plain" if group in collapsed else "good"
    return ""


def _grid(table: Table, caption: str, *, hidden: Sequence[str] = (), collapsed: Sequence[str] = ()) -> Grid:
    """A table without parts; it leaves out the `hidden` columns and those that are null throughout."""
    shown = table.display()
    columns = [name for name in map(str, shown) if name not in hidden and not table.frame[name].isna().all()]
    split = [split_heading(name) for name in columns]
    raw = [dict(zip(table.kinds, cells, strict=True)) for cells in table.frame.itertuples(index=False, name=None)]

    def cell(row: Mapping[str, Any], name: str, text: str) -> Cell:
        kind, null = table.kinds[name], text == show(None)
        share = f"--share: {100 * row[name]:.1f}%" if kind == "share" and not null else ""
        applies = {
            "num": kind != "text",
            "long": kind == "text" and len(text) > 30,
            "quiet": null or (kind in ("difference", "offset") and not re.search("[1-9]", text)),
            "share": bool(share),
        }
        return (
            text,
            " ".join(filter(None, [*(of for of in applies if applies[of]), _tone(row, name, collapsed)])),
            share,
        )

    rows = zip(raw, shown[columns].to_numpy().tolist(), strict=True)
    bodies = [
        (str(first), [[cell(row, *at) for at in zip(columns[1:], texts[1:], strict=True)] for row, texts in same])
        for first, same in groupby(rows, key=lambda of: of[1][0])
    ]
    groups = [(name, len(list(same))) for name, same in groupby(group for group, _ in split)]
    headings = [(own, table.kinds[name] != "text") for name, (_, own) in zip(columns, split, strict=True)]
    return Grid(caption, groups, headings, bodies)


def _summary(tables: Mapping[str, Table]) -> Grid | None:
    """For each variant how many claims hold, and how many of the published dimensions are met."""
    headings, bodies = ("hold", "don't hold", "nothing to measure", "met"), {}
    for name, key in (("claims", "run"), ("published", "variant")):
        for run, holds in tables[name].frame.groupby(key, sort=False)["holds"] if name in tables else ():
            held, total, known = int(holds.fillna(False).sum()), len(holds), int(holds.notna().sum())
            own = bodies.setdefault(str(run), dict.fromkeys(headings, show(None)))
            numbers = [held, known - held, total - known] if name == "claims" else [f"{held} of {total}"]
            own |= zip(headings[:3] if name == "claims" else headings[3:], map(str, numbers), strict=True)
    groups = [("", 1), ("claims", 3), ("published dimensions", 1)]
    rows = [(run, [[(text, "num", "") for text in own.values()]]) for run, own in bodies.items()]
    return Grid("", groups, [("variant", False), *((heading, True) for heading in headings)], rows) if rows else None


def _collapsed(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The runs in which no concept gets a dimension, by name, each with its experiments."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if concepts([run]) and not any(run["dims"][name] for name in concepts([run])):
            found.setdefault(run_name(run), []).append(run["experiment"])
    return found


def _hidden(runs: Sequence[Run]) -> list[str]:
    return [] if len({run["seed"] for run in runs}) > 1 else ["seed"]


def _sections(tables: Mapping[str, Table], runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The tables at the end of the page, each with a grid for each of its parts."""
    data = {run["experiment"]: run["dataset"] for run in runs}
    found = []
    for name, section in _ENDING.items():
        grids = []
        for part in tables[name].parts() if name in tables else ():
            own = part.name.removeprefix(f"{name}-")
            caption = f"{own}: {tables[name].title}. Data: {data[own]}" if own in data else part.title
            collapsed = [run for run, where in _collapsed(runs).items() if own in where]
            hidden = [*_hidden(runs), "quantity"] if name == "claims" else _hidden(runs)
            grids.append((own, _grid(part, caption, hidden=hidden, collapsed=collapsed)))
        if grids:
            found.append({"id": section, "table": tables[name], "grids": grids})
    return found


def _bars(runs: Sequence[Run], published: Published) -> list[dict[str, Any]]:
    """The factor sizes of each run and of each published source, as parts of N."""
    entry = published.get(runs[0]["experiment"])
    sized = [(run_name(run), run["dims"], "") for run in runs]
    sized += [(theirs.source, theirs.dims, "published") for theirs in (entry.dimensions if entry else ())]
    return [
        {
            "label": label,
            "class": kind,
            "parts": [(name, size, 100 * size / sum(dims.values())) for name, size in dims.items()],
            "alt": f"{label}: {', '.join(f'{name} {size}' for name, size in dims.items())}",
        }
        for label, dims, kind in sized
    ]


def _answer(runs: Mapping[str, Run], swapped: str) -> str:
    """Whether the paper's formula works, in words; empty where the paper's or the official code's run is missing."""
    if not {"paper", "code"} <= set(runs):
        return ""
    sizes, total = [runs[name]["dims"][swapped] for name in ("paper", "code")], sum(runs["code"]["dims"].values())
    if sizes[0] == 0 < sizes[1]:
        return (
            f"Not as it is printed. In the variant paper, the factor {swapped} gets none of the {total} dimensions, so "
            f"swapping it changes nothing. In the variant code, the formula of the official code gives it {sizes[1]} "
            f"dimensions, and swapping it changes the {swapped}."
        )
    return (
        f"It gives the factor {swapped} {sizes[0]} of {total} dimensions, and the official code's gives it {sizes[1]}."
    )


def _hero(runs: Sequence[Run], figures_dir: Path, published: Published) -> dict[str, Any] | None:
    """The swap of the first concept with the paper's sizes and with the official code's, in one autoencoder."""
    named = {name: own for name, own in experiments(runs).items() if concepts(own) and own[0]["kind"] == "autoencoder"}
    if not named:
        return None
    own = named.get("colormnist_ae", next(iter(named.values())))
    by_name, swapped = {run_name(run): run for run in own}, concepts(own)[0]
    pair = [by_name[name] for name in ("paper", "code") if name in by_name] or own[-1:]
    found = [picture(run, figures_dir, FIGURES[0], factor=swapped) for run in pair]
    shown = {"swapped": swapped, "answer": _answer(by_name, swapped), "pictures": [of for of in found if of]}
    return shown | {"name": own[0]["experiment"], "factors": factors(own), "bars": _bars(own, published)}


def _details(run: Run, machine: Mapping[str, Any] | None) -> str:
    """The configuration and what the run was made on, without what changes from one rerun to the next."""
    unstable = re.compile("training|flow|copied_from|.*_seconds|peak_memory.*")
    environment = {key: found for key, found in (machine or {}).items() if not unstable.fullmatch(key)}
    return json.dumps({"environment": environment, "config": run["config"]}, indent=2, ensure_ascii=False)


def _experiment(runs: Sequence[Run], *, tables: Mapping[str, Table], figures_dir: Path, published: Published) -> Any:
    name, dataset = runs[0]["experiment"], runs[0]["dataset"]
    swaps = [part for part in (tables["swaps"].parts() if "swaps" in tables else ()) if part.name == f"swaps-{name}"]
    alike: dict[str, list[str]] = {}
    for run in runs:
        alike.setdefault(json.dumps([run["dims"], run["metrics"]]), []).append(run_name(run))
    return {
        "name": name,
        "id": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        "kind": runs[0]["kind"],
        "dataset": dataset,
        "factors": factors(runs),
        "concepts": concepts(runs),
        "latent": sum(runs[0]["dims"].values()),
        "bars": _bars(runs, published),
        "alike": [names for names in alike.values() if len(names) > 1],
        "swaps": [
            _grid(part, f"{name}: {tables['swaps'].title}. Data: {dataset}", hidden=_hidden(runs)) for part in swaps
        ],
        "blocks": blocks(runs, figures_dir, published),
        "mix": mix(runs, figures_dir) if runs[0]["kind"] == "autoencoder" and concepts(runs) else None,
    }


def render_page(
    *,
    profile: str,
    runs: Sequence[Run],
    machines: Sequence[Mapping[str, Any] | None],
    tables: Mapping[str, Table],
    figures_dir: Path,
    published: Published,
    missing: Sequence[str] = (),
) -> str:
    """The whole page.

    `machines` has what `load_machines` gives for the runs. `tables` are those of `build_tables` for the runs; their
    files stand in `tables/` beside the page. Figures are read from `figures_dir/<experiment>/<run>/`, those of
    `reproduce.report.pictures` that are there. `missing` names the runs, as experiment/run, that were asked for and
    are not there.
    """
    options = {"autoescape": True, "undefined": jinja2.StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_FOLDER), keep_trailing_newline=True, **options)
    script, details = (_FOLDER / "mix.js").read_text(encoding="utf-8"), {}
    for run, machine in zip(runs, machines, strict=True):
        details.setdefault(run["experiment"], []).append((run_name(run), _details(run, machine)))
    return environment.get_template("page.html.j2").render(
        profile=profile,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        seeds=sorted({run["seed"] for run in runs}),
        variants={run_name(run): run["description"] for run in runs if run["seed"] == 0},
        missing=missing,
        hero=_hero(runs, figures_dir, published),
        summary=_summary(tables),
        collapsed=_collapsed(runs),
        experiments=[
            _experiment(own, tables=tables, figures_dir=figures_dir, published=published)
            for own in experiments(runs).values()
        ],
        details=details,
        sections=_sections(tables, runs),
        quotes={
            (theirs.source, theirs.url): None
            for name in experiments(runs)
            for what in ("dimensions", "response", "fid")
            for theirs in (getattr(published[name], what) if name in published else ())
        },
        tables=tables,
    )
