"""report: tables, index.html, and README's table, from the JSON and the figures of all runs of a profile."""

from reproduce.config import DENSITY, load_pipeline
from reproduce.files import write_text
from reproduce.paths import CONFIGS, ROOT, results
from reproduce.report.claims import load_claims
from reproduce.report.page import render_page
from reproduce.report.published import load_published
from reproduce.report.runs import load_machines, load_runs
from reproduce.report.tables import build_tables, inject, readme_table, write_tables

_README_SHOWS = "embedded"  # what a reader of README can rerun in minutes


def run(profile: str) -> None:
    """Write `tables/` and `index.html`; for the embedded profile, README's table too."""
    pipeline = load_pipeline()
    expected = [(experiment, variant) for experiment in pipeline.experiments for variant in pipeline.variants]
    expected += [(experiment, DENSITY) for experiment in pipeline.unsupervised]
    folder = results(profile)
    runs = load_runs(folder / "runs", expected)
    published = load_published(CONFIGS / "published.yaml")
    tables = build_tables(runs, published, load_claims(CONFIGS / "claims.yaml"))
    readme = ROOT / "README.md"
    shown = None
    if profile == _README_SHOWS and readme.exists():
        shown = inject(readme.read_text(encoding="utf-8"), readme_table(runs))
    write_tables(tables, folder / "tables")
    machines = load_machines(folder / "runs", runs)
    page = render_page(
        profile=profile,
        runs=runs,
        machines=machines,
        tables=tables,
        figures_dir=folder / "figures",
        published=published,
    )
    write_text(folder / "index.html", page)
    if shown is not None and shown != readme.read_text(encoding="utf-8"):
        write_text(readme, shown)
