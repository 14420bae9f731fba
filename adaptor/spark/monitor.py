"""The monitor job: whether new rows and queries look like those of the fit, and the target is what it should be."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.config import SAME, Config
from adaptor.errors import AdaptorError
from adaptor.evaluation import records
from adaptor.evaluation.drift import (
    Check,
    look_at_queries,
    look_at_rows,
    look_at_share,
    look_at_strata,
    look_for_foreign,
)
from adaptor.evaluation.recommendation import recommend
from adaptor.fitting.profile import Profile
from adaptor.release import Versions
from adaptor.spark.alerts import Alert, send
from adaptor.spark.apply.stamp import Stamp
from adaptor.spark.causes import named_causes
from adaptor.spark.delta_log import DataFile, DeltaLog, Snapshot
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.queries import read_queries
from adaptor.spark.query_set import rows_of
from adaptor.spark.row_checks import reason
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.sampling import draw_files, place
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns
from adaptor.vectors import Float32

MOST_BYTES = 0.05  # of a table, read of it at most, unless its smallest part is larger
WORTH_A_REFIT = ("share of foreign rows", "mean direction", "energy", "neighbours@10", "norm")


@dataclass(frozen=True)
class Monitored:
    """What was looked at, and what has stopped being true."""

    source: TableRef
    version: str
    rows: int
    new_rows_only: bool
    read_share: float  # of the source's bytes
    checks: list[Check]
    alerts: list[Alert]
    notes: list[str]  # what is good to know, and no alert
    seconds: float

    @property
    def refit(self) -> str | None:
        """Why a refit would help; None where nothing says so."""
        reasons = [alert.name for alert in self.alerts if alert.name.startswith(WORTH_A_REFIT)]
        return None if not reasons else f"a refit is proposed: {', '.join(reasons)}"


def monitor_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Monitored:
    """Look at a sample of the rows that came since the fit, at fresh queries, and at the target; tell who is to hear.

    Raises `AdaptorError` where the version has no profile, or the source can't be read; an alert is no error.
    """
    with recording_failure(spark, config, "monitor") as clock:
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        with named_causes(spark, source, config.source):
            return _monitor(spark, source, config, as_progress(report), clock)


def _monitor(spark: SparkSession, source: TableRef, config: Config, report: Progress, clock: Clock) -> Monitored:
    versions = Versions(config.artifact.folder)
    fitted = Adaptor.load(versions.root)
    profile = Profile.load(versions.root, fitted.version)
    log = DeltaLog(spark, source.location(spark))
    snapshot = log.snapshot(source.version)
    files, only_new = _files_to_read(log, snapshot, fitted)
    size = sum(file.bytes for file in files)
    report(f"reading a sample of {'new ' if only_new else ''}rows from {len(files)} files of {source}")
    ids, rows, strata, bad = _sample(snapshot.read(files), source, config, fitted.width)
    total_bytes = max(sum(file.bytes for file in snapshot.files), 1)
    if len(rows) < 2:
        raise AdaptorError(f"{source} has {len(rows)} good rows in what the monitor reads: there is nothing to look at")

    foreign = look_for_foreign(profile, fitted, rows)
    named = f"{foreign.check.says}, such as {', '.join(ids[row] for row in foreign.rows)}"
    checks = [
        *look_at_rows(profile, fitted, rows),
        replace(foreign.check, says=named),
        *look_at_strata(profile, rows, strata),
        look_at_share(
            "share of bad rows",
            profile.bad_share,
            profile.sampled,
            bad / (bad + len(rows)),
            bad + len(rows),
            "more rows are set aside than when the fit was made",
        ),
    ]
    if config.monitor.queries:
        names = config.source.id, config.source.embedding
        report(f"reading queries of {config.monitor.queries}")
        asked = read_queries(spark, config.monitor.queries, None, *names, fitted.map("query").width)
        checks += look_at_queries(profile, fitted, asked.vectors)
    checks += _target_checks(spark, config, snapshot, fitted)
    checks.append(_quiet(spark, source, config.monitor.quiet_days))
    now = datetime.now(UTC)
    alerts = [
        Alert(now, source.where, fitted.version, check.name, check.value, check.low, check.high, check.sentence)
        for check in checks
        if check.is_alert
    ]
    notes = _good_news(versions, config) + _unread_dims(spark, config, fitted)
    figures = [
        Figure("adaptor", fitted.width, check.name, check.value) for check in checks if check.value == check.value
    ]
    data_set = config.evaluate.data_set if config.evaluate else source.where
    run = Run.finish(clock, "monitor", data_set, fitted.fingerprint, source, len(rows), config.rates)
    record(spark, config.runs, run, figures)
    send(spark, config.monitor, alerts, report)
    return Monitored(
        source, fitted.version, len(rows), only_new, size / total_bytes, checks, alerts, notes, run.seconds
    )


def _files_to_read(log: DeltaLog, snapshot: Snapshot, fitted: Adaptor) -> tuple[list[DataFile], bool]:
    """Files that came since the fit, or where none did any, drawn until they are a twentieth of the table's bytes."""
    since, before = fitted.metrics.get("source_version"), set()
    if since is not None and since < snapshot.version:
        with suppress(Py4JJavaError):  # the log no longer goes back so far: all files are looked at
            before = {file.key for file in log.snapshot(since).files}
    new = [file for file in snapshot.files if file.key not in before] if before else []
    among = new or snapshot.files
    room = MOST_BYTES * sum(file.bytes for file in snapshot.files)
    return draw_files(among, room, snapshot.version), bool(new)


