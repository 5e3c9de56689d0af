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
from reproduce.report.formats import NULL, Kind, Row, Table, framed, show, split_heading
from reproduce.report.pictures import blocks, mix, picture
from reproduce.report.published import NOTHING, Published
from reproduce.report.runs import Run, concepts, experiments, run_name

_FOLDER = Path(__file__).parent
_ENDING = (
    "claims",
    "dimensions",
    "layers",
    "frechet",
    "unswapped",
    "probes",
    "retrieval",
    "factors",
    "fit",
    "variants",
)
"""The tables at the end of the page, in their order."""


def _tone(row: Row, column: str, collapsed: Iterable[str]) -> str:
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
    """A table without parts for the template, without columns that are empty or the same in every row.

    `groups` are headings with the number of columns below them. `headings` say whether their column holds numbers. The
    rows of each of the `bodies` share the text in their first column; a cell is its text, its classes and its style.
    """
    shown, hidden = table.display(), ["quantity"] if table.name.startswith("claims") else []
    hidden += ["seed"] if "seed" in shown and table.frame["seed"].nunique() == 1 else []
    columns = [name for name in map(str, shown) if name not in hidden and not table.frame[name].isna().all()]

    def cell(row: Row, name: str, text: str) -> tuple[str, str, str]:
        kind = table.kinds[name]
        share = f"--share: {100 * row[name]:.1f}%" if kind == "share" and text != NULL else ""
        quiet = text == NULL or (kind in ("difference", "offset") and not re.search("[1-9]", text))
        words = "num" if kind != "text" else "long" if len(text) > 30 else ""
        classes = [words, "quiet" if quiet else "", "share" if share else "", _tone(row, name, collapsed)]
        return text, " ".join(filter(None, classes)), share

    raw = [dict(zip(table.kinds, cells, strict=True)) for cells in table.frame.itertuples(index=False, name=None)]
    rows = zip(raw, shown[columns].to_numpy().tolist(), strict=True)
    bodies = [
        (first, [[cell(row, *at) for at in zip(columns[1:], texts[1:], strict=True)] for row, texts in same])
        for first, same in groupby(rows, key=lambda of: of[1][0])
    ]
    groups = [(name, len(list(same))) for name, same in groupby(split_heading(name)[0] for name in columns)]
    headings = [(split_heading(name)[1], table.kinds[name] != "text") for name in columns]
    return {"caption": caption, "groups": groups, "headings": headings, "bodies": bodies}


def _parts(table: Table, collapsed: Mapping[str, Sequence[str]]) -> dict[str, dict[str, Any]]:
    """The parts of a table by experiment, or the whole under its own name."""
    found = {}
    for part in table.parts():
        own = part.name.removeprefix(f"{table.name}-")
        caption = f"{part.title}. {part.data}"
        found[own] = _grid(part, caption, collapsed=[run for run, where in collapsed.items() if own in where])
    return found


def _summary(tables: Mapping[str, Table]) -> dict[str, Any]:
    """For each run name how many claims hold, and how many of the published sizes its own are near to."""
    hold, fail, unmeasured = (f"claims: {what}" for what in ("hold", "do not hold", "nothing to measure"))
    met, rows = "published sizes: within tolerance", {}
    for of in count_claims(tables["claims"].frame) if "claims" in tables else ():
        rows[of.run] = {"variant": of.run, hold: of.holds, fail: of.fails, unmeasured: of.unmeasured}
    for key, own in tables["published"].frame.groupby(["variant", "seed"], sort=False) if "published" in tables else ():
        name = run_name(dict(zip(("variant", "seed"), key, strict=True)))
        rows.setdefault(name, {"variant": name})[met] = f"{own['holds'].sum()} of {len(own)}"
    kinds: dict[str, Kind] = {"variant": "text", hold: "count", fail: "count", unmeasured: "count", met: "text"}
    table = Table("summary", "", "", "", framed(list(rows.values()), kinds), kinds)
    return _grid(table, "Counts of the paper's claims and of the published sizes")


