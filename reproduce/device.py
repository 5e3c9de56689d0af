"""The device that tensors are on."""

import torch

from reproduce.errors import UserError


def pick_device(name: str) -> torch.device:
    """The device of that name; `auto` is CUDA where there is a GPU, else the CPU.

    On CUDA, convolutions and matrix products use float32 as on the CPU, not TF32, whose 10 bits would show in T's
    inverse; and cuDNN uses its deterministic algorithms. Raises UserError where the named device isn't there.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    device = torch.device(("cuda" if gpus else "cpu") if name == "auto" else name)
    there = ["cpu", *(f"cuda:{index}" for index in range(gpus))]
    if torch.backends.mps.is_available():
        there.append("mps")
    wanted = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    if wanted not in there:
        raise UserError(
            f"device: {name} is not available: this PyTorch ({torch.__version__}) sees {', '.join(there)}; "
            "name one of these, or auto"
        )
    if device.type == "cuda":
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        torch.backends.cudnn.fp32_precision = "ieee"
        torch.backends.cudnn.deterministic = True
    return device


def widest(device: torch.device) -> torch.dtype:
    """The dtype for sums: float64, or float32 on MPS, which has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
