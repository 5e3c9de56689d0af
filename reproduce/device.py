"""Where the tensors are."""

import torch

from reproduce.errors import UserError

__all__ = ["pick_device"]


def pick_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one, else the CPU; anything else is taken at its word.

    Raises UserError where the named device isn't there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[device.type]:
        raise UserError(f"device: {name} is not available to this PyTorch ({torch.__version__}); use auto or cpu")
    return device
