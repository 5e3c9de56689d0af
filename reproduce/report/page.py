"""`index.html`: one page with every figure and table of a profile. It loads nothing from elsewhere."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2

from reproduce.report.claims import count_claims
from reproduce.report.formats import Table, show, split_heading
from reproduce.report.pictures import FIGURES, blocks, mix, picture
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, experiments, run_name

_FOLDER = Path(__file__).parent
_ENDING = ("claims", "dimensions", "frechet", "unswapped", "probes", "factors", "fit", "variants")
"""The tables at the end of the page, in their order."""


def _tone(row: Mapping[str, Any], column: str, collapsed: Iterable[str]) -> str:
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


def _grid(table: Table, caption: str, *, collapsed: Iterable[str] = ()) -> dict[str, Any]:
    """A table without parts as HTML needs it, without columns that are null throughout or tell nothing apart.

    `groups` are headings with the number of columns below them. `headings` say whether their column holds numbers. The
    rows of each of the `bodies` share the text in their first column; a cell is its text, its classes and its style.
    """
    shown, hidden = table.display(), ["quantity"] if table.name.startswith("claims") else []
    hidden += [name for name in ("seed",) if name in shown and shown[name].nunique() == 1]
    columns = [name for name in map(str, shown) if name not in hidden and not table.frame[name].isna().all()]
    raw = [dict(zip(table.kinds, cells, strict=True)) for cells in table.frame.itertuples(index=False, name=None)]

    def cell(row: Mapping[str, Any], name: str, text: str) -> tuple[str, str, str]:
        kind, null = table.kinds[name], text == show(None)
        share = f"--share: {100 * row[name]:.1f}%" if kind == "share" and not null else ""
        quiet = null or (kind in ("difference", "offset") and not re.search("[1-9]", text))
        words = "num" if kind != "text" else "long" if len(text) > 30 else ""
        classes = [words, "quiet" if quiet else "", "share" if share else "", _tone(row, name, collapsed)]
        return text, " ".join(filter(None, classes)), share

    rows = zip(raw, shown[columns].to_numpy().tolist(), strict=True)
    bodies = [
        (first, [[cell(row, *at) for at in zip(columns[1:], texts[1:], strict=True)] for row, texts in same])
        for first, same in groupby(rows, key=lambda of: str(of[1][0]))
    ]
    groups = [(name, len(list(same))) for name, same in groupby(split_heading(name)[0] for name in columns)]
    headings = [(split_heading(name)[1], table.kinds[name] != "text") for name in columns]
    return {"caption": caption, "groups": groups, "headings": headings, "bodies": bodies}


def _summary(tables: Mapping[str, Table]) -> dict[str, Any]:
    """For each variant how many claims hold, and how many of the published dimensions are met."""
    headings, none = ("hold", "don't hold", "nothing to measure", "met"), show(None)
    counted = count_claims(tables["claims"].frame) if "claims" in tables else []
    rows = {of.run: [str(of.holds), str(of.fails), str(of.unmeasured), none] for of in counted}
    met = tables["published"].frame.groupby(["variant", "seed"], sort=False)["holds"] if "published" in tables else ()
    for (variant, seed), holds in met:
        name = run_name({"variant": variant, "seed": seed})
        rows[name] = [*rows.get(name, [none] * 4)[:3], f"{holds.sum()} of {len(holds)}"]
    groups = [("", 1), ("claims", 3), ("published dimensions", 1)]
    bodies = [(run, [[(text, "num", "") for text in texts]]) for run, texts in rows.items()]
    named = [("variant", False), *((heading, True) for heading in headings)]
    return {"caption": "Summary", "groups": groups, "headings": named, "bodies": bodies}


def _collapsed(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The runs in which no concept gets a dimension, by name, each with its experiments."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if concepts([run]) and not any(run["dims"][name] for name in concepts([run])):
            found.setdefault(run_name(run), []).append(run["experiment"])
    return found


def _parts(table: Table | None, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """The parts of a table by experiment, or the whole under its own name."""
    data, found = {run["experiment"]: run["dataset"] for run in runs}, {}
    for part in table.parts() if table else ():
        own = part.name.removeprefix(f"{table.name}-") if table else ""
        caption = f"{own}: {table.title}. Data: {data[own]}" if table and own in data else part.title
        collapsed = [run for run, where in _collapsed(runs).items() if own in where]
        found[own] = _grid(part, caption, collapsed=collapsed)
    return found


def _hero(runs: Sequence[Run], figures_dir: Path) -> dict[str, Any] | None:
    """The swap of the first concept with the paper's dimensions and with the official code's, in one autoencoder."""
    named = {name: own for name, own in experiments(runs).items() if concepts(own) and own[0]["kind"] == "autoencoder"}
    if not named:
        return None
    name = "colormnist_ae" if "colormnist_ae" in named else next(iter(named))
    pair, swapped = [run for run in named[name] if run_name(run) in ("paper", "code")], concepts(named[name])[0]
    found = [picture(run, figures_dir, FIGURES[0], factor=swapped) for run in pair or named[name][-1:]]
    sizes = [run["dims"][swapped] for run in pair]
    return {"name": name, "swapped": swapped, "sizes": sizes, "pictures": list(filter(None, found))}


def _details(run: Run, machine: Mapping[str, Any] | None) -> str:
    """The configuration and what the run was made on, without what changes from one rerun to the next."""
    unstable = re.compile("training|flow|copied_from|.*_seconds|peak_memory.*")
    environment = {key: found for key, found in (machine or {}).items() if not unstable.fullmatch(key)}
    return json.dumps({"environment": environment, "config": run["config"]}, indent=2, ensure_ascii=False)


def _experiment(runs: Sequence[Run], figures_dir: Path, published: Published) -> dict[str, Any]:
    name = runs[0]["experiment"]
    alike: dict[str, list[str]] = {}
    for run in runs:
        alike.setdefault(json.dumps([run["dims"], run["metrics"]]), []).append(run_name(run))
    theirs = published[name].dimensions if name in published else ()
    return {
        "name": name,
        "run": runs[0],
        "bars": [(run_name(run), run["dims"]) for run in runs] + [(of.source, of.dims) for of in theirs],
        "alike": [names for names in alike.values() if len(names) > 1],
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
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    script = (_FOLDER / "mix.js").read_text(encoding="utf-8")
    details: dict[str, dict[str, str]] = {}
    for run, machine in zip(runs, machines, strict=True):
        details.setdefault(run["experiment"], {})[run_name(run)] = _details(run, machine)
    return environment.get_template("page.html.j2").render(
        profile=profile,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        seeds=sorted({run["seed"] for run in runs}),
        variants={run_name(run): run["description"] for run in runs if run["seed"] == 0},
        missing=missing,
        hero=_hero(runs, figures_dir),
        summary=_summary(tables),
        collapsed=_collapsed(runs),
        experiments={name: _experiment(own, figures_dir, published) for name, own in experiments(runs).items()},
        details=details,
        swaps=_parts(tables.get("swaps"), runs),
        sections={name: _parts(tables[name], runs) for name in _ENDING if name in tables},
        sources={
            theirs.source: theirs.url
            for entry in (published[name] for name in experiments(runs) if name in published)
            for theirs in (*entry.dimensions, *entry.response, *entry.fid)
        },
        tables=tables,
    )
