"""The engines whose files Spark reads: Arrow batches in and out of Python, or the public UDF."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StringType, StructField, StructType

from adaptor.encode.kernel import Kernel
from adaptor.spark.apply.builds import Build
from adaptor.spark.apply.chunks import Chunk
from adaptor.spark.apply.engines.parquet import with_null_ids
from adaptor.spark.apply.engines.writing import kept_schema, obstacle_to_writing, on_shared_folders, write_by_tasks
from adaptor.spark.apply.quarantine import listed, listed_id
from adaptor.spark.apply.request import Request
from adaptor.spark.delta_log import DataFile, Snapshot, Transaction
from adaptor.spark.names import quoted
from adaptor.spark.task_gpu import task_device
from adaptor.spark.udf import adapt_udf, nested_type

Write = Callable[[Request, DataFrame, Transaction], Sequence[DataFile]]
"""Adapt `kept, id, embedding` and write the kept and the nested columns in a transaction.

Bad rows are left out, or where the target keeps them have nulls.
"""


def by_arrow(request: Request, rows: DataFrame, transaction: Transaction) -> Sequence[DataFile]:
    """Adapt Arrow batches, no Python object a row; where the tasks can write files, the JVM sees no nested column."""
    kernel = request.kernel
    _batches_for(kernel, rows)
    adapt = partial(_adapted, kernel, request.keeps_bad)
    inputs = _with_id(request, rows).select("kept", "embedding")
    folder, kept = transaction.before.location, rows.select("kept.*").schema
    table = transaction.definition
    plain = not table.partitioned_by and on_shared_folders(folder)
    if plain and obstacle_to_writing(request, kept, table) is None:
        files = write_by_tasks(inputs, adapt, kept_schema(kept), kernel.schema, folder)
        transaction.add(files)
        return files
    schema = StructType([rows.schema["kept"], *nested_type(kernel)])
    return transaction.write(_flat(inputs.mapInArrow(adapt, schema), kernel))


def _adapted(kernel: Kernel, keep_bad: bool, batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """`kept, embedding` to `kept` and the nested columns."""
    device = task_device()
    for batch in batches:
        adapted = kernel(batch.column("embedding"), device)
        columns = [batch.column("kept"), *adapted.columns]
        whole = pa.RecordBatch.from_arrays(columns, names=["kept", *kernel.schema.names])
        bad = adapted.reasons.null_count < len(whole) and not keep_bad
        yield whole.filter(adapted.reasons.is_null()) if bad else whole


def bad_rows(kernel: Kernel, rows: DataFrame) -> DataFrame:
    """`id, reason` of the bad ones among `id, embedding`, by the kernel: SQL can't tell what it maps to zero."""
    kernel = replace(kernel, layout="columns", dims=(kernel.shortest,))  # no more than that takes
    _batches_for(kernel, rows)
    schema = StructType([rows.schema["id"], StructField("reason", StringType())])
    return rows.select("id", "embedding").mapInArrow(partial(_bad, kernel), schema)


def _bad(kernel: Kernel, batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
    """`id, embedding` to `id, reason`."""
    device = task_device()
    for batch in batches:
        ids = batch.column("id")
        reasons = with_null_ids(ids, kernel(batch.column("embedding"), device).reasons)
        yield pa.RecordBatch.from_arrays([ids, reasons], names=["id", "reason"]).filter(reasons.is_valid())


def _batches_for(kernel: Kernel, rows: DataFrame) -> None:
    """Make Spark's Arrow batches as large as a worker's memory is meant for: the wider the rows, the fewer."""
    rows.sparkSession.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", kernel.rows_per_batch())


def by_udf(request: Request, rows: DataFrame, transaction: Transaction) -> Sequence[DataFile]:
    """Adapt by the public UDF: the kept columns never leave the JVM."""
    kernel = request.kernel
    # Not deterministic, so that the filter below doesn't make Spark call it twice.
    adapt = adapt_udf(kernel.adaptor, kernel.lengths, layout=kernel.layout, encoding=kernel.encoding)
    adapt = adapt.asNondeterministic()
    adapted = _with_id(request, rows).select("kept", adapt("embedding").alias("nested")).select("kept", "nested.*")
    if not request.keeps_bad:
        adapted = adapted.where(F.col(quoted(kernel.schema.names[0])).isNotNull())
    return transaction.write(_flat(adapted, kernel))


def _with_id(request: Request, rows: DataFrame) -> DataFrame:
    return rows if request.keeps_bad else rows.where(F.col("id").isNotNull())


def _flat(adapted: DataFrame, kernel: Kernel) -> DataFrame:
    """`kept` taken apart."""
    return adapted.select("kept.*", *map(quoted, kernel.schema.names))


def write_frame(
    write: Write, request: Request, source: Snapshot, chunk: Chunk, build: Build, transaction: Transaction
) -> int:
    """Write a chunk's rows in `transaction`, commit its bad ones; how many rows there were.

    Bad rows are looked for again only where some are missing: a chunk without them is read once.
    """
    rows = request.frame(source, chunk.files)
    seen = chunk.rows if request.columns.where is None and chunk.rows is not None else rows.count()
    rows_written = sum(file.rows or 0 for file in write(request, rows, transaction))
    if request.keeps_bad or rows_written < seen:
        bad_transaction = build.start_bad(chunk)
        if bad_transaction is not None:
            bad = bad_rows(request.kernel, rows.withColumn("id", listed_id(request, rows)))
            bad_transaction.write(listed(request, bad.coalesce(1)))
            bad_transaction.commit({})
    return seen
