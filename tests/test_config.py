"""Configs are read strictly, and what is wrong in one is said in one line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from reproduce import config as configs
from reproduce.config import Experiment, Variant, load_experiment, load_pipeline, load_variant, read_yaml, validated
from reproduce.errors import UserError
from reproduce.paths import CONFIGS

FILES = sorted(CONFIGS.glob("*/*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_file_is_valid(path):
    assert load_experiment(path.parent.name, path.stem).seed == 0


def test_the_pipeline_names_experiments_and_variants_that_exist():
    pipeline = load_pipeline()
    for profile in pipeline.profiles:
        for experiment in pipeline.experiments:
            load_experiment(profile, experiment)
    for variant in pipeline.variants:
        load_variant(variant)


def departures(embedded, full, path=""):
    """Dotted paths of the values in which two configs differ."""
    if isinstance(embedded, dict) and isinstance(full, dict):
        return [p for key in embedded for p in departures(embedded[key], full.get(key), f"{path}.{key}".strip("."))]
    return [] if embedded == full else [path]


@pytest.mark.parametrize("experiment", load_pipeline().experiments)
def test_every_value_of_the_embedded_profile_that_departs_from_the_official_one_says_so(experiment):
    folders = [CONFIGS / profile / f"{experiment}.yaml" for profile in ("embedded", "full")]
    lines = folders[0].read_text().splitlines()
    plain = {"title", "sha256", "decay_from"}  # told by the line before, or by their names
    for path in departures(*map(read_yaml, folders)):
        section, key = path.split(".")[0], path.split(".")[-1]
        if key in plain:
            continue
        start = next(i for i, line in enumerate(lines) if line.startswith(f"{section}:"))
        line = next(line for line in lines[start:] if line.strip().startswith(f"{key}:"))
        assert "# ours" in line or "shipped" in line, f"{path}: {line}"


def value():
    return read_yaml(CONFIGS / "embedded" / "colormnist_ae.yaml")


def broken(change):
    content = value()
    change(content)
    with pytest.raises(UserError) as caught:
        validated(Experiment, content, CONFIGS / "embedded" / "colormnist_ae.yaml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("paper_configs/embedded/colormnist_ae.yaml: ")
    return message


def test_an_unknown_key_is_named():
    assert "training.stpes: unknown key" in broken(lambda c: c["training"].update(stpes=3))


def test_a_missing_key_is_named():
    assert "flow.n_blocks: missing" in broken(lambda c: c["flow"].pop("n_blocks"))


@pytest.mark.parametrize("wrong", ["900", 900.5, True, 0, -1, None])
def test_a_wrong_type_or_range_is_named_with_its_value(wrong):
    message = broken(lambda c: c["training"].update(steps=wrong))
    assert "training.steps" in message
    assert repr(wrong) in message


def test_a_shipped_network_needs_a_checksum():
    message = broken(lambda c: c["first_stage"].update(source="shipped", sha256=""))
    assert "source: shipped needs the file's sha256" in message


def test_an_autoencoder_needs_a_judge():
    assert "images need a judge" in broken(lambda c: c.update(judge=None))


def test_a_config_is_frozen():
    experiment = load_experiment("embedded", "colormnist_ae")
    with pytest.raises(ValidationError, match="frozen"):
        experiment.training.steps = 3


def test_yaml_is_read_as_dvc_reads_it(tmp_path):
    """YAML 1.2: 1e-3 is a number, on is a word, 012 is twelve."""
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-3\nb: on\nc: 012\n")
    assert read_yaml(path) == {"a": 1e-3, "b": "on", "c": 12}


def test_broken_yaml_names_file_and_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [1, 2\n")
    with pytest.raises(UserError, match=r"x\.yaml line \d+: "):
        read_yaml(path)


def test_an_unknown_experiment_or_variant_lists_the_known():
    with pytest.raises(UserError, match=r"paper_configs/embedded/nope\.yaml; known are .*embedded/colormnist_ae"):
        load_experiment("embedded", "nope")
    with pytest.raises(UserError, match="no variant 'nope'; it has paper, normalised, code"):
        load_variant("nope")


VARIANT = {"description": "", "seed": 0, "variance": "1-rho^2", "half": True}


def test_a_variant_takes_estimators_chunks_or_sizes():
    path = Path("variants.yaml")
    for dims in ("paper", "normalised", "code", "equal", [22, 11, 31]):
        read = validated(Variant, {**VARIANT, "dims": dims}, path)
        assert read.dims == (tuple(dims) if isinstance(dims, list) else dims)
    for wrong in ("guess", [1, "a", 3], [1, -1, 64], [], 3):
        with pytest.raises(
            UserError, match=r"variants\.yaml: x\.dims: one of paper, normalised, code, equal, or a list"
        ):
            validated(Variant, {**VARIANT, "dims": wrong}, path, "x")


def test_the_name_of_a_variant_tells_its_seed(tmp_path, monkeypatch):
    (tmp_path / "variants.yaml").write_text(
        'code-seed1: {description: "", seed: 1, dims: code, variance: 1-rho^2, half: true}\n'
        'other: {description: "", seed: 1, dims: code, variance: 1-rho^2, half: true}\n'
    )
    monkeypatch.setattr(configs, "CONFIGS", tmp_path)
    assert load_variant("code-seed1").seed == 1
    with pytest.raises(UserError, match="other: with seed: 1 its name must be other-seed1"):
        load_variant("other")


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("training", {"betas": [0.9, 1.5]}, "training.betas.1"),
        ("training", {"peak_rate": float("nan")}, "training.peak_rate"),
        ("training", {"schedule": "linear_decay"}, "decay_from is a step"),
        ("training", {"schedule": "linear_decay", "decay_from": 10**6}, "beyond steps"),
        ("pairs", {"weights": [float("inf"), 0.3]}, "pairs.weights.0"),
        ("grid", {"targets": []}, "grid.targets"),
        ("grid", {"targets": [11]}, "grid.targets.0"),
        ("evaluation", {"n_probe": 1}, "evaluation.n_probe"),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(section, change, words):
    assert words in broken(lambda c: c[section].update(change))


def test_a_config_that_is_not_text_is_named(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(UserError, match=r"x\.yaml is not a UTF-8 text file"):
        read_yaml(path)
