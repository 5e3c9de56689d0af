"""The machine that a run used; it is kept beside the run's numbers, not among them."""

import os
import platform
import resource
import sys
from importlib.metadata import distributions

import torch

_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "dvc")


def describe_machine() -> dict[str, object]:
    """Peak memory so far, platform, processors and package versions; nothing here names a person or a host."""
    unit = 2**20 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux kibibytes
    return {
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cpu_count": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "packages": dict(sorted((found.name, found.version) for found in distributions() if found.name in _PACKAGES)),
    }
