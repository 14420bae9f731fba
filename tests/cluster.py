"""A Spark standalone cluster on loopback: a master and workers of one core, ended with all they started."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pyspark

HOME = Path(pyspark.__file__).parent


def environment() -> dict[str, str]:
    """What the cluster and what is submitted to it run in: loopback, and this Python for all."""
    return os.environ | {
        "SPARK_HOME": str(HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_PUBLIC_DNS": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        # Five short-lived JVMs on few cores: what they would win by optimising themselves comes too late.
        "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }


@contextlib.contextmanager
def standalone(folder: Path, workers: int = 2, memory: str = "1g") -> Iterator[str]:
    """Start a master and `workers` workers, one core each; gives `spark://...`, logs lie in `folder`."""
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    with ExitStack() as stack:
        port = stack.enter_context(_reserved_port())
        url = f"spark://127.0.0.1:{port}"
        master = stack.enter_context(_daemon("master.Master", [*common, "--port", str(port)], folder / "master.log"))
        _wait_for(port, master, folder / "master.log")
        for number in range(workers):
            options = [*common, "--cores", "1", "--memory", memory, "--work-dir", str(folder / f"work-{number}"), url]
            stack.enter_context(_daemon("worker.Worker", options, folder / f"worker-{number}.log"))
        yield url  # a job waits for workers that are still starting


def submit(master: str, job: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`spark-submit --master ... jobs/<job>.py ...` from the root of the repository."""
    options = ["--master", master, "--driver-memory", "1g", "--conf", "spark.ui.enabled=false"]
    command = [str(HOME / "bin" / "spark-submit"), *options, f"jobs/{job}.py", *arguments]
    root = Path(__file__).parents[1]
    return subprocess.run(command, cwd=root, env=environment(), capture_output=True, text=True)


@contextlib.contextmanager
def _daemon(kind: str, options: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [str(HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{kind}", *options]
    env = environment() | {"SPARK_DAEMON_MEMORY": "256m"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, cwd=log.parent, start_new_session=True)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the daemon and every process under it, executors and their Pythons too."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for how in (signal.SIGTERM, signal.SIGKILL):
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.send_signal(how)
        psutil.wait_procs(family, timeout=60)
    process.wait()


def _wait_for(port: int, master: subprocess.Popen[bytes], log: Path) -> None:
    while not _listens(port):
        if master.poll() is not None:
            raise RuntimeError(f"the master did not come up:\n{log.read_text()}")
        time.sleep(0.2)


@contextlib.contextmanager
def _reserved_port() -> Iterator[int]:
    """A port that is given to nobody else meanwhile; a server of Java's, which shares addresses, can listen on it."""
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def _listens(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
