"""`index.html`: one page with every figure and table of a profile, that loads nothing from elsewhere."""

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image

from reproduce.report.formats import Table, show, split_heading
from reproduce.report.published import Published
from reproduce.report.runs import Run, concepts, experiments, factors, run_name, value
from reproduce.report.tables import build_tables

__all__ = ["render_page"]

FIGURE_KINDS = ("swap", "predictions")


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


@dataclass(frozen=True)
class Picture:
    """A figure in the page, with what it shows said in words."""

    title: str
    uri: str
    width: int
    height: int
    alt: str
    caption: str


def _grid(table: Table, *hidden: str) -> Grid:
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
    rows = []
    for at, texts in enumerate(shown[columns].to_numpy().tolist()):
        cells = []
        for position, (name, text) in enumerate(zip(columns, texts, strict=True)):
            raw, kind = table.frame[name].iloc[at], table.kinds[name]
            covered = 1
            if position == 0 and len(columns) > 1:
                same = shown[name].to_list()
                if at and same[at - 1] == text:
                    continue
                covered = next((step for step, other in enumerate(same[at:]) if other != text), len(same) - at)
            share = float(raw) if kind == "share" and text != show(None) else None
            quiet = text == show(None) or (kind in ("difference", "offset") and not re.search("[1-9]", text))
            classes = [*(["num"] if numeric[position] else []), *(["quiet"] if quiet else [])]
            cells.append(Cell(text, covered, share, " ".join(classes)))
        rows.append(cells)
    headings = [(own, right) for (_, own), right in zip(split, numeric, strict=True)]
    return Grid(table.title, table.note, groups, headings, rows)


def _picture(path: Path, title: str, alt: str, caption: str) -> Picture | None:
    if not path.is_file():
        return None
    small = io.BytesIO()
    with Image.open(path) as image:
        # a fifth of the PNG, which stands beside the page
        image.convert("RGB").save(small, "WEBP", quality=88, method=6)
        width, height = image.size
    uri = f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode('ascii')}"
    return Picture(title, uri, width, height, alt, caption)


def _outcome(run: Run, swapped: str) -> str:
    """What the numbers say about swapping this factor, in words."""
    size, total = run["dims"][swapped], sum(run["dims"].values())
    parts = []
    for name in concepts([run]):
        side, verb = ("source", "follows the source") if name == swapped else ("target", "stays with the target")
        share = value(run, "metrics", "swap", swapped, name, side)
        if share is not None:
            parts.append(f"{name} {verb} in {show(share, 'share')}".replace(" %", "\N{NO-BREAK SPACE}%"))
    text = f"{size} of {total} dimensions{': ' if parts else ''}{', '.join(parts)}."
    if size == 0:
        return f"{text} With no dimensions there is nothing to swap: every row repeats its target."
    if size == total:
        return f"{text} It holds everything, so swapping it replaces the target as a whole."
    return text


def _swap_pictures(runs: Sequence[Run], figures_dir: Path) -> list[dict[str, Any]]:
    """For each factor and kind of figure: the pictures of all runs that have it."""
    blocks = []
    for swapped in factors(runs):
        for kind in FIGURE_KINDS:
            pictures = []
            for run in (run for run in runs if swapped in run["dims"]):
                what = "Swap grid" if kind == "swap" else "Predicted classes under the swap"
                picture = _picture(
                    figures_dir / run["experiment"] / run_name(run) / f"{kind}_{swapped}.png",
                    run_name(run),
                    f"{what}, {run['experiment']}, variant {run_name(run)}: the factor {swapped} of the target (left "
                    f"column) is replaced by that of the source (top row). {_outcome(run, swapped)}",
                    _outcome(run, swapped),
                )
                pictures += [picture] if picture else []
            if pictures:
                blocks.append({"factor": swapped, "kind": kind, "pictures": pictures})
    return blocks


def _training_pictures(runs: Sequence[Run], figures_dir: Path) -> list[Picture]:
    found = [
        _picture(
            figures_dir / run["experiment"] / run_name(run) / "training.png",
            run_name(run),
            f"Training curves of T, {run['experiment']}, variant {run_name(run)}",
            f"Ends at a held-out pair NLL of {show(value(run, 'metrics', 'nll'), 'number')} nats.",
        )
        for run in runs
    ]
    return [picture for picture in found if picture]


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


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _experiment(name: str, runs: Sequence[Run], figures_dir: Path, published: Published) -> dict[str, Any]:
    tables = build_tables(runs, published)
    hidden = ["experiment"] + (["seed"] if len({run["seed"] for run in runs}) == 1 else [])
    return {
        "name": name,
        "id": _slug(name),
        "kind": runs[0]["kind"],
        "dataset": runs[0]["dataset"],
        "factors": factors(runs),
        "concepts": concepts(runs),
        "latent": sum(runs[0]["dims"].values()),
        "bars": _bars(runs, published),
        "grids": {key: _grid(table.parts()[0], *hidden, "dimensions") for key, table in tables.items()},
        "swaps": _swap_pictures(runs, figures_dir),
        "training": _training_pictures(runs, figures_dir),
        "judged": [name for name in concepts(runs) if value(runs[-1], "metrics", "judge", name) is not None],
        "color_measured": any(value(run, "metrics", "color_error") for run in runs),
        "runs": [
            {"name": run_name(run), "config": json.dumps(run["config"], indent=2, ensure_ascii=False)} for run in runs
        ],
    }


def _compared(runs: Sequence[Run], published: Published) -> list[tuple[str, str, Grid]]:
    """For each experiment that has published values: its name, its data, and our dimensions beside theirs."""
    own = [run for run in runs if run["experiment"] in published]
    if not own:
        return []
    hidden = ["seed", *(f"score: {name}" for name in factors(own))]
    parts = build_tables(own, published)["dimensions"].parts()
    names = experiments(own).items()
    return [(name, of[0]["dataset"], _grid(part, *hidden)) for (name, of), part in zip(names, parts, strict=True)]


def render_page(
    profile: str, runs: Sequence[Run], tables: Mapping[str, Table], figures_dir: Path, published: Published
) -> str:
    """The whole page.

    `tables` are all of `build_tables(runs, published)`; the files of that name stand in `tables/` beside the page.
    Figures are read from `figures_dir/<experiment>/<run>/`: `swap_<factor>.png`, `predictions_<factor>.png` and
    `training.png`, those that are there.
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
        if not any(run["dims"][name] for name in concepts([run])):
            collapsed.setdefault(run["variant"], []).append(run["experiment"])
    variants = {run_name(run): run["description"] for run in runs if run["seed"] == 0}
    return environment.get_template("index.html.j2").render(
        profile=profile,
        seeds=sorted({run["seed"] for run in runs}),
        variants=list(variants.items()),
        collapsed={name: list(dict.fromkeys(where)) for name, where in collapsed.items()},
        compared=_compared(runs, published),
        experiments=[_experiment(name, own, figures_dir, published) for name, own in experiments(runs).items()],
        published=published,
        tables=list(tables.values()),
        data=list(dict.fromkeys((run["experiment"], run["dataset"]) for run in runs)),
    )
