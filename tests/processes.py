"""A job as a process of its own, that can be watched by what it has committed, stopped, and killed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from synthetic import SMALL_SPARK

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


class Job:
    """`spark-submit jobs/apply.py --config <path>` in the background; its output goes to a file."""

    def __init__(self, config: str, log: Path, master: str = "local[2]", environment: dict[str, str] | None = None):
        command = [str(BIN / "spark-submit"), "--master", master, "--driver-memory", "1g"]
        for key, value in SMALL_SPARK.items():
            command += ["--conf", f"{key}={value}"]
        env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYSPARK_PYTHON": sys.executable}
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [*command, str(ROOT / "jobs" / "apply.py"), "--config", config],
                cwd=log.parent,
                env=env | (environment or {}),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def out(self) -> str:
        return self._log.read_text()

    @property
    def said(self) -> list[str]:
        """The job's error lines."""
        return [line for line in self.out.splitlines() if line.startswith("apply: ")]

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        """The exit code."""
        return self._process.wait()

    def wait_until(self, reached: Callable[[], bool]) -> bool:
        """Whether it came to this while the job was running."""
        while self.running:
            if reached():
                return True
            time.sleep(0.01)
        return False

    def send(self, how: signal.Signals) -> None:
        """Send a signal to the job and to every process under it, Python workers too."""
        with contextlib.suppress(psutil.NoSuchProcess):
            family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
            for member in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    member.send_signal(how)
            if how is signal.SIGKILL:
                psutil.wait_procs(family, timeout=60)
                self._process.wait()

    def kill(self) -> None:
        self.send(signal.SIGKILL)


@contextlib.contextmanager
def running(config: str, log: Path, **options: object) -> Iterator[Job]:
    """A job that does not outlive the block."""
    job = Job(config, log, **options)  # type: ignore[arg-type]
    try:
        yield job
    finally:
        job.kill()


def committed(target: Path | str) -> tuple[int, int]:
    """Of a target's staging table: how many builds were begun, how many chunks the last of them has."""
    builds = chunks = 0
    for folder in Path(target).glob("staging-*"):
        if folder.name.endswith("-bad"):
            continue
        for commit in sorted(folder.glob("_delta_log/*.json")):
            actions = [json.loads(line) for line in commit.read_text().splitlines()]
            if any("metaData" in action for action in actions):
                builds, chunks = builds + 1, 0
            chunks += sum("txn" in action for action in actions)
    return builds, chunks


def workers(of: psutil.Process) -> list[psutil.Process]:
    """The Python workers under a process: what a daemon has forked."""
    children = [child for child in of.children(recursive=True) if "-m adaptor.spark.daemon" in _command(child)]
    parents = {child.pid for child in children}
    return [child for child in children if child.ppid() in parents]


def executors(of: psutil.Process) -> list[psutil.Process]:
    """The executors' JVMs under a process."""
    return [child for child in of.children(recursive=True) if "CoarseGrainedExecutorBackend" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
