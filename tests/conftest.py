"""What several test modules share: the outputs of the official code."""

import os
import signal
from pathlib import Path

import pytest
import torch

# the tensors of the tests are tiny: a second thread would only wait for the first
torch.set_num_threads(1)
# a shell starts what ends in & with interruptions ignored; some tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Small outputs of the official code; its README says what each file holds."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def official_checkpoints() -> Path:
    """The folder with the large official-layout checkpoints, which are not part of the repository."""
    folder = os.environ.get("REPRODUCE_GOLDEN")
    if not folder:
        pytest.skip("REPRODUCE_GOLDEN names no folder with cmnist_ae.ckpt and cmnist_clf.ckpt (tests/golden/README.md)")
    return Path(folder)


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with real images, which are not part of the repository."""
    folder = os.environ.get("REPRODUCE_SAMPLES")
    if not folder:
        pytest.skip(
            "REPRODUCE_SAMPLES names no folder with celeba/, celeba_half/, animal_faces/ and FUNIT's sample list"
        )
    return Path(folder)
