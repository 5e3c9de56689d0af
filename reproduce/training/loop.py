"""The training loop that every network here shares: steps, a log, and a state file to continue from."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from reproduce.errors import ReproduceError, UserError
from reproduce.files import atomic_path

__all__ = ["Resume", "Schedule", "Stateful", "learning_rate", "log_as_csv", "run_steps"]

Schedule = Literal["linear_decay", "one_cycle"]


class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


def learning_rate(step: int, *, steps: int, peak: float, schedule: Schedule, decay_from: int) -> float:
    """The rate at `step` (0-based) of `steps`, a function of the step alone.

    linear_decay: `peak` until `decay_from`, then down to 0 at the end (official `begin_decay` and `end`).
    one_cycle: up from peak/25 over the first tenth, then down to almost 0, both along a cosine (Smith & Topin 2018).
    """
    if schedule == "linear_decay":
        return peak * min(1.0, (steps - step) / max(1, steps - decay_from))
    rise = max(1.0, 0.1 * steps)
    if step < rise:
        low, high, position = peak / 25, peak, step / rise
    else:
        low, high, position = peak, peak * 1e-3, (step - rise) / max(1.0, steps - rise)
    return low + (high - low) * 0.5 * (1 - float(torch.cos(torch.tensor(torch.pi * position, dtype=torch.float64))))


class Resume:
    """Where an interrupted training keeps its state, and what the state must belong to.

    Arguments:
        folder: outside DVC's outs, since DVC deletes those before a stage runs. The state of every recipe has a
            folder of its own below it, so that a changed config never continues another's run.
        recipe: all that decides the result (config, hashes of the inputs); JSON-able.
        every: steps between two saves.
    """

    def __init__(self, *, folder: Path, recipe: Mapping[str, Any], every: int) -> None:
        if every < 1:
            raise UserError(f"every={every}: save the state every 1 step or more")
        digest = hashlib.sha256(json.dumps(recipe, sort_keys=True, default=str).encode()).hexdigest()[:16]
        self.folder, self.every = folder / digest, every
        self.file = self.folder / "state.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from training the same thing into the same file."""
        import fcntl

        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ReproduceError(
                    f"another process is training this already (it holds {self.folder / 'lock'}): "
                    "wait for it, or end it first"
                ) from None
            yield

    def load(self) -> dict[str, Any] | None:
        """The saved state; None where there is none. A damaged file is an error, not a silent fresh start."""
        if not self.file.exists():
            return None
        try:
            return torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ReproduceError(
                f"{self.file} cannot be read ({type(error).__name__}): delete it to start over"
            ) from error

    def save(self, state: dict[str, Any]) -> None:
        """Atomically."""
        with atomic_path(self.file) as temporary:
            torch.save(state, temporary)

    def clear(self) -> None:
        """Remove the state of a training that has ended well."""
        self.file.unlink(missing_ok=True)
        (self.folder / "lock").unlink(missing_ok=True)
        if self.folder.exists() and not os.listdir(self.folder):
            self.folder.rmdir()


def run_steps(
    step: Callable[[int], Mapping[str, Tensor | float]],
    *,
    steps: int,
    stateful: Mapping[str, Stateful],
    title: str,
    log_every: int,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Call `step(0)` … `step(steps - 1)`; return the log: the mean of what the steps returned, over `log_every` each.

    `step` draws every random number from (seed, step), so that a run that continues from `stateful` and the step's
    number equals one that was never interrupted. Raises ReproduceError as soon as a logged value is NaN or infinite.
    """
    first = 0
    log: list[dict[str, float]] = []
    sums: dict[str, Tensor] = {}
    saved = resume.load() if resume else None
    if saved is not None:
        for name, target in stateful.items():
            target.load_state_dict(saved["stateful"][name])
        first, log, sums = saved["step"], saved["log"], saved["sums"]
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=title, disable=None, mininterval=1.0)
    for i in bar:
        for name, value in step(i).items():
            # left on its device as a tensor: reading it out each step would make a GPU wait
            value = value.detach().double() if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
            sums[name] = sums[name] + value if name in sums else value
        if (i + 1) % log_every == 0 or i + 1 == steps:
            count = (i % log_every) + 1
            row = {"step": i + 1, **{name: float(total) / count for name, total in sums.items()}}
            bad = [name for name, value in row.items() if not torch.isfinite(torch.tensor(value))]
            if bad:
                raise ReproduceError(
                    f"{title}: {bad[0]} became {row[bad[0]]} before step {i + 1}; lower the learning rate"
                )
            log.append(row)
            sums = {}
            bar.set_postfix({name: f"{value:.4g}" for name, value in row.items() if name != "step"})
        if resume and (i + 1) % resume.every == 0 and i + 1 < steps:
            states = {name: target.state_dict() for name, target in stateful.items()}
            resume.save({"step": i + 1, "log": log, "sums": sums, "stateful": states})
    return log


def log_as_csv(log: list[dict[str, float]]) -> str:
    """The log as CSV, six significant digits, for `dvc plots` and the report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(log[0])
    writer.writerows([f"{value:.6g}" for value in row.values()] for row in log)
    return text.getvalue()
