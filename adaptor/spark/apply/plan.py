"""What an apply would do and cost, without doing it: from the log, and from a measured piece of this very table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

from pyspark.sql import SparkSession

from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.layout import bytes_of
from adaptor.spark.apply.engines import ENGINES
from adaptor.spark.apply.engines.choice import choose
from adaptor.spark.apply.full import chunk_bytes
from adaptor.spark.apply.staging import Chunk, Staging, cut
from adaptor.spark.apply.target import target_properties, target_schema
from adaptor.spark.apply.work import Work, open_work
from adaptor.spark.delta_log import DataFile, Snapshot
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef

MEASURED_BYTES = 256 << 20  # of source files, at most one file more


@dataclass(frozen=True)
class Plan:
    """A full run, as it would be now; `core_hours` of task time, `price` if the config has one."""

    source: TableRef
    target: TableRef
    engine: str
    rows: int
    files: int
    bytes_in: int
    bytes_out: dict[int, int]  # dim -> bytes of its numbers in all rows
    chunks: int
    measured_rows: int
    core_hours: float
    price: float | None


def plan_apply(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Plan:
    """Plan a full run of `config.apply`, and measure it on a few of the source's files.

    What is measured is written to a folder of its own in `config.sample.folder`, and deleted.
    Raises `AdaptorError` as `apply_table` would before it writes.
    """
    work = open_work(spark, config)
    work.require_width()
    source = work.snapshot()
    location = work.target.location(spark) if work.target.exists(spark) else config.sample.folder
    engine = choose(work, source, location, report)
    measured = _some(source.files)
    report(f"measuring {len(measured)} of {len(source.files)} files")
    seen, seconds = _measure(work, source, measured, engine, f"{config.sample.folder.rstrip('/')}/plan-{uuid4().hex}")
    rows = work.count(source)
    hours = seconds / max(seen, 1) * rows / 3600
    price = work.settings.price_per_core_hour
    return Plan(
        source=work.source,
        target=work.target,
        engine=engine,
        rows=rows,
        files=len(source.files),
        bytes_in=sum(file.bytes for file in source.files),
        bytes_out={dim: rows * bytes_of(dim, work.kernel.encoding) for dim in work.kernel.adaptor.dims},
        chunks=len(cut(source.files, chunk_bytes(work))),
        measured_rows=seen,
        core_hours=hours,
        price=None if price is None else hours * price,
    )


def _some(files: list[DataFile]) -> list[DataFile]:
    """A few files, from the middle of the table on: the first and the last are often odd."""
    found: list[DataFile] = []
    for file in files[len(files) // 2 :]:
        found.append(file)
        if sum(f.bytes for f in found) >= MEASURED_BYTES:
            break
    return found


def _measure(work: Work, source: Snapshot, files: list[DataFile], engine: str, scratch: str) -> tuple[int, float]:
    """Rows and seconds of task time that the engine takes for these files."""
    staging = Staging(work.spark, scratch, work.key)
    schema = target_schema(work, source)
    try:
        staging.begin(schema, target_properties(work, source, schema), (), 1)
        clock = Clock(work.spark)
        seen = ENGINES[engine](work, source, Chunk(0, tuple(files)), staging)
        if seen is None:
            raise AdaptorError(f"the scratch folder {scratch} is in use; run the plan again")
        return seen, clock.task_seconds()
    finally:
        staging.delete()
