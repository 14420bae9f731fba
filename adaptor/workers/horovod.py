"""Training on Horovod: one process a Spark task slot, gradients reduced over Gloo or NCCL."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from adaptor.errors import AdaptorError
from adaptor.workers import Collective

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from torch import Tensor, nn

T = TypeVar("T")


class HorovodCollective:
    """The workers of one `horovod.spark.run`; made inside a worker, after its start."""

    def __init__(self) -> None:
        import horovod.torch as hvd

        hvd.init()
        self._hvd = hvd
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()

    def mean_(self, tensor: Tensor) -> None:
        self._hvd.allreduce_(tensor, op=self._hvd.Average)

    def broadcast_(self, module: nn.Module) -> None:
        self._hvd.broadcast_parameters(module.state_dict(), root_rank=0)


class HorovodWorkers:
    """`processes` workers inside Spark's own executors, by `horovod.spark.run`."""

    def __init__(self, spark: SparkSession, processes: int, wait_seconds: float = 60) -> None:
        """Raises `AdaptorError` when Horovod is missing, or the cluster has too few task slots."""
        try:
            import horovod.spark
            import horovod.torch  # noqa: F401
        except ImportError as error:
            raise AdaptorError(
                f"workers: horovod needs Horovod built for torch ({error}); "
                "run `tools/build_horovod.sh .venv`, or set workers.kind=local"
            ) from error
        # horovod.spark.run would wait ten minutes for slots that never come.
        slots = task_slots(spark, processes, wait_seconds)
        if slots < processes:
            raise AdaptorError(
                f"workers.processes is {processes}, but Spark offers {slots} task slots; "
                f"give it more cores or set workers.processes={slots}"
            )
        self._processes = processes

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        import horovod.spark

        def worker() -> T:
            return fn(HorovodCollective())

        return list(horovod.spark.run(worker, num_proc=self._processes, verbose=0))


def task_slots(spark: SparkSession, wanted: int, wait_seconds: float) -> int:
    """Tasks that can run at once, waiting a while for executors that are still starting."""
    context = spark.sparkContext
    local = str(context.master).startswith("local")
    deadline = time.monotonic() + wait_seconds
    while True:
        executors = len(context._jsc.sc().statusTracker().getExecutorInfos()) - 1
        slots = context.defaultParallelism if local or executors else 0
        if slots >= wanted or local or time.monotonic() > deadline:
            return slots
        time.sleep(0.5)
