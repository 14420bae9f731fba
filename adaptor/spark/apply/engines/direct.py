"""The engine whose tasks read and write Parquet themselves; Spark schedules them, Delta commits what they wrote.

Between Parquet and the kernel there are only Arrow buffers: no row ever passes through the JVM.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote

from pyspark.sql.types import ByteType, IntegerType, LongType, ShortType, StringType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.builds import Build
from adaptor.spark.apply.chunks import Chunk
from adaptor.spark.apply.engines.frames import by_arrow, write_frame
from adaptor.spark.apply.engines.parquet import Listing, Output, Split, adapt_splits
from adaptor.spark.apply.engines.partitions import WHOLE, Partition, by_partition
from adaptor.spark.apply.engines.reading import Reading
from adaptor.spark.apply.engines.writing import added, kept_schema
from adaptor.spark.apply.request import Request
from adaptor.spark.arrow_types import arrow_type
from adaptor.spark.columns import field_of
from adaptor.spark.delta_log import DataFile, Definition, Snapshot, Transaction
from adaptor.spark.task_gpu import task_device
from adaptor.storage import is_url

UNIT_BYTES = 128 << 20  # of source files, an output file, at most: what Spark gives a task too
LEAST_UNIT_BYTES = 32 << 20  # smaller files only where there is no more
HARMLESS = {"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Features for readers that don't change how a data file without deletions is read."""
ID_TYPES = (ByteType, ShortType, IntegerType, LongType, StringType)
"""Of which Arrow and Spark read the same, as ids are in the quarantine."""
READ_OTHERWISE = {"EXISTS_DEFAULT", "parquet.field.id"}
"""What a column's metadata may hold that changes how Spark reads it: a value for older files, a number for a name."""


def obstacle_to_reading(request: Request, source: Snapshot) -> str | None:
    """Why the tasks can't read this table's files themselves, in half a sentence; None where they can."""
    unknown = set(source.protocol.get("readerFeatures", [])) - HARMLESS
    if source.properties.get("delta.columnMapping.mode", "none") != "none":
        return "the source maps column names"
    if unknown:
        return f"the source uses {', '.join(sorted(unknown))}"
    if request.columns.where is not None:
        return "source.where is SQL"
    if request.columns.id in source.definition.partitioned_by:
        return f"{request.columns.id} stands in the folders' names, not in the files"
    needed = {*request.kept, request.columns.embedding}
    inside = sorted(needed - set(source.schema.names))
    if inside:
        return f"{', '.join(inside)} is a field of a struct"
    odd = [field.name for field in source.schema if field.name in needed and READ_OTHERWISE & set(field.metadata)]
    if odd:
        return f"column {odd[0]!r} has a default or a field id"
    if not isinstance(source.schema[request.columns.id].dataType, ID_TYPES):
        return f"the id is {source.schema[request.columns.id].dataType.simpleString()}"
    return None


def obstacle_to_partitions(source: Snapshot, table: Definition) -> str | None:
    """Why a task, which writes a file of what it reads, can't write these partitions; None where it can."""
    of_source, of_table = list(source.definition.partitioned_by), list(table.partitioned_by)
    if of_table and of_table != of_source:
        return f"the target is partitioned by {', '.join(of_table)}, and the source is not"
    in_files = set(table.schema.names) - set(of_table)
    carried = [name for name in of_source if name in in_files]
    return f"{', '.join(carried)} stands in the folders' names, not in the files" if carried else None


