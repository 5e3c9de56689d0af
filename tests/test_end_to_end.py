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
UNSUPERVISED = ("mnist",)
# the stand-ins go through the same stages in one process: a start of Python for each would take longer than they
STAND_INS = {
    "celeba_ae": ["Eyeglasses", "No_Beard", "Smiling", "Wearing_Hat", "residual"],
    "animalfaces_ae": ["class", "residual"],
    "animalfaces_classifier": ["class", "residual"],
}
ENVIRONMENT = {
    **os.environ,
    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    "OMP_NUM_THREADS": "1",
    "DVC_NO_ANALYTICS": "1",
}
TOY = {
    "dataset": {"n_train": 600, "n_heldout": 150},
    "first_stage": {"source": "train", "width": 8},
    "pool": {"size": 2000},
    "flow": {"n_blocks": 3, "hidden_dim": 16},
    "training": {"steps": 30, "batch_size": 32},
}
TOY_STAND_IN = {**TOY, "dataset": {"n_train": 300, "n_heldout": 60}, "pool": {"size": "all"}}
SMALLER = {"swap": {"n_pairs": 300}, "probe": {"n_images": 300}, "samples": {"n_samples": 120}}


def run(folder, *command):
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def edit(path, change):
    yaml = YAML()
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def shrink(content):
    data = content["dataset"]
    for section, values in (TOY_STAND_IN if data["name"].startswith("rendered") else TOY).items():
        content[section].update(values)
    networks = [content["first_stage"]]
    if "judge" in content["first_stage"]:
        networks.append(content["first_stage"]["judge"])
    for network in networks:
        network.update(source="train", width=8)
        network["training"].update(steps=40, batch_size=32)
    if "n_colors" in data:
        data["n_colors"] = 20
    if content["pairs"] == "none":
        content["pool"]["size"] = 400
    for section, values in SMALLER.items():
        if section in content["evaluation"]:
            content["evaluation"][section].update(values)
    if "linear" in content["evaluation"]:
        content["evaluation"]["linear"].update(start=7, ends=[9, 5], n_pairs=40)


