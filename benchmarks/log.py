"""What a table of many files costs the driver: its log read, chunks planned, as many files committed and published.

make bench-scale                                20,000 and 200,000 files: writes its section of docs/scale.md
python -m benchmarks.log --files 500 5000       to try it out: it writes it too

A log is made up, of names and statistics without a data file, and the functions that sample and apply call read it,
cut it and commit it. Each size has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from uuid import UUID

import numpy as np
import psutil
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType

from adaptor.spark.apply.builds import Site
from adaptor.spark.apply.chunks import cut
from adaptor.spark.apply.full import ROUNDS, SLOT_BYTES
from adaptor.spark.apply.stamp import SOURCE, VERSION
from adaptor.spark.delta_log import DataFile, Definition, DeltaLog, rows_of
from adaptor.spark.file_sample import files_needed
from benchmarks.apply.report import machine, put_part

SCALE = Path(__file__).parents[1] / "docs" / "scale.md"
TITLE = "A log of many files, simulated"
COMMITS, REPEATS, DRIVER_GB = 20, 3, 4
ROWS, FILE_BYTES = 50_000, 307_200_000  # of a file: 200,000 of them are 10 billion rows of 1,536 float32
SLOTS, SAMPLE = 400, 100_000  # task slots that apply counts with, rows of a sample
SCHEMA = StructType([StructField("id", StringType()), StructField("embedding", ArrayType(FloatType()))])


def add_action(number: int) -> str:
    """An `add` as Delta's writer makes it."""
    ends = {"minValues": {"id": f"d{number * ROWS:012d}"}, "maxValues": {"id": f"d{number * ROWS + ROWS - 1:012d}"}}
    stats = {"numRecords": ROWS, **ends, "nullCount": {"id": 0}}
    name = f"part-{number % 400:05d}-{UUID(int=number * 2**64)}-c000.snappy.parquet"
    said = {"path": name, "partitionValues": {}, "size": FILE_BYTES, "modificationTime": 1, "dataChange": True}
    return json.dumps({"add": {**said, "stats": json.dumps(stats)}})


def make_up(spark: SparkSession, folder: str, files: int) -> None:
    """A table of so many files that are not there: COMMITS commits, a checkpoint of all but the last, and that."""
    log = DeltaLog(spark, folder)
    transaction = log.start()
    transaction.define(Definition(SCHEMA, {}))
    transaction.commit({})
    for version, numbers in enumerate(np.array_split(np.arange(files), COMMITS), 1):
        text = "\n".join(add_action(int(number)) for number in numbers)
        Path(folder, "_delta_log", f"{version:020d}.json").write_text(text + "\n")
        if version == COMMITS - 1:
            log.snapshot()
            log._log.checkpoint()


def forget(spark: SparkSession) -> None:
    """Let Delta read logs anew, as another job would."""
    spark.sparkContext._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache()


