"""The stage train: variants that come to the same sizes share one T; others don't."""

from pathlib import Path

import numpy as np
import pytest

from reproduce.config import load_run
from reproduce.files import read_json, write_array, write_arrays, write_json
from reproduce.paths import RunPlaces
from reproduce.stages import train

OF = ("embedded", "colormnist_ae")
FACTORS = ("digit", "color", "residual")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPlaces:
    """Latents of 8 dimensions, and sizes for three variants: two the same."""
    config, _ = load_run(*OF, "code")
    short = config.training.model_copy(update={"steps": 4, "batch_size": 32})
    flow = config.flow.model_copy(update={"n_blocks": 2, "hidden_dim": 8})
    config = config.model_copy(update={"training": short, "flow": flow, "device": "cpu"})
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    monkeypatch.setattr(train, "WORK", tmp_path / "work")
    monkeypatch.setattr(train, "load_run", lambda *run: (config, load_run(*run)[1]))
    site = RunPlaces(*OF, "code")
    random = np.random.default_rng(0)
    write_array(site.latents / "train_mean.npy", random.standard_normal((60, 8)).astype(np.float32))
    (site.latents / "layer.json").write_text('{"layer": null, "layout": "channels_first"}')
    write_arrays(site.pairs / "pool.npz", {"values": random.integers(0, 3, (60, 2))})
    for variant, dims in (("paper", (0, 0, 8)), ("normalised", (3, 2, 3)), ("code", (3, 2, 3))):
        write_json(RunPlaces(*OF, variant).dimensions, {"dims": dict(zip(FACTORS, dims, strict=True))})
    return site


def trained(variant: str) -> tuple[bytes, bytes, dict[str, object]]:
    site = RunPlaces(*OF, variant)
    files = (site.flow / name for name in ("flow.safetensors", "training.csv"))
    first, second = (path.read_bytes() for path in files)
    return first, second, read_json(site.machine_notes)


def test_variants_of_the_same_sizes_share_one_training(
    site: RunPlaces, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []
    real = train.train_flow
    monkeypatch.setattr(train, "train_flow", lambda *a, **o: (calls.append(tuple(o["dims"])), real(*a, **o))[1])
    for variant in ("paper", "normalised", "code"):
        train.run(*OF, variant)
    assert calls == [(0, 0, 8), (3, 2, 3)]
    assert "code has the same T as normalised, which is copied" in capsys.readouterr().err
    paper, normalised, code = (trained(variant) for variant in ("paper", "normalised", "code"))
    assert code[:2] == normalised[:2]
    assert code[0] != paper[0]
    assert code[2] == normalised[2] | {"copied_from": "normalised"}
    # and it is what training it would have given
    for variant in ("paper", "normalised"):
        RunPlaces(*OF, variant).machine_notes.unlink()
    train.run(*OF, "code")
    assert len(calls) == 3
    assert trained("code")[:2] == code[:2]


@pytest.mark.parametrize("change", ["seed", "half", "pool", "flow", "curve"])
def test_what_was_trained_otherwise_is_not_taken(site: RunPlaces, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    train.run(*OF, "normalised")
    if change == "pool":
        write_arrays(site.pairs / "pool.npz", {"values": np.random.default_rng(1).integers(0, 3, (60, 2))})
    elif change == "flow":  # damaged since
        (RunPlaces(*OF, "normalised").flow / "flow.safetensors").write_bytes(b"")
    elif change == "curve":  # gone since
        (RunPlaces(*OF, "normalised").flow / "training.csv").unlink()
    else:
        config, choice = train.load_run(*OF, "code")
        changed = choice.model_copy(update={change: {"seed": 1, "half": False}[change]})
        monkeypatch.setattr(train, "load_run", lambda *_: (config, changed))
    train.run(*OF, "code")
    assert "copied_from" not in trained("code")[2]


def test_what_a_copy_was_copied_from_may_be_a_copy(site: RunPlaces) -> None:
    for variant in ("normalised", "code"):
        train.run(*OF, variant)
    before = trained("code")[0]
    RunPlaces(*OF, "normalised").machine_notes.unlink()
    train.run(*OF, "normalised")
    assert trained("normalised")[0] == before
    assert trained("normalised")[2]["copied_from"] == "code"


def test_the_time_of_an_evaluation_stays_with_its_run(site: RunPlaces) -> None:
    """A copied T brings no such time, and a training keeps the one of its own run."""
    train.run(*OF, "normalised")
    notes = RunPlaces(*OF, "normalised").machine_notes
    write_json(notes, read_json(notes) | {"evaluate_seconds": 7.0})
    train.run(*OF, "code")
    assert "evaluate_seconds" not in trained("code")[2]
    train.run(*OF, "normalised")
    assert trained("normalised")[2]["evaluate_seconds"] == 7.0
