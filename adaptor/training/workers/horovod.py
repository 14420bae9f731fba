"""Training on Horovod: one process a Spark task slot, gradients reduced over NCCL or Gloo."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from adaptor.errors import AdaptorError
from adaptor.training.workers import Collective, Step
from adaptor.training.workers.devices import require_gpu, take_gpu
from adaptor.training.workers.executors import (
    START_SECONDS,
    has_dynamic_allocation,
    loopback,
    require_modules,
    require_slots,
    threads_of,
)
from adaptor.training.workers.failures import Failure, WorkerDied, raise_first

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from torch import Tensor, nn

T = TypeVar("T")


class HorovodCollective:
    """The workers of one `horovod.spark.run`; made inside a worker, after its start.

    Each has its share of the machine: `threads` CPU threads and, where there are any, one GPU.
    """

    def __init__(self, threads: int, gpus: bool) -> None:
        import horovod.torch as hvd
        import torch
        from horovod.spark.task import get_available_devices

        hvd.init()
        self._hvd = hvd
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()
        torch.set_num_threads(threads)
        if gpus:
            require_gpu(f"the machine of training worker {self.rank}")
        take_gpu(get_available_devices(), hvd.local_rank())

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor`, in place, by its mean over all workers."""
        with self._reachable(tensor) as reachable:
            self._hvd.allreduce_(reachable, op=self._hvd.Average)

    def broadcast_(self, module: nn.Module) -> None:
        """Give every worker the parameters of rank 0, in place."""
        for value in module.state_dict().values():
            self.receive_(value, 0)

    def receive_(self, tensor: Tensor, sender: int) -> None:
        """Replace `tensor`, in place, by that of the worker `sender`."""
        with self._reachable(tensor) as reachable:
            self._hvd.broadcast_(reachable, root_rank=sender)

    def advance(self, step: Step) -> None:
        """Nobody hears of it: the driver waits for the end."""

    @contextmanager
    def _reachable(self, tensor: Tensor) -> Iterator[Tensor]:
        """The tensor itself; a copy on the host where Horovod was built without NCCL."""
        if not tensor.is_cuda or self._hvd.nccl_built():
            yield tensor
        else:
            host = tensor.cpu()
            yield host
            tensor.copy_(host)


class HorovodWorkers:
    """`processes` workers inside Spark's own executors, by `horovod.spark.run`."""

    def __init__(
        self, spark: SparkSession, processes: int, gpus: bool = False, wait_seconds: float = START_SECONDS
    ) -> None:
        """Raises `AdaptorError` when Horovod is missing, here or on the executors, or task slots are.

        Executors get `wait_seconds` to come up: Horovod itself would wait ten minutes for slots
        that never come.
        """
        try:
            import horovod.spark
            import horovod.torch  # noqa: F401
        except ImportError as error:
            raise AdaptorError(
                f"workers.kind=horovod needs Horovod built for torch ({error}); "
                "run `tools/build_horovod.sh .venv`, or set workers.kind=torch"
            ) from error
        self._context = spark.sparkContext
        self.size, self._gpus = processes, gpus
        if not has_dynamic_allocation(self._context):  # else executors come when Horovod's tasks ask for them
            require_slots(self._context, processes, wait_seconds)
        require_modules(self._context, processes, ("adaptor", "horovod", "torch"))

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker, from the main thread; its results by rank.

        When a worker fails the others end with it. An `AdaptorError` is raised again here,
        anything else as a `WorkerError`; a worker that was killed is a `WorkerDied`.
        """
        import horovod.spark

        threads, gpus, interface = threads_of(self._context), self._gpus, loopback(self._context)

        def worker() -> T | Failure:
            return outcome_or_failure(fn, threads, gpus)

        with _contained() as spark_errors:
            try:
                results = horovod.spark.run(
                    worker,
                    num_proc=self.size,
                    start_timeout=START_SECONDS,
                    env={"OMP_NUM_THREADS": str(threads)},  # NumPy's threads
                    nics=None if interface is None else {interface},  # else Horovod looks for a common one
                    executable=self._context.pythonExec,
                    verbose=0,
                )
            except Exception as error:  # Horovod raises no narrower ones
                raise _explained(str(error), spark_errors) from next(iter(spark_errors), error)
        raise_first(results)
        return results


def outcome_or_failure(fn: Callable[[Collective], T], threads: int, gpus: bool) -> T | Failure:
    """`fn`'s result or its failure, inside a worker. Either way Horovod is shut down.

    That ends the others, which may be waiting for this worker's gradients.
    """
    import horovod.torch as hvd
    from horovod.common.exceptions import HorovodInternalError

    collective = None
    try:
        collective = HorovodCollective(threads, gpus)
        return fn(collective)
    except Exception as error:
        rank = collective.rank if collective else -1
        return Failure.of(error, rank, follows=isinstance(error, HorovodInternalError))
    finally:
        hvd.shutdown()


@contextmanager
def _contained() -> Iterator[list[BaseException]]:
    """Keep what Horovod's driver side lets out.

    It takes two signals and does not give them back, and the error of its Spark thread would be
    printed over the job's own sentence.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    hook = threading.excepthook
    errors: list[BaseException] = []

    def keep(raised: threading.ExceptHookArgs) -> None:
        if raised.thread and "run_spark" in raised.thread.name and raised.exc_value:
            errors.append(raised.exc_value)
        else:
            hook(raised)

    threading.excepthook = keep
    try:
        yield errors
    finally:
        threading.excepthook = hook
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _explained(message: str, spark_errors: Sequence[BaseException]) -> AdaptorError:
    """What it means when Horovod could not even collect results."""
    ended = re.search(r"Exit code: (-?\d+)", message)
    if ended:
        died = WorkerDied.by(ended[1])
        return died if not 0 <= int(ended[1]) <= 128 else AdaptorError(str(died))  # it ended by itself: it would again
    if "Timed out" in message:
        return AdaptorError(
            f"the training workers did not start within {START_SECONDS} s: other jobs may hold the task slots; "
            "free them, or set workers.processes lower"
        )
    said = f"Horovod could not run the training workers: {' '.join(message.split())}"
    return WorkerDied(said) if spark_errors else AdaptorError(said)  # an executor was lost, and its worker with it
