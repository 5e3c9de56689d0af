"""The stage report: what it writes, and what it does where a run is missing or damaged."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from made_results import make_density, make_run, save

from reproduce.errors import UserError
from reproduce.stages import report

DIMS = {"digit": 14, "color": 18, "residual": 32}
TABLES = (
    *("claims", "dimensions", "published", "frechet", "swaps", "unswapped", "probes", "retrieval", "factors", "fit"),
    "variants",
)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two of the three runs that the pipeline asks for, and one that it doesn't."""
    folder = tmp_path / "results" / "embedded"
    save(folder, make_run("colormnist_ae", "code", DIMS))
    save(folder, make_run("colormnist_ae", "stale", DIMS))
    save(folder, make_density("mnist"))
    expected = [("colormnist_ae", "paper"), ("colormnist_ae", "code"), ("mnist", "density")]
    monkeypatch.setattr(report, "load_pipeline", lambda: SimpleNamespace(runs_of=lambda profile: expected))
    monkeypatch.setattr(report, "results", lambda profile: tmp_path / "results" / profile)
    return folder


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page is made of."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(report, "render_page", lambda **arguments: found.update(arguments) or "page")
    return found


def written(results: Path) -> set[str]:
    return {
        str(path.relative_to(results)) for path in results.rglob("*") if path.is_file() and "runs" not in path.parts
    }


def test_a_missing_run_is_named_and_the_others_are_reported(
    results: Path, rendered: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report.run("embedded")
    files = {f"tables/{name}.{ending}" for name in TABLES for ending in ("csv", "md", "tex")}
    assert written(results) == files | {"index.html"}
    assert [run["variant"] for run in rendered["runs"]] == ["code", "density"]
    assert rendered["missing"] == ["colormnist_ae/paper"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("reproduce: warning: the report lacks colormnist_ae/paper: ")
    assert "stale" not in (results / "tables" / "swaps.csv").read_text(encoding="utf-8")


def test_a_damaged_run_is_an_error_and_nothing_is_written(results: Path, rendered: dict[str, Any]) -> None:
    (results / "runs" / "mnist" / "density.json").write_text("{")
    with pytest.raises(UserError, match=r"density.json: Invalid JSON"):
        report.run("embedded")
    assert written(results) == set()


def test_nothing_is_written_before_all_is_computed(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**arguments: Any) -> str:
        raise UserError("no page")

    monkeypatch.setattr(report, "render_page", fails)
    with pytest.raises(UserError, match="no page"):
        report.run("embedded")
    assert written(results) == set()


def test_a_profile_that_the_pipeline_does_not_run(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "load_pipeline", lambda: SimpleNamespace(runs_of=lambda profile: []))
    with pytest.raises(UserError, match=r"pipeline.yaml has no run of the profile full; run `reproduce select full`$"):
        report.run("full")


def test_no_run_at_all(results: Path, rendered: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="no runs; run `dvc repro`"):
        report.run("full")
