"""The whole pipeline on a toy budget, by DVC, in a folder with a space in its name and without Git."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
EXPERIMENTS, VARIANTS = ("colormnist_ae", "colormnist_classifier"), ("paper", "code")
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
}
TOY = {
    "dataset": {"n_train": 600, "n_heldout": 150},
    "first_stage": {"source": "train", "width": 8},
    "judge": {"source": "train", "width": 8},
    "pairs": {"pool_size": 2000, "n_colors": 20},
    "dimensions": {"n_pairs": 2000},
    "flow": {"n_blocks": 3, "hidden_dim": 16},
    "training": {"steps": 30, "batch_size": 32},
    "evaluation": {"n_pairs": 300, "n_probe": 300},
}


def run(folder, *command):
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def edit(path, change):
    yaml = YAML()
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def shrink(content):
    for section, values in TOY.items():
        if content[section] is not None:
            content[section].update(values)
    for section in ("first_stage", "judge"):
        if content[section] is not None:
            content[section]["training"].update(steps=40, batch_size=32)


def copy_project(folder):
    skip = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
    for name in ("reproduce", "paper_configs", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("dvc.yaml", ".dvcignore", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    for experiment in EXPERIMENTS:
        edit(folder / "paper_configs" / "embedded" / f"{experiment}.yaml", shrink)
    edit(folder / "paper_configs" / "pipeline.yaml", lambda c: c.update(experiments=EXPERIMENTS, variants=VARIANTS))
    assert run(folder, "dvc", "config", "--local", "core.no_scm", "true").returncode == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a checkout") / "with space"
    folder.mkdir()
    copy_project(folder)
    done = run(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "every concept gets 0 of 64 dimensions" in done.stderr
    return folder


def result(project, experiment, variant):
    return json.loads((project / f"results/embedded/runs/{experiment}/{variant}.json").read_text())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_run_writes_every_number_that_others_rely_on(project, experiment, variant):
    found = result(project, experiment, variant)
    factors = ["digit", "color", "residual"]
    assert [found[key] for key in ("profile", "experiment", "variant", "seed")] == ["embedded", experiment, variant, 0]
    assert list(found["dims"]) == list(found["scores"]) == factors
    assert sum(found["dims"].values()) == 64
    metrics = found["metrics"]
    for matrix in ("swap", "probe"):
        assert list(metrics[matrix]) == factors
        assert all(list(row) == factors[:-1] for row in metrics[matrix].values())
    assert list(metrics["factors"]) == factors
    assert metrics["pairs"] == 300
    assert metrics["round_trip"] < 1e-4
    assert np.isfinite(metrics["nll"])
    assert 0 <= metrics["judge"]["digit"] <= 1
    readable = experiment == "colormnist_ae"
    assert (metrics["reconstruction"]["color"] is not None) == readable
    assert (metrics["swap"]["digit"]["color"] is not None) == readable
    assert (metrics["color_error"] is not None) == readable
    assert found["config"]["training"]["steps"] == 30
    headline = json.loads((project / f"results/embedded/metrics/{experiment}/{variant}.json").read_text())
    assert headline["dims"] == found["dims"]
    assert headline["swap"]["digit"]["digit follows"] == metrics["swap"]["digit"]["digit"]["source"]
    assert headline["swap"]["residual"]["digit stays"] == metrics["swap"]["residual"]["digit"]["target"]
    machine = json.loads((project / f"results/embedded/runs/{experiment}/{variant}.machine.json").read_text())
    assert machine["train_seconds"] > 0
    assert machine["packages"]["torch"]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_the_paper_variant_collapses_and_its_swaps_change_nothing(project, experiment):
    found = result(project, experiment, "paper")
    assert list(found["dims"].values()) == [0, 0, 64]
    assert found["metrics"]["probe"]["digit"] == {"digit": None, "color": None}
    grid = np.load(project / f"artifacts/embedded/{experiment}/paper/evaluation/grid.npz")
    for k in (0, 1):
        cells = grid[f"cells_{k}"].astype(int)
        assert np.abs(cells - cells[:, :1]).max() <= 1  # rounding of a round trip
    residual = grid["cells_2"]
    assert (residual == residual[:1]).all()  # the residual is everything: each column is its source


def test_the_code_variant_gives_each_concept_dimensions(project):
    dims = result(project, "colormnist_ae", "code")["dims"]
    assert all(4 <= dims[concept] <= 29 for concept in ("digit", "color"))  # the bounds of the formula at N=64, K=2


def test_figures_tables_and_page_appear(project):
    folder = project / "results/embedded"
    for variant in VARIANTS:
        for kind, experiment in (("swap", "colormnist_ae"), ("predictions", "colormnist_classifier")):
            for factor in ("digit", "color", "residual"):
                assert (
                    (folder / f"figures/{experiment}/{variant}/{kind}_{factor}.png").read_bytes().startswith(b"\x89PNG")
                )
    for name in ("dimensions", "swaps", "variants"):
        for ending in ("csv", "md", "tex"):
            assert (folder / f"tables/{name}.{ending}").stat().st_size > 0
    assert "</html>" in (folder / "index.html").read_text()
    assert "colormnist_classifier" in (project / "README.md").read_text().split("<!-- results:begin -->")[1]


def test_repro_again_does_nothing(project):
    done = run(project, "dvc", "repro")
    assert "up to date" in done.stdout
    assert "Running stage" not in done.stdout


def running(project):
    """The stages that `dvc repro` would run, without the profile."""
    lines = run(project, "dvc", "repro", "--dry").stdout.splitlines()
    return {line.split("'")[1].replace("@embedded", "") for line in lines if line.startswith("Running stage")}


def test_a_training_parameter_reruns_training_and_what_follows(project):
    path = project / "paper_configs/embedded/colormnist_ae.yaml"
    before = path.read_text()
    edit(path, lambda c: c["training"].update(steps=31))
    stages = {name.split("-")[0] for name in running(project)}
    path.write_text(before)
    assert {"train", "evaluate"} <= stages
    assert not stages & {"fetch", "first_stage", "pairs", "encode", "dimensions"}


def test_a_figure_style_redraws_and_trains_nothing(project):
    path = project / "reproduce/figures/style.mplstyle"
    before = path.read_text()
    path.write_text(before + "\nfont.size: 11\n")
    stages = {name.split("-")[0] for name in running(project)}
    path.write_text(before)
    assert {"figures"} <= stages <= {"figures", "report"}


def test_the_same_training_gives_the_same_bytes(project):
    path = project / "artifacts/embedded/colormnist_ae/code/flow/flow.safetensors"
    before = path.read_bytes()
    command = ("train", "--profile", "embedded", "--experiment", "colormnist_ae", "--variant", "code")
    assert run(project, "reproduce", *command).returncode == 0
    assert path.read_bytes() == before


def test_diff_prints_two_variants_side_by_side(project):
    text = run(project, "reproduce", "diff", "paper", "code")
    assert text.returncode == 0
    assert "dims.digit" in text.stdout
    rows = json.loads(run(project, "reproduce", "diff", "paper", "code", "--format", "json").stdout)
    dims = result(project, "colormnist_ae", "code")["dims"]["digit"]
    assert dims in [value for row in rows for value in row.values() if isinstance(value, int)]
    unknown = run(project, "reproduce", "diff", "paper", "nope")
    assert unknown.returncode == 2
    assert unknown.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "command", "code", "words"),
    [
        (lambda c: c["training"].update(stpes=1), "train", 2, ["colormnist_ae.yaml", "training.stpes", "unknown key"]),
        (
            lambda c: c["first_stage"].update(source="shipped", sha256="0" * 64),
            "first_stage",
            1,
            ["pretrained/embedded/colormnist_ae-network.safetensors", "missing", "source: train"],
        ),
        (lambda c: c["pairs"].update(pool_size=2, n_colors=2000), "pairs", 2, ["concept", "no pair"]),
        (lambda c: c["dimensions"].update(n_pairs=2), "dimensions", 2, ["pair(s)", "draw more"]),
        (lambda c: c["dataset"].update(n_train=9000), "fetch", 2, ["n_train=9000", "5000"]),
        (lambda c: c["grid"].update(targets=[3] * 150), "evaluate", 2, ["grid", "not enough held-out images of 3"]),
    ],
    ids=["unknown key", "missing file", "no pair", "too few pairs", "too many images", "no such digits"],
)
def test_a_mistake_gets_one_line_and_leaves_everything_as_it_was(project, change, command, code, words):
    path = project / "paper_configs/embedded/colormnist_ae.yaml"
    before = path.read_text()
    edit(path, change)
    files = {file: file.stat().st_mtime_ns for file in project.rglob("*") if file.is_file() and "pyc" not in file.name}
    variant = ("--variant", "code") if command in {"dimensions", "train", "evaluate"} else ()
    done = run(project, "reproduce", command, "--profile", "embedded", "--experiment", "colormnist_ae", *variant)
    after = {file: file.stat().st_mtime_ns for file in project.rglob("*") if file.is_file() and "pyc" not in file.name}
    path.write_text(before)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("encode")]
    assert (done.returncode, len(lines)) == (code, 1), done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert after == files


def test_a_damaged_shipped_file_is_named(project):
    shipped = project / "pretrained/embedded/colormnist_ae-network.safetensors"
    shipped.parent.mkdir(parents=True)
    shipped.write_bytes(b"half")
    path = project / "paper_configs/embedded/colormnist_ae.yaml"
    before = path.read_text()
    edit(path, lambda c: c["first_stage"].update(source="shipped", sha256="0" * 64))
    done = run(project, "reproduce", "first_stage", "--profile", "embedded", "--experiment", "colormnist_ae")
    path.write_text(before)
    shutil.rmtree(project / "pretrained")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert done.stderr.count("\n") == 1
