"""What an apply would do and cost, without doing it: from the log, and from a measured piece of this very table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, DoubleType

from adaptor.config import Config
from adaptor.layout import bytes_of
from adaptor.spark.apply.builds import Build, Site
from adaptor.spark.apply.chunks import Chunk, cut
from adaptor.spark.apply.engines import ENGINES
from adaptor.spark.apply.engines.choice import choose
from adaptor.spark.apply.full import chunk_bytes
from adaptor.spark.apply.quarantine import quarantine_schema
from adaptor.spark.apply.request import Request, open_request, require_writable
from adaptor.spark.apply.target import target_definition
from adaptor.spark.causes import named_causes
from adaptor.spark.columns import field_of
from adaptor.spark.delta_log import DataFile, Snapshot
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef
from adaptor.storage import as_url, remove_folder

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
    bytes_before: int  # of the numbers of all vectors, as they are
    bytes_out: dict[int, int]  # dim, or length of a code -> its bytes in all rows
    chunks: int
    measured_rows: int
    core_hours: float
    price: float | None


def plan_apply(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Plan:
    """Plan a full run of `config.apply`, and measure it on a few of the source's files.

    What is measured is written to a folder of its own in `config.sample.folder`, and deleted.
    Raises `AdaptorError` as `apply_table` would before it writes.
    """
    request = open_request(spark, config)
    require_writable(request, config.runs)
    with named_causes(spark, request.source, config.source):
        return _measured(request, config, report)


def _measured(request: Request, config: Config, report: Callable[[str], None]) -> Plan:
    spark = request.spark
    request.require_width()
    source = request.snapshot()
    there = request.target.is_path or request.target.exists(spark)
    location = request.target.location(spark) if there else config.sample.folder
    measured = _some(source.files)
    report(f"measuring {len(measured)} of {len(source.files)} files")
    with _scratch(request, source, f"{as_url(config.sample.folder).rstrip('/')}/plan-{uuid4().hex}") as build:
        engine = choose(request, source, build.definition, location, report)
        chunk = Chunk(0, tuple(measured))
        transaction = build.start(chunk)
        assert transaction is not None  # nobody else writes there
        clock = Clock(spark)
        seen = ENGINES[engine](request, source, chunk, build, transaction)
        seconds = clock.task_seconds()
    rows = request.count(source)
    hours = seconds / max(seen, 1) * rows / 3600
    price = config.rates.core_hour
    return Plan(
        source=request.source,
        target=request.target,
        engine=engine,
        rows=rows,
        files=len(source.files),
        bytes_in=sum(file.bytes for file in source.files),
        bytes_before=rows * request.kernel.adaptor.width * _number_bytes(source, request.columns.embedding),
        bytes_out={dim: rows * bytes_of(dim, request.kernel.encoding) for dim in request.kernel.lengths},
        chunks=len(cut(source.files, chunk_bytes(request))),
        measured_rows=seen,
        core_hours=hours,
        price=None if price is None else hours * price,
    )


def _number_bytes(source: Snapshot, embedding: str) -> int:
    """What a number of the source's vectors takes."""
    vectors = field_of(source.schema, embedding).dataType
    return 8 if isinstance(vectors, ArrayType) and isinstance(vectors.elementType, DoubleType) else 4


def _some(files: list[DataFile]) -> list[DataFile]:
    """A few files, from the middle of the table on: the first and the last are often odd."""
    some: list[DataFile] = []
    for file in files[len(files) // 2 :]:
        some.append(file)
        if sum(f.bytes for f in some) >= MEASURED_BYTES:
            break
    return some


@contextmanager
def _scratch(request: Request, source: Snapshot, folder: str) -> Iterator[Build]:
    """A build that nobody publishes."""
    site = Site(request.spark, folder, request.key, quarantine_schema(request))
    try:
        build = site.begin(target_definition(request, source), 1, single=True)
        assert build is not None  # nobody else knows this folder
        yield build
    finally:
        remove_folder(folder)
