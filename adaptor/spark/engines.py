"""The engines of apply: Arrow batches in and out of Python, or the public UDF."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from adaptor.kernel import Kernel
from adaptor.spark.udf import adapt_udf, nested_type

Engine = Callable[[DataFrame, Kernel], DataFrame]


def through_arrow(rows: DataFrame, kernel: Kernel) -> DataFrame:
    """`kept, embedding` to the kept columns and the nested ones, in one pass without a Python object a row."""

    def adapt(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            columns = [batch.column("kept"), *kernel(batch.column("embedding")).columns]
            yield pa.RecordBatch.from_arrays(columns, names=["kept", *kernel.schema.names])

    # A batch is what a worker holds: as many rows as its memory is meant for, not as many as fit any width.
    rows.sparkSession.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", kernel.rows_per_batch)
    adapted = rows.mapInArrow(adapt, StructType([rows.schema["kept"], *nested_type(kernel)]))
    return adapted.select("kept.*", *kernel.schema.names)


def through_udf(rows: DataFrame, kernel: Kernel) -> DataFrame:
    """The same by the public UDF: the kept columns never leave the JVM."""
    adapt = adapt_udf(kernel.adaptor, layout=kernel.layout, encoding=kernel.encoding)
    return rows.select("kept", adapt("embedding").alias("nested")).select("kept.*", "nested.*")


ENGINES: dict[str, Engine] = {"arrow": through_arrow, "pandas_udf": through_udf}
