"""What a Python worker of Spark holds at most, for a small and a large table."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import psutil

from benchmarks.apply.random_tables import (
    DEFAULT,
    ENGINES,
    WIDTH,
    applied,
    artifact,
    in_process,
    rows_of,
    session,
    source,
)
from benchmarks.apply.report import met, table

TITLE = "Memory of a Python worker"
ROWS = (100_000, 1_000_000)
MOST_MB, FLAT = 400, 1.1  # the large table's peak is at most so many times the small one's
EVERY = 0.05  # seconds between two looks


class Peak(threading.Thread):
    """Looks at Spark's Python workers under this process until it is left: the largest of each kind of memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.resident = self.own = self.looks = 0
        self._left = threading.Event()

    def __enter__(self) -> Peak:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._left.set()
        self.join()

    def run(self) -> None:
        while not self._left.wait(EVERY):
            for worker in _workers():
                with contextlib.suppress(psutil.Error):
                    memory = worker.memory_full_info()
                    self.resident, self.own = max(self.resident, memory.rss), max(self.own, memory.uss)
                    self.looks += 1


def _workers() -> list[psutil.Process]:
    """The children of Python daemons; each runs one task at a time."""
    daemons, children = set(), psutil.Process().children(recursive=True)
    for process in children:
        with contextlib.suppress(psutil.Error):  # some end while one looks
            if "adaptor.spark.daemon" in process.cmdline():
                daemons.add(process.pid)
    return [process for process in children if process.pid in daemons and _parent(process) in daemons]


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.Error):
        return int(process.ppid())
    return None


def measure(folder: Path, scale: float) -> str:
    """Each engine on both tables, in a Spark of its own: workers are used again, and keep what they took."""
    in_process(_make, folder, scale)
    lines = []
    for engine in ENGINES:
        peaks = []
        for rows in ROWS:
            peak = in_process(_peak, folder, rows_of(scale, rows), engine)
            peaks.append(peak)
            print(
                f"{engine}, {rows_of(scale, rows):,} rows: {peak[0]:.0f} MB resident, {peak[1]:.0f} its own",
                flush=True,
            )
        (small, small_own), (large, large_own) = peaks
        verdict = met(max(small, large) < MOST_MB and large <= FLAT * small)
        shown = f"**{engine}**, the default" if engine == DEFAULT else engine
        lines.append([shown, *(f"{mb:.0f} MB" for mb in (small, large, small_own, large_own)), verdict])
    small_rows, large_rows = (f"{rows_of(scale, rows):,}" for rows in ROWS)
    return (
        f"{WIDTH} to 64+128+256, the largest of all workers, looked at every {EVERY} s. Resident counts libraries and "
        f"pages that workers share; its own (USS) does not. Target: resident under {MOST_MB} MB, and at most {FLAT} "
        "times as much for the large table.\n\n"
        + table(["engine", f"resident, {small_rows} rows", large_rows, f"its own, {small_rows}", large_rows, ""], lines)
    )


def _make(folder: Path, scale: float) -> None:
    spark = session()
    for rows in ROWS:
        source(spark, folder, rows_of(scale, rows))
    spark.stop()


def _peak(folder: Path, rows: int, engine: str) -> tuple[float, float]:
    """Peak resident and unshared memory of a worker, in MB, while `rows` rows are adapted."""
    spark = session()
    docs, fitted = source(spark, folder, rows), artifact(folder)
    with Peak() as peak:
        applied(spark, folder, docs, fitted, engine=engine)
    spark.stop()
    if not peak.looks:
        raise RuntimeError("no Python worker of Spark was seen; the figures would mean nothing")
    return peak.resident / 1e6, peak.own / 1e6
