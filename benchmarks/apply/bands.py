"""What reading one short prefix back from `layout: bands` costs in bytes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.spark.decoders import prefix_sql
from benchmarks.apply.random_tables import DIMS, WIDTH, applied, artifact, rows_of, session, source
from benchmarks.apply.report import met, table

TITLE = "Bytes read for a 64-d prefix out of bands"
ROWS, DIM, MOST = 200_000, DIMS[0], 1.15


def measure(folder: Path, scale: float) -> str:
    """Spark's own count of the bytes that its tasks read, for a query on the prefix."""
    rows = rows_of(scale, ROWS)
    spark = session()
    applied(spark, folder, source(spark, folder, rows), artifact(folder), layout="bands")
    target = spark.read.format("delta").load(str(folder / "target"))
    files = [unquote(urlparse(url).path) for url in target.inputFiles()]  # Delta's log is read here, once
    prefix = _bytes_read(spark, target.select(F.expr(prefix_sql("bands", DIMS, DIM))))
    everything = _bytes_read(spark, target)
    spark.stop()
    numbers = 4 * DIM * rows
    lines = [
        [f"a {DIM}-d prefix", _mb(prefix), f"{prefix / numbers:.3f}", f"at most {MOST}", met(prefix <= MOST * numbers)],
        ["its band in the files, by their footers", _mb(_stored(files, f"embedding_0_{DIM}")), "", "", ""],
        ["all columns", _mb(everything), f"{everything / numbers:.3f}", "", ""],
    ]
    return (
        f"{rows:,} rows, {WIDTH} to bands of 64+128+256, {len(files)} files; Spark's count of the bytes its tasks "
        f"read, beside {DIM} x 4 x rows = {_mb(numbers)}.\n\n"
        + table(["read", "bytes", f"of {DIM} x 4 x rows", "target", ""], lines)
    )


def _bytes_read(spark: SparkSession, df: DataFrame) -> int:
    before = _total(spark)
    df.write.format("noop").mode("overwrite").save()
    return _total(spark) - before


def _total(spark: SparkSession) -> int:
    executors = spark.sparkContext._jsc.sc().statusStore().executorList(False)
    return sum(int(executors.apply(i).totalInputBytes()) for i in range(executors.size()))


def _stored(files: list[str], column: str) -> int:
    """Bytes of a column's chunks, as the files' footers give them."""
    stored = 0
    for file in files:
        metadata = pq.read_metadata(file)
        for group in range(metadata.num_row_groups):
            chunks = (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
            stored += sum(
                chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] == column
            )
    return stored


def _mb(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
