"""The engines whose files Spark reads and writes: Arrow batches in and out of Python, or the public UDF."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from adaptor.kernel import Kernel
from adaptor.spark.apply.staging import Chunk, Staging
from adaptor.spark.apply.work import Work
from adaptor.spark.delta_log import Snapshot, Transaction
from adaptor.spark.rows import reason
from adaptor.spark.tables import quoted
from adaptor.spark.udf import adapt_udf, nested_type

Through = Callable[[DataFrame, Kernel, bool], DataFrame]


def through_arrow(rows: DataFrame, kernel: Kernel, keep_bad: bool) -> DataFrame:
    """`kept, id, embedding` to the kept columns and the nested ones, in one pass without a Python object a row.

    Bad rows are left out, or with `keep_bad` have nulls.
    """

    def adapt(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            adapted = kernel(batch.column("embedding"))
            columns = [batch.column("kept"), *adapted.columns]
            whole = pa.RecordBatch.from_arrays(columns, names=["kept", *kernel.schema.names])
            bad = adapted.reasons.null_count < len(whole) and not keep_bad
            yield whole.filter(adapted.reasons.is_null()) if bad else whole

    # A batch is what a worker holds: as many rows as its memory is meant for, not as many as fit any width.
    rows.sparkSession.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", kernel.rows_per_batch)
    schema = StructType([rows.schema["kept"], *nested_type(kernel)])
    found = rows if keep_bad else rows.where(F.col("id").isNotNull())
    return _flat(found.select("kept", "embedding").mapInArrow(adapt, schema), kernel.schema.names)


def through_udf(rows: DataFrame, kernel: Kernel, keep_bad: bool) -> DataFrame:
    """The same by the public UDF: the kept columns never leave the JVM."""
    # Not deterministic, so that the filter below doesn't make Spark call it twice.
    adapt = adapt_udf(kernel.adaptor, layout=kernel.layout, encoding=kernel.encoding).asNondeterministic()
    found = rows if keep_bad else rows.where(F.col("id").isNotNull())
    adapted = found.select("kept", adapt("embedding").alias("nested")).select("kept", "nested.*")
    if not keep_bad:
        adapted = adapted.where(F.col(quoted(kernel.schema.names[0])).isNotNull())
    return _flat(adapted, kernel.schema.names)


def _flat(adapted: DataFrame, nested: list[str]) -> DataFrame:
    """`kept` taken apart."""
    return adapted.select("kept.*", *map(quoted, nested))


def written_by(through: Through) -> Callable[[Work, Snapshot, Chunk, Staging], int | None]:
    """The engine that writes what `through` makes."""

    def write(work: Work, source: Snapshot, chunk: Chunk, staging: Staging) -> int | None:
        transaction = staging.started(chunk)
        if transaction is None:
            return None
        seen = write_frame(through, work, source, chunk, staging, transaction)
        transaction.commit({})
        return seen

    return write


def write_frame(
    through: Through, work: Work, source: Snapshot, chunk: Chunk, staging: Staging, transaction: Transaction
) -> int:
    """Write a chunk's rows in `transaction`, commit its bad ones; how many rows there were.

    Bad rows are looked for again only where some are missing: a chunk without them is read once.
    """
    rows = work.frame(source, chunk.files)
    seen = chunk.rows if work.columns.where is None and chunk.rows is not None else rows.count()
    files = transaction.write(through(rows, work.kernel, work.keeps_bad))
    written = sum(file.rows or 0 for file in files)
    if work.keeps_bad or written < seen:
        bad_transaction = staging.started_bad(chunk)
        if bad_transaction is not None:
            why = reason("id", "embedding", work.kernel.adaptor.width)
            bad = rows.select(F.col("id").cast("string").alias("id"), why.alias("reason"))
            bad_transaction.write(bad.where("reason IS NOT NULL").coalesce(1))
            bad_transaction.commit({})
    return seen
