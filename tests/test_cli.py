"""The command line: each mistake has its exit code and its one line, and each stage its command."""

import importlib
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import torch
from ruamel.yaml import YAML

from reproduce import cli
from reproduce.device import pick_device
from reproduce.errors import ReproduceError, UserError

ROOT = Path(__file__).parent.parent
DECLARED = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
STAGES = {name: stage.get("do", stage)["cmd"] for name, stage in DECLARED.items()}
OTHERS = ("select", "diff", "check", "convert-official")
OF = ("--profile", "embedded", "--experiment", "colormnist_ae")


@pytest.mark.parametrize("command", [*STAGES, *OTHERS, ""])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*command.split(), "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: reproduce {command}".rstrip())
    named = [*STAGES, *OTHERS]
    assert command or all(re.search(rf"^ +{name}\s+\w", text, re.M) for name in named)


def test_stages_are_the_same_everywhere() -> None:
    assert list(cli._STAGES) == list(STAGES)


def arguments_of(stage: str) -> list[str]:
    """The names of the arguments that dvc.yaml gives to a stage."""
    return re.findall(r"--(\w+) ", STAGES[stage])


@pytest.mark.parametrize("stage", STAGES)
def test_the_pipeline_calls_a_stage_with_the_arguments_it_takes(stage: str) -> None:
    program, *arguments = re.sub(r"\$\{[\w.]+\}", "some", STAGES[stage]).split()
    parsed = vars(cli._parser().parse_args(arguments))
    assert program == "reproduce"
    assert parsed.pop("command") == stage
    assert parsed == dict.fromkeys(arguments_of(stage), "some")
    run = importlib.import_module(f"reproduce.stages.{stage}").run
    assert list(inspect.signature(run).parameters) == list(parsed)