def write(request: Request, source: Snapshot, chunk: Chunk, build: Build, transaction: Transaction) -> int:
    """Write a chunk's files by its tasks; files with deletion vectors, and odd ones, go through Spark beside them.

    Raises `AdaptorError` where a file is odd and no other engine was allowed.
    """
    plain = [file for file in chunk.files if not file.has_deletions]
    units, outputs = _run(request, source, plain, build) if plain else ([], [])
    odd = {path: why for output in outputs for path, why in output.odd.items()}
    if odd and request.settings.engine == "direct":
        path = min(odd)
        raise AdaptorError(
            f"apply.engine=direct can't be sure to read {path} as Spark does: {odd[path]}; "
            "set apply.engine=arrow, by which Spark reads the file"
        )
    seen = sum(output.seen for output in outputs)
    rest = [file for file in chunk.files if file.has_deletions or _whole(source.location, file) in odd]
    if rest:
        part = Chunk(chunk.number, tuple(rest))
        seen += write_frame(by_arrow, request, source, part, build, transaction)
    transaction.add([added(good, unit.partition) for unit, output in zip(units, outputs) for good in output.good])
    bad_files = [added(bad) for output in outputs for bad in output.bad]
    bad_transaction = build.start_bad(chunk) if bad_files else None
    if bad_transaction is not None:
        bad_transaction.add(bad_files)
        bad_transaction.commit({})
    return seen


@dataclass(frozen=True)
class Unit:
    """What a task makes a file of: parts of files of one partition, and the folder where that one goes."""

    partition: Partition
    folder: str
    splits: list[Split]


def _run(
    request: Request, source: Snapshot, files: Sequence[DataFile], build: Build
) -> tuple[list[Unit], list[Output]]:
    """The work, cut into units, and what became of each."""
    context, target = request.spark.sparkContext, build.site.log.path
    limit = _unit_bytes(files, context.defaultParallelism)
    partitions = by_partition(files) if request.partitioned_by else {WHOLE: files}
    units = [
        Unit(partition, f"{target}/{unquote(partition.folder)}".rstrip("/"), splits)
        for partition, some in partitions.items()
        for splits in _units(source.location, some, limit)
    ]
    job = partial(
        adapt_splits,
        request.kernel,
        request.columns.id,
        request.columns.embedding,
        kept_schema(field_of(source.schema, name) for name in request.kept if name not in request.partitioned_by),
        request.keeps_bad,
        bad_folder=build.site.bad_log.path,
        listing=Listing(kept_schema(build.site.bad_rows), build.source_version),
        reading=_reading(request, source),
    )

    def adapt(unit: Unit) -> Output:
        return job(folder=unit.folder, splits=unit.splits, device=task_device())

    return units, context.parallelize(units, len(units)).map(adapt).collect()


def _reading(request: Request, source: Snapshot) -> Reading:
    """How this session reads files, as far as it decides what a value is."""
    said, parquet = request.spark.conf.get, "spark.sql.parquet"
    converts = said(f"{parquet}.int96TimestampConversion") == "true"
    return Reading(
        embedding=arrow_type(source.schema[request.columns.embedding].dataType),
        case_sensitive=said("spark.sql.caseSensitive") == "true",
        dates=said(f"{parquet}.datetimeRebaseModeInRead"),
        int96=None if converts else said(f"{parquet}.int96RebaseModeInRead"),
    )


def _unit_bytes(files: Sequence[DataFile], slots: int) -> int:
    """How much of the files goes into a task, so that no slot is left without work in the last round."""
    total = sum(file.bytes for file in files)
    rounds = math.ceil(total / (slots * UNIT_BYTES))
    return max(LEAST_UNIT_BYTES, math.ceil(total / (slots * rounds)))


def _units(location: str, files: Sequence[DataFile], limit: int) -> Iterator[list[Split]]:
    """Parts of files, as many together as make an output file of `limit` bytes: neither too small nor too many."""
    unit: list[Split] = []
    for file in files:
        whole = _whole(location, file)
        for start in range(0, file.bytes, UNIT_BYTES):
            split = Split(whole, start, min(start + UNIT_BYTES, file.bytes))
            if unit and sum(s.stop - s.start for s in unit) + split.stop - split.start > limit:
                yield unit
                unit = []
            unit.append(split)
    if unit:
        yield unit


def _whole(location: str, file: DataFile) -> str:
    """Where a file lies."""
    path = unquote(file.path)
    return path if is_url(file.path) or path.startswith("/") else f"{location.rstrip('/')}/{path}"
