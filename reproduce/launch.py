"""A command in several processes of this machine, by torchrun's launcher: see `reproduce.training.distributed`."""

import logging
import os
import sys
import uuid
from collections.abc import Sequence

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch


def launch(arguments: Sequence[str], *, processes: int) -> int:
    """Run `reproduce` with these arguments in `processes` processes; the exit code of the first that failed, or 0.

    A signal to this process reaches all of them. They share the processors, unless OMP_NUM_THREADS is set.
    """
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # each process prints its own errors
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # any free port
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-u", "-m", "reproduce.cli", *arguments)
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else 1  # negative: a signal ended it
    except (SignalException, KeyboardInterrupt):
        return 130
    return 0