def _sample(
    files: DataFrame, source: TableRef, config: Config, width: int
) -> tuple[list[str], Float32, list[str], int]:
    """Ids, embeddings, strata of good rows, and how many bad ones stood among them."""
    rows = rows_of(files, source, config, config.sample.stratum).withColumn("id", F.col("id").cast("string"))
    few = rows.orderBy(place("id", config.sample.seed + 1), "id").limit(config.monitor.rows)
    why = reason("id", "embedding", width).alias("reason")
    table = few.select("id", F.when(why.isNull(), F.col("embedding")).alias("embedding"), "stratum").toArrow()
    is_good = np.asarray(table["embedding"].is_valid())
    good = table.filter(table["embedding"].is_valid()).combine_chunks()
    vectors = good["embedding"].combine_chunks().flatten().to_numpy().reshape(good.num_rows, -1)
    return good["id"].to_pylist(), vectors, good["stratum"].to_pylist(), int((~is_good).sum())


def _target_checks(spark: SparkSession, config: Config, source: Snapshot, fitted: Adaptor) -> list[Check]:
    """Whether the target was written by the current version, and how far it is behind the source."""
    if config.apply is None or not TableRef(config.target_table).exists(spark):
        return []
    stamp = Stamp.from_properties(TableRef(config.target_table).properties(spark))
    if stamp is None:
        return []
    mixed = float(stamp.fingerprint != fitted.fingerprint)
    says = f"the target was written by {stamp.fingerprint[:12]}, the current version is {fitted.version}"
    checks = [Check("targets of another version", mixed, 0.0, 0.0, says)]
    if config.apply.target != SAME and stamp.version is not None:
        behind, most = float(source.version - stamp.version), float(config.monitor.versions_behind)
        checks.append(Check("versions behind", behind, 0.0, most, "apply has not followed the source"))
    return checks


def _quiet(spark: SparkSession, source: TableRef, days: float) -> Check:
    """Days since the source's last version."""
    quiet = (datetime.now() - source.changed_at(spark)).total_seconds() / 86400
    return Check("days without a new version", quiet, 0.0, float(days), "nothing new has come")


def _good_news(versions: Versions, config: Config) -> list[str]:
    """Whether a smaller width would do, by what was measured last."""
    current = versions.current
    measurements = records.last_of(versions.root, current) if current else []
    if not measurements or config.apply is None:
        return []
    advice = recommend(measurements, config.recommend_rules, config.rates.gigabyte_month)
    stored = max(measurement.stored_bytes for measurement in measurements)
    if advice.chosen is None or advice.chosen.variant.bytes >= stored:
        return []
    return [f"good news: a smaller one suffices. {advice.sentence()}"]


def _unread_dims(spark: SparkSession, config: Config, fitted: Adaptor) -> list[str]:
    """Dims that the usage table says nobody reads."""
    if config.monitor.usage is None:
        return []
    ref = TableRef(config.monitor.usage)
    usage = ref.read(spark)
    require_columns(usage, ["dim", "reads"], ref)
    reads = {int(row["dim"]): row["reads"] for row in usage.groupBy("dim").agg(F.sum("reads").alias("reads")).collect()}
    return [f"dim {dim} is never read, by {ref}: it could be left out" for dim in fitted.dims if not reads.get(dim)]
