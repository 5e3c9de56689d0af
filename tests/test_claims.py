"""Claims against runs whose numbers are known."""

from pathlib import Path
from typing import Any

import pytest
from made_results import make_density, make_run

from reproduce.errors import UserError
from reproduce.report.claims import Claim, count_claims, judge_claims, load_claims
from reproduce.report.numbers import declared
from reproduce.report.tables import build_tables

CLAIMS = Path(__file__).parent.parent / "paper_configs" / "claims.yaml"
SIZES = {"digit": 14, "color": 18, "residual": 32}


def claim(quantity: str, comparison: Any, than: float | str, **other: Any) -> Claim:
    entry = {"says": "so", "source": "there", "tolerance": 0.0, **other}
    if isinstance(than, str):
        entry = {"named": "the other", **entry}
    return Claim(quantity=quantity, comparison=comparison, than=than, **entry)


def run_with(metrics: dict[str, Any], experiment: str = "a", variant: str = "code") -> dict[str, Any]:
    return make_run(experiment, variant, SIZES) | {"metrics": metrics}


@pytest.mark.parametrize(
    ("comparison", "than", "tolerance", "holds"),
    [
        ("above", 0.5, 0.0, False),
        ("above", 0.49, 0.0, True),
        ("above", 0.75, 0.25, False),
        ("above", 0.75, 0.5, True),
        ("below", 0.5, 0.0, False),
        ("below", 0.51, 0.0, True),
        ("below", 0.25, 0.5, True),
        ("near", 0.25, 0.25, True),
        ("near", 0.75, 0.125, False),
        ("near", 0.5, 0.0, True),
    ],
)
def test_comparisons(comparison: str, than: float, tolerance: float, holds: bool) -> None:
    (verdict,) = judge_claims([claim("metrics.x", comparison, than, tolerance=tolerance)], [run_with({"x": 0.5})])
    assert (verdict["ours"], verdict["against"], verdict["holds"]) == (0.5, than, holds)


def test_of_several_numbers_the_one_that_speaks_most_against_the_claim_counts() -> None:
    # digit is lower, but color misses its own bound by more
    metrics = {"reached": {"digit": 0.6, "color": 0.7}, "bound": {"digit": 0.65, "color": 0.9}}
    (verdict,) = judge_claims(
        [claim("metrics.reached.<concept>", "above", "metrics.bound.<concept>", tolerance=0.1)], [run_with(metrics)]
    )
    assert (verdict["at"], verdict["ours"], verdict["against"]) == ("metrics.reached.color", 0.7, 0.9)
    assert verdict["holds"] is False


def test_placeholders() -> None:
    pairs = {"digit": {"digit": 9, "color": 1}, "color": {"digit": 2, "color": 9}, "residual": {"digit": 3, "color": 4}}
    found = [
        judge_claims([claim(f"metrics.x.{path}", "below", 0.0)], [run_with({"x": pairs})])[0]["at"]
        for path in ("<concept>.<concept>", "<concept>.<other>", "<residual>.<concept>", "<factor>.digit")
    ]
    assert found == [
        "metrics.x.digit.digit",
        "metrics.x.color.digit",
        "metrics.x.residual.color",
        "metrics.x.digit.digit",
    ]


def test_the_ends_of_the_directions_whose_keys_have_dots() -> None:
    rates = {"Smiling": {"-1.5": 0.02, "-1": 0.3, "1": 0.7, "1.5": 0.9}, "Hat": {"-1.5": 0.1, "1.5": 0.8}}
    runs = [run_with({"directions": rates}), run_with({"directions": None})]
    for end, comparison, at, ours in (("highest", "above", "Hat.1.5", 0.8), ("lowest", "below", "Hat.-1.5", 0.1)):
        first, second = judge_claims([claim(f"metrics.directions.<attribute>.<{end}>", comparison, 0.5)], runs)
        assert (first["at"], first["ours"], first["holds"]) == (f"metrics.directions.{at}", ours, True)
        assert second["holds"] is None


def test_another_experiment_is_looked_up_in_the_same_variant() -> None:
    runs = [run_with({"x": k}, name, variant) for k, (name, variant) in enumerate([("a", "paper"), ("a", "code")])]
    runs += [run_with({"x": k}, "b", variant) for k, variant in ((2, "paper"), (0, "code"), (5, "half"))]
    verdicts = judge_claims([claim("metrics.x", "below", "metrics.x", experiments=("b",), of="a")], runs)
    assert [(v["run"], v["ours"], v["against"], v["holds"]) for v in verdicts] == [
        ("paper", 2, 0, False),
        ("code", 0, 1, True),
        ("half", None, None, None),
    ]