def copy_project(folder, experiments, variants, *, git=False):
    skip = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
    for name in ("reproduce", "paper_configs", ".dvc"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    for name in ("dvc.yaml", ".dvcignore", ".gitignore", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    for profile in ("embedded", "full", "other"):  # nothing shipped is used, but where it would lie has to be there
        (folder / "pretrained" / profile).mkdir(parents=True)
    (folder / "pretrained/embedded/sha256.txt").touch()
    for experiment in experiments:
        edit(folder / f"paper_configs/embedded/{experiment}.yaml", shrink)
    edit(folder / "paper_configs/variants.yaml", lambda c: [c[name].update(n_pairs=2000) for name in c])
    assert run(folder, "reproduce", "select", "embedded", *experiments, "--variants", *variants).returncode == 0
    if not git:
        assert run(folder, "dvc", "config", "--local", "core.no_scm", "true").returncode == 0


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a checkout") / "with space"
    folder.mkdir()
    copy_project(folder, [*EXPERIMENTS, *UNSUPERVISED], VARIANTS)
    done = run(folder, "dvc", "repro")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "every concept gets 0 of 64 dimensions" in done.stderr
    return folder


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    copy_project(folder, STAND_INS, ["code"])
    commands = [["validate"]]
    for experiment in STAND_INS:
        own = ["--profile", "embedded", "--experiment", experiment]
        commands += [[stage, *own] for stage in ("fetch", "pairs", "first_stage", "encode")]
        of_code = [*own, "--variant", "code"]
        commands += [[stage, *of_code] for stage in ("dimensions", "train", "evaluate", "figures")]
    commands.append(["report", "--profile", "embedded"])
    code = f"import reproduce.cli as cli, sys; sys.exit(next((1 for c in {commands} if cli.main(c)), 0))"
    done = run(folder, sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
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
    for matrix in ("swap", "probe", "retrieval"):
        assert list(metrics[matrix]) == factors
        assert all(list(row) == factors[:-1] for row in metrics[matrix].values())
    assert list(metrics["factors"]) == factors
    assert metrics["pairs"] == 300
    assert metrics["round_trip"] < 1e-4
    assert 0 < metrics["round_trip_relative"] < 1e-4
    assert 0.05 < metrics["chance"]["digit"] < 0.3
    assert metrics["chance"]["color"] == 0
    assert np.isfinite(metrics["nll"])
    assert 0 <= metrics["judge"]["digit"] <= 1
    assert list(metrics["embedding"]) == factors
    shown = ["embedding"]
    if experiment == "colormnist_classifier":
        assert list(metrics["response"]) == list(metrics["response_mean"]) == list(metrics["walk"]) == factors
        for numbers in (*metrics["response"].values(), *metrics["response_mean"].values()):
            assert 0 <= numbers["flip_rate"] <= 1
            assert 0 <= numbers["entropy"] <= 1
        shown += ["response", "walk"]
    for name in shown:
        figure = project / f"results/embedded/figures/{experiment}/{variant}/{name}.png"
        assert figure.read_bytes().startswith(b"\x89PNG")
        evaluated = project / f"artifacts/embedded/{experiment}/{variant}/evaluation/{name}.npz"
        assert figure.with_suffix(".npz").read_bytes() == evaluated.read_bytes()
    if experiment == "colormnist_ae":
        for name, most in (("factors", 3_000_000), ("factors_small", 300_000)):
            content = (project / f"results/embedded/figures/{experiment}/{variant}/{name}.webp").read_bytes()
            assert content[8:12] == b"WEBP"
            assert len(content) <= most
    readable = experiment == "colormnist_ae"
    assert (metrics["reconstruction"]["color"] is not None) == readable
    assert (metrics["swap"]["digit"]["color"] is not None) == readable
    assert ("color_error" in metrics) == readable
    assert found["config"]["training"]["steps"] == 30
    headline = json.loads((project / f"results/embedded/metrics/{experiment}/{variant}.json").read_text())
    swap = metrics["swap"]
    known = ["digit", "color"] if readable else ["digit"]
    assert headline["follows"] == round(min(swap[name][name]["source"] for name in known), 4)
    assert headline["residual"] == round(min(swap["residual"][name]["target"] for name in known), 4)
    machine = json.loads((project / f"results/embedded/runs/{experiment}/{variant}.machine.json").read_text())
    assert machine["train_seconds"] > 0
    assert machine["packages"]["torch"]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_run_has_the_shares_of_every_layer(project, experiment, variant):
    found = result(project, experiment, variant)
    layers = found["layers"]
    shapes = [[8 * 2**k, 16 >> k, 16 >> k] for k in range(4)]
    assert [layer["shape"] for layer in layers.values()] == [*shapes, [64, 1, 1]]
    assert [*layers][::4] == ["encoder.layers.0", "z"]
    for layer in layers.values():
        assert list(layer["shares"]) == ["digit", "color", "residual"]
        assert sum(layer["shares"].values()) == pytest.approx(1)
    for factor, size in found["dims"].items():  # from other pairs, and rounded down
        assert layers["z"]["shares"][factor] == pytest.approx(size / 64, abs=0.06)
    figure = project / f"results/embedded/figures/{experiment}/{variant}/layers.png"
    assert figure.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("experiment", "factors"), STAND_INS.items())
def test_a_run_of_a_stand_in_has_its_attributes_or_its_class(stand_ins, experiment, factors):
    found = result(stand_ins, experiment, "code")
    assert found["experiment"] == experiment
    assert "rendered" in found["dataset"]
    assert list(found["dims"]) == list(found["scores"]) == factors
    assert sum(found["dims"].values()) == 64
    assert min(found["dims"].values()) > 0
    concepts, metrics = factors[:-1], found["metrics"]
    for matrix in ("swap", "probe", "retrieval"):
        assert list(metrics[matrix]) == factors
        assert all(list(row) == concepts for row in metrics[matrix].values())
    assert list(metrics["factors"]) == factors
    assert list(metrics["judge"]) == list(metrics["reconstruction"]) == concepts
    assert not any(name.endswith("_error") for name in metrics)  # nothing is measured: all is told by the judge
    for row in metrics["swap"].values():
        for rates in row.values():
            assert 0 <= min(rates.values()) <= max(rates.values()) <= 1
            if experiment == "celeba_ae":  # an attribute that isn't the source's is the target's
                assert rates["source"] + rates["target"] == pytest.approx(1)
    assert metrics["round_trip"] < 1e-4
    assert np.isfinite(metrics["nll"])
    folder = stand_ins / f"artifacts/embedded/{experiment}"
    assert json.loads((folder / "pairs/concepts.json").read_text()) == concepts
    pool, pairs = (np.load(folder / f"pairs/{name}.npz") for name in ("pool", "heldout_pairs"))
    assert pool["values"].shape == (300, len(concepts))
    assert set(pairs["factor"]) == set(range(len(concepts)))
    assert len(np.load(folder / "latents/heldout_mean.npy")) == 60
    headline = json.loads((stand_ins / f"results/embedded/metrics/{experiment}/code.json").read_text())
    lowest = min(metrics["swap"][concept][concept]["source"] for concept in concepts)
    assert headline["follows"] == round(lowest, 4)


@pytest.mark.parametrize(("experiment", "factors"), STAND_INS.items())
def test_the_figures_of_a_stand_in_show_the_images_of_its_grid(stand_ins, experiment, factors):
    folder = stand_ins / f"results/embedded/figures/{experiment}/code"
    kind = "predictions" if experiment.endswith("classifier") else "swap"
    for factor in factors:
        assert (folder / f"{kind}_{factor}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "transfer.png").exists() == (experiment == "animalfaces_ae")
    assert (folder / "retrieval.png").read_bytes().startswith(b"\x89PNG")
    config = YAML(typ="safe").load((stand_ins / f"paper_configs/embedded/{experiment}.yaml").read_text())
    grid = np.load(stand_ins / f"artifacts/embedded/{experiment}/code/evaluation/grid.npz")
    data = stand_ins / f"artifacts/embedded/{experiment}/data"
    images, labels = (np.load(data / f"heldout_{what}.npy") for what in ("images", "labels"))
    for side in ("targets", "sources"):
        wanted = config["evaluation"]["grid"][side]
        assert grid[side].shape == (len(wanted), 64, 64, 3)
        for image, value in zip(grid[side], wanted, strict=True):
            (index,) = np.flatnonzero((images == image).all((1, 2, 3)))
            assert labels[index].tolist() == ([int(digit) for digit in value] if isinstance(value, str) else [value])
    cells = tuple(len(config["evaluation"]["grid"][side]) for side in ("targets", "sources"))
    assert grid["cells_0"].shape == (cells if kind == "predictions" else (*cells, 64, 64, 3))
    if factors == ["class", "residual"]:
        assert grid["class_names"].tolist() == json.loads((data / "classes.json").read_text())


def test_the_page_shows_every_stand_in(stand_ins):
    page = (stand_ins / "results/embedded/index.html").read_text()
    assert "</html>" in page
    for experiment, factors in STAND_INS.items():
        assert experiment in page
        assert all(factor in page for factor in factors)
    for word in ("rendered faces, in place of CelebA", "rendered animals, in place of AnimalFaces"):
        assert word in page


def test_dvc_finds_every_file_of_the_stand_ins_where_it_is_declared(stand_ins):
    done = run(stand_ins, "dvc", "commit", "--force")
    assert done.returncode == 0, done.stderr
    done = run(stand_ins, "dvc", "repro")
    assert "up to date" in done.stdout
    assert "Running stage" not in done.stdout


@pytest.mark.parametrize(
    ("change", "command", "words"),
    [
        (lambda c: c["pairs"].update(weights=[1.0]), "pairs", ["pairs.weights", "4 concept"]),
        (lambda c: c["evaluation"]["grid"].update(targets=["01"]), "evaluate", ["grid.targets", "01", "4 digits"]),
    ],
)
def test_a_mistake_about_attributes_gets_one_line(stand_ins, change, command, words):
    path = stand_ins / "paper_configs/embedded/celeba_ae.yaml"
    before = path.read_text()
    edit(path, change)
    variant = ("--variant", "code") if command == "evaluate" else ()
    done = run(stand_ins, "reproduce", command, "--profile", "embedded", "--experiment", "celeba_ae", *variant)
    path.write_text(before)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert all(word in done.stderr for word in words), done.stderr


def test_an_unsupervised_run_writes_its_distances(project):
    found = result(project, "mnist", "density")
    assert [found[key] for key in ("experiment", "variant", "seed")] == ["mnist", "density", 0]
    assert found["dims"] == {"residual": 64}
    assert "layers" not in found
    assert not (project / "artifacts/embedded/mnist/latents/layers.json").exists()
    metrics = found["metrics"]
    for name in ("frechet", "frechet_prior", "frechet_reconstruction"):
        assert metrics[name]["inception"] is None
        assert metrics[name]["classifier"] > 0
    assert metrics["samples"] == 120
    assert np.isfinite(metrics["nll"])
    assert metrics["round_trip"] < 1e-4
    assert (project / "results/embedded/figures/mnist/density/training.png").stat().st_size > 0


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
    assert (project / "README.md").read_bytes() == (ROOT / "README.md").read_bytes()  # no stage writes it


def test_repro_again_does_nothing(project):
    done = run(project, "dvc", "repro")
    assert "up to date" in done.stdout
    assert "Running stage" not in done.stdout


def running(project):
    """The stages that `dvc repro` would run, without the profile."""
    lines = run(project, "dvc", "repro", "--dry").stdout.splitlines()
    return {line.split("'")[1] for line in lines if line.startswith("Running stage")}


def test_a_training_parameter_reruns_training_and_what_follows(project):
    path = project / "paper_configs/embedded/colormnist_ae.yaml"
    before = path.read_text()
    edit(path, lambda c: c["training"].update(steps=31))
    stages = {name.split("@")[0] for name in running(project)}
    path.write_text(before)
    assert {"train", "evaluate"} <= stages
    assert not stages & {"fetch", "first_stage", "pairs", "encode", "dimensions"}


def test_a_figure_style_redraws_and_trains_nothing(project):
    path = project / "reproduce/figures/style.mplstyle"
    before = path.read_text()
    path.write_text(before + "\nfont.size: 11\n")
    stages = {name.split("@")[0] for name in running(project)}
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
            lambda c: c["first_stage"].update(source="shipped"),
            "first_stage",
            1,
            ["pretrained/embedded/colormnist_ae-network.safetensors", "missing", "source: train"],
        ),
        (
            lambda c: (c["pool"].update(size=2), c["dataset"].update(n_colors=2000)),
            "pairs",
            2,
            ["concept", "no pair"],
        ),
        (lambda c: c["dataset"].update(n_train=9000), "fetch", 2, ["n_train=9000", "5000"]),
        (
            lambda c: c["evaluation"]["grid"].update(targets=[3] * 150),
            "evaluate",
            2,
            ["grid", "not enough held-out images of 3"],
        ),
    ],
    ids=["unknown key", "missing file", "no pair", "too many images", "no such digits"],
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


def test_too_few_pairs_for_an_estimate(project):
    path = project / "paper_configs/variants.yaml"
    before = path.read_text()
    edit(path, lambda c: c["code"].update(n_pairs=2))
    own = ("--profile", "embedded", "--experiment", "colormnist_ae", "--variant", "code")
    done = run(project, "reproduce", "dimensions", *own)
    path.write_text(before)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "pair(s)" in done.stderr
    assert "draw more" in done.stderr


def test_a_damaged_shipped_file_is_named(project):
    shipped = project / "pretrained/embedded/colormnist_ae-network.safetensors"
    shipped.write_bytes(b"half")
    path = project / "paper_configs/embedded/colormnist_ae.yaml"
    before = path.read_text()
    edit(path, lambda c: c["first_stage"].update(source="shipped"))
    done = run(project, "reproduce", "first_stage", "--profile", "embedded", "--experiment", "colormnist_ae")
    path.write_text(before)
    status = run(project, "dvc", "status")
    shipped.unlink()
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert done.stderr.count("\n") == 1
    assert "pretrained/embedded" in status.stdout  # a file more or less there shows


def test_a_missing_shipped_file_shows_in_the_status(project):
    listed = project / "pretrained/embedded/sha256.txt"
    listed.unlink()
    status = run(project, "dvc", "status")
    listed.touch()
    assert "first_stage@embedded-colormnist_ae" in status.stdout
    assert "pretrained/embedded" in status.stdout


def test_from_a_subfolder_dvc_needs_the_file_and_our_commands_need_nothing(project):
    folder = project / "paper_configs"
    assert "dvc.yaml' does not exist" in run(folder, "dvc", "repro").stderr
    assert "up to date" in run(folder, "dvc", "repro", "../dvc.yaml").stdout
    assert run(folder, "reproduce", "validate").returncode == 0


def results_of(folder):
    """The bytes of everything in results/."""
    return {path: path.read_bytes() for path in (folder / "results").rglob("*") if path.is_file()}


def test_the_metrics_of_a_run_fit_on_a_line(project):
    lines = run(project, "dvc", "metrics", "show").stdout.splitlines()
    assert len(lines) == 1 + len(EXPERIMENTS) * len(VARIANTS) + len(UNSUPERVISED)
    files = (project / "results/embedded/metrics/colormnist_classifier").glob("*.json")
    done = run(project, "dvc", "metrics", "show", *map(str, files))
    lines = done.stdout.splitlines()
    assert len(lines) == 1 + len(VARIANTS)
    assert max(map(len, lines)) < 100, done.stdout
    plots = run(project, "dvc", "plots", "show")
    assert plots.returncode == 0


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("embedded/colormnist_ae.yaml", lambda c: c["training"].update(stpes=1), "training.stpes: unknown key"),
        ("claims.yaml", lambda c: c[0].update(nope=1), "claims.yaml"),
        ("numbers.yaml", lambda c: c.update(nope=1), "numbers.yaml"),
        ("variants.yaml", lambda c: c["code"].update(half="yes"), "code.half"),
    ],
)
def test_a_mistake_in_a_config_stops_dvc_before_it_deletes_anything(project, file, change, words):
    path = project / "paper_configs" / file
    before, results = path.read_text(), results_of(project)
    edit(path, change)
    done = run(project, "dvc", "repro")
    path.write_text(before)
    assert done.returncode != 0
    assert words in done.stderr
    assert results_of(project) == results
    done = run(project, "dvc", "repro")
    assert done.returncode == 0
    assert "Running stage" not in done.stdout


