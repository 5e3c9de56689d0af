"""Official checkpoints become safetensors that say what they were, by hand and by the stages; others are refused."""

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ruamel.yaml import YAML
from safetensors import safe_open
from serving import serving
from test_official import State, official_state
from torch import nn

from reproduce import Autoencoder, Classifier, Flow, cli, config, load_official_flow, paths
from reproduce.config import all_sources
from reproduce.errors import ReproduceError, UserError
from reproduce.files import sha256
from reproduce.intake.download import Downloads
from reproduce.models.weights import load_network
from reproduce.official.convert import fetch_checkpoint
from reproduce.seeds import numpy_generator, torch_generator
from reproduce.stages import fetch as stages_fetch

ROOT = Path(__file__).parent.parent
SMALL = {"width": 2, "latent_dim": 3}
KINDS: dict[str, type[nn.Module]] = {"autoencoder": Autoencoder, "classifier": Classifier, "flow": Flow}


@pytest.fixture(scope="module")
def states(golden: Path) -> dict[str, State]:
    return {
        "autoencoder": official_state(Autoencoder(**SMALL)),
        "classifier": official_state(Classifier(**SMALL)),
        "flow": torch.load(golden / "flow_small.pt", weights_only=True)["state_dict"],
    }


def checkpoint(path: Path, state: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model": state, "loss": {}, "optimizer": {}}, path)
    return path


def header(path: Path) -> dict[str, Any]:
    with safe_open(str(path), framework="pt") as file:
        return json.loads(file.metadata()["network"])


def convert(source: Path, kind: str, out: Path) -> int:
    return cli.main(["convert-official", str(source), "--kind", kind, str(out)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_checkpoint_holds_the_same_weights_and_says_what_it_was(
    tmp_path: Path, states: dict[str, State], kind: str
) -> None:
    source, out = checkpoint(tmp_path / "model-7.ckpt", states[kind]), tmp_path / "deep/er/out.safetensors"
    assert convert(source, kind, out) == 0
    network = load_network(out, KINDS[kind])
    origin = {
        "code": "CompVis/iin",
        "file": "model-7.ckpt",
        "kind": kind,
        "sha256": sha256(source),
        "weights": sum(parameter.numel() for parameter in network.parameters()),
    }
    assert header(out)["origin"] == origin
    if kind == "flow":
        z = torch.randn(5, 64, generator=torch_generator(0, "test latents"))
        for ours, theirs in zip(network(z), load_official_flow(states[kind])(z), strict=True):
            assert torch.equal(ours, theirs)
    else:
        assert all(torch.equal(value, states[kind][key]) for key, value in official_state(network).items())  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["autoencoder", "classifier"])
def test_the_golden_checkpoints_do_as_the_official_code_after_conversion(
    official_checkpoints: Path, tmp_path: Path, kind: str
) -> None:
    name = {"autoencoder": "cmnist_ae", "classifier": "cmnist_clf"}[kind]
    assert convert(official_checkpoints / f"{name}.ckpt", kind, tmp_path / "x.safetensors") == 0
    expected = torch.load(official_checkpoints / f"{name}_io.pt", weights_only=True)
    with torch.no_grad():
        if kind == "autoencoder":
            autoencoder = load_network(tmp_path / "x.safetensors", Autoencoder)
            found = {"mean": autoencoder.encode(expected["x"]).mean, "decoded": autoencoder.decode(expected["mean"])}
        else:
            classifier = load_network(tmp_path / "x.safetensors", Classifier)
            found = {"z": classifier.encode(expected["x"]), "logits": classifier.classify(expected["z"])}
    for key, value in found.items():
        torch.testing.assert_close(value, expected[key], rtol=0, atol=1e-5)


def first_layer(state: State) -> str:
    return next(key for key in state if key.endswith("weight"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_does_not_fit_is_a_users_mistake_that_names_the_first_key(
    tmp_path: Path, states: dict[str, State], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    state = states[kind]
    key = first_layer(state)
    other = "classifier" if kind == "flow" else "flow"
    mark = {"autoencoder": "decoder_layers.0", "classifier": "classifier.weight", "flow": "realnvp.flow.0.flow.0.loc"}
    cases = {
        other: (state, mark[kind]),  # another kind
        kind: ({name: value for name, value in state.items() if name != key}, f"{key} is missing"),
        f"{kind} ": (state | {key: state[key][None]}, f"{key} is "),
        f"{kind}  ": (state | {"more.weight": torch.zeros(1)}, "more.weight has no place"),
    }
    for wanted, (content, words) in cases.items():
        source = checkpoint(tmp_path / "model.ckpt", content)
        assert convert(source, wanted.strip(), tmp_path / "out.safetensors") == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
        assert error.startswith(f"reproduce: error: {source}")
        assert [path.name for path in tmp_path.iterdir()] == ["model.ckpt"]


def test_a_file_that_exists_is_not_written_over(
    tmp_path: Path, states: dict[str, State], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine")
    assert convert(checkpoint(tmp_path / "model.ckpt", states["flow"]), "flow", tmp_path / "out") == 2
    assert "out exists already: delete it, or name another file" in capsys.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


# --- out of the authors' archive

SOURCES = all_sources().sources
MEMBERS = SOURCES["official_logs"].members


def pack(base: Path, **states: State) -> bytes:
    """The authors' archive, with these checkpoints by our names."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, state in states.items():
            tar.add(checkpoint(base / f"{name}.ckpt", state), MEMBERS[name].path)
    return buffer.getvalue()


def downloads(base: Path, address: str) -> Downloads:
    return Downloads(sources=SOURCES, folder=base / "downloads", mirror=address)


def test_a_checkpoint_comes_out_of_the_archive_that_is_fetched(tmp_path: Path, states: dict[str, State]) -> None:
    archive = pack(tmp_path, colormnist_ae=states["autoencoder"], colormnist_classifier=states["classifier"])
    work, out = tmp_path / "work", tmp_path / "network.safetensors"
    with serving({"/logs.tar.gz": archive}) as server:
        source = downloads(tmp_path, server.address)
        fetch_checkpoint(source, archive="official_logs", name="colormnist_classifier", out=out, work=work)
    assert isinstance(load_network(out, Classifier), Classifier)
    assert header(out)["origin"]["file"] == MEMBERS["colormnist_classifier"].path
    assert header(out)["origin"]["sha256"] == sha256(tmp_path / "colormnist_classifier.ckpt")
    assert list(work.iterdir()) == []


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        ("classifier", "is no autoencoder: it has the key classifier.weight"),
        ("flow", "is no autoencoder: it has the key realnvp"),
        (None, "has no logs/2020-04-27T22-55-44_cmnist_ae"),
    ],
)
def test_an_archive_that_holds_something_else_is_one_line(
    tmp_path: Path, states: dict[str, State], packed: str | None, words: str
) -> None:
    content = pack(tmp_path, **({"celeba_ae": states["flow"]} if packed is None else {"colormnist_ae": states[packed]}))
    out = tmp_path / "network.safetensors"
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/logs.tar.gz").write_bytes(content)
    source = downloads(tmp_path, str(tmp_path / "mirror"))
    with pytest.raises(ReproduceError, match=words) as caught:
        fetch_checkpoint(source, archive="official_logs", name="colormnist_ae", out=out, work=tmp_path / "work")
    assert not isinstance(caught.value, UserError)
    assert "\n" not in str(caught.value)
    assert "logs.tar.gz" in str(caught.value)
    assert not out.exists()
    # another one can take its place
    (tmp_path / "downloads/logs.tar.gz").write_bytes(pack(tmp_path, colormnist_ae=states["autoencoder"]))
    fetch_checkpoint(source, archive="official_logs", name="colormnist_ae", out=out, work=tmp_path / "work")
    assert isinstance(load_network(out, Autoencoder), Autoencoder)


# --- by the stages fetch and first_stage, in a project of their own


def idx(array: np.ndarray) -> bytes:
    """The array as MNIST's files hold it."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


def edit(path: Path, **sections: dict[str, Any]) -> None:
    yaml = YAML()
    content = yaml.load(path.read_text())
    for section, values in sections.items():
        content[section].update(values)
    with path.open("w") as file:
        yaml.dump(content, file)


@pytest.fixture
def project(tmp_path: Path, states: dict[str, State], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The full profile on seven digits and a narrow classifier, both in the folder `mirror`."""
    (tmp_path / "paper_configs/full").mkdir(parents=True)
    for name in ("pipeline", "variants", "sources"):
        (tmp_path / f"paper_configs/{name}.yaml").write_text((ROOT / f"paper_configs/{name}.yaml").read_text())
    experiment = tmp_path / "paper_configs/full/colormnist_classifier.yaml"
    experiment.write_text((ROOT / "paper_configs/full/colormnist_classifier.yaml").read_text())
    edit(experiment, dataset={"n_train": 7, "n_heldout": 7}, first_stage=SMALL)
    digits = {}
    random = numpy_generator(0, "test digits")
    for part in ("train", "test"):
        for what, array in (("images", random.integers(0, 256, (7, 28, 28))), ("labels", np.arange(7))):
            name = f"mnist_{part}_{what}"
            path = tmp_path / "mirror" / SOURCES[name].file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(idx(array)))
            digits[name] = YAML(typ="safe").load((ROOT / "paper_configs/sources.yaml").read_text())["sources"][name]
            digits[name]["md5"] = None
    edit(tmp_path / "paper_configs/sources.yaml", sources=digits)
    content = pack(tmp_path / "ckpt", colormnist_classifier=states["classifier"], colormnist_ae=states["autoencoder"])
    (tmp_path / "mirror/logs.tar.gz").write_bytes(content)
    for module in (paths, config):
        monkeypatch.setattr(module, "CONFIGS", tmp_path / "paper_configs")
    (tmp_path / "dvc.yaml").touch()
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)  # the command line changes to it, and this changes back
    mirror = str(tmp_path / "mirror")
    monkeypatch.setattr(stages_fetch, "WORK", tmp_path / ".work")
    monkeypatch.setattr("reproduce.config.DOWNLOADS", tmp_path / "downloads")
    monkeypatch.setattr("reproduce.config.MIRROR", mirror)
    return tmp_path


def run(stage: str) -> int:
    return cli.main([stage, "--profile", "full", "--experiment", "colormnist_classifier"])


def test_the_stages_fetch_and_take_the_official_network(
    project: Path, states: dict[str, State], capsys: pytest.CaptureFixture[str]
) -> None:
    assert (run("fetch"), run("first_stage")) == (0, 0)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("fetch: 5 files, 2.21GB to fetch; the profile full needs about ")
    base = project / "artifacts/full/colormnist_classifier"
    assert (base / "first_stage/network.safetensors").read_bytes() == (base / "data/network.safetensors").read_bytes()
    network = load_network(base / "first_stage/network.safetensors", Classifier)
    assert all(torch.equal(value, states["classifier"][key]) for key, value in official_state(network).items())
    assert sorted(path.name for path in (base / "first_stage").iterdir()) == ["network.safetensors"]
    np.testing.assert_array_equal(np.load(base / "data/train_labels.npy"), np.arange(7))


@pytest.mark.parametrize(
    ("changes", "codes", "words"),
    [
        (
            {"width": 64},
            (0, 2),
            "full/colormnist_classifier.yaml: width is 64, but the checkpoint colormnist_classifier has 2",
        ),
        ({"latent_dim": 64}, (0, 2), "latent_dim is 64, but the checkpoint colormnist_classifier has 3"),
        (
            {"source": {"checkpoint": "colormnist_ae"}},
            (2, 2),
            "colormnist_ae is of the kind autoencoder, first_stage.kind is class",
        ),
        (
            {"source": {"checkpoint": "resnet"}},
            (2, 2),
            "has no checkpoint 'resnet'; it has mnist_ae, fashionmnist_ae, cifar10_ae",
        ),
    ],
)
def test_a_network_that_the_config_does_not_describe_is_refused(
    project: Path, changes: dict[str, Any], codes: tuple[int, int], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(project / "paper_configs/full/colormnist_classifier.yaml", first_stage=changes)
    assert (run("fetch"), run("first_stage")) == codes
    assert words in capsys.readouterr().err.splitlines()[-1]
    assert not (project / "artifacts/full/colormnist_classifier/first_stage").exists()


def test_an_archive_that_was_cut_short_is_not_remembered_as_the_right_one(
    tmp_path: Path, states: dict[str, State]
) -> None:
    whole = pack(tmp_path, colormnist_ae=states["autoencoder"])
    (tmp_path / "downloads").mkdir()
    by_hand = tmp_path / "downloads/logs.tar.gz"
    by_hand.write_bytes(whole[: len(whole) // 2])
    wanted = {"archive": "official_logs", "name": "colormnist_ae", "work": tmp_path / "work"}
    out = tmp_path / "network.safetensors"
    with pytest.raises(ReproduceError, match="damaged or cut short"):
        fetch_checkpoint(downloads(tmp_path, ""), out=out, **wanted)
    by_hand.write_bytes(whole)
    fetch_checkpoint(downloads(tmp_path, ""), out=out, **wanted)
    assert isinstance(load_network(out, Autoencoder), Autoencoder)
