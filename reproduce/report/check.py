"""`reproduce check`: the numbers of a rerun against the committed ones, within their declared tolerances."""

import io
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from reproduce.errors import UserError
from reproduce.report.diff import compared, difference, numbers
from reproduce.report.formats import kind_of, show
from reproduce.report.numbers import declared
from reproduce.report.runs import Run, load_runs, run_name

Runs = Mapping[tuple[str, str], Run]
"""By experiment and file name, without its ending."""


@dataclass(frozen=True)
class Move:
    """A number that is not what it was; None where it is null or not there.

    `used` is how far it moved, in units of its tolerance.
    """

    quantity: str
    before: float | None
    after: float | None
    tolerance: float
    used: float


@dataclass(frozen=True)
class Comparison:
    """One run against the committed one: how many numbers were compared, which moved, which settings differ."""

    compared: int
    moves: Sequence[Move]
    settings: Sequence[str]

    @property
    def beyond(self) -> list[Move]:
        """The moves that their tolerance doesn't cover."""
        return [move for move in self.moves if move.used > 1]


def compare(before: Run, after: Run) -> Comparison:
    """Every number of either run; one that only one of them has, or that is null in one, is beyond any tolerance."""
    changed, moves = [], []
    for place, row in compared({"before": before, "after": after}).items():
        a, b = row["before"], row["after"]
        if place.startswith("config."):
            changed.append(place)
        elif a is None or b is None:
            moves.append(Move(place, a, b, 0, float("inf")))
        elif a != b:
            around = declared(place).tolerance(a)
            # to 12 digits, so that 0.85 is within 0.03 of 0.88
            off = abs(difference(a, b) or 0)
            moves.append(Move(place, a, b, around, off / around if around else float("inf")))
    return Comparison(len(numbers(before) | numbers(after)), moves, changed)


def _git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise UserError("git is not installed: name a folder of earlier results with --against") from None
    if done.returncode:
        reason = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["git failed"])[0]
        raise UserError(f"git: {reason}; name a commit with --revision, or a folder of earlier results with --against")
    return done.stdout


def committed_runs(root: Path, revision: str, profile: str) -> Runs:
    """The runs of `results/<profile>` as they are in a Git revision of the checkout `root`.

    UserError where there is no Git, no such revision, or no run in it.
    """
    found = _git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    folder = f"results/{profile}/runs"
    archive = _git(root, "archive", "--format=tar", found.decode().strip(), "--", folder)
    with TemporaryDirectory() as temporary, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(temporary, filter="data")
        return _runs_in(Path(temporary) / folder)


def _runs_in(folder: Path) -> Runs:
    return {(run["experiment"], run_name(run)): run for run in load_runs(folder)}


def _line(move: Move) -> str:
    kind = kind_of(move.quantity)
    off = show(difference(move.before, move.after), "offset" if kind == "count" else kind, signed=True)
    around = f"{move.tolerance:g}" if kind == "count" else show(move.tolerance, kind, signed=True).removeprefix("+")
    allowed = f"allowed: {around}"
    if move.before is None or move.after is None:
        off, allowed = "null, or not there", "allowed: never"
    return f"  {move.quantity}: {show(move.before, kind)} → {show(move.after, kind)} ({off}; {allowed})"


def _report(name: str, comparison: Comparison) -> list[str]:
    beyond = comparison.beyond
    within = [move for move in comparison.moves if move.used <= 1]
    counts = {"are the same": comparison.compared - len(comparison.moves), "moved within their tolerance": len(within)}
    counts |= {"moved BEYOND it": len(beyond)}
    listed = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    lines = [f"{name}: of {comparison.compared} numbers {listed}"]
    if comparison.settings:
        named = ", ".join(comparison.settings[:3]) + (", …" if len(comparison.settings) > 3 else "")
        lines.append(f"  settings that differ from the committed run's: {named}")
    lines += [_line(move) for move in beyond]
    if within and not beyond:
        furthest = max(within, key=lambda move: move.used)
        lines += ["  the one that used most of its tolerance:", f"  {_line(furthest)}"]
    return lines


def main_check(*, root: Path, profile: str, revision: str, against: Path | None = None) -> tuple[str, bool]:
    """What `reproduce check` prints, and whether every number is within its tolerance.

    The runs in `root/results/<profile>` are compared with those of a Git `revision`, or of the folder `against`, which
    has `runs/` in it as `results/<profile>` has. A committed run that is missing counts as moved; one that nothing is
    committed of is named and does not.
    """
    after = _runs_in(root / "results" / profile / "runs")
    if against is None:
        before, where = committed_runs(root, revision, profile), revision
    else:
        before, where = _runs_in(against / "runs"), str(against)
    lines, moved = [f"results/{profile} against {where}"], 0
    for key, run in before.items():
        name = "/".join(key)
        if key not in after:
            lines.append(f"{name}: missing")
            moved += 1
            continue
        comparison = compare(run, after[key])
        lines += _report(name, comparison)
        moved += bool(comparison.beyond)
    lines += [f"{'/'.join(key)}: new, nothing to compare it with" for key in after if key not in before]
    good = len(before) - moved
    lines.append(f"{good} of {len(before)} runs are within the tolerances" + (f", {moved} moved" if moved else ""))
    return "\n".join(lines) + "\n", moved == 0
