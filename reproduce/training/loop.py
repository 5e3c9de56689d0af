"""The training loop that every network here shares: steps, a log, and a state file to continue from."""

import csv
import hashlib
import io
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from reproduce.device import widest
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, locked
from reproduce.training.distributed import any_process, from_first, is_first, processes

Schedule = Literal["linear_decay", "one_cycle"]


class Stateful(Protocol):
    """A module or an optimizer."""

    def state_dict(self) -> Any: ...
    def load_state_dict(self, state: Any, /) -> Any: ...


def learning_rate(step: int, *, steps: int, peak: float, schedule: Schedule, decay_from: int | None = None) -> float:
    """The rate at `step` (0-based) of `steps`, a function of the step alone.

    linear_decay: `peak` until `decay_from`, then down to 0 at the end. None is five sixths of the steps: the official
    120,000 decay from 100,001.
    one_cycle: up from peak/25 over the first tenth, then down to almost 0, both along a cosine (Smith & Topin 2018).
    """
    if schedule == "linear_decay":
        start = steps * 5 // 6 if decay_from is None else decay_from
        return peak * min(1.0, (steps - step) / max(1, steps - start))
    rise = max(1.0, 0.1 * steps)
    if step < rise:
        low, high, position = peak / 25, peak, step / rise
    else:
        low, high, position = peak, peak * 1e-3, (step - rise) / max(1.0, steps - rise)
    return low + (high - low) * 0.5 * (1 - math.cos(math.pi * position))


class Resume:
    """Where an interrupted training keeps its state, and what the state must belong to.

    Arguments:
        folder: outside DVC's outs, since DVC deletes those before a stage runs. The state of every recipe has a
            folder of its own below it, so that a changed config or code never continues another's run.
        recipe: all that decides the result (config, hashes of the inputs); JSON-able. This package's code is added.
        seconds: time between two saves.

    Attributes:
        key: stands for recipe and code; two trainings with the same one give the same.
    """

    def __init__(self, *, folder: Path, recipe: Mapping[str, Any], seconds: float = 60.0) -> None:
        whole = json.dumps([recipe, _code_digest()], sort_keys=True)
        self.key = hashlib.sha256(whole.encode()).hexdigest()[:16]
        self.folder, self.seconds = folder / self.key, seconds
        self.file = self.folder / "state.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep a second process from training the same thing into the same file; remove the state at a good end.

        Under torchrun the first process does it for all.
        """
        if not is_first():
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / "lock"
        busy = f"another process is training this already (it holds {lock}): wait for it, or end it first"
        with locked(lock, busy=busy):
            yield
            self.file.unlink(missing_ok=True)

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
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # a full disk, as torch's writer reports it
                raise ReproduceError(f"{self.file} cannot be written ({error}): is the disk full?") from error


def _code_digest() -> str:
    """Of this package's modules: a run that was interrupted before an edit does not continue after it."""
    package = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a termination was asked for: a step is never cut in the middle. A second Ctrl-C cuts."""
    asked = False

    def ask(number: int, _: Any) -> None:
        nonlocal asked
        asked = True
        signal.signal(number, previous[signal.Signals(number)])

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False  # signals reach the main thread alone
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in previous:
        signal.signal(number, ask)
    try:
        yield lambda: asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


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
    number equals one that was never interrupted. Under torchrun the first process's state is everyone's at the start,
    and it alone saves; `step` returns the same in all. Raises ReproduceError as soon as a logged value is NaN or
    infinite, and KeyboardInterrupt, with the state saved, when a process is asked to stop.
    """
    first = 0
    log: list[dict[str, float]] = []
    sums: dict[str, Tensor] = {}

    def state(done: int) -> dict[str, Any]:
        states = {name: target.state_dict() for name, target in stateful.items()}
        return {"step": done, "log": log, "sums": sums, "stateful": states}

    saved = resume.load() if resume and is_first() else None
    if processes() > 1:
        saved = from_first(saved or state(0))
    if saved is not None:
        for name, target in stateful.items():
            target.load_state_dict(saved["stateful"][name])
        first, log, sums = saved["step"], saved["log"], saved["sums"]
    quiet = None if is_first() else True  # None: where there is no terminal
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=title, disable=quiet, mininterval=1.0)
    last_save = time.monotonic()
    with _stop_request() as stop_asked:
        for i in bar:
            for name, value in step(i).items():
                # left on its device as a tensor: reading it out each step would make a GPU wait
                tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(value)
                exact = tensor.to(widest(tensor.device))
                sums[name] = sums[name] + exact if name in sums else exact
            done = i + 1
            if done % log_every == 0 or done == steps:
                row = {name: float(total) / ((i % log_every) + 1) for name, total in sums.items()}
                bad = [name for name, value in row.items() if not math.isfinite(value)]
                if bad:
                    raise ReproduceError(
                        f"{title}: {bad[0]} became {row[bad[0]]} before step {done}; lower the learning rate"
                    )
                log.append({"step": done, **row})
                sums = {}
                bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
            stopping = any_process(stop_asked())
            due = stopping or (resume is not None and time.monotonic() - last_save >= resume.seconds)
            if resume and is_first() and due and done < steps:
                resume.save(state(done))
                last_save = time.monotonic()
            if stopping and done < steps:
                any_process(stopping)  # torchrun ends all as soon as one has ended: first let the state be saved
                raise KeyboardInterrupt
    return log


def log_as_csv(log: list[dict[str, float]]) -> str:
    """The log as CSV, six significant digits, for `dvc plots` and the report."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(log[0])
    writer.writerows([f"{value:.6g}" for value in row.values()] for row in log)
    return text.getvalue()
