"""Rows a second into a table that is partitioned by day as its source is, beside the same rows without partitions."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

from pyspark.sql import functions as F

from benchmarks.apply.random_tables import DIMS, WIDTH, applied, artifact, rows_of, session, source, warm_up
from benchmarks.apply.report import met, table

TITLE = "A source partitioned by day"
ROWS, DAYS, REPEATS, LEAST = 300_000, 10, 3, 0.9


def measure(folder: Path, scale: float) -> str:
    """Whole apply jobs by the direct engine, in turn, each into a new target."""
    spark, rows = session(), rows_of(scale, ROWS)
    plain, fitted = source(spark, folder, rows), artifact(folder)
    docs = spark.read.format("delta").load(plain)
    day = F.expr(f"DATE'2024-03-01' + CAST(id DIV {-(-rows // DAYS)} AS INT)")
    tables = {"none": f"{folder}/by_nothing", "by day": f"{folder}/by_day"}
    for name, path in tables.items():  # both written alike, and both carry the day
        writer = docs.withColumn("day", day).write.format("delta")
        (writer.partitionBy("day") if name == "by day" else writer).save(path)
    os.sync()
    warm_up(spark, folder)
    seconds: dict[str, list[float]] = {name: [] for name in tables}
    for _ in range(REPEATS):
        for name, path in tables.items():
            taken, outcome = applied(spark, folder, path, fitted, carry=("day",), engine="direct")
            assert outcome.written == rows
            seconds[name].append(taken)
            print(f"{name}: {taken:.1f} s", flush=True)
    spark.stop()
    speeds = {name: rows / statistics.median(taken) for name, taken in seconds.items()}
    share = speeds["by day"] / speeds["none"]
    lines = [
        ["none", f"{speeds['none']:,.0f}", "", "", ""],
        ["by day", f"{speeds['by day']:,.0f}", f"{share:.2f}", f"at least {LEAST}", met(share >= LEAST)],
    ]
    return (
        f"{rows:,} rows, {WIDTH} to {'+'.join(map(str, DIMS))}, {DAYS} days, engine direct, the day carried; medians "
        f"of {REPEATS} jobs each, in turn.\n\n" + table(["partitions", "rows/s", "of none", "target", ""], lines)
    )
