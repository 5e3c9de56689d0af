"""Two processes by torchrun against one, on the same batches, in float64; and the stage `train` in two processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchrun_worker
from ruamel.yaml import YAML

from reproduce import cli
from reproduce.errors import UserError
from reproduce.files import write_array, write_arrays, write_json
from reproduce.training import distributed

ROOT = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one process made, and what two did."""
    folder = tmp_path_factory.mktemp("torchrun")
    torch.set_default_dtype(torch.float64)
    try:
        torchrun_worker.main(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *launcher, torchrun_worker.__file__, str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"{n}.pt", weights_only=True) for n in (1, 2)]


@pytest.mark.parametrize("training", ["flow 32", "flow 25", "flow continued", "autoencoder", "classifier"])
def test_two_processes_train_as_one_does(trained, training):
    (one, log), (two, other_log) = trained[0][training], trained[1][training]
    assert one.keys() == two.keys()
    for name, value in one.items():
        assert value.dtype in (torch.float64, torch.int64)
        assert (value - two[name]).abs().max() < 1e-6, name
    assert [row.keys() for row in log] == [row.keys() for row in other_log]
    for row, other in zip(log, other_log, strict=True):
        assert row == pytest.approx(other, rel=1e-6)


def test_a_request_to_one_process_stops_all_after_the_same_step(trained):
    assert [found["stopped after"] for found in trained] == [
        8,
        8,
    ]  # the first two draws decide the noise and the initialisation


def test_a_training_in_two_processes_continues_to_the_very_weights_of_one_that_was_never_stopped(trained):
    whole, continued = trained[1]["flow 25"], trained[1]["flow continued"]
    assert all(torch.equal(value, continued[0][name]) for name, value in whole[0].items())
    assert whole[1] == continued[1]
    # two decide the noise and the initialisation, and there is one for each step that was left
    assert [found["draws when continued"] for found in trained] == [14, 14]


def test_a_process_takes_its_rows(trained):
    assert [found["rows"] for found in trained] == [list(range(25)), list(range(12))]


# every process of the test below tells which files it puts in place
TELL = """
import os
replace = os.replace
def told(source, target):
    with open(os.environ["TOLD"], "a") as file:
        file.write(f"{os.environ.get('RANK')} {os.path.basename(target)}\\n")
    replace(source, target)
os.replace = told
"""


def test_the_stage_train_writes_its_outs_once(tmp_path):
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copytree(ROOT / "paper_configs", tmp_path / "paper_configs")
    path = tmp_path / "paper_configs/embedded/colormnist_ae.yaml"
    yaml = YAML()
    config = yaml.load(path.read_text())
    config["flow"].update(n_blocks=1, hidden_dim=8)
    config["training"].update(steps=4, batch_size=5)
    yaml.dump(config, path)
    artifacts = tmp_path / "artifacts/embedded/colormnist_ae"
    rng = np.random.default_rng(0)
    for name in ("mean", "logvar"):
        write_array(artifacts / f"latents/train_{name}.npy", rng.normal(size=(40, 8)).astype(np.float32))
    (artifacts / "latents/layer.json").write_text('{"layer": null, "layout": "channels_first"}')
    write_arrays(artifacts / "pairs/pool.npz", {"values": rng.integers(4, size=(40, 2))})
    write_json(artifacts / "code/dimensions.json", {"dims": {"digit": 3, "color": 2, "residual": 3}})
    (tmp_path / "sitecustomize.py").write_text(TELL)
    environment = {
        **ENVIRONMENT,
        "REPRODUCE_PROCESSES": "2",
        "TOLD": str(tmp_path / "told"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
    }
    of = ["--profile", "embedded", "--experiment", "colormnist_ae", "--variant", "code"]
    command = [sys.executable, "-m", "reproduce.cli", "train", *of]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    told = (tmp_path / "told").read_text().splitlines()
    trained = next((tmp_path / ".work/train").glob("*.json"))  # so that another variant may take a copy
    assert told == ["0 flow.safetensors", "0 training.csv", "0 machine.json", f"0 {trained.name}"]
    assert json.loads((artifacts / "code/machine.json").read_text())["processes"] == 2
    assert len((artifacts / "code/flow/training.csv").read_text().splitlines()) == 2
    assert not list((tmp_path / ".work").rglob("state.pt"))


@pytest.mark.parametrize("value", ["0", "two", "-1", "1.5", ""])
def test_a_number_of_processes_that_is_none_is_a_users_mistake(monkeypatch, capsys, value):
    monkeypatch.setenv("REPRODUCE_PROCESSES", value)
    assert cli.main(["train", "--profile", "embedded", "--experiment", "x", "--variant", "code"]) == 2
    assert capsys.readouterr().err == (
        f"reproduce: error: REPRODUCE_PROCESSES={value}: "
        "it is the number of processes that share a training, 1 or more\n"
    )


def test_torchrun_is_refused_for_a_stage_that_would_write_twice(monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    assert cli.main(["encode", "--profile", "embedded", "--experiment", "colormnist_ae"]) == 2
    assert "torchrun is for first_stage and train: run encode without it" in capsys.readouterr().err


@pytest.fixture
def two_processes(monkeypatch):
    """The second of two, with one GPU in the machine."""
    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("cuda:0", "device: cuda:0 is one device for 2 processes; under torchrun use cuda or cpu"),
        ("mps", "device: mps is one device for 2 processes; under torchrun use cuda or cpu"),
        ("cuda", "torchrun started more processes than there are GPUs: use --nproc-per-node 1"),
    ],
)
def test_a_device_that_processes_would_have_to_share_is_a_users_mistake(two_processes, device, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        distributed.own_device(torch.device(device))


def test_each_process_has_the_gpu_of_its_local_rank(two_processes, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    assert distributed.own_device(torch.device("cuda")) == torch.device("cuda:1")
    assert chosen == [1]
    assert distributed.own_device(torch.device("cpu")) == torch.device("cpu")