def test_a_run_without_the_numbers_has_no_verdict_and_an_experiment_without_any_no_row() -> None:
    runs = [run_with({"x": None}, variant="paper"), run_with({"x": 1}), run_with({}, "b")]
    verdicts = judge_claims([claim("metrics.x", "above", 0.0)], runs)
    assert [(v["experiment"], v["run"], v["holds"]) for v in verdicts] == [
        ("a", "paper", None),
        ("a", "code", True),
    ]


def test_a_factor_without_dimensions_is_not_judged() -> None:
    entries = [
        claim("metrics.swap.<concept>.<other>.target", "above", 0.9),
        claim("metrics.response.color.flip_rate", "near", 0.0),
        claim("metrics.walk.digit.classes", "above", "metrics.walk.color.classes"),
        claim("metrics.swap.<residual>.<concept>.target", "above", 0.9),
        claim("dims.color", "above", "dims.digit"),
    ]
    stays = {name: {other: {"target": 0.99} for other in ("digit", "color")} for name in SIZES}
    metrics = {
        "swap": stays,
        "response": {"color": {"flip_rate": 0.0}},
        "walk": {"digit": {"classes": 10}, "color": {"classes": 1}},
    }
    full = run_with(metrics)
    partly, empty = (full | {"variant": name, "dims": SIZES | zero} for name, zero in (
        ("partly", {"color": 0}), ("empty", {"digit": 0, "color": 0})
    ))  # fmt: skip
    partly["metrics"] = metrics | {"swap": stays | {"color": {"digit": {"target": 0.0}}}}
    verdicts = judge_claims(entries, [full, partly, empty])
    found = [[verdict["holds"] for verdict in verdicts if verdict["quantity"] == entry.quantity] for entry in entries]
    assert found == [
        [True, True, None],  # of `partly` only the swap of the digit counts
        [True, None, None],
        [True, None, None],
        [True, True, True],  # the residual has dimensions
        [True, False, False],  # a size of 0 is a number like any other
    ]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (claim("metrics.swap.<concept>.<concept>.source", "above", "metrics.reconstruction.<concept>", tolerance=0.1),
         "above the other − 10 pp"),
        (claim("dims.color", "below", "dims.color", of="a", named="the colour's"), "below the colour's in a"),
        (claim("metrics.embedding.digit", "above", 0.8), "above 80 %"),
        (claim("metrics.walk.digit.classes", "near", 10), "exactly 10"),
        (claim("metrics.factors.<factor>.variance", "near", 1.0, tolerance=0.2), "1 ± 0.2"),
    ],
)  # fmt: skip
def test_what_is_wanted_in_a_few_words(made: Claim, wanted: str) -> None:
    assert made.wanted == wanted