@pytest.mark.parametrize("arguments", [[], ["fecth"], ["fetch"], ["fetch", *OF, "--variant", "code"], ["train", *OF]])
def test_a_command_that_is_not_complete_is_a_users_mistake(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This checkout's configs, and no results or artifacts."""
    monkeypatch.setattr("reproduce.paths.ROOT", tmp_path)
    (tmp_path / "dvc.yaml").touch()
    return tmp_path


def with_one_wrong(stage: str, wrong: str) -> list[str]:
    names = {"profile": "embedded", "experiment": "colormnist_ae", "variant": "code"} | {wrong: "nope"}
    return [stage, *(part for name in arguments_of(stage) for part in (f"--{name}", names[name]))]


NAMED = [(stage, name) for stage in STAGES for name in arguments_of(stage)]
SELECT = ["select", "embedded", "colormnist_ae"]


@pytest.mark.parametrize(
    "arguments",
    [
        *(with_one_wrong(stage, name) for stage, name in NAMED),
        ["diff", "paper", "code", "--profile", "nope"],
        ["check", "--profile", "nope"],
        ["select", "nope"],
        ["select", "embedded", "nope"],
        [*SELECT, "--variants", "nope"],
    ],
    ids="-".join,
)
def test_an_unknown_name_gets_one_line_and_writes_nothing(
    elsewhere: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:

    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("reproduce: error: ")
    assert captured.err.count("\n") == 1
    assert captured.err.endswith("\n")
    assert "nope" in captured.err
    assert [path.name for path in elsewhere.iterdir()] == ["dvc.yaml"]


@pytest.mark.parametrize("stage", ["first_stage", "pairs", "encode", "dimensions", "train", "evaluate", "figures"])
@pytest.mark.parametrize("profile", ["embedded", "full"])
def test_what_an_earlier_stage_did_not_write_gets_one_line_and_what_to_do(
    elsewhere: Path, stage: str, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = with_one_wrong(stage, "none")
    arguments[arguments.index("embedded")] = profile
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("reproduce: error: ")
    assert error.count("\n") == 1
    advice = {
        "embedded": "`dvc repro` runs the stage that writes it",
        "full": "--add` and `dvc repro` make it",
    }
    assert error.endswith(f"{advice[profile]}\n")
    assert [path.name for path in elsewhere.iterdir()] == ["dvc.yaml"]


@pytest.mark.parametrize("arguments", [["validate"], ["fetch", *OF], SELECT, ["diff", "paper", "code"], ["check"]])
def test_outside_a_checkout_a_command_says_so(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reproduce.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "this command works in a checkout of the project" in done.stderr
    assert list(tmp_path.iterdir()) == []


def failing(error: BaseException) -> Callable[..., NoReturn]:
    def run(**arguments: str) -> NoReturn:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ReproduceError("the disk is odd"), 1, "reproduce: error: the disk is odd"),
        (UserError("seed: too odd"), 2, "reproduce: error: seed: too odd"),
        (OSError(28, "No space left on device", "/data/x"), 1, "reproduce: error: No space left on device: /data/x"),
        (OSError(28, "No space left on device"), 1, "reproduce: error: No space left on device"),
        (OSError("something odd"), 1, "reproduce: error: something odd"),
        (PermissionError(13, "Permission denied", "a b"), 1, "reproduce: error: Permission denied: a b"),
        (KeyboardInterrupt(), 130, "reproduce: interrupted; run the same command again to continue"),
    ],
)
def test_an_end_that_is_not_good_has_its_code_and_one_line(
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("reproduce.stages.fetch.run", failing(error))
    assert cli.main(["fetch", *OF]) == code
    assert capsys.readouterr() == ("", f"{line}\n")


def test_a_mistake_of_the_code_shows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reproduce.stages.fetch.run", failing(ZeroDivisionError("odd")))
    with pytest.raises(ZeroDivisionError, match="odd"):
        cli.main(["fetch", *OF])


def test_a_command_that_ends_well_is_silent_and_gets_its_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[dict[str, str]] = []
    monkeypatch.setattr("reproduce.stages.train.run", lambda **arguments: seen.append(arguments))
    assert cli.main(["train", "--variant", "code", *OF]) == 0
    assert seen == [{"profile": "embedded", "experiment": "colormnist_ae", "variant": "code"}]
    assert capsys.readouterr() == ("", "")


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)


def test_help_is_light() -> None:
    done = python(
        "import sys\n"
        "from reproduce.cli import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    print(*{'torch', 'numpy', 'pandas', 'matplotlib'} & sys.modules.keys(), file=sys.stderr)\n"
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: reproduce")
    assert done.stderr == "\n"


def test_a_reader_that_stops_reading_is_no_error() -> None:
    done = python(
        "import os, sys, types\n"
        "module = types.ModuleType('reproduce.report.diff')\n"
        "module.main_diff = lambda **arguments: 'x' * 10**6\n"
        "sys.modules['reproduce.report.diff'] = module\n"
        "reading, writing = os.pipe()\n"
        "os.close(reading)\n"
        "os.dup2(writing, 1)\n"
        "from reproduce.cli import main\n"
        "sys.exit(main(['diff', 'paper', 'code']))\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def pretend(n: int) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    return pretend


@pytest.mark.parametrize(
    ("n", "name", "device"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (1, "auto", "cuda"),
        (1, "cpu", "cpu"),
        (1, "cuda", "cuda"),
        (1, "cuda:0", "cuda:0"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_a_device_that_is_there_is_taken(gpus: Any, n: int, name: str, device: str) -> None:
    gpus(n)
    assert str(pick_device(name)) == device


@pytest.mark.parametrize(("n", "name"), [(0, "cuda"), (0, "cuda:0"), (1, "cuda:1"), (2, "cuda:7"), (1, "mps")])
def test_a_device_that_is_not_there_is_a_users_mistake(gpus: Any, n: int, name: str) -> None:
    gpus(n)
    there = ", ".join(["cpu", *(f"cuda:{index}" for index in range(n))])
    with pytest.raises(
        UserError, match=f"^device: {name} is not available.* sees {there}; name one of these, or auto$"
    ):
        pick_device(name)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["train", "--experiment", "celeba_ae", "--variant", "density"], "celeba_ae.yaml has concepts"),
        (["train", "--experiment", "mnist", "--variant", "code-seed0"], "a further seed is a number from 1 on"),
    ],
)
def test_a_variant_that_does_not_go_with_the_experiment_is_refused(
    command: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--profile", "embedded"]) == 2
    assert words in capsys.readouterr().err
