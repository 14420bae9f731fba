"""What an incremental run costs after one row in a hundred changed, beside the full run and beside Delta's MERGE."""

from __future__ import annotations

import os
import shutil
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from delta.tables import DeltaTable
from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

from adaptor.spark import adapt_udf
from adaptor.spark.apply import Applied, apply_table
from benchmarks.apply.random_tables import artifact, config, remove, rows_of, session, source, task_seconds
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
        rival, rival_wall = costs[f"MERGE, {kind}"]
        lines.append(
            [f"MERGE, 1 percent, {kind}", f"{rival:.1f} s", f"{rival_wall:.1f} s", f"{rival / full:.1%}", "", ""]
        )
    return (
        f"{rows:,} rows, {WIDTH} to {'+'.join(map(str, DIMS))}, change feed and deletion vectors on, 16 files sorted "
        f"by id. Clustered: one range of ids; random: by a hash of the id. Medians of {REPEATS} rounds, each on new "
        "tables. Task time is the run time of all Spark tasks of the job, without what its driver does. "
        "MERGE: the rival, the public UDF on the same piece of the change feed and Delta's own MERGE, into a copy of "
        "the target that marks rows too.\n\n"
        + table(["run", "task time", "wall", "of the full run", "target", ""], lines)
    )


def _runs(spark: SparkSession, folder: Path, rows: int, repeats: int) -> dict[str, tuple[float, float]]:
    """Median task and wall seconds of full runs, then of incremental ones after clustered and after random updates."""
    costs: dict[str, list[tuple[float, float]]] = {}
    for number in range(repeats):
        tables = folder / f"{rows}_{number}"  # Delta remembers a table by its folder
        tables.mkdir()
        for kind, cost in _runs_of_a_round(spark, tables, rows, number).items():
            costs.setdefault(kind, []).append(cost)
        remove(tables)
    return {
        kind: (statistics.median(task for task, _ in rounds), statistics.median(wall for _, wall in rounds))
        for kind, rounds in costs.items()
    }


def _runs_of_a_round(spark: SparkSession, folder: Path, rows: int, number: int) -> dict[str, tuple[float, float]]:
    """Task and wall seconds on new tables: full, then incremental and by MERGE, after clustered and random updates."""
    docs, artifact_folder = source(spark, folder, rows, WIDTH, **FEED), artifact(folder, DIMS, WIDTH)
    target, copy = folder / "target", folder / "copy"
    costs = {}

    def measured(name: str, work: Callable[[], object]) -> None:
        before, started = task_seconds(spark), time.perf_counter()
        work()
        wall = time.perf_counter() - started
        costs[name] = (task_seconds(spark) - before, wall)
        print(f"{rows:,} rows, {name}: {costs[name][0]:.1f} s of tasks, {wall:.1f} s", flush=True)

    def applied(mode: str) -> Applied:
        return apply_table(spark, config(folder, docs, artifact_folder, target, mode=mode), lambda line: None)

    measured("full", lambda: applied("full"))
    shutil.copytree(target, copy)
    os.sync()  # what comes next would wait for the disk
    marks = DeltaTable.forPath(spark, str(copy)).detail().first()["properties"].get("delta.enableDeletionVectors")
    if marks != "true":
        raise RuntimeError("the copy does not mark rows, so MERGE would write whole files: no fair rival")
    few = rows // 100
    for kind, changed in (
        ("clustered", f"id >= {rows // 3} AND id < {rows // 3 + few}"),
        ("random", "pmod(xxhash64(id), 100) = 7"),
    ):
        version = DeltaTable.forPath(spark, docs).history(1).first()["version"]
        moved = "transform(embedding, x -> CAST(x + 0.25 AS FLOAT))"
        spark.sql(f"UPDATE delta.`{docs}` SET embedding = {moved} WHERE {changed}")
        runs: list[tuple[str, Callable[[], object]]] = [
            (kind, partial(applied, "incremental")),
            (f"MERGE, {kind}", partial(_merge, spark, docs, version + 1, artifact_folder, copy)),
        ]
        for name, work in runs if number % 2 == 0 else reversed(runs):  # who comes first changes with the round
            measured(name, work)
        _require_equal(spark, target, copy)
    return costs


def _merge(spark: SparkSession, table: str, since: int, artifact_folder: str, target: Path) -> None:
    """What a user would write: the last row of each changed id, the UDF over them, and Delta's MERGE."""
    changes = spark.read.format("delta").option("readChangeFeed", "true").option("startingVersion", since).load(table)
    nested = adapt_udf(artifact_folder)("embedding").alias("nested")
    late = Window.partitionBy("id").orderBy(F.col("_commit_version").desc(), F.col("_change_type") == "delete")
    last = changes.where("_change_type <> 'update_preimage'").withColumn("late", F.row_number().over(late))
    rows = last.where("late = 1").select("id", "_change_type", nested)
    values = {"id": "s.id", **{f"embedding_{dim}": f"s.nested.embedding_{dim}" for dim in DIMS}}
    (
        DeltaTable.forPath(spark, str(target))
        .alias("t")
        .merge(rows.alias("s"), "t.id = s.id")
        .whenMatchedDelete("s._change_type = 'delete'")
        .whenMatchedUpdate(set=values)
        .whenNotMatchedInsert("s._change_type <> 'delete'", values)
        .execute()
    )


def _require_equal(spark: SparkSession, one: Path, other: Path) -> None:
    """`RuntimeError` unless both tables hold the same ids once each, with equal numbers but for their last bits."""
    left, right = (spark.read.format("delta").load(str(path)) for path in (one, other))
    pairs = left.alias("l").join(right.alias("r"), "id", "full")
    distances = [
        f"aggregate(zip_with(l.embedding_{d}, r.embedding_{d}, (a, b) -> abs(a - b)), 0D, (m, x) -> greatest(m, x))"
        for d in DIMS
    ]
    near = " AND ".join(f"coalesce({distance} < 1e-5, false)" for distance in distances)
    rows, equal = pairs.selectExpr("count(*)", f"count_if({near})").first()
    if not left.count() == right.count() == rows == equal:
        raise RuntimeError(f"of {rows} ids only {equal} have equal rows in {one} and {other}")
