"""A command in several processes of this machine, started by torchrun: see `reproduce.training.distributed`."""

import logging
import os
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main


def launch(arguments: Sequence[str], *, processes: int) -> int:
    """Run `reproduce` with these arguments in `processes` processes; the exit code of the first that failed, or 0.

    A signal to this process reaches all of them. They share the processors, unless OMP_NUM_THREADS is set.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process prints its own errors
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    try:
        main(["--standalone", "--nproc-per-node", str(processes), "-m", "reproduce.cli", *arguments])
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 1  # it is negative where a signal ended the process
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0
