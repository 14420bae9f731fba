"""Training by PySpark's TorchDistributor: torch's own processes, gradients reduced over NCCL or Gloo.

Beside the driver where Spark's master is local, else one process a Spark task. What the processes bring back goes
through the store by which they find each other: TorchDistributor itself returns the first one's result alone.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import re
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from adaptor.errors import AdaptorError, cause
from adaptor.training.workers import Collective, Step
from adaptor.training.workers.devices import require_gpu, take_gpu
from adaptor.training.workers.executors import (
    START_SECONDS,
    has_dynamic_allocation,
    is_local,
    loopback,
    require_modules,
    require_slots,
    threads_of,
)
from adaptor.training.workers.failures import Failure, WorkerDied, raise_first

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from torch import Tensor, nn
    from torch.distributed.distributed_c10d import Store

T = TypeVar("T")

LOOK_SECONDS = 0.5  # between looks at whether a worker's parent is still there


class OthersEndedError(Exception):
    """Another worker is gone: this one can't go on alone."""


class TorchCollective:
    """The workers of one TorchDistributor; made inside a worker.

    Each has its share of the machine: `threads` CPU threads and, where there are any, one GPU.
    """

    def __init__(self, store: Store, rank: int, size: int, threads: int) -> None:
        import torch
        from torch import distributed
        from torch.distributed.distributed_c10d import PrefixStore

        self.rank, self.size = rank, size
        torch.set_num_threads(threads)
        take_gpu((), int(os.environ["LOCAL_RANK"]))
        self._distributed = distributed
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=PrefixStore("group", store), rank=rank, world_size=size)
        # Gloo's threads let go of a tensor a moment after its sum is there. If they are the last to hold it they need
        # Python's lock for that, which whoever ends the group holds while it waits for them: both would wait for ever.
        self._held: deque[Tensor] = deque(maxlen=4)  # more than it has threads
        self.mean_(torch.zeros(1))  # only who is connected notices that another one ends: nobody begins before all are

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor`, in place, by its mean over all workers."""
        self._held.append(tensor)
        with _together():
            self._distributed.all_reduce(tensor)
        tensor /= self.size

    def broadcast_(self, module: nn.Module) -> None:
        """Give every worker the parameters of rank 0, in place."""
        for value in module.state_dict().values():
            self.receive_(value, 0)

    def receive_(self, tensor: Tensor, sender: int) -> None:
        """Replace `tensor`, in place, by that of the worker `sender`."""
        self._held.append(tensor)
        with _together():
            self._distributed.broadcast(tensor, sender)

    def advance(self, step: Step) -> None:
        """Nobody hears of it: the driver waits for the end."""


class TorchWorkers:
    """`processes` workers, by `pyspark.ml.torch.distributor.TorchDistributor`."""

    def __init__(
        self, spark: SparkSession, processes: int, gpus: bool = False, wait_seconds: float = START_SECONDS
    ) -> None:
        """Raises `AdaptorError` when task slots are missing, or torch on the executors.

        Executors get `wait_seconds` to come up.
        """
        self._context = spark.sparkContext
        self.size, self._gpus = processes, gpus
        if has_dynamic_allocation(self._context) and not is_local(self._context):
            raise AdaptorError(
                "workers.kind=torch starts all its tasks at once, which Spark refuses while executors come and go; "
                "set spark.dynamicAllocation.enabled=false, or workers.kind=horovod"
            )
        require_slots(self._context, processes, wait_seconds)
        require_modules(self._context, processes, ("adaptor", "torch"))

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker; its results by rank.

        When a worker fails the others end with it. An `AdaptorError` is raised again here,
        anything else as a `WorkerError`; a worker that was killed is a `WorkerDied`.
        """
        from pyspark.ml.torch.distributor import TorchDistributor

        local = is_local(self._context)
        given = int(self._context.getConf().get("spark.task.resource.gpu.amount") or 0)
        arguments = fn, threads_of(self._context), self._gpus, loopback(self._context)
        with _contained() as said:
            logging.getLogger("TorchDistributor").disabled = True  # it says when it starts and ends
            # Beside the driver its GPUs are there as they are; a task sees those that Spark gave it, or none.
            distributor = TorchDistributor(self.size, local_mode=local, use_gpu=bool(given) and not local)
            try:
                with _threads(threads_of(self._context)):
                    returned = distributor.run(outcomes, *arguments)
            except Exception as error:  # it raises no narrower ones
                raise _explained("".join(part.getvalue() for part in said), error) from error
        results = [pickle.loads(outcome) for outcome in returned or ()]
        raise_first(results)
        return results


def outcomes(fn: Callable[[Collective], T], threads: int, gpus: bool, interface: str | None) -> list[bytes]:
    """Inside a worker: `fn`'s result or failure of every worker, pickled, by rank.

    All of them return the same bytes, for those of one machine write them to one file.
    """
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    if interface is not None:
        os.environ["GLOO_SOCKET_IFNAME"] = interface  # a machine's name may lead to another one
    store, rank, size = next(rendezvous("env://"))
    outcome: T | Failure
    collective = None
    try:
        if gpus:
            require_gpu(f"the machine of training worker {rank}")
        collective = TorchCollective(store, rank, size, threads)
        outcome = fn(collective)
    except Exception as error:
        outcome = Failure.of(error, rank, follows=isinstance(error, OthersEndedError))
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()  # ends the others, which may be waiting for this worker's gradients
    store.set(f"outcome-{rank}", pickle.dumps(outcome))
    return [bytes(store.get(f"outcome-{other}")) for other in range(size)]


@contextlib.contextmanager
def _together() -> Iterator[None]:
    """Gloo and NCCL say by a RuntimeError that another worker is gone."""
    try:
        yield
    except RuntimeError as error:
        raise OthersEndedError(str(error)) from error


def _end_with_parent(parent: int) -> None:
    """End this process when the one that started it is gone: torch's own launcher, killed, would leave it behind."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    os._exit(1)


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """NumPy's threads in processes that are started meanwhile, unless somebody has said how many."""
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    os.environ["OMP_NUM_THREADS"] = str(count)
    try:
        yield
    finally:
        del os.environ["OMP_NUM_THREADS"]


class _Apart(io.StringIO):
    """Keeps what TorchDistributor writes, from this thread or its server's; all else is written on."""

    def __init__(self, on: io.TextIOBase) -> None:
        super().__init__()
        self._on, self._thread = on, threading.get_ident()

    def write(self, text: str) -> int:
        ours = threading.get_ident() == self._thread or "process_request_thread" in threading.current_thread().name
        return super().write(text) if ours else self._on.write(text)

    def flush(self) -> None:
        self._on.flush()


@contextlib.contextmanager
def _contained() -> Iterator[tuple[io.StringIO, ...]]:
    """Keep what the workers print, and torch's launcher of their end: the job says it in its own words."""
    kept = _Apart(sys.stdout), _Apart(sys.stderr)  # type: ignore[arg-type]
    with contextlib.redirect_stdout(kept[0]), contextlib.redirect_stderr(kept[1]):
        yield kept


def _explained(said: str, error: Exception) -> AdaptorError:
    """What it means when TorchDistributor could not even collect results, from what its processes have `said`."""
    ended = re.search(r"Root Cause.*?exitcode\s*: (-?\d+)", said, re.DOTALL)
    if ended and ended[1].startswith("-"):
        return WorkerDied.by(str(128 - int(ended[1])))  # as a shell counts: 137 for SIGKILL
    lines = [line for line in said.splitlines() if re.match(r"\w*(Error|Exception)\b", line)]
    if ended and lines:
        return AdaptorError(f"the training workers did not start: {lines[0]}")
    return WorkerDied(f"the training workers were lost: {' '.join(cause(error).split())}")
