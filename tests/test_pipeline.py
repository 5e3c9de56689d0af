"""dvc.yaml against the code: a stage depends on the modules that it imports and the config keys that it reads."""

import ast
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from reproduce.config import DENSITY, Experiment, Unsupervised, Variant, load_pipeline

ROOT = Path(__file__).parent.parent
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
# the modules that serve experiments without concepts as well
MODULES = {f"{name}_density": name for name in ("fetch", "first_stage", "encode", "train", "figures")}
# plumbing: it decides where and how files are written, never what is in them; config values are tracked as params
PLUMBING = {f"reproduce/{name}.py" for name in ("errors", "files", "paths", "config", "machine", "device")}


def module_file(name: str) -> str | None:
    path = ROOT / (name.replace(".", "/") + ".py")
    return str(path.relative_to(ROOT)) if path.is_file() else None


def imports(path: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("reproduce"):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith("reproduce")]
        else:
            continue
        found |= {file for name in names if (file := module_file(name))}
    return found


def module_of(stage: str) -> str:
    return f"reproduce/stages/{MODULES.get(stage, stage)}.py"


def closure(path: str) -> set[str]:
    seen: set[str] = set()
    todo = [path]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += imports(current) - PLUMBING
    return seen


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_modules_it_imports(stage):
    declared = {dep for dep in STAGES[stage]["deps"] if str(dep).startswith("reproduce/") and dep.endswith(".py")}
    assert declared == closure(module_of(stage))


def config_sections(path: str) -> set[str]:
    """The attributes that a stage module takes from `config`, or from `load_experiment(…)` itself."""
    found = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Attribute):
            value = node.value
            if isinstance(value, ast.Name) and value.id == "config":
                found.add(node.attr)
            if isinstance(value, ast.Call) and getattr(value.func, "id", "").startswith("load_"):
                found.add(node.attr)
    return found & (Experiment.model_fields | Unsupervised.model_fields).keys() - {
        "device",
        "title",
    }  # where it is computed, and a name


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_tracks_the_config_sections_it_reads(stage):
    declared: set[str] | None = set()
    for entry in STAGES[stage].get("params", []):
        for file, keys in entry.items():
            if file.endswith("${item.experiment}.yaml"):
                declared = None if keys is None else {key.split(".")[0] for key in keys}
    if declared is not None:  # None: the whole file
        own = (Unsupervised if stage.endswith("_density") else Experiment).model_fields
        assert config_sections(module_of(stage)) & own.keys() == declared


PLACES = {
    "data": "artifacts/${item.profile}/${item.experiment}/data",
    "first_stage": "artifacts/${item.profile}/${item.experiment}/first_stage",
    "pairs": "artifacts/${item.profile}/${item.experiment}/pairs",
    "latents": "artifacts/${item.profile}/${item.experiment}/latents",
    "dimensions": "artifacts/${item.profile}/${item.experiment}/${item.variant}/dimensions.json",
    "flow": "artifacts/${item.profile}/${item.experiment}/${item.variant}/flow",
    "evaluation": "artifacts/${item.profile}/${item.experiment}/${item.variant}/evaluation",
    "metrics": "results/${item.profile}/runs/${item.experiment}/${item.variant}.json",
    "figures": "results/${item.profile}/figures/${item.experiment}/${item.variant}",
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_place_it_reads_or_writes(stage):
    tree = ast.parse((ROOT / module_of(stage)).read_text())
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "site"
    }
    entries = [*STAGES[stage].get("deps", []), *STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    declared = {entry if isinstance(entry, str) else next(iter(entry)) for entry in entries}
    if stage in MODULES:
        used -= {"pairs", "dimensions"}  # an experiment without concepts has none
    assert {PLACES[name] for name in used & PLACES.keys()} <= declared


def test_a_stage_tracks_the_choices_of_the_variant_that_it_reads():
    for stage in ("dimensions", "train"):
        tree = ast.parse((ROOT / f"reproduce/stages/{stage}.py").read_text())
        used = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "choice"
        }
        (keys,) = (
            entry["paper_configs/variants.yaml"]
            for entry in STAGES[stage]["params"]
            if "paper_configs/variants.yaml" in entry
        )
        assert used & set(Variant.model_fields) == {key.rsplit(".", 1)[1] for key in keys}


def test_the_plots_are_the_training_curves_and_swap_images_of_every_run():
    entries = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["plots"]
    profile = "${profiles[0]}"
    pipeline = load_pipeline()
    runs = {(experiment, variant) for experiment in pipeline.experiments for variant in pipeline.variants}
    runs |= {(experiment, DENSITY) for experiment in pipeline.unsupervised}
    curves = [curve for entry in entries if isinstance(entry, dict) for of in entry.values() for curve in of["y"]]
    assert len(curves) == len(set(curves))
    assert set(curves) == {f"artifacts/{profile}/{name}/{variant}/flow/training.csv" for name, variant in runs}

    figures = ROOT / "results" / "embedded" / "figures"
    if not figures.exists():
        pytest.skip("results/embedded is not there: make reproduce writes it")
    drawn = {path for kind in ("swap", "predictions") for path in figures.glob(f"*/*/{kind}_*.png")}
    drawn |= set(figures.glob(f"*/{DENSITY}/samples.png"))
    images = [entry for entry in entries if isinstance(entry, str)]
    assert len(images) == len(set(images))
    assert set(images) == {f"results/{profile}/figures/{path.relative_to(figures)}" for path in drawn}
