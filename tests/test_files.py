"""Writes are whole or absent; networks on disk come back equal, and damaged ones are refused."""

import errno
import json
import subprocess
import sys
import threading
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import save_file

from reproduce.errors import ReproduceError
from reproduce.files import (
    atomic_path,
    locked,
    read_array,
    read_arrays,
    read_json,
    sha256,
    write_array,
    write_arrays,
    write_json,
    write_text,
)
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.models.flow import Flow
from reproduce.models.weights import load_network, save_network, trained_on


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail():
        with atomic_path(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


HOLD = """
import sys
from pathlib import Path
from reproduce.files import locked
with locked(Path(sys.argv[1]), busy="never"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_held_against_other_processes_and_a_file_that_nobody_holds_locks_nothing(tmp_path, capsys):
    lock = tmp_path / "lock"
    lock.write_text("left by a process that was killed")
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(ReproduceError, match="it is busy"), locked(lock, busy="it is busy"):
            pass
        threading.Timer(0.2, other.kill).start()
        with locked(lock, busy="it is busy", wait=True):
            assert other.wait() != 0
    assert capsys.readouterr().err == "it is busy\n"
    with locked(lock, busy="never"):
        pass


@pytest.mark.parametrize(
    ("error", "reason"),
    [(OSError(errno.ENOLCK, "No locks available"), "No locks available"), (NotImplementedError(), "no file locks")],
)
def test_a_file_system_without_locks_is_one_line(tmp_path, monkeypatch, error, reason):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(FileLock, "acquire", fail)
    words = rf"lock cannot be locked \({reason}.*\): move or link"
    with pytest.raises(ReproduceError, match=words) as caught, locked(tmp_path / "lock", busy="never"):
        pass
    assert "\n" not in str(caught.value)


def test_json_keeps_order_and_refuses_nan(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"b": 1, "a": {"z": None, "y": 0.1}})
    assert list(read_json(path)) == ["b", "a"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"b": 1, "a": {"z": None, "y": 0.1}}


def test_readers_name_a_missing_or_damaged_file(tmp_path):
    write_json(tmp_path / "x.json", {"a": 1})
    write_array(tmp_path / "x.npy", np.arange(50))
    write_arrays(tmp_path / "x.npz", {"x": np.arange(50)})
    for name, reader in (("x.json", read_json), ("x.npy", read_array), ("x.npz", read_arrays)):
        path = tmp_path / name
        reader(path)
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(ReproduceError, match=f"{name} is damaged .* and must be deleted"):
            reader(path)
        path.unlink()
        with pytest.raises(ReproduceError, match=f"{name} does not exist"):
            reader(path)


def test_an_array_whose_header_is_cut_is_named(tmp_path):
    path = tmp_path / "x.npy"
    write_array(path, np.arange(50))
    path.write_bytes(path.read_bytes().replace(b"}", b" ", 1))
    with pytest.raises(ReproduceError, match=r"x\.npy is damaged"):
        read_array(path)


def test_equal_arrays_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_arrays(tmp_path / f"{name}.npz", {"x": np.arange(5), "y": np.ones((2, 3), np.float32)})
    assert sha256(tmp_path / "a.npz") == sha256(tmp_path / "b.npz")


@pytest.mark.parametrize(
    "network",
    [Flow(dim=6, n_blocks=2, hidden_dim=8), Autoencoder(width=4, latent_dim=6), Classifier(width=4, n_classes=3)],
    ids=lambda network: type(network).__name__,
)
def test_a_network_comes_back_equal_and_equal_networks_make_equal_files(tmp_path, network):
    for name in ("a", "b"):
        save_network(tmp_path / name, network, trained_on="digits")
    assert trained_on(tmp_path / "a") == "digits"
    assert sha256(tmp_path / "a") == sha256(tmp_path / "b")
    back = load_network(tmp_path / "a", type(network))
    assert not back.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)


def test_float16_on_disk_is_float32_in_memory(tmp_path):
    network = Classifier(width=4)
    save_network(tmp_path / "a", network, precision="float16")
    back = load_network(tmp_path / "a", Classifier)
    for name, tensor in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor.half().float())


def test_files_that_hold_something_else_are_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(ReproduceError, match="does not exist"):
        load_network(path, Flow)
    path.write_text("<html>quota exceeded</html>")
    with pytest.raises(ReproduceError, match="not a readable safetensors file"):
        load_network(path, Flow)
    save_network(path, Classifier(width=4))
    with pytest.raises(ReproduceError, match="kind 'classifier', not 'flow'"):
        load_network(path, Flow)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReproduceError, match="not a readable safetensors file"):
        load_network(path, Classifier)


def test_nan_weights_and_weights_that_do_not_fit_are_named(tmp_path):
    path = tmp_path / "net.safetensors"
    network = Flow(dim=4, n_blocks=1, hidden_dim=8)
    with torch.no_grad():
        network.layers[0].loc[1] = float("nan")
    save_network(path, network)
    with pytest.raises(ReproduceError, match=r"'layers\.0\.loc' holds NaN"):
        load_network(path, Flow)
    network = Flow(dim=4, n_blocks=1, hidden_dim=8)
    network.config["hidden_dim"] = 16
    save_network(path, network)
    with pytest.raises(ReproduceError, match=r"the key 'layers\.1\.first\.biases\.0' does not fit"):
        load_network(path, Flow)


@pytest.mark.parametrize("config", [{"colour": 3}, {"width": None}, {"n_classes": -1}, None])
def test_a_header_that_no_network_fits_is_one_line(tmp_path, config):
    path = tmp_path / "net.safetensors"
    save_network(path, Classifier(width=4))
    with safe_open(str(path), framework="pt") as file:
        header = json.loads(file.metadata()["network"])
    header |= {} if config is None else {"config": header["config"] | config}
    if config is None:
        del header["config"]
    save_file({}, path, metadata={"network": json.dumps(header)})
    with pytest.raises(ReproduceError, match=r"net\.safetensors: its header describes no classifier") as caught:
        load_network(path, Classifier)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("header", ["[]", "null", "3"])
def test_a_header_that_is_no_object_is_one_line(tmp_path, header):
    path = tmp_path / "net.safetensors"
    save_file({}, path, metadata={"network": header})
    with pytest.raises(ReproduceError, match=r"net\.safetensors") as caught:
        load_network(path, Classifier)
    assert "\n" not in str(caught.value)


def test_an_error_without_words_is_named_by_its_kind(tmp_path, monkeypatch):
    """As zipfile raises it on some damaged archives."""
    (tmp_path / "a.npz").write_bytes(b"")
    monkeypatch.setattr(np, "load", Mock(side_effect=EOFError()))
    with pytest.raises(ReproduceError, match=r"a\.npz is damaged \(EOFError\)"):
        read_arrays(tmp_path / "a.npz")
