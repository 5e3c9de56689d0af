"""`reproduce check`: the numbers of a rerun against the committed ones, within their declared tolerances."""

import io
import subprocess
import tarfile
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from reproduce.errors import UserError
from reproduce.report.diff import compared, difference, numbers
from reproduce.report.formats import kind_of, show
from reproduce.report.numbers import declared
from reproduce.report.runs import Run, load_runs, run_name


class Move(NamedTuple):
    """A number that differs from the committed one; None where it is null or missing.

    `used` is how far it moved, in units of its tolerance.
    """

    quantity: str
    before: float | None
    after: float | None
    tolerance: float
    used: float

    def __str__(self) -> str:
        kind = kind_of(self.quantity)
        off, allowed = "null, or not there", "never"
        if self.before is not None and self.after is not None:
            off = show(difference(self.before, self.after), kind, signed=True)
            allowed = show(self.tolerance, kind, signed=True).removeprefix("+")
            allowed = f"{self.tolerance:g}" if kind == "count" else allowed
        moved = f"{show(self.before, kind)} → {show(self.after, kind)}"
        return f"  {self.quantity}: {moved} ({off}; allowed: {allowed})"


class Comparison(NamedTuple):
    """One run against the committed one: how many numbers were compared, which moved, which settings differ."""

    compared: int
    moves: Sequence[Move]
    settings: Sequence[str]

    @property
    def beyond(self) -> list[Move]:
        """The moves that exceed their tolerance."""
        return [move for move in self.moves if not move.used <= 1]  # NaN, too


def compare(before: Run, after: Run) -> Comparison:
    """Every number of either run; one that is missing or null in only one of them is beyond any tolerance."""
    changed, moves = [], []
    for place, row in compared({"before": before, "after": after}).items():
        a, b = row["before"], row["after"]
        if place.startswith("config."):
            changed.append(place)
        elif a is None or b is None:
            moves.append(Move(place, a, b, 0, float("inf")))
        elif a != b:
            tolerance, off = declared(place).tolerance(a), abs(difference(a, b) or 0)
            moves.append(Move(place, a, b, tolerance, off / tolerance if tolerance else float("inf")))
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


def _runs_in(folder: Path) -> dict[str, Run]:
    return {f"{run['experiment']}/{run_name(run)}": run for run in load_runs(folder)}


def _committed(root: Path, revision: str, profile: str) -> dict[str, Run]:
    found = _git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    folder = f"results/{profile}/runs"
    archive = _git(root, "archive", "--format=tar", found.decode().strip(), "--", folder)
    with TemporaryDirectory() as temporary, tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(temporary, filter="data")
        try:
            return _runs_in(Path(temporary) / folder)
        except UserError as error:
            reason = str(error).removeprefix(f"{temporary}/").partition("; ")[0]
            raise UserError(
                f"{revision}: its results cannot be read ({reason}): name another with --revision"
            ) from None


def _report(name: str, comparison: Comparison) -> list[str]:
    same = comparison.compared - len(comparison.moves)
    beyond = comparison.beyond
    within = [move for move in comparison.moves if move.used <= 1]
    counts = [(same, "are the same"), (len(within), "moved within their tolerance"), (len(beyond), "moved BEYOND it")]
    listed = ", ".join(f"{count} {what}" for count, what in counts if count)
    lines = [f"{name}: of {comparison.compared} numbers {listed}"]
    if comparison.settings:
        named = ", ".join(comparison.settings[:3]) + (", …" if len(comparison.settings) > 3 else "")
        lines.append(f"  settings that differ from the committed run's: {named}")
    lines += [str(move) for move in beyond]
    if within and not beyond:
        lines += ["  the one that used most of its tolerance:", f"  {max(within, key=lambda move: move.used)}"]
    return lines


def main_check(*, root: Path, profile: str, revision: str, against: Path | None = None) -> tuple[str, bool]:
    """What `reproduce check` prints, and whether every number is within its tolerance.

    The runs in `root/results/<profile>` are compared with those of a Git `revision`, or of `against`, a folder that has
    `runs/` in it as `results/<profile>` has. A committed run that is missing counts as moved; a new run does not.
    UserError where there is no Git, no such revision, or no run to compare with.
    """
    after = _runs_in(root / "results" / profile / "runs")
    before = _committed(root, revision, profile) if against is None else _runs_in(against / "runs")
    lines, moved = [f"results/{profile} against {against or revision}"], 0
    for name, run in before.items():
        if name not in after:
            lines.append(f"{name}: missing")
            moved += 1
            continue
        comparison = compare(run, after[name])
        lines += _report(name, comparison)
        moved += bool(comparison.beyond)
    lines += [f"{name}: new, nothing to compare it with" for name in after if name not in before]
    good = len(before) - moved
    lines.append(f"{good} of {len(before)} runs are within the tolerances" + (f", {moved} moved" if moved else ""))
    return "\n".join(lines) + "\n", moved == 0
