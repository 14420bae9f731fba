"""The engine whose tasks read and write Parquet themselves; Spark schedules them, Delta commits what they wrote.

Between Parquet and the kernel there are only Arrow buffers: no row ever passes through the JVM.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from urllib.parse import unquote

from pyspark.sql.pandas.types import to_arrow_type
from pyspark.sql.types import ByteType, IntegerType, LongType, ShortType, StringType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.builds import Build
from adaptor.spark.apply.chunks import Chunk
from adaptor.spark.apply.engines.frames import by_arrow, write_frame
from adaptor.spark.apply.engines.parquet import Output, Split, adapt_splits
from adaptor.spark.apply.engines.reading import Reading
from adaptor.spark.apply.engines.writing import added, kept_schema
from adaptor.spark.apply.request import Request
from adaptor.spark.columns import field_of
from adaptor.spark.delta_log import DataFile, Snapshot, Transaction
from adaptor.spark.task_gpu import task_device
from adaptor.storage import is_url

UNIT_BYTES = 128 << 20  # of source files, an output file, at most: what Spark gives a task too
LEAST_UNIT_BYTES = 32 << 20  # smaller files only where there is no more
HARMLESS = {"deletionVectors", "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"}
"""Features for readers that don't change how a data file without deletions is read."""
ID_TYPES = (ByteType, ShortType, IntegerType, LongType, StringType)
"""Of which Arrow and Spark make the same text, as ids are in the quarantine."""
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
    partitions = set(source.metadata["partitionColumns"]) & {*request.kept, request.columns.embedding}
    if partitions:
        return f"{', '.join(sorted(partitions))} stands in the folders' names, not in the files"
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


def write(request: Request, source: Snapshot, chunk: Chunk, build: Build, transaction: Transaction) -> int:
    """Write a chunk's files by its tasks; files with deletion vectors, and odd ones, go through Spark beside them.

    Raises `AdaptorError` where a file is odd and no other engine was allowed.
    """
    plain = [file for file in chunk.files if not file.has_deletions]
    outputs = _run(request, source, plain, build) if plain else []
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
    transaction.add([added(written) for output in outputs for written in output.good])
    bad_files = [added(written) for output in outputs for written in output.bad]
    bad_transaction = build.start_bad(chunk) if bad_files else None
    if bad_transaction is not None:
        bad_transaction.add(bad_files)
        bad_transaction.commit({})
    return seen


def _run(request: Request, source: Snapshot, files: Sequence[DataFile], build: Build) -> list[Output]:
    context = request.spark.sparkContext
    units = list(_units(source.location, files, _unit_bytes(files, context.defaultParallelism)))
    job = partial(
        adapt_splits,
        request.kernel,
        request.columns.id,
        request.columns.embedding,
        kept_schema(field_of(source.schema, name) for name in request.kept),
        request.keeps_bad,
        build.site.log.path,
        build.site.bad_log.path,
        reading=_reading(request, source),
    )
    return context.parallelize(units, len(units)).map(lambda unit: job(unit, device=task_device())).collect()


def _reading(request: Request, source: Snapshot) -> Reading:
    """How this session reads files, as far as it decides what a value is."""
    said, parquet = request.spark.conf.get, "spark.sql.parquet"
    converts = said(f"{parquet}.int96TimestampConversion") == "true"
    return Reading(
        embedding=to_arrow_type(source.schema[request.columns.embedding].dataType),
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
