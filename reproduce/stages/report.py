"""report: the tables and index.html, from the JSON and the figures of all runs of a profile."""

import sys

from reproduce.errors import UserError
from reproduce.files import shown, write_text
from reproduce.paths import CONFIGS, PIPELINE, results
from reproduce.pipeline import load_pipeline
from reproduce.report.claims import load_claims
from reproduce.report.page import render_page
from reproduce.report.published import load_published
from reproduce.report.runs import load_machines, load_runs, missing_runs
from reproduce.report.tables import build_tables, table_files


def run(profile: str) -> None:
    """Write `tables/` and `index.html`, of the runs that are there; stderr and the page name those that are missing."""
    expected = load_pipeline().runs_of(profile)
    if not expected:
        raise UserError(f"{shown(PIPELINE)} has no run of the profile {profile}; run `reproduce select {profile}`")
    folder = results(profile)
    runs = load_runs(folder / "runs", expected)
    missing = missing_runs(runs, expected)
    for name in missing:
        path = folder / "runs" / f"{name}.json"
        print(
            f"reproduce: warning: the report lacks {name}: {shown(path)} is missing; run `dvc repro`", file=sys.stderr
        )
    published = load_published(CONFIGS / "published.yaml")
    tables = build_tables(runs, published, load_claims(CONFIGS / "claims.yaml"))
    # everything is computed before anything is written
    files = {folder / "tables" / name: text for name, text in table_files(tables)}
    files[folder / "index.html"] = render_page(
        profile=profile,
        runs=runs,
        machines=load_machines(folder / "runs", runs),
        tables=tables,
        figures_dir=folder / "figures",
        published=published,
        missing=missing,
    )
    for path, text in files.items():
        write_text(path, text)