class Measured:
    """Seconds of each step, by its name."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}

    def __call__(self, name: str, work: Callable[[], object]) -> object:
        started = time.perf_counter()
        result = work()
        self.seconds.setdefault(name, []).append(time.perf_counter() - started)
        return result


def staged(files: Sequence[DataFile]) -> list[DataFile]:
    """Files that a chunk's tasks would have written: as many as were read, smaller, of other names."""
    adds = [json.loads(file.action) for file in files]
    return [DataFile(json.dumps({**add, "path": f"of-{add['path']}", "size": add["size"] // 3})) for add in adds]


def sample_and_plan(spark: SparkSession, source: str, measure: Measured) -> list[DataFile]:
    """What `files_for` does with the log, without a look at rows, and the chunks that a full run makes."""
    forget(spark)
    snapshot = DeltaLog(spark, source).snapshot()
    files = measure("read the log: every file with its rows", lambda: snapshot.files)

    def draw() -> object:
        counts = np.array([file.rows for file in files])
        order = np.random.default_rng(0).permutation(len(files))
        drawn = order[: files_needed(len(files), SAMPLE, counts.sum()) or len(files)]
        return snapshot.read([files[number] for number in drawn])

    measure("draw a sample's files", draw)
    chunks = measure("cut it into chunks", lambda: cut(files, ROUNDS * SLOTS * SLOT_BYTES))
    measure("their rows and keys", lambda: [(chunk.rows, [file.key for file in chunk.files]) for chunk in chunks])
    return files


def build_and_publish(spark: SparkSession, location: str, files: list[DataFile], measure: Measured) -> int:
    """A build as `apply_full` makes it, but for its rows; how many chunks it had."""
    size = ROUNDS * SLOTS * SLOT_BYTES
    chunks = cut(files, size)
    site = Site(spark, location, "benchmark", SCHEMA)
    build = site.begin(Definition(SCHEMA, {SOURCE: "made up", VERSION: "1"}), size, single=len(chunks) <= 1)

    def commit_chunks() -> None:
        nonlocal build
        for chunk in chunks:
            transaction = build.start(chunk)
            transaction.add(staged(chunk.files))
            if chunk is chunks[-1]:
                build = build.with_last(transaction)
            else:
                transaction.commit({})

    measure("commit the chunks to the staging table", commit_chunks)
    rows = measure("read the staging table", lambda: build.rows)
    assert rows == rows_of(files)
    measure("publish all in one commit", lambda: build.publish(False, {}, lambda properties: None))
    return len(chunks)


def measure_one(files: int) -> dict[str, object]:
    """All figures of one size, in this process."""
    from adaptor.spark import open_session

    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] --conf spark.driver.memory={DRIVER_GB}g pyspark-shell"
    spark = open_session("bench-log", progress=False)
    measure = Measured()
    with tempfile.TemporaryDirectory() as folder:
        make_up(spark, f"{folder}/docs", files)
        for _ in range(REPEATS):
            found = sample_and_plan(spark, f"{folder}/docs", measure)
        chunks = build_and_publish(spark, f"{folder}/nested", found, measure)
        version = DeltaLog(spark, f"{folder}/nested").snapshot().version
        commit = Path(folder, "nested", "_delta_log", f"{version:020d}.json").stat().st_size
    jvm = spark.sparkContext._jvm
    jvm.java.lang.System.gc()
    runtime = jvm.java.lang.Runtime.getRuntime()
    java = next(child for child in psutil.Process().children(recursive=True) if child.name() == "java")
    figures = {
        "files": files,
        "chunks": chunks,
        "seconds": {name: float(np.median(some)) for name, some in measure.seconds.items()},
        "commit_mb": commit / 1e6,
        "python_mb": peak_mb(os.getpid()),
        "java_mb": peak_mb(java.pid),
        "live_mb": (runtime.totalMemory() - runtime.freeMemory()) / 1e6,
    }
    spark.stop()
    return figures


def peak_mb(pid: int) -> float:
    """The most memory that a process had resident."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def section(few: dict, many: dict) -> str:
    """The section of docs/scale.md."""
    times = many["files"] / few["files"]
    rows = []
    for name, seconds in many["seconds"].items():
        before = few["seconds"][name]
        power = np.log(seconds / before) / np.log(times)
        rows.append((name, f"{before:,.3f} s", f"{seconds:,.3f} s", f"{seconds / before:.1f}", f"{power:.2f}"))
    for key, name in {
        "commit_mb": "the commit that publishes",
        "python_mb": "peak of the driver's Python",
        "java_mb": f"peak of its JVM, of {DRIVER_GB} GB it may take",
        "live_mb": "lives in the JVM at the end",
    }.items():
        rows.append((name, f"{few[key]:,.0f} MB", f"{many[key]:,.0f} MB", f"{many[key] / few[key]:.1f}", ""))
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    long = 0.05 * sum(many["seconds"].values())
    worst = max((row for row in rows if many["seconds"].get(row[0], 0) > long), key=lambda row: float(row[-1]))
    return (
        f"`python -m benchmarks.log` makes up a table of {few['files']:,} and of {many['files']:,} files, {ROWS:,} "
        f"rows and {FILE_BYTES / 1e6:.0f} MB each, in {COMMITS} commits and a checkpoint, without data files: names "
        "and statistics. The functions that sample and apply call read it, cut it for "
        f"{SLOTS} task slots into {few['chunks']} and {many['chunks']} chunks, commit as many files and publish them. "
        f"Seconds of reading and planning are medians of {REPEATS}; `power` is that of files to which they grow, 1 is "
        "linear. What looks at data files is left out: a pilot of ten, and a listing of those that were written.\n\n"
        f"| | {few['files']:,} files | {many['files']:,} files | ratio | power |\n|---|---|---|---|---|\n{lines}\n\n"
        f"{machine()}\n\nOf steps that take a twentieth of the time or more, this grows fastest: "
        f"{worst[0]}, by the power {worst[-1]}.\n"
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=int, nargs=2, default=(20_000, 200_000))
    options.add_argument("--one", type=int, help="measure this one size and print its figures as JSON, last")
    given = options.parse_args()
    if given.one:
        print(json.dumps(measure_one(given.one)))
        return
    figures = []
    for files in given.files:
        command = [sys.executable, "-m", "benchmarks.log", "--one", str(files)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        figures.append(json.loads(said.splitlines()[-1]))
        print(json.dumps(figures[-1], indent=1), flush=True)
    put_part(SCALE, TITLE, section(*figures))


if __name__ == "__main__":
    main()
