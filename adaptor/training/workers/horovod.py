"""Training on Horovod: one process a Spark task slot, gradients reduced over NCCL or Gloo."""

from __future__ import annotations

import ipaddress
import re
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from adaptor.errors import AdaptorError
from adaptor.training.workers import Collective

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.sql import SparkSession
    from torch import Tensor, nn

T = TypeVar("T")

START_SECONDS = 120  # for executors to come up, and again for Horovod's processes in them


class WorkerError(Exception):
    """An unforeseen error in a worker, by its last line; the worker's traceback is its note."""


@dataclass(frozen=True)
class Failure:
    """What a worker brings back instead of a result."""

    rank: int
    sentence: str
    trace: str
    foreseen: bool  # an AdaptorError, written for the reader
    follows: bool  # from another worker's end, so it is not the cause


class HorovodCollective:
    """The workers of one `horovod.spark.run`; made inside a worker, after its start.

    Each has its share of the machine: `threads` CPU threads and, where there are any, one GPU.
    """

    def __init__(self, threads: int) -> None:
        import horovod.torch as hvd
        import torch
        from horovod.spark.task import get_available_devices

        hvd.init()
        torch.set_num_threads(threads)
        if torch.cuda.is_available():
            torch.cuda.set_device(choose_gpu(get_available_devices(), hvd.local_rank(), torch.cuda.device_count()))
        self._hvd = hvd
        self.rank: int = hvd.rank()
        self.size: int = hvd.size()

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor`, in place, by its mean over all workers."""
        with self._reachable(tensor) as reachable:
            self._hvd.allreduce_(reachable, op=self._hvd.Average)

    def broadcast_(self, module: nn.Module) -> None:
        """Give every worker the parameters of rank 0, in place."""
        for value in module.state_dict().values():
            with self._reachable(value) as reachable:
                self._hvd.broadcast_(reachable, root_rank=0)

    def advance(self, step: int, steps: int) -> None:
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

    def __init__(self, spark: SparkSession, processes: int, wait_seconds: float = START_SECONDS) -> None:
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
                "run `tools/build_horovod.sh .venv`, or set workers.kind=local"
            ) from error
        self._context = spark.sparkContext
        self.size = processes
        _require_slots(self._context, processes, wait_seconds)
        _require_modules(self._context, processes)

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker, from the main thread; its results by rank.

        When a worker fails the others end with it. An `AdaptorError` is raised again here,
        anything else as a `WorkerError`.
        """
        import horovod.spark

        threads = int(self._context.getConf().get("spark.task.cpus") or 1)

        def worker() -> T | Failure:
            return outcome_or_failure(fn, threads)

        with _contained() as spark_errors:
            try:
                results = horovod.spark.run(
                    worker,
                    num_proc=self.size,
                    start_timeout=START_SECONDS,
                    env={"OMP_NUM_THREADS": str(threads)},  # NumPy's threads
                    nics=_loopback(self._context),
                    executable=self._context.pythonExec,
                    verbose=0,
                )
            except Exception as error:  # Horovod raises no narrower ones
                raise AdaptorError(_sentence(str(error))) from next(iter(spark_errors), error)
        _raise_first([result for result in results if isinstance(result, Failure)])
        return results


def outcome_or_failure(fn: Callable[[Collective], T], threads: int) -> T | Failure:
    """`fn`'s result or its failure, inside a worker. Either way Horovod is shut down.

    That ends the others, which may be waiting for this worker's gradients.
    """
    import horovod.torch as hvd
    from horovod.common.exceptions import HorovodInternalError

    collective = None
    try:
        collective = HorovodCollective(threads)
        return fn(collective)
    except Exception as error:
        foreseen = isinstance(error, AdaptorError)
        sentence = str(error) if foreseen else f"{type(error).__name__}: {' '.join(str(error).split())}"
        rank = collective.rank if collective else -1
        return Failure(rank, sentence, traceback.format_exc(), foreseen, isinstance(error, HorovodInternalError))
    finally:
        hvd.shutdown()


def choose_gpu(assigned: Sequence[str], local_rank: int, count: int) -> int:
    """The GPU that Spark gave to this task, else one by the worker's place on its machine."""
    return int(assigned[0]) if assigned else local_rank % count


def task_slots(context: SparkContext) -> int:
    """Tasks that can run at once on the executors that are there, by their cores and GPUs."""
    scala = context._jsc.sc()
    return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))


def _require_slots(context: SparkContext, processes: int, wait_seconds: float) -> None:
    if context.getConf().get("spark.dynamicAllocation.enabled") == "true":
        return  # executors come when Horovod's tasks ask for them
    deadline = time.monotonic() + (0 if _is_local(context) else wait_seconds)
    while (slots := task_slots(context)) < processes:
        if time.monotonic() >= deadline:
            way_out = f"set workers.processes={slots}, or " if slots else ""
            raise AdaptorError(
                f"workers.processes is {processes}, but Spark offers {slots} task slots; "
                f"{way_out}give the job more executors or cores"
            )
        time.sleep(0.5)


def _require_modules(context: SparkContext, processes: int) -> None:
    """Look on the executors, whose Python may be another one than the driver's."""

    def missing(_: int) -> list[str]:
        from importlib.util import find_spec

        return [name for name in ("adaptor", "horovod", "torch") if find_spec(name) is None]

    absent = sorted(set(context.parallelize(range(processes), processes).flatMap(missing).collect()))
    if absent:
        raise AdaptorError(
            f"the executors' Python ({context.pythonExec}) lacks {', '.join(absent)}; install this environment "
            "on every machine and set PYSPARK_PYTHON to its python"
        )


def _is_local(context: SparkContext) -> bool:
    return str(context.master).startswith("local")


def _loopback(context: SparkContext) -> set[str] | None:
    """The loopback interface where all is on this machine; else Horovod looks for a common one."""
    import psutil  # type: ignore[import-untyped]

    driver = socket.gethostbyname(str(context.getConf().get("spark.driver.host")))
    if not _is_local(context) and not ipaddress.ip_address(driver).is_loopback:
        return None
    return {
        name
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family == socket.AF_INET and ipaddress.ip_address(address.address).is_loopback
    }


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


def _raise_first(failures: Sequence[Failure]) -> None:
    """Raise the failure that the others follow from, if there is one."""
    if not failures:
        return
    first = min(failures, key=lambda failure: (failure.follows, failure.rank))
    error: Exception = AdaptorError(first.sentence)
    if not first.foreseen:
        error = WorkerError(f"training worker {first.rank}: {first.sentence}")
    error.add_note(f"In training worker {first.rank}:\n{first.trace}")
    raise error


def _sentence(message: str) -> str:
    """What Horovod says when it could not even collect results, for the reader."""
    ended = re.search(r"Exit code: (-?\d+)", message)
    if ended:
        return (
            f"a training worker was killed or crashed (exit code {ended[1]}), most often for want of memory; "
            "its executor's log may say more; set sample.rows lower or spark.executor.memoryOverhead higher"
        )
    if "Timed out" in message:
        return (
            f"the training workers did not start within {START_SECONDS} s: other jobs may hold the task slots; "
            "free them, or set workers.processes lower"
        )
    return f"Horovod could not run the training workers: {' '.join(message.split())}"
