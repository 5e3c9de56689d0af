"""The training loop that every network here shares: steps, a log, and a state file to continue from."""

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from reproduce.device import widest
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, locked
from reproduce.training.distributed import any_process, from_first, is_first, processes


class Resume:
    """Where an interrupted training keeps its state, and what the state must belong to.

    Arguments:
        folder: a folder that survives an interruption; DVC, for one, deletes a stage's outs before it runs. Every
            recipe has a subfolder of its own there, so that a training never continues another's state.
        recipe: all that decides the result, JSON-able: settings, hashes of the inputs, a digest of the code.
        seconds: time between two saves.

    Attributes:
        key: a hash of the recipe; two trainings with the same key give the same result.
    """

    def __init__(self, *, folder: Path, recipe: Mapping[str, Any], seconds: float = 60.0) -> None:
        self.key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
        self.folder, self.seconds = folder / self.key, seconds
        self.file = self.folder / "state.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the state against a second process that would train the same; remove it when the block ends well.

        Under torchrun the first process holds it for all.
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
        """The saved state, or None where there is none; ReproduceError where its file is damaged."""
        if not self.file.exists():
            return None
        try:
            return torch.load(self.file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ReproduceError(
                f"{self.file} cannot be read ({type(error).__name__}): delete it to start over"
            ) from error

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` atomically; ReproduceError where the disk is full."""
        with atomic_path(self.file) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # a full disk, as torch's writer reports it
                raise ReproduceError(f"{self.file} cannot be written ({error}): is the disk full?") from error


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or SIGTERM has come; a second one ends the process at once."""
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
    stateful: Mapping[str, nn.Module | torch.optim.Optimizer],
    title: str,
    log_every: int,
    resume: Resume | None = None,
) -> list[dict[str, float]]:
    """Call `step(0)` … `step(steps - 1)`; return the log: the means of what `log_every` steps each returned.

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
                sums[name] = sums[name] + _exact(value) if name in sums else _exact(value)
            done = i + 1
            if done % log_every == 0 or done == steps:
                row = {name: float(total) / ((i % log_every) + 1) for name, total in sums.items()}
                _check_row(row, title=title, done=done)
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


def _exact(value: Tensor | float) -> Tensor:
    """`value` in the widest dtype, left on its device: a GPU would wait for every value that is read out."""
    tensor = value.detach() if isinstance(value, Tensor) else torch.tensor(value)
    return tensor.to(widest(tensor.device))


def _check_row(row: Mapping[str, float], *, title: str, done: int) -> None:
    for name, value in row.items():
        if not math.isfinite(value):
            raise ReproduceError(f"{title}: {name} became {value} before step {done}; lower the learning rate")


def log_as_csv(log: list[dict[str, float]]) -> str:
    """The log as CSV with six significant digits, for `dvc plots` and the report."""
    import pandas as pd

    return pd.DataFrame(log).to_csv(index=False, float_format="%.6g", lineterminator="\n")