def _collapsed(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The runs in which no concept gets a dimension, by name, each with its experiments."""
    found: dict[str, list[str]] = {}
    for run in runs:
        if concepts([run]) and not any(run["dims"][name] for name in concepts([run])):
            found.setdefault(run_name(run), []).append(run["experiment"])
    return found


def _hero(runs: Sequence[Run], figures_dir: Path) -> dict[str, Any] | None:
    """The swap of the first concept with the paper's dimensions and with the official code's, in one autoencoder."""
    named = {name: own for name, own in experiments(runs).items() if concepts(own) and own[0]["kind"] == "autoencoder"}
    if not named:
        return None
    name = "colormnist_ae" if "colormnist_ae" in named else next(iter(named))
    pair, swapped = [run for run in named[name] if run_name(run) in ("paper", "code")], concepts(named[name])[0]
    found = [picture(run, figures_dir, "swap_{factor}.png", factor=swapped) for run in pair or named[name][-1:]]
    sizes = {run_name(run): run["dims"][swapped] for run in pair}
    return {"name": name, "swapped": swapped, "sizes": sizes, "pictures": list(filter(None, found))}


def _formulas_apart(runs: Sequence[Run]) -> str:
    """At which layer the concepts' shares by `normalised` and by `code` differ most, and how much at z.

    Nothing without both variants.
    """
    named = {run_name(run): run.get("layers", {}) for run in runs}
    theirs, found = named.get("code", {}), []
    for layer, own in named.get("normalised", {}).items():
        for concept in list(own["shares"])[:-1] if layer in theirs else ():
            shares = own["shares"][concept], theirs[layer]["shares"][concept]
            gap = abs(round(100 * shares[0], 1) - round(100 * shares[1], 1))  # of the numbers as they are written
            found.append((gap, layer, concept, *(show(share, "share") for share in shares)))
    if not found:
        return ""
    gap, layer, concept, ours, other = max(found)
    last = found[-1][1]
    said = (
        f"The formulas of normalised and code can best be told apart at {layer}, where they give {concept} {ours} and "
    )
    said += f"{other} ({gap:.1f} percentage points apart)"
    if layer == last:
        return f"{said}."
    at_last = max(entry[0] for entry in found if entry[1] == last)
    return f"{said}; at {last}, their largest difference is {at_last:.1f} percentage points."


def _details(run: Run, machine: Mapping[str, Any] | None) -> str:
    """The configuration and what the run was made on, without what changes from one rerun to the next."""
    unstable = re.compile("training|flow|copied_from|.*_seconds|peak_memory.*")
    environment = {key: found for key, found in (machine or {}).items() if not unstable.fullmatch(key)}
    return json.dumps({"environment": environment, "config": run["config"]}, indent=2, ensure_ascii=False)


def _experiment(
    runs: Sequence[Run], *, details: Mapping[str, str], figures_dir: Path, published: Published
) -> dict[str, Any]:
    name = runs[0]["experiment"]
    alike: dict[str, list[str]] = {}
    for run in runs:
        alike.setdefault(json.dumps([run["dims"], run["metrics"]]), []).append(run_name(run))
    theirs = published.get(name, NOTHING).dimensions
    return {
        "name": name,
        "run": runs[0],
        "details": details,
        "bars": [("ours", run_name(of), of["dims"]) for of in runs]
        + [("published", of.source, of.dims) for of in theirs],
        "apart": _formulas_apart(runs),
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

    `machines` and `tables` are what `load_machines` and `build_tables` give for the runs; the tables' files stand in
    `tables/` beside the page. It shows the declared figures that are in `figures_dir/<experiment>/<run>/`. `missing`
    names the runs, as experiment/run, that were asked for and are not there.
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
    grouped, collapsed = experiments(runs), _collapsed(runs)
    details: dict[str, dict[str, str]] = {name: {} for name in grouped}
    for run, machine in zip(runs, machines, strict=True):
        details[run["experiment"]][run_name(run)] = _details(run, machine)
    theirs = [published[name] for name in grouped if name in published]
    return environment.get_template("page.html.j2").render(
        profile=profile,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        seeds=sorted({run["seed"] for run in runs}),
        variants={run["variant"]: run["description"] for run in runs},
        missing=missing,
        hero=_hero(runs, figures_dir),
        summary=_summary(tables),
        collapsed=collapsed,
        experiments={
            name: _experiment(own, details=details[name], figures_dir=figures_dir, published=published)
            for name, own in grouped.items()
        },
        swaps=_parts(tables["swaps"], collapsed) if "swaps" in tables else {},
        sections={name: _parts(tables[name], collapsed) for name in _ENDING if name in tables},
        sources={of.source: of.url for entry in theirs for of in (*entry.dimensions, *entry.response, *entry.fid)},
        tables=tables,
    )
