"""validate: reads every config, before anything that it decides is deleted and made anew."""

from reproduce.config import all_sources, load_experiment, load_run
from reproduce.errors import UserError
from reproduce.files import shown, write_text
from reproduce.paths import CONFIGS, PIPELINE, ROOT
from reproduce.pipeline import load_pipeline
from reproduce.report.claims import load_claims
from reproduce.report.numbers import declarations
from reproduce.report.published import load_published


def run() -> None:
    """Write `artifacts/valid.txt`, always the same, if every file that the pipeline will read is valid."""
    pipeline = load_pipeline()
    for entry in pipeline.experiments.values():
        if (name := load_experiment(entry.profile, entry.experiment).dataset.name) != entry.data:
            raise UserError(f"{shown(PIPELINE)}: {entry.key}: the data set is {name}, not {entry.data}; correct `data`")
    for run in pipeline.runs.values():
        load_run(run.profile, run.experiment, run.name)
    all_sources()
    load_claims(CONFIGS / "claims.yaml")
    declarations()
    load_published(CONFIGS / "published.yaml")
    write_text(ROOT / "artifacts" / "valid.txt", "The configs are valid.\n")