ENTRY = "says: s\n  source: p\n  quantity: dims.a\n  comparison: above\n  than: 1\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"- {ENTRY}  tolerance: -1\n", "tolerance"),
        (f"- {ENTRY}  tolerance: 0\n  toleranse: 1\n", "toleranse: unknown key"),
        (f"- {ENTRY}", "tolerance: missing"),
        (f"- {ENTRY}  tolerance: 0\n".replace("dims.a", "dims.<concpet>"), "<concpet> stands for nothing"),
        (f"- {ENTRY}  tolerance: 0\n".replace("than: 1", "than: dims.<concept>"), "which quantity lacks"),
        (f"- {ENTRY}  tolerance: 0\n  of: b\n", "not to a number"),
        (f"- {ENTRY}  tolerance: 0\n  named: b\n", "named says what `than` is called"),
        (f"- {ENTRY}  tolerance: 0\n".replace("than: 1", "than: dims.b"), "named says what `than` is called"),
        (f"- {ENTRY}  tolerance: 0\n".replace("above", "beside"), "comparison"),
        (f"- {ENTRY}  tolerance: 0\n- {ENTRY}  tolerance: 1\n", "the claim 's' is listed 2 times for dims.a: keep one"),
        ("says: a mapping\n", "the whole file"),
    ],
)
def test_a_file_that_is_wrong_is_a_users_mistake(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        load_claims(path)


def test_the_places_of_the_committed_claims_are_declared() -> None:
    for entry in load_claims(CLAIMS):
        for place in (entry.quantity, entry.than):
            if isinstance(place, str):
                assert declared(place).place != "metrics.*", place


def test_the_committed_claims_in_a_table() -> None:
    runs = [make_run("colormnist_ae", "code", SIZES), make_run("colormnist_ae", "paper", dict(SIZES, digit=0, color=0))]
    runs += [make_run("colormnist_classifier", "code", {"digit": 22, "color": 11, "residual": 31}, images=False)]
    runs[2]["metrics"]["walk"] = {"digit": {"classes": 10, "stays": 0.1}, "color": {"classes": 3, "stays": 0.8}}
    runs += [make_density("mnist")]
    runs[3]["metrics"]["directions"] = {"Smiling": {"-1.5": 0.3, "0": 0.5, "1.5": 0.9}}
    table = build_tables(runs, {}, load_claims(CLAIMS))["claims"]
    frame = table.frame

    def cells(experiment: str, run: str, quantity: str) -> list[list[Any]]:
        rows = frame[(frame["experiment"] == experiment) & (frame["run"] == run) & (frame["quantity"] == quantity)]
        return rows[["ours", "against", "holds"]].to_numpy().tolist()

    swapped = "metrics.swap.<concept>.<concept>.source"
    assert cells("colormnist_ae", "code", swapped) == [[0.862, 0.96, True]]
    assert cells("colormnist_ae", "paper", swapped) == [[None, None, None]]
    assert cells("colormnist_ae", "code", "dims.color") == [[18, 14, True]]
    assert cells("colormnist_classifier", "code", "dims.color") == [[11, 22, True], [11, 18, True]]
    assert cells("mnist", "density", "metrics.linear.z_tilde.softmax") == [[0.9, 0.6, True]]
    assert cells("mnist", "density", "metrics.frechet.classifier") == [[3.25, 41.0, True]]
    assert cells("colormnist_classifier", "code", "metrics.walk.digit.classes") == [[10, 10, True]]
    assert cells("colormnist_classifier", "code", "metrics.walk.color.classes") == [[3, 10, True]]
    assert cells("colormnist_classifier", "code", "metrics.walk.color.stays") == [[0.8, 0.9, False]]
    assert cells("mnist", "density", "metrics.directions.<attribute>.<highest>") == [[0.9, 0.75, True]]
    assert cells("mnist", "density", "metrics.directions.<attribute>.<lowest>") == [[0.3, 0.25, False]]
    assert not frame.loc[frame["experiment"] == "mnist", "quantity"].str.startswith("metrics.swap").any()
    shown = table.parts()[0].display()
    columns = [f"{name}: {column}" for name in ("code", "paper") for column in ("ours", "against", "holds")]
    assert shown.iloc[0][columns].tolist() == [
        "86.2 %", "96.0 %", "yes", "–", "–", "–"
    ]  # fmt: skip
    # the bound that is another number of the run is told on the page and in the files
    mnist = next(part for part in table.parts() if part.name == "claims-mnist").display()
    row = mnist[mnist["quantity"] == "metrics.linear.z_tilde.softmax"].iloc[0]
    told = row[["density: ours", "density: against", "wanted"]].tolist()
    assert told == ["90.0 %", "60.0 %", "above the share in z"]
    assert "60.0 %" in table.markdown()
    assert r"60.0 \%" in table.latex()


def test_the_counts_of_all_variants_have_the_same_total() -> None:
    empty = dict(SIZES, digit=0, color=0)
    runs = [
        make_run("colormnist_ae", "paper", empty),
        make_run("colormnist_ae", "code", SIZES),
        make_run("colormnist_classifier", "code", SIZES, images=False),  # no such run of `paper`
        make_density("mnist"),
    ]
    table = build_tables(runs, {}, load_claims(CLAIMS))["claims"]
    paper, code, density = count_claims(table.frame)
    assert (paper.run, code.run, density.run) == ("paper", "code", "density")
    assert paper.total == code.total > density.total
    assert paper.unmeasured > code.unmeasured
    judged = table.frame[table.frame["run"] == "code"]["holds"]
    assert (code.holds, code.fails) == ((judged == True).sum(), (judged == False).sum())  # noqa: E712
    counts = f"{paper.holds} with “yes”, {paper.fails} with “no” and {paper.unmeasured} with a dash"
    assert f"Of {paper.total} claims, paper has {counts}." in table.note


def test_the_distribution_of_a_factor_is_judged_only_where_concepts_have_dimensions() -> None:
    runs = [make_run("a", "paper", dict(SIZES, digit=0, color=0)), make_run("a", "code", SIZES), make_density("mnist")]
    runs[0]["metrics"]["factors"]["residual"]["variance"] = 1.1
    frame = build_tables(runs, {}, load_claims(CLAIMS))["claims"].frame
    variance = frame[frame["quantity"].str.startswith("metrics.factors") & frame["quantity"].str.endswith("variance")]
    assert variance[["run", "at", "holds"]].to_numpy().tolist() == [
        ["paper", None, None],
        ["code", "metrics.factors.digit.variance", True],
        ["density", "metrics.factors.residual.variance", True],
    ]
