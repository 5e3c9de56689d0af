"""`reproduce check`: reruns whose distance from the committed numbers is known."""

import copy
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_results import make_run, save

from reproduce import cli
from reproduce.errors import UserError
from reproduce.report.check import compare, main_check
from reproduce.report.diff import numbers
from reproduce.report.numbers import declarations, declared
from reproduce.report.runs import load_runs

ROOT = Path(__file__).parent.parent
SIZES = {"digit": 14, "color": 18, "residual": 32}


@pytest.fixture
def run() -> dict[str, Any]:
    return make_run("colormnist_ae", "code", SIZES)


def entry(place: str, absolute: float = 0.0, relative: float = 0.0) -> dict[str, Any]:
    return {"place": place, "kind": "number", "words": "so", "absolute": absolute, "relative": relative}


REST = [entry(place) for place in ("dims.*", "scores.*", "metrics.*")]
Declare = Callable[..., None]


@pytest.fixture
def declare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Declare:
    """Puts these entries in the place of the declared numbers."""

    def write(*entries: dict[str, Any]) -> None:
        (tmp_path / "numbers.yaml").write_text(json.dumps({"tables": {}, "numbers": entries}))  # JSON is YAML
        monkeypatch.setattr("reproduce.paths.CONFIGS", tmp_path)

    return write


def changed(run: dict[str, Any], **metrics: Any) -> dict[str, Any]:
    other = copy.deepcopy(run)
    other["metrics"] |= metrics
    return other


@pytest.mark.parametrize(
    ("nll", "within"), [(-12.25, True), (-12.5, True), (-12.0, True), (-12.501, False), (-11.999, False), (None, False)]
)
def test_a_number_within_its_tolerance_and_beyond(
    declare: Declare, run: dict[str, Any], nll: float | None, within: bool
) -> None:
    declare(entry("metrics.nll", 0.005, 0.02), *REST)
    comparison = compare(run, changed(run, nll=nll))
    assert comparison.compared == len(numbers(run))
    assert [move.quantity for move in comparison.moves] == ([] if nll == -12.25 else ["metrics.nll"])
    assert [move.quantity for move in comparison.beyond] == ([] if within else ["metrics.nll"])


@pytest.mark.parametrize(
    ("entries", "beyond"),
    [
        ([("dims.residual", 0), ("dims.<factor>", 1)], ["dims.residual"]),
        ([("dims.<factor>", 1), ("dims.residual", 0)], []),
    ],
)
def test_the_first_entry_that_fits_counts(
    declare: Declare, run: dict[str, Any], entries: list[tuple[str, float]], beyond: list[str]
) -> None:
    declare(*(entry(place, absolute) for place, absolute in entries), *REST)
    other = copy.deepcopy(run)
    other["dims"] = {"digit": 15, "color": 18, "residual": 31}
    assert [move.quantity for move in compare(run, other).beyond] == beyond


def test_a_number_that_is_not_declared(declare: Declare, run: dict[str, Any]) -> None:
    declare(entry("dims.<factor>"))
    with pytest.raises(UserError, match=r"declares no number at scores\.digit; add an entry"):
        compare(run, run | {"scores": {"digit": 1.0, "color": 0.25, "residual": 0.5}})


def test_a_decimal_at_the_edge_of_its_tolerance_is_within(declare: Declare, run: dict[str, Any]) -> None:
    declare(entry("metrics.x", 0.03), *REST)
    before, after = changed(run, x=0.88), changed(run, x=0.85)  # 0.03 apart, in binary a little more
    assert not compare(before, after).beyond


def test_nan_is_beyond_any_tolerance(declare: Declare, run: dict[str, Any]) -> None:
    declare(entry("metrics.*", 1e9, 1e9), *REST)
    for before, after in ((run, changed(run, nll=float("nan"))), (changed(run, nll=float("nan")), run)):
        (move,) = compare(before, after).beyond
        assert move.quantity == "metrics.nll"


def test_a_number_that_only_one_has_is_beyond(declare: Declare, run: dict[str, Any]) -> None:
    declare(entry("metrics.*", 1e9), *REST)
    for before, after in ((run, changed(run, new=1.0)), (changed(run, new=1.0), run), (run, changed(run, nll=None))):
        (move,) = compare(before, after).beyond
        assert move.quantity in ("metrics.new", "metrics.nll")


def test_every_number_of_the_committed_runs_is_declared() -> None:
    if not (ROOT / "results/embedded/runs").exists():
        pytest.skip("results/embedded is not there: make reproduce writes it")
    for run in load_runs(ROOT / "results/embedded/runs"):
        assert compare(run, run).moves == []
        for quantity in numbers(run):
            assert declared(quantity).place != "metrics.*", quantity
    assert [number.place for number in declarations().numbers if "*" in number.place] == [
        "layers.*.shares.<factor>",
        "metrics.*",
    ]


