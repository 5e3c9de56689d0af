"""dvc.yaml and the configs against the code: what a stage imports, reads and writes is declared."""

import ast
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML

from reproduce import pipeline
from reproduce.code import sources
from reproduce.config import Experiment, Variant, load_experiment, load_variant
from reproduce.errors import UserError
from reproduce.pipeline import load_pipeline, select
from reproduce.stages import validate

ROOT = Path(__file__).parent.parent
STAGES = {
    name: stage.get("do", stage)
    for name, stage in YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"].items()
}
DATA = sorted({path.stem for path in (ROOT / "reproduce/data").glob("*.py")} - {"__init__", "registry"})
OF_DATA = [name for name, stage in STAGES.items() if "reproduce/data/${item.data}.py" in stage["deps"]]


def declared(stage: str, data: str) -> set[Path]:
    """The source files that the stage's deps name or hold."""
    found: set[Path] = set()
    for dep in STAGES[stage]["deps"]:
        path = ROOT / dep.replace("${item.data}", data)
        if dep.startswith("reproduce/"):
            assert path.exists(), f"{stage}: {dep}"
            found |= set(path.rglob("*.py")) if path.is_dir() else {path}
    return found


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "validate"])
@pytest.mark.parametrize("data", DATA)
def test_a_stage_depends_on_what_it_imports_and_names_no_file_that_it_does_not(stage: str, data: str) -> None:
    """A folder counts as used when the stage imports anything in it."""
    imported = set(sources(stage, data=data if stage in OF_DATA else None))
    assert imported <= declared(stage, data), sorted(imported - declared(stage, data))
    for dep in STAGES[stage]["deps"]:
        path = ROOT / dep.replace("${item.data}", data)
        if dep.startswith("reproduce/"):
            used = path in imported or any(path in file.parents for file in imported)
            # a rendered data set alone imports the renderers
            assert used or (stage, dep) == ("fetch", "reproduce/rendered"), f"{stage}: {dep}"


def attributes(stage: str, name: str) -> set[str]:
    """The attributes that the stage's module takes from the variable `name`."""
    tree = ast.parse((ROOT / f"reproduce/stages/{stage}.py").read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    }


def params(stage: str, ending: str) -> list[str] | None:
    """The keys of a config file that the stage tracks; None for the whole file."""
    for entry in STAGES[stage].get("params", []):
        for file, keys in entry.items():
            if file.endswith(ending):
                return keys
    return []


DERIVED = {"concepts": {"pairs"}}


@pytest.mark.parametrize("stage", [name for name in STAGES if name not in ("validate", "report", "figures")])
def test_a_stage_tracks_the_config_sections_that_it_reads(stage: str) -> None:
    keys = params(stage, "${item.experiment}.yaml")
    if keys is None:
        return
    read: set[str] = set()
    for attribute in attributes(stage, "config"):
        read |= DERIVED.get(attribute, {attribute} & Experiment.model_fields.keys())
    tracked = {key.split(".")[0] for key in keys}
    assert read - {"device", "title"} <= tracked  # where it is computed, and a name, change no result
    assert tracked <= Experiment.model_fields.keys()


@pytest.mark.parametrize("stage", ["dimensions", "train"])
def test_a_stage_tracks_the_choices_of_the_variant_that_it_reads(stage: str) -> None:
    keys = params(stage, "variants.yaml")
    assert keys is not None
    assert attributes(stage, "choice") & set(Variant.model_fields) == {key.rsplit(".", 1)[1] for key in keys}


