"""A number that is declared once, and what then knows it."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import make_run, save

from reproduce.errors import UserError
from reproduce.report.check import main_check
from reproduce.report.claims import Claim
from reproduce.report.diff import main_diff
from reproduce.report.numbers import declarations, declared
from reproduce.report.runs import load_runs
from reproduce.report.tables import build_tables

NUMBERS = Path(__file__).parent.parent / "paper_configs" / "numbers.yaml"
FALLBACK = "  - place: metrics.* #"
NEW = """
  - place: metrics.sharpness.<factor>
    kind: share
    absolute: 0.01
    words: the share of edges that a swap leaves sharp
    table: factors
    column: sharp edges

"""
SIZES = {"digit": 14, "color": 18, "residual": 32}


def declare(folder: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    text = NUMBERS.read_text(encoding="utf-8")
    assert text.count(old) >= 1
    (folder / "numbers.yaml").write_text(text.replace(old, new, 1), encoding="utf-8")
    monkeypatch.setattr("reproduce.paths.CONFIGS", folder)


def with_sharpness(variant: str, share: float) -> dict[str, Any]:
    run = make_run("colormnist_ae", variant, SIZES)
    run["metrics"]["sharpness"] = {"digit": share, "color": 0.5, "residual": None}
    return run


def test_a_new_number_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(tmp_path, monkeypatch, FALLBACK, NEW.lstrip("\n") + FALLBACK)
    root, earlier = tmp_path / "root", tmp_path / "earlier"
    for variant, share in (("paper", 0.25), ("code", 0.875)):
        save(root / "results" / "embedded", with_sharpness(variant, share))
        save(earlier, with_sharpness(variant, 0.25))
    runs = load_runs(root / "results" / "embedded" / "runs")

    table = build_tables(runs, {})["factors"]
    frame = pd.read_csv(io.StringIO(table.csv())).set_index(["variant", "factor"])
    assert frame.loc[("code", "digit"), "sharp edges"] == 0.875
    assert "|        87.5 % |" in table.markdown()
    assert "“Sharp edges” is the share of edges that a swap leaves sharp." in table.markdown()
    assert r" & 87.5 \% \\" in table.latex()
    assert "sharp edges" in table.latex()

    text = main_diff(root / "results" / "embedded", "paper", "code")
    assert "metrics.sharpness.digit 25.0 % 87.5 % +62.5 pp" in " ".join(text.split())
    text, within = main_check(root=root, profile="embedded", revision="HEAD", against=earlier)
    assert not within
    assert "metrics.sharpness.digit: 25.0 % → 87.5 % (+62.5 pp; allowed: 1.0 pp)" in text
    claim = Claim(
        says="s", source="p", quantity="metrics.sharpness.<concept>", comparison="above", than=0.5, tolerance=0
    )
    assert claim.wanted == "above 50 %"
    claims = build_tables(runs, {}, [claim])["claims"].frame
    assert claims[["run", "ours", "holds"]].to_numpy().tolist() == [["paper", 0.25, False], ["code", 0.5, False]]


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ("dims.residual", "dims.residual"),
        ("dims.digit", "dims.<factor>"),
        ("metrics.swap.digit.No_Beard.target", "metrics.swap.<factor>.<concept>.target"),
        ("metrics.color_error.reconstruction", "metrics.<concept>_error.reconstruction"),
        ("metrics.color_error.digit", "metrics.<concept>_error.<factor>"),
        ("metrics.directions.Smiling.-1.5", "metrics.directions.<attribute>.<amount>"),
        ("metrics.walk.color", "metrics.walk.<factor>.classes"),  # null: all numbers of that walk
        ("metrics.round_trip_relative", "metrics.round_trip_relative"),
        ("metrics.retrieval.digit.color", "metrics.retrieval.<factor>.<concept>"),
        ("metrics.retrieval_chance.digit", "metrics.retrieval_chance.<concept>"),
        ("metrics.something.else", "metrics.*"),
    ],
)
def test_which_entry_a_place_has(place: str, found: str) -> None:
    assert declared(place).place == found


def test_a_place_outside_the_runs_numbers() -> None:
    with pytest.raises(UserError, match=r"numbers.yaml declares no number at metric\.x; add an entry"):
        declared("metric.x")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: count", "kind: text", "kind"),
        ("absolute: 2 #", "absolute: -2 #", "absolute"),
        ("absolute: 2 #", "# ", "absolute: missing"),
        ("table: swaps", "table: swap", "there is no table 'swap' with rows, only swaps"),
        ("table: swaps", "table: claims", "there is no table 'claims' with rows"),
        ("    table: swaps\n", "", "table and column belong together"),
        ("table: fit", "table: fit\n    colum: x", "colum: unknown key"),
        ("rows: run x factor\n", "rows: run\n", "the table factors has no row per factor"),
        ("column: mean", "column: variance", "more than one column 'variance'"),
        ("    title: Class transfer\n", "", "figures.transfer.png.title: missing"),
        ("    title: Class transfer\n", "    titel: Class transfer\n", "figures.transfer.png.titel: unknown key"),
        ("{metrics.nll} nats", "−3 nats", "figures.training.png: numbers: 'On held-out data, the mean NLL is −3 nats"),
        ("{metrics.nll} nats", "{metrics.nll} of {metrics.pairs}", "a sentence has exactly one place in braces"),
    ],
)
def test_a_file_that_is_wrong_is_a_users_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, says: str
) -> None:
    declare(tmp_path, monkeypatch, old, new)
    with pytest.raises(UserError) as error:
        declarations()
    assert says in str(error.value)
    assert "numbers.yaml" in str(error.value)
    assert "\n" not in str(error.value)
