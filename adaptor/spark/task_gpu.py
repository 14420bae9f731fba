"""The GPU that Spark gave to the task this runs in."""

from __future__ import annotations

import warnings
from functools import cache

from pyspark import TaskContext


def task_gpu() -> str | None:
    """Its address; None outside of tasks and where the task has none."""
    context = TaskContext.get()
    gpu = context.resources().get("gpu") if context else None
    return gpu.addresses[0] if gpu else None


def task_device() -> str | None:
    """The torch device of this task's GPU; None where it has none, or with a warning, where torch can't use it."""
    address = task_gpu()
    return None if address is None else _device_of(address)


@cache
def _device_of(address: str) -> str | None:
    try:
        import torch

        count = torch.cuda.device_count()
    except ImportError:
        count = 0
    if not count:
        warnings.warn(
            f"Spark gives GPU {address} to this task, but there is no torch with CUDA here: NumPy does the work",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    # Where a container shows its own GPU alone, that is number 0 whatever its address is.
    return f"cuda:{address if address.isdigit() and int(address) < count else 0}"
