"""What an incremental run costs after one row in a hundred changed, beside the full run."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from pyspark.sql import SparkSession

from adaptor.spark.apply import apply_table
from benchmarks.apply.made import artifact, config, remove, rows_of, session, source, task_seconds
from benchmarks.apply.report import met, table

TITLE = "Incremental after 1 percent changed"
REPEATS = 3
ROWS, WIDTH, DIMS = 2_000_000, 256, (64, 128)
FEED = {"enableChangeDataFeed": "true", "enableDeletionVectors": "true"}
TARGETS = {"clustered": 0.05, "random": 0.20}
TARGET_PROPERTY = "spark.databricks.delta.properties.defaults.enableDeletionVectors"


def measure(folder: Path, scale: float) -> str:
    """Task seconds of full runs, and of incremental ones after clustered and after random updates."""
    spark = session()
    spark.conf.set(TARGET_PROPERTY, "true")  # the target too may mark rows instead of writing their files anew
    rows = rows_of(scale, ROWS)
    _runs(spark, folder, 40_000, 1)  # no run pays for a cold JVM
    costs = _runs(spark, folder, rows, REPEATS)
    spark.stop()
    full, full_wall = costs["full"]
    lines = [["full", f"{full:.1f} s", f"{full_wall:.1f} s", "", "", ""]]
    for kind, most in TARGETS.items():
        cost, wall = costs[kind]
        share = cost / full
        lines.append(
            [
                f"1 percent, {kind}",
                f"{cost:.1f} s",
                f"{wall:.1f} s",
                f"{share:.1%}",
                f"at most {most:.0%}",
                met(share <= most),
            ]
        )
    return (
        f"{rows:,} rows, {WIDTH} to {'+'.join(map(str, DIMS))}, change feed and deletion vectors on, 16 files sorted "
        f"by id. Clustered: one range of ids; random: by a hash of the id. Medians of {REPEATS} rounds, each on new "
        "tables. Task time is the run time of all Spark tasks of the job, without what its driver does.\n\n"
        + table(["run", "task time", "wall", "of the full run", "target", ""], lines)
    )


def _runs(spark: SparkSession, folder: Path, rows: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Median task and wall seconds of full runs, then of incremental ones after clustered and after random updates."""
    costs: dict[str, list[tuple[float, float]]] = {}
    for number in range(repeats):
        tables = folder / f"{rows}_{number}"  # Delta remembers a table by its folder
        tables.mkdir()
        for kind, cost in _three_runs(spark, tables, rows).items():
            costs.setdefault(kind, []).append(cost)
        remove(tables)
    return {
        kind: (statistics.median(task for task, _ in found), statistics.median(wall for _, wall in found))
        for kind, found in costs.items()
    }


def _three_runs(spark: SparkSession, folder: Path, rows: int) -> dict[str, tuple[float, float]]:
    """Task and wall seconds on new tables: full, then incremental after clustered, then after random updates."""
    made, fitted = source(spark, folder, rows, WIDTH, **FEED), artifact(folder, DIMS, WIDTH)
    target = folder / "target"
    few = rows // 100
    costs = {}
    for kind, mode, changed in (
        ("full", "full", None),
        ("clustered", "incremental", f"id >= {rows // 3} AND id < {rows // 3 + few}"),
        ("random", "incremental", "pmod(xxhash64(id), 100) = 7"),
    ):
        if changed:
            moved = "transform(embedding, x -> CAST(x + 0.25 AS FLOAT))"
            spark.sql(f"UPDATE delta.`{made}` SET embedding = {moved} WHERE {changed}")
        before, started = task_seconds(spark), time.perf_counter()
        apply_table(spark, config(folder, made, fitted, target, mode=mode), lambda line: None)
        wall = time.perf_counter() - started
        costs[kind] = (task_seconds(spark) - before, wall)
        print(f"{rows:,} rows, {kind}: {costs[kind][0]:.1f} s of tasks, {costs[kind][1]:.1f} s", flush=True)
    return costs
