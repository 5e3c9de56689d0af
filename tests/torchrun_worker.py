"""What each process of `test_distributed.py` runs: python -m torch.distributed.run … torchrun_worker.py FOLDER.

It trains in float64, by torchrun or without it, and the first process saves the weights and logs to FOLDER/<processes>.pt.
"""

import contextlib
import sys
from pathlib import Path

import torch
from test_training import NETWORK, TRAINING, draw_pairs, images

import reproduce
from reproduce.config import AutoencoderObjective
from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.training.distributed import any_process, average, is_first, part, processes, started
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume

STEPS = 20
BATCHES = (32, 25)  # the second doesn't divide by 2
FLOW = {"dims": (3, 2, 3), "steps": STEPS, "n_blocks": 2, "hidden_dim": 16, "peak_rate": 1e-2, "log_every": 6}
OBJECTIVE = AutoencoderObjective(error="absolute", kl_weight=1.0, initial_logvar=-1.0, perceptual_weight=0.0)


def flow(batch_size, **options):
    log = []
    trained = reproduce.train_flow(draw_pairs, batch_size=batch_size, log=log, **FLOW, **options)
    return trained.state_dict(), log


def stopped(draw, at):
    """`draw` that has the last process alone asked to stop at its call number `at`."""
    import os
    import signal

    calls = 0

    def wrapped(*arguments):
        nonlocal calls
        calls += 1
        if calls == at and (processes() == 1 or not is_first()):
            os.kill(os.getpid(), signal.SIGTERM)
        return draw(*arguments)

    return wrapped


@started()
def main(folder):
    found = {f"flow {size}": flow(size) for size in BATCHES}
    resume = Resume(folder=folder / "state", recipe={}, seconds=3600)
    with contextlib.suppress(KeyboardInterrupt):
        reproduce.train_flow(stopped(draw_pairs, 9), batch_size=25, resume=resume, **FLOW)
        raise AssertionError("it was not interrupted")
    found["step when stopped"] = torch.load(resume.file, weights_only=True)["step"]
    any_process(False)
    with resume.locked():
        found["flow continued"] = flow(25, resume=resume)
    training = TRAINING.model_copy(update={"steps": STEPS, "batch_size": 15})
    for kind in ("autoencoder", "classifier"):
        if kind == "autoencoder":
            network = Autoencoder(**NETWORK)
            log = train_autoencoder(network, images, objective=OBJECTIVE, training=training, seed=0)
        else:
            network = Classifier(n_classes=2, **NETWORK)
            log = train_classifier(network, images, training=training, seed=0)
        found[kind] = network.state_dict(), log
    if processes() > 1:
        with contextlib.suppress(UserError):
            part(processes() - 1)
            raise AssertionError("a batch too small was taken")
    rows = torch.arange(7.0)
    mean = rows[part(7)].mean()
    average([mean], of=7)
    found["mean"] = mean
    # each process could write; only the first does, so that appending shows who did
    if is_first():
        torch.save(found, folder / f"{processes()}.pt")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    main(Path(sys.argv[1]))
