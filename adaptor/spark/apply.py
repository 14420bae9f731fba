"""The apply job: from an artifact and a source table to a target table with nested columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, NumericType, StringType, TimestampNTZType, TimestampType

from adaptor.artifact import Adaptor
from adaptor.config import Apply, Config, Source
from adaptor.errors import AdaptorError
from adaptor.kernel import Kernel
from adaptor.spark.engines import ENGINES
from adaptor.spark.rows import common_width, count_reasons, reason
from adaptor.spark.runs import Figure, Run, record
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, require_rows

SKIPPABLE = (NumericType, StringType, DateType, TimestampType, TimestampNTZType)  # Delta refuses all others by name


@dataclass(frozen=True)
class Applied:
    """What an apply job wrote: source rows = written + quarantined."""

    source: TableRef
    target: TableRef
    quarantine: TableRef | None  # None where nothing had to be set aside
    columns: tuple[str, ...]
    fingerprint: str
    written: int
    bad_rows: Mapping[str, int]
    seconds: float


def apply_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Applied:
    """Adapt every row of `config.source` and write `config.apply.target` in one commit.

    Raises `AdaptorError` when the artifact is missing or of another width, when the target exists
    and may not be replaced, and when the counts do not add up.
    """
    settings = config.apply
    assert settings is not None  # load_config has seen to it
    clock, started_at = Clock(spark), datetime.now(UTC)
    adaptor = Adaptor.load(config.artifact)
    kernel = Kernel(adaptor, settings.layout, settings.encoding)
    target = TableRef(settings.target)
    quarantine = TableRef(settings.quarantine or f"{settings.target}_quarantine")
    _require_apart(TableRef(config.source.table), target, quarantine)
    source, rows = _open_source(spark, config.source, settings, kernel)
    if settings.if_exists == "fail" and target.exists(spark):
        raise AdaptorError(
            f"{target.where} exists already; set apply.if_exists=replace to write it anew, or name another target"
        )
    total = rows.count()
    bad = rows.where("reason IS NOT NULL").select("id", "reason")
    bad_rows = count_reasons(bad)
    if bad_rows and settings.bad_rows == "fail":
        counted = ", ".join(f"{count} {why}" for why, count in bad_rows.items())
        raise AdaptorError(
            f"{source} holds bad rows ({counted}); mend them, or set apply.bad_rows to quarantine or null"
        )
    provenance = {
        "matryoshka.fingerprint": adaptor.fingerprint,
        "matryoshka.source": source.where,
        "matryoshka.source_version": str(source.version),
        "matryoshka.dims": json.dumps(adaptor.dims),
        "matryoshka.layout": settings.layout,
        "matryoshka.encoding": settings.encoding,
    }
    set_aside = sum(bad_rows.values()) if settings.bad_rows == "quarantine" else 0
    leftover = settings.bad_rows == "quarantine" and quarantine.exists(spark)
    if leftover and "matryoshka.fingerprint" not in quarantine.properties(spark):
        raise AdaptorError(f"{quarantine} is a table that apply did not write; name another apply.quarantine")
    if set_aside or leftover:  # rows of an earlier run must not look like this one's
        write(bad, quarantine, provenance)

    report(f"writing {total - set_aside} rows of {source} to {target}, engine {settings.engine}")
    good = rows.where("reason IS NULL") if set_aside else rows
    write(ENGINES[settings.engine](good.select("kept", "embedding"), kernel), target, provenance)

    written = target.read(spark).count()
    if written + set_aside != total:
        raise AdaptorError(
            f"{source} has {total} rows, but {written} were written to {target} and {set_aside} set aside; "
            "run the apply again"
        )
    run = Run(
        run_id=uuid4().hex,
        job="apply",
        data_set=config.evaluate.data_set if config.evaluate else source.where,
        fingerprint=adaptor.fingerprint,
        source=source.where,
        source_version=source.version,
        rows=total,
        seconds=clock.seconds(),
        core_seconds=clock.core_seconds(),
        started_at=started_at,
    )
    figures = [Figure("adaptor", dim, "rows_written", written) for dim in adaptor.dims]
    record(spark, config.runs, run, [*figures, Figure("adaptor", adaptor.width, "rows_set_aside", set_aside)])
    return Applied(
        source,
        target,
        quarantine if set_aside else None,
        tuple(kernel.schema.names),
        adaptor.fingerprint,
        written,
        bad_rows,
        run.seconds,
    )


def write(df: DataFrame, table: TableRef, properties: Mapping[str, str]) -> None:
    """Create or replace `table` by `df` in one commit: readers see the old rows or all the new ones.

    `properties` go to the table and, as JSON, to the commit's userMetadata. Statistics are gathered
    where Delta can skip files by them. On vectors they would say nothing and cost a pass over every number.
    """
    plain = [field.name for field in df.schema if isinstance(field.dataType, SKIPPABLE)]
    writer = df.writeTo(table.identifier).using("delta").option("userMetadata", json.dumps(dict(properties)))
    for key, value in properties.items():
        writer = writer.tableProperty(key, value)
    writer.tableProperty("delta.dataSkippingStatsColumns", ",".join(f"`{name}`" for name in plain)).createOrReplace()


def _require_apart(source: TableRef, target: TableRef, quarantine: TableRef) -> None:
    """A write replaces its table: it must never be the source, nor the other one that is written."""
    for key, table in (("target", target), ("quarantine", quarantine)):
        if table.identifier == source.identifier:
            raise AdaptorError(f"apply.{key} is the source table itself, {source}; name another table")
    if target.identifier == quarantine.identifier:
        raise AdaptorError(f"apply.target and apply.quarantine are both {target}; name another table")


def _open_source(spark: SparkSession, source: Source, settings: Apply, kernel: Kernel) -> tuple[TableRef, DataFrame]:
    """The source's rows as `kept, id, embedding, reason`, checked against the artifact.

    `kept` holds the id and the carried columns, so that these may have any name.
    """
    table = TableRef(source.table, source.version).pinned(spark)
    df = table.read(spark)
    require_columns(df, [source.id, source.embedding, *settings.carry], table)
    require_embeddings(df, source.embedding, table)
    names = [source.id, *settings.carry, *kernel.schema.names]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise AdaptorError(f"the target would have column {', '.join(sorted(twice))} twice; take it out of apply.carry")
    rows = require_rows(df, source.where, table)
    width, fitted = common_width(rows.select(source.embedding).limit(1000), source.embedding), kernel.adaptor.width
    if width != fitted:
        raise AdaptorError(
            f"{table.where} holds embeddings of width {width}, the artifact was fitted on width {fitted}; "
            "fit one on this table"
        )
    rows = rows.select(
        F.struct(source.id, *settings.carry).alias("kept"),
        F.col(source.id).alias("id"),
        F.col(source.embedding).cast("array<float>").alias("embedding"),
    )
    return table, rows.withColumn("reason", reason("id", "embedding", width))