def test_one_variant_with_a_further_seed_of_one_experiment_is_reported_beside_the_rest(project):
    pipeline = project / "paper_configs/pipeline.yaml"
    before = pipeline.read_text()
    own = ("embedded", "colormnist_classifier", "--variants", "code", "--seeds", "1", "--add")
    assert run(project, "reproduce", "select", *own).returncode == 0
    evaluated = run(project, "dvc", "repro", "evaluate@embedded-colormnist_classifier-code-seed1")
    assert evaluated.returncode == 0, evaluated.stderr[-2000:]
    # the report before the run's figures: it shows what is there, and names what is not
    report = run(project, "dvc", "repro", "-s", "report@embedded")
    assert report.returncode == 0, report.stderr[-2000:]
    assert "the report lacks colormnist_classifier/code-seed1" in report.stderr
    assert "code-seed1" in (project / "results/embedded/index.html").read_text()
    assert run(project, "dvc", "repro", "--dry").returncode == 0
    done = run(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lacks" not in done.stderr
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    assert ran <= {"figures@embedded-colormnist_classifier-code-seed1", "report@embedded"}
    assert result(project, "colormnist_classifier", "code-seed1")["seed"] == 1
    # back to what was selected: only the tables and the page are made anew
    pipeline.write_text(before)
    assert running(project) <= {"report@embedded", "validate"}
    assert run(project, "dvc", "repro").returncode == 0


def test_a_selection_and_back_reruns_no_experiment(project):
    pipeline = project / "paper_configs/pipeline.yaml"
    before, results = pipeline.read_text(), results_of(project)
    assert run(project, "reproduce", "select", "embedded", "mnist").returncode == 0
    assert run(project, "dvc", "repro").returncode == 0
    page = (project / "results/embedded/index.html").read_text()
    assert "colormnist_classifier" not in page
    pipeline.write_text(before)
    done = run(project, "dvc", "repro")
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    assert ran <= {"report@embedded", "validate"}
    assert results_of(project) == results


def test_another_profile_and_back_reruns_nothing(project):
    configs, results = project / "paper_configs", results_of(project)
    before = (configs / "pipeline.yaml").read_text()
    (configs / "other").mkdir()
    shutil.copy(configs / "embedded/mnist.yaml", configs / "other/mnist.yaml")
    assert run(project, "reproduce", "select", "other").returncode == 0
    done = run(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (project / "results/other/index.html").exists()
    shutil.rmtree(configs / "other")
    (configs / "pipeline.yaml").write_text(before)
    done = run(project, "dvc", "repro")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Running stage" not in done.stdout
    shutil.rmtree(project / "results/other")
    assert results_of(project) == results


def test_a_branch_and_back_reruns_nothing(tmp_path):
    def git(*arguments):
        done = run(tmp_path, "git", "-c", "user.name=n", "-c", "user.email=n@example.org", *arguments)
        assert done.returncode == 0, done.stderr

    copy_project(tmp_path, UNSUPERVISED, ["density"], git=True)
    git("init", "--quiet", "--initial-branch=main")
    assert run(tmp_path, "dvc", "repro").returncode == 0
    git("add", "--all")
    git("commit", "--quiet", "--message=toy")
    before = results_of(tmp_path)
    git("checkout", "--quiet", "-b", "other")
    edit(tmp_path / "paper_configs/embedded/mnist.yaml", lambda c: c["training"].update(steps=20))
    assert run(tmp_path, "dvc", "repro").returncode == 0
    git("add", "--all")
    git("commit", "--quiet", "--message=fewer steps")
    assert results_of(tmp_path) != before
    git("checkout", "--quiet", "main")
    done = run(tmp_path, "dvc", "repro")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Running stage" not in done.stdout
    assert results_of(tmp_path) == before
    # an experiment of DVC changes one value, and one line
    done = run(tmp_path, "dvc", "exp", "run", "-S", "paper_configs/embedded/mnist.yaml:training.steps=20")
    assert done.returncode == 0, done.stderr[-2000:]
    diff = run(tmp_path, "git", "diff", "--numstat", "paper_configs", "README.md").stdout.split()
    assert diff == ["1", "1", "paper_configs/embedded/mnist.yaml"]
    ran = {line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage")}
    assert ran <= {"figures@embedded-mnist-density", "report@embedded"}  # what was trained on the branch is known
