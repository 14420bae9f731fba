"""How adapted rows become files of a table: where nothing else is asked for, the tasks that adapt them write them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlparse

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import (
    BooleanType,
    ByteType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from adaptor.spark.apply.engines.parquet import OutputFile, ParquetFile
from adaptor.spark.apply.engines.partitions import WHOLE, Partition
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.target import MAPPING, OURS
from adaptor.spark.arrow_types import arrow_type
from adaptor.spark.delta_log import DataFile, Definition

Adapt = Callable[[Iterable[pa.RecordBatch]], Iterable[pa.RecordBatch]]

PLAIN = (
    BooleanType, ByteType, ShortType, IntegerType, LongType, FloatType, DoubleType, DecimalType,
    StringType, DateType, TimestampType, TimestampNTZType,
)  # fmt: skip
HARMLESS = (
    "delta.dataSkipping", "delta.enableDeletionVectors", "delta.enableChangeDataFeed", "delta.checkpoint",
    "delta.logRetentionDuration", "delta.deletedFileRetentionDuration", "delta.enableExpiredLogCleanup",
    "delta.autoOptimize", "delta.targetFileSize", "delta.isolationLevel",
)  # fmt: skip
"""Delta's table properties, or how they begin, that ask nothing of who writes a data file."""

UNMAPPED = (MAPPING, "none")


def on_shared_folders(*locations: str) -> bool:
    """Whether tasks reach these tables as plain folders, with no credentials of their own."""
    return all(urlparse(location).scheme in ("", "file") for location in locations)


def obstacle_to_writing(request: Request, kept: StructType, table: Definition) -> str | None:
    """Why tasks can't write files of `table` that hold the columns `kept`, in half a sentence; None where they can."""
    odd = [f for f in kept if not isinstance(f.dataType, PLAIN) and f.name != request.columns.embedding]
    if odd:
        return f"column {odd[0].name!r} is {odd[0].dataType.simpleString()}"
    if request.in_place:
        return "in place every column keeps what Delta knows of it"
    foreign = {key for key, value in table.properties.items() if key.startswith("delta.") and (key, value) != UNMAPPED}
    foreign = {key for key in foreign if not key.startswith((*OURS, *HARMLESS))}
    if foreign:
        return f"the target has {', '.join(sorted(foreign))}"
    others = any(set(field.metadata) - {"comment"} for field in table.schema)
    if others or table.schema.names != [*kept.names, *request.kernel.schema.names]:
        return "the target's columns are not those that apply made"
    return None


def write_by_tasks(rows: DataFrame, adapt: Adapt, kept: pa.Schema, nested: pa.Schema, folder: str) -> list[DataFile]:
    """Write what `adapt` makes of the batches of `rows`, a struct of `kept` and the columns `nested`; a file a task."""
    schema = pa.schema([*kept, *nested])

    def write(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        with ParquetFile(folder, schema, kept.names) as file:
            for batch in adapt(batches):
                columns = [column.cast(f.type) for column, f in zip(batch.column("kept").flatten(), kept)]
                file.write(pa.RecordBatch.from_arrays([*columns, *batch.columns[1:]], schema=schema))
        actions = pa.array([added(one).action for one in file.written], pa.string())
        yield pa.RecordBatch.from_arrays([actions], ["action"])

    return [DataFile(action) for (action,) in rows.mapInArrow(write, "action string").collect()]


def kept_schema(fields: Iterable[StructField]) -> pa.Schema:
    """The kept columns as Arrow has them."""
    return pa.schema([pa.field(field.name, arrow_type(field.dataType)) for field in fields])


def added(file: OutputFile, partition: Partition = WHOLE) -> DataFile:
    """A file of `partition` that a task has written, as the log will have it."""
    action: dict[str, Any] = {
        "path": partition.below(file.name),
        "partitionValues": dict(partition.values),
        "size": file.bytes,
        "modificationTime": file.modified,
        "dataChange": True,
        "stats": json.dumps(file.stats),
    }
    return DataFile(json.dumps(action))
