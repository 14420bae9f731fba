"""Spark's executors as the place where workers run: are there enough of them, and is everything installed there."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from adaptor.errors import AdaptorError

if TYPE_CHECKING:
    from pyspark import SparkContext

START_SECONDS = 120  # for executors to come up, and again for the workers' processes in them


def is_local(context: SparkContext) -> bool:
    """Whether the driver is the only executor."""
    return str(context.master).startswith("local")


def threads_of(context: SparkContext) -> int:
    """CPU threads that are a worker's own."""
    return int(context.getConf().get("spark.task.cpus") or 1)


def task_slots(context: SparkContext) -> int:
    """Tasks that can run at once on the executors that are there, by their cores and GPUs."""
    scala = context._jsc.sc()
    return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().defaultResourceProfile()))


def has_dynamic_allocation(context: SparkContext) -> bool:
    """Whether executors come and go as tasks ask for them."""
    return context.getConf().get("spark.dynamicAllocation.enabled") == "true"


def require_slots(context: SparkContext, processes: int, wait_seconds: float) -> None:
    """`AdaptorError` where fewer than `processes` tasks can run at once; executors get `wait_seconds` to come up."""
    deadline = time.monotonic() + (0 if is_local(context) else wait_seconds)
    while (slots := task_slots(context)) < processes:
        if time.monotonic() >= deadline:
            way_out = f"set workers.processes={slots}, or " if slots else ""
            raise AdaptorError(
                f"workers.processes is {processes}, but Spark offers {slots} task slots; "
                f"{way_out}give the job more executors or cores"
            )
        time.sleep(0.5)


def require_modules(context: SparkContext, processes: int, modules: Sequence[str]) -> None:
    """Look on the executors, whose Python may be another one than the driver's."""

    def missing(_: int) -> list[str]:
        from importlib.util import find_spec

        return [name for name in modules if find_spec(name) is None]

    absent = sorted(set(context.parallelize(range(processes), processes).flatMap(missing).collect()))
    if absent:
        raise AdaptorError(
            f"the executors' Python ({context.pythonExec}) lacks {', '.join(absent)}; install this environment "
            "on every machine and set PYSPARK_PYTHON to its python"
        )


def loopback(context: SparkContext) -> str | None:
    """The name of the loopback interface where all is on this machine, None elsewhere."""
    driver = socket.gethostbyname(str(context.getConf().get("spark.driver.host")))
    if not is_local(context) and not ipaddress.ip_address(driver).is_loopback:
        return None
    return next((name for _, name in socket.if_nameindex() if name in ("lo", "lo0")), None)
