"""What `test_distributed.py` runs in one process and, by torchrun, in two: short trainings in float64.

The first process saves what came out to FOLDER/<processes>.pt.
"""

import os
import signal
import sys
from pathlib import Path

import pytest
import torch
from test_training import NETWORK, TRAINING, draw_pairs, images

import reproduce
from reproduce.errors import UserError
from reproduce.models.convolutional import Autoencoder, Classifier
from reproduce.training.distributed import any_process, is_first, part, processes, started
from reproduce.training.first_stage import train_autoencoder, train_classifier
from reproduce.training.loop import Resume
from reproduce.training.objective import AutoencoderObjective

STEPS = 20
FLOW = {"dims": (3, 2, 3), "steps": STEPS, "n_blocks": 2, "hidden_dim": 16, "peak_rate": 1e-2, "log_every": 6}
OBJECTIVE = AutoencoderObjective(error="absolute", kl_weight=1.0, initial_logvar=-1.0)
NETWORKS = TRAINING.model_copy(update={"steps": STEPS, "batch_size": 15})


def flow(batch_size, draw=draw_pairs, **options):
    log = []
    trained = reproduce.train_flow(draw, batch_size=batch_size, log=log, **FLOW, **options)
    return trained.state_dict(), log


def last_is_asked_to_stop(at):
    """`draw_pairs`, with a SIGTERM to the last process alone in its call number `at`."""
    calls = 0

    def draw(*arguments):
        nonlocal calls
        calls += 1
        if calls == at and (processes() == 1 or not is_first()):
            os.kill(os.getpid(), signal.SIGTERM)
        return draw_pairs(*arguments)

    return draw


@started()
def main(folder: Path) -> None:
    found = {f"flow {size}": flow(size) for size in (32, 25)}  # two processes can't halve 25

    resume = Resume(folder=folder / f"state {processes()}", recipe={}, seconds=3600)
    with pytest.raises(KeyboardInterrupt):
        flow(25, last_is_asked_to_stop(10), resume=resume)
    found["stopped after"] = torch.load(resume.file, weights_only=True)["step"]
    any_process(False)  # before the state is removed
    draws = []
    with resume.locked():
        found["flow continued"] = flow(25, lambda *a: draws.append(a[0]) or draw_pairs(*a), resume=resume)
    found["draws when continued"] = len(draws)

    autoencoder, classifier = Autoencoder(**NETWORK), Classifier(n_classes=2, **NETWORK)
    log = train_autoencoder(autoencoder, images, objective=OBJECTIVE, training=NETWORKS, seed=0)
    found["autoencoder"] = autoencoder.state_dict(), log
    log = train_classifier(classifier, images, training=NETWORKS, seed=0)
    found["classifier"] = classifier.state_dict(), log

    if processes() > 1:
        with pytest.raises(UserError, match=r"^batch_size=1 is too small for 2 processes.*start 1 at most$"):
            flow(1)
    found["rows"] = list(range(25))[part(25)]
    if is_first():
        torch.save(found, folder / f"{processes()}.pt")


if __name__ == "__main__":
    torch.set_default_dtype(torch.float64)
    main(Path(sys.argv[1]))
