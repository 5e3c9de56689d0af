"""The training loop that every network here shares: gradients, Adam, a log, and a state file to continue from."""

import hashlib
import json
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from reproduce.device import widest
from reproduce.errors import ReproduceError
from reproduce.files import atomic_path, locked, shown
from reproduce.training.distributed import any_process, average, from_first, is_first
from reproduce.training.optimisation import Optimisation

Log = list[dict[str, float]]


class Resume:
    """Where an interrupted training keeps its state.

    Arguments:
        folder: a folder that survives an interruption; DVC deletes a stage's outs before the stage runs. Each recipe
            has a subfolder of its own there, so that a training never continues the state of another.
        recipe: all that decides the result, as JSON values: settings, hashes of the inputs, a digest of the code.
        seconds: the time between two saves.

    Attributes:
        key: a hash of the recipe; two trainings with the same key give the same result.
        file: the state file.
    """

    def __init__(self, *, folder: Path, recipe: Mapping[str, Any], seconds: float = 60.0) -> None:
        self.key = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]
        self.folder, self.seconds = folder / self.key, seconds
        self.file = self.folder / "state.pt"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings with the same recipe out, and delete the state when the block ends without an error.

        Under torchrun the first process holds the lock for all.
        """
        if not is_first():
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = self.folder / "lock"
        with locked(
            lock, busy=f"another process is training this already (it holds {shown(lock)}): wait for it, or end it"
        ):
            yield
            self.file.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none; ReproduceError where its file is damaged."""
        try:
            return torch.load(self.file, map_location="cpu", weights_only=True) if self.file.exists() else None
        except Exception as error:
            raise ReproduceError(
                f"{shown(self.file)} cannot be read ({type(error).__name__}): delete it to start over"
            ) from error

    def save(self, state: dict[str, Any]) -> None:
        """Write `state` atomically; ReproduceError where the disk is full."""
        with atomic_path(self.file) as temporary:
            try:
                torch.save(state, temporary)
            except RuntimeError as error:  # torch reports a full disk as RuntimeError
                raise ReproduceError(f"{shown(self.file)} cannot be written ({error}): is the disk full?") from error


@contextmanager
def _stop_request() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether Ctrl-C or SIGTERM has come; a second signal has its usual effect."""
    asked = threading.Event()
    handled = threading.current_thread() is threading.main_thread()  # signals reach no other thread
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if handled}

    def ask(number: int, _: Any) -> None:
        asked.set()
        signal.signal(number, previous[signal.Signals(number)])

    for number in previous:
        signal.signal(number, ask)
    try:
        yield asked.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@dataclass(frozen=True)
class Trained:
    """A network and the name of its loss; it is trained from step `start` on, at `rate_factor` times the rate."""

    module: nn.Module
    loss: str = "loss"
    rate_factor: float = 1.0
    start: int = 0


def optimise(
    networks: Mapping[str, Trained],
    values_of: Callable[[int], dict[str, Tensor]],
    training: Optimisation,
    *,
    title: str,
    log_every: int = 50,
    gradient_clip: float | None = None,
    resume: Resume | None = None,
) -> Log:
    """Train `networks` in place, each with an Adam of its own; return the log: means over `log_every` steps each.

    `values_of(step)` returns the step's losses and whatever else is logged: scalars, means over this process's rows of
    the batch. It draws every random number from (seed, step), so that a training that continues equals one that was
    never interrupted. All networks take their gradients from that one pass, at the weights that the step began with,
    and step afterwards. Under torchrun all processes start from the first one's state, and it alone saves.

    Raises ReproduceError as soon as a logged value is NaN or infinite, and KeyboardInterrupt, with the state saved,
    when a process is asked to stop.
    """
    weights = {name: list(network.module.parameters()) for name, network in networks.items()}
    optimizers = {
        name: torch.optim.Adam(parameters, lr=training.peak_rate, betas=training.betas, fused=True)
        for name, parameters in weights.items()
    }

    def step(i: int) -> dict[str, Tensor]:
        values = values_of(i)
        active = [name for name, network in networks.items() if i >= network.start]
        for name in active:
            optimizers[name].zero_grad()
            values[networks[name].loss].backward(inputs=weights[name], retain_graph=name != active[-1])
        values = {name: value.detach() for name, value in values.items()}
        gradients = [p.grad for name in active for p in weights[name] if p.grad is not None]
        average([*gradients, *values.values()], of=training.batch_size)
        for name in active:
            if gradient_clip is not None:
                nn.utils.clip_grad_norm_(weights[name], gradient_clip)
            for group in optimizers[name].param_groups:
                group["lr"] = training.rate(i) * networks[name].rate_factor
            optimizers[name].step()
        return values

    stateful: dict[str, Any] = {name: network.module for name, network in networks.items()}
    stateful |= {f"{name}'s optimizer": optimizer for name, optimizer in optimizers.items()}
    return _run(step, stateful, steps=training.steps, title=title, log_every=log_every, resume=resume)


def _run(
    step: Callable[[int], dict[str, Tensor]],
    stateful: Mapping[str, Any],
    *,
    steps: int,
    title: str,
    log_every: int,
    resume: Resume | None,
) -> Log:
    """Call `step` for every step that the saved state lacks, and log the values that it returns."""

    def state(done: int) -> dict[str, Any]:
        states = {name: target.state_dict() for name, target in stateful.items()}
        return {"step": done, "log": log, "sums": sums, "stateful": states}

    log, sums = Log(), dict[str, Tensor]()
    saved = resume.load() if resume and is_first() else None
    saved = from_first(saved or state(0))
    for name, target in stateful.items():
        target.load_state_dict(saved["stateful"][name])
    first, log, sums = saved["step"], saved["log"], saved["sums"]
    quiet = None if is_first() else True  # None: where there is no terminal
    bar = tqdm(range(first, steps), initial=first, total=steps, desc=title, disable=quiet, mininterval=1.0)
    last_save = time.monotonic()
    with _stop_request() as stop_asked:
        for done, values in enumerate(map(step, bar), first + 1):
            # the sums are in the widest dtype, and left on the device: a GPU would wait for every value that is read
            sums = {name: sums.get(name, 0) + value.to(widest(value.device)) for name, value in values.items()}
            if done % log_every == 0 or done == steps:
                row = {name: float(total) / ((done - 1) % log_every + 1) for name, total in sums.items()}
                if bad := [name for name, value in row.items() if not math.isfinite(value)]:
                    reason = f"{bad[0]} became {row[bad[0]]} before step {done}"
                    raise ReproduceError(f"{title}: {reason}; lower the learning rate")
                log.append({"step": done, **row})
                sums = {}
                bar.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
            stopping = any_process(stop_asked()) and done < steps
            due = resume is not None and done < steps and time.monotonic() - last_save >= resume.seconds
            if resume and is_first() and (stopping or due):
                resume.save(state(done))
                last_save = time.monotonic()
            if stopping:
                any_process(True)  # torchrun ends all processes once one has ended: wait until the state is saved
                raise KeyboardInterrupt
    return log


def log_as_csv(log: Log) -> str:
    """The log as CSV with six significant digits."""
    import pandas as pd

    return pd.DataFrame(log).to_csv(index=False, float_format="%.6g", lineterminator="\n")