@pytest.mark.parametrize(
    ("before", "after", "within"),
    [
        ({"round_trip_relative": 3e-6}, {"round_trip_relative": 9e-5}, True),
        ({"round_trip_relative": 3e-6}, {"round_trip_relative": 0.009}, False),
        ({"walk": {"color": {"classes": 3, "stays": 0.99}}}, {"walk": {"color": {"classes": 1, "stays": 0.9}}}, True),
        ({"walk": {"color": {"classes": 3, "stays": 0.99}}}, {"walk": {"color": {"classes": 3, "stays": 0.85}}}, False),
        ({"walk": {"color": {"classes": 3, "stays": 0.99}}}, {"walk": {"color": {"classes": 6, "stays": 0.99}}}, False),
    ],
)
def test_how_far_the_walk_and_the_round_trip_may_move(
    run: dict[str, Any], before: dict[str, Any], after: dict[str, Any], within: bool
) -> None:
    beyond = compare(changed(run, **before), changed(run, **after)).beyond
    assert bool(beyond) != within


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True)


@pytest.fixture
def checkout(tmp_path: Path, run: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Git repository with the runs code and paper committed, and nothing changed since; below a folder of its own."""
    root = tmp_path / "repository" / "a project"
    for variant in ("code", "paper"):
        save(root / "results" / "embedded", run | {"variant": variant})
    (root / "results/embedded/runs/colormnist_ae/code.machine.json").write_text("{}")
    git(tmp_path, "init", "-q", "repository")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    use(root, monkeypatch)
    return root


def use(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make `root` the checkout that the command is run in."""
    (root / "dvc.yaml").touch()
    monkeypatch.chdir(root)
    monkeypatch.setattr("reproduce.paths.ROOT", root)


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["check", *arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_rerun_with_the_same_numbers(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = checked(capsys)
    assert code == 0
    assert text.startswith("results/embedded against HEAD\n")
    assert text.endswith("2 of 2 runs are within the tolerances\n")
    assert "the same" in text


def test_what_moved_is_named_with_how_far(
    checkout: Path, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    other = changed(run, nll=-12.3)
    other["dims"] = {"digit": 11, "color": 18, "residual": 35}
    other["metrics"]["swap"]["digit"]["digit"]["source"] = 0.812
    other["config"]["seed"] = 1
    save(checkout / "results" / "embedded", other)
    code, text = checked(capsys)
    assert code == 1
    assert "  metrics.swap.digit.digit.source: 86.2 % → 81.2 % (−5.0 pp; allowed: 3.0 pp)\n" in text
    assert "  dims.digit: 14 → 11 (−3; allowed: 1)\n" in text
    assert "1 moved within their tolerance, 3 moved BEYOND it" in text
    assert "settings that differ from the committed run's: config.seed" in text
    assert text.endswith("1 of 2 runs are within the tolerances, 1 moved\n")

    git(checkout, "commit", "-q", "-a", "-m", "second")
    assert checked(capsys)[0] == 0
    assert checked(capsys, "--revision", "HEAD~1")[0] == 1


def test_a_small_move_is_named_and_is_no_failure(
    checkout: Path, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    save(checkout / "results" / "embedded", changed(run, nll=-12.3))
    code, text = checked(capsys)
    assert code == 0
    assert "metrics.nll: −12.25 → −12.30 (−0.050; allowed: 1.245)" in text


def test_a_missing_run_is_a_failure_and_a_new_one_is_named(
    checkout: Path, run: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    save(checkout / "results" / "embedded", run | {"variant": "half"})
    code, text = checked(capsys)
    assert code == 0
    assert "colormnist_ae/half: new, nothing to compare it with\n" in text
    (checkout / "results/embedded/runs/colormnist_ae/paper.json").unlink()
    code, text = checked(capsys)
    assert code == 1
    assert "colormnist_ae/paper: missing\n" in text


def test_without_git_a_folder_serves(
    tmp_path: Path, run: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, earlier = tmp_path / "new", tmp_path / "old"
    save(root / "results" / "embedded", run)
    save(earlier, run)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    use(root, monkeypatch)
    code, text = checked(capsys)
    assert code == 2
    assert text.count("\n") == 1
    assert "--against" in text
    assert checked(capsys, "--against", str(earlier))[0] == 0
    save(earlier, changed(run, nll=0.0))
    assert checked(capsys, "--against", str(earlier))[0] == 1
    monkeypatch.setenv("PATH", "")
    code, text = checked(capsys)
    assert (code, "git is not installed" in text) == (2, True)


@pytest.mark.parametrize("arguments", [("--revision", "nope"), ("--revision=-x",), ("--against", "nope")])
def test_what_is_not_there_is_a_users_mistake(
    checkout: Path, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = checked(capsys, *arguments)
    assert code == 2
    assert text.startswith("reproduce: error: ")
    assert text.count("\n") == 1


def test_a_committed_run_of_an_older_form(checkout: Path, run: dict[str, Any]) -> None:
    path = save(checkout / "results" / "embedded", {key: of for key, of in run.items() if key != "kind"})
    git(checkout, "commit", "-q", "-a", "-m", "older")
    save(checkout / "results" / "embedded", run)
    where = path.relative_to(checkout).as_posix()
    with pytest.raises(UserError) as caught:
        main_check(root=checkout, profile="embedded", revision="HEAD")
    reason = f"HEAD: its results cannot be read ({where}: kind: Field required): name another with --revision"
    assert str(caught.value) == reason


def test_a_profile_that_is_not_committed(checkout: Path, run: dict[str, Any]) -> None:
    save(checkout / "results" / "sample", run)
    with pytest.raises(UserError, match=r"results/sample/runs.*--revision"):
        main_check(root=checkout, profile="sample", revision="HEAD")
