"""Which GPU a worker takes, where there are any."""

from __future__ import annotations

from collections.abc import Sequence

from adaptor.errors import AdaptorError


def require_gpu(who: str) -> None:
    """`AdaptorError` where torch sees no GPU in this process."""
    import torch

    if not torch.cuda.is_available():
        raise AdaptorError(
            f"workers.gpus asks for a GPU for each worker, and torch sees none on {who}; give Spark's tasks one by "
            "spark.task.resource.gpu.amount, look at CUDA_VISIBLE_DEVICES, or set workers.gpus=false"
        )


def take_gpu(assigned: Sequence[str], local_rank: int) -> None:
    """Make one GPU this worker's own, if torch sees any."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(choose_gpu(assigned, local_rank, torch.cuda.device_count()))


def choose_gpu(assigned: Sequence[str], local_rank: int, count: int) -> int:
    """The GPU that Spark gave to this task, else one by the worker's place on its machine."""
    return int(assigned[0]) if assigned else local_rank % count
