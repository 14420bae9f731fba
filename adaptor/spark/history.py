"""What the runs and the alerts tables know of an artifact's past, for a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.config import Config
from adaptor.evaluation.measurement import Measurement
from adaptor.report.contents import DatedAlert, DatedFigure, JobRun
from adaptor.spark.alerts import SCHEMA as ALERTS_SCHEMA
from adaptor.spark.runs import SCHEMA as RUNS_SCHEMA
from adaptor.spark.tables import TableRef, require_columns

MOST_RUNS = 300  # the last ones of all jobs
MOST_ALERTS = 300


@dataclass(frozen=True)
class History:
    """Runs, figures over runs, alerts, and a sentence for each that there is not."""

    runs: list[JobRun]
    quality: list[DatedFigure]
    drift: list[DatedFigure]
    alerts: list[DatedAlert]
    missing: list[str]

    @classmethod
    def read(cls, spark: SparkSession, configs: Sequence[Config], measurements: Sequence[Measurement]) -> History:
        """What the tables of all configs hold, each table once; `AdaptorError` for one that is no such table."""
        history = cls([], [], [], [], [])
        for name in dict.fromkeys(config.runs for config in configs):
            history._add_runs(spark, TableRef(name), measurements)
        sources = {config.source.table for config in configs}
        for name in dict.fromkeys(config.monitor.alerts for config in configs if config.monitor.alerts):
            history._add_alerts(spark, TableRef(name), sources)
        return history

    def _add_runs(self, spark: SparkSession, ref: TableRef, measurements: Sequence[Measurement]) -> None:
        if not ref.exists(spark):
            self.missing.append(f"There is no runs table at {ref}: what jobs took is not shown.")
            return
        figures = _with_columns(ref.read(spark), ref)
        last = (
            figures.groupBy("run_id", "job", "started_at", "seconds", "core_seconds", "price", "error")
            .agg(F.min("data_set").alias("data_set"), F.max("rows").alias("rows"))  # of docs and docs/en the first
            .orderBy(F.col("started_at").desc())
            .limit(MOST_RUNS)
            .collect()
        )
        if not last:
            self.missing.append(f"The runs table {ref} is empty: what jobs took is not shown.")
            return
        failed = sum(run.error is not None for run in last)
        if failed:
            self.missing.append(f"{failed} of the last {len(last)} runs failed; {ref} says why.")
        self.runs.extend(
            JobRun(r.job, r.data_set, r.started_at, r.rows, r.seconds, r.core_seconds, r.price)
            for r in last
            if r.error is None
        )
        wanted = (F.col("job") == "monitor") & (F.col("metric") != "failed")
        for one in measurements:
            leads = (F.col("data_set") == one.data_set) & (F.col("metric") == one.metric)
            shipped = F.col("candidate") == one.shipped(one.dims[-1]).label
            wanted |= (F.col("job") == "evaluate") & leads & shipped
        recent = figures.where(wanted & (F.col("started_at") >= F.lit(last[-1].started_at)))
        for row in recent.orderBy("started_at", "metric", "dim").collect():
            figure = DatedFigure(row.started_at, row.data_set, row.metric, row.dim, row.value)
            (self.drift if row.job == "monitor" else self.quality).append(figure)

    def _add_alerts(self, spark: SparkSession, ref: TableRef, sources: set[str]) -> None:
        if not ref.exists(spark):
            return  # the first alert makes it
        table = ref.read(spark)
        require_columns(table, ALERTS_SCHEMA.names, ref)
        rows = table.where(F.col("source").isin(list(sources))).orderBy(F.col("at").desc()).limit(MOST_ALERTS).collect()
        self.alerts.extend(DatedAlert(row.at, row["name"], row.value, row.sentence) for row in rows)


def _with_columns(table: DataFrame, ref: TableRef) -> DataFrame:
    """The table of an earlier release with the columns that came since, empty."""
    late = [field for field in RUNS_SCHEMA if field.nullable and field.name not in table.columns]
    table = table.withColumns({field.name: F.lit(None).cast(field.dataType) for field in late})
    require_columns(table, RUNS_SCHEMA.names, ref)
    return table