def outs(stage: str) -> list[str]:
    entries = [*STAGES[stage].get("outs", []), *STAGES[stage].get("metrics", [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def test_the_stages_stand_in_the_order_in_which_they_run_and_in_that_of_the_drawing() -> None:
    text = (ROOT / "dvc.yaml").read_text()
    drawing = next(line for line in text.splitlines() if "─>" in line)
    assert ["validate", *(name.strip("# ") for name in drawing.split("─>"))] == list(STAGES)
    written: list[str] = []
    for name, stage in STAGES.items():
        for dep in stage["deps"]:
            if dep.startswith(("artifacts/", "results/")):
                place = dep.replace("${item}", "${item.profile}")
                assert any(out.startswith(place) or place.startswith(out) for out in written), f"{name}: {dep}"
        written += outs(name)


def test_every_stage_has_its_module_and_dvc_yaml_is_half_of_what_it_was() -> None:
    modules = {path.stem for path in (ROOT / "reproduce/stages").glob("*.py")} - {"__init__"}
    assert modules == STAGES.keys()
    assert len((ROOT / "dvc.yaml").read_text().splitlines()) <= 320


@pytest.mark.parametrize(
    "path",
    [ROOT / "paper_configs/variants.yaml", *sorted((ROOT / "paper_configs").glob("*/*.yaml"))],
    ids=lambda path: path.stem,
)
def test_dvc_changes_one_line_when_it_sets_one_value(path: Path, tmp_path: Path) -> None:
    """`dvc exp run -S` writes a file anew; the files here have the form that it writes."""
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    apply_overrides(copy, ["+added=1"])
    before, after = path.read_text().splitlines(), copy.read_text().splitlines()
    assert [line for line in after if line not in before] == ["added: 1"]
    assert [line for line in before if line not in after] == []
    assert len(after) == len(before) + 1


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pipeline.yaml to write."""
    path = tmp_path / "pipeline.yaml"
    monkeypatch.setattr(pipeline, "PIPELINE", path)
    return path


def test_the_file_in_the_repository_is_what_select_writes(own: Path) -> None:
    select("embedded")
    assert own.read_text() == (ROOT / "paper_configs/pipeline.yaml").read_text()
    for run in load_pipeline().runs.values():
        assert load_experiment(run.profile, run.experiment).dataset.name == run.data
        assert load_variant(run.name).name == run.name


def test_an_experiment_is_selected_with_its_own_variants_and_seeds(own: Path) -> None:
    select("embedded", ["colormnist_ae"], variants=["code"], seeds=[0, 2])
    select("full", ["mnist"], add=True)
    chosen = load_pipeline()
    assert chosen.profiles == ("embedded", "full")
    assert list(chosen.experiments) == ["embedded-colormnist_ae", "full-mnist"]
    assert chosen.runs_of("embedded") == [("colormnist_ae", "code"), ("colormnist_ae", "code-seed2")]
    assert chosen.runs_of("full") == [("mnist", "density")]
    select("sample", ["celeba_ae"])
    assert load_pipeline().profiles == ("sample",)


def test_a_profile_that_is_only_named_is_refused(own: Path) -> None:
    """As by `dvc exp run -S 'paper_configs/pipeline.yaml:profiles=[full]'`, which names no runs."""
    select("embedded", ["mnist"])
    own.write_text(own.read_text().replace("- embedded", "- full"))
    with pytest.raises(UserError, match=r"pipeline\.yaml: profiles: .*`reproduce select PROFILE` writes the file anew"):
        load_pipeline()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"profile": "nope"}, "no profile 'nope' in .*; there are embedded, full, sample"),
        ({"profile": "embedded", "experiments": ["nope"]}, r"no .*embedded/nope\.yaml; known are "),
        ({"profile": "embedded", "variants": ["nope"]}, "no variant 'nope'; it has paper, normalised, code"),
        ({"profile": "embedded", "experiments": ["celeba_ae"], "variants": ["density"]}, "celeba_ae.yaml has concepts"),
        ({"profile": "embedded", "variants": ["code"], "seeds": [-1]}, "a further seed is a number from 1 on"),
    ],
)
def test_what_does_not_exist_is_not_selected(own: Path, arguments: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        select(**arguments)
    assert not own.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "  embedded-mnist-density: {",
            "  embedded-mnist-other: {",
            "embedded-mnist-other: this entry describes embedded-mnist-density",
        ),
        ("variant: density", "variant: code", "the name density is not one of the variant code"),
        ("  embedded-mnist: {profile: embedded, experiment: mnist, data: mnist}", "  {}", "experiments"),
    ],
)
def test_a_file_edited_by_hand_is_checked(own: Path, old: str, new: str, words: str) -> None:
    select("embedded", ["mnist"])
    text = own.read_text()
    assert old in text
    own.write_text(text.replace(old, new))
    with pytest.raises(UserError, match=words):
        load_pipeline()


def test_a_data_set_that_is_not_the_configs_is_refused(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC would watch another module than the one that the stages use."""
    monkeypatch.setattr(validate, "ROOT", own.parent)
    select("embedded", ["mnist"])
    validate.run()
    own.write_text(own.read_text().replace("data: mnist", "data: celeba"))
    with pytest.raises(UserError, match="embedded-mnist: the data set is mnist, not celeba; correct `data`"):
        validate.run()
