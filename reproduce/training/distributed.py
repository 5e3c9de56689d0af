"""Training in several processes, which `torchrun` starts: each takes its rows of a batch; the gradients are averaged.

Every process draws the whole batch of a step and keeps its own rows, so that no random number depends on the number of
processes. One call sums all gradients, in the order of the parameters. `DistributedDataParallel` would not do: after a
process's first step it regroups the gradients by the time of their arrival, so that a training that continues would add
in another order than one that was never interrupted, and it gives parts of unequal size the same weight. Without
torchrun the functions here change nothing.
"""

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from reproduce.errors import ReproduceError, UserError


@contextmanager
def started() -> Iterator[None]:
    """Join the processes that torchrun started, with gloo between CPUs and NCCL between GPUs; also a decorator."""
    if not dist.is_torchelastic_launched():
        yield
        return
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """The number of processes that train together; 1 without torchrun."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes files and shows progress."""
    return processes() == 1 or dist.get_rank() == 0


def own_device(device: torch.device) -> torch.device:
    """This process's device: `cuda` becomes the GPU of torchrun's LOCAL_RANK.

    Raises UserError for one GPU by its number, for a device that processes can't share, and for too few GPUs.
    """
    if processes() == 1 or device.type == "cpu":
        return device
    if device.type != "cuda" or device.index is not None:
        raise UserError(f"device: {device} is one device for {processes()} processes; under torchrun use cuda or cpu")
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local >= there:
        raise UserError(f"torchrun started more processes than there are GPUs: use --nproc-per-node {there}")
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def part(n: int) -> slice:
    """This process's rows of a batch of `n`: the shares differ by one row at most.

    Raises UserError for fewer rows than processes.
    """
    size = processes()
    if n < size:
        raise UserError(f"batch_size={n} is too small for {size} processes: each needs an example; start {n} at most")
    rank = dist.get_rank() if size > 1 else 0
    return slice(n * rank // size, n * (rank + 1) // size)


def average(tensors: Sequence[Tensor], *, of: int) -> None:
    """Turn means over this process's `part(of)` into means over the whole batch of `of`, in place.

    `tensors` lie on one device. Every process passes as many of them, of the same shapes, in the same order. They are
    summed in the first one's dtype.
    """
    if processes() == 1:
        return
    own = part(of)
    flat = torch.cat([tensor.detach().flatten().to(tensors[0].dtype) for tensor in tensors])
    flat *= (own.stop - own.start) / of
    with _together():
        dist.all_reduce(flat)
    for tensor, piece in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(piece.view_as(tensor))


def any_process(flag: bool) -> bool:
    """Whether `flag` holds in any process; every process waits for all others here."""
    if processes() == 1:
        return flag
    flags = torch.tensor(int(flag))  # on the CPU, so that no GPU has to be waited for
    with _together():
        dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags)


def from_first(state: Any) -> Any:
    """The first process's `state` (tensors in containers) in every process, on the CPU."""
    if processes() == 1:
        return state
    stream = io.BytesIO()
    if is_first():
        torch.save(state, stream)
    content = [stream.getvalue()]
    with _together():
        dist.broadcast_object_list(content, device=torch.device("cpu"))
    return torch.load(io.BytesIO(content[0]), map_location="cpu", weights_only=True)


@contextmanager
def _together() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo and NCCL report a lost connection as RuntimeError
        raise ReproduceError("another process of this training has ended; its own message says why") from error
