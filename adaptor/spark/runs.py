"""The `runs` table: every figure any job measured, one row a run, data set, candidate, dim and metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from uuid import uuid4

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql.types import (
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from adaptor.config import Config, Rates
from adaptor.errors import AdaptorError, cause
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, append_rows

SCHEMA = StructType(
    [
        StructField("run_id", StringType(), False),
        StructField("job", StringType(), False),  # fit, apply, evaluate, ...
        StructField("data_set", StringType(), False),  # its name, and name/stratum for the figures of a stratum
        StructField("candidate", StringType(), False),  # original, truncation, svd, adaptor, ...
        StructField("dim", IntegerType(), False),  # prefix width; the full width for what has none
        StructField("metric", StringType(), False),  # nDCG@10, retrieval@10, neighbours@10, rows_written, ...
        StructField("value", DoubleType(), False),
        StructField("fingerprint", StringType(), False),  # of the artifact
        StructField("source", StringType(), False),
        StructField("source_version", LongType(), True),
        StructField("rows", LongType(), False),  # of the table or sample
        StructField("seconds", DoubleType(), False),  # of the whole run, wall
        StructField("core_seconds", DoubleType(), False),  # of the whole run, task time and driver CPU
        StructField("bytes", LongType(), False),  # a row at this dim
        StructField("started_at", TimestampType(), False),
        StructField("price", DoubleType(), True),  # of the whole run: core_seconds at rates.core_hour
        StructField("error", StringType(), True),  # of a run that failed, why: its one row has the metric `failed`
    ]
)


@dataclass(frozen=True)
class Run:
    """What all figures of one run share."""

    run_id: str
    job: str
    data_set: str
    fingerprint: str
    source: str
    source_version: int | None
    rows: int
    seconds: float
    core_seconds: float
    started_at: datetime
    price: float | None
    error: str | None = None

    @classmethod
    def finish(  # noqa: PLR0913 - what the figures share
        cls, clock: Clock, job: str, data_set: str, fingerprint: str, source: TableRef, rows: int, rates: Rates
    ) -> Run:
        """The run of `job` that began with `clock` and ends now; it has read `rows` of `source`."""
        core_seconds = clock.core_seconds()
        return cls(
            run_id=uuid4().hex,
            job=job,
            data_set=data_set,
            fingerprint=fingerprint,
            source=source.where,
            source_version=source.version,
            rows=rows,
            seconds=clock.seconds(),
            core_seconds=core_seconds,
            started_at=clock.started_at,
            price=None if rates.core_hour is None else core_seconds / 3600 * rates.core_hour,
        )


@dataclass(frozen=True)
class Figure:
    """One measured value."""

    candidate: str
    dim: int
    metric: str
    value: float
    bytes: int | None = None  # a row at this dim; None: as float32
    stratum: str | None = None  # None: all of the data set

    def row(self, run: Run) -> tuple[object, ...]:
        """This figure as a row of the table."""
        stored = 4 * self.dim if self.bytes is None else self.bytes
        data_set = run.data_set if self.stratum is None else f"{run.data_set}/{self.stratum}"
        fields = asdict(run) | asdict(self) | {"data_set": data_set, "value": float(self.value), "bytes": stored}
        return tuple(fields[name] for name in SCHEMA.names)


@contextmanager
def recording_failure(spark: SparkSession, config: Config, job: str) -> Iterator[Clock]:
    """The clock of a run of `job`; where the run fails, one row in `config.runs` says so, and why."""
    clock, source = Clock(spark), TableRef(config.source.table, config.source.version)
    try:
        yield clock
    except Exception as error:
        data_set = config.evaluate.data_set if config.evaluate else source.where
        run = replace(Run.finish(clock, job, data_set, "", source, 0, config.rates), error=cause(error))
        with suppress(AdaptorError, PySparkException, Py4JError, OSError):  # what went wrong first is what counts
            record(spark, config.runs, run, [Figure("none", 0, "failed", 1.0)])
        raise


def record(spark: SparkSession, table: str, run: Run, figures: Sequence[Figure]) -> None:
    """Append `figures` of `run` to the Delta table at `table`, made if it is not there."""
    df = spark.createDataFrame([figure.row(run) for figure in figures], SCHEMA)
    # A checkpoint takes seconds in a job that is about to end; a hundred small commits are read in less.
    properties = {"delta.checkpointInterval": "100", "delta.dataSkippingStatsColumns": "job,data_set,started_at"}
    append_rows(df, TableRef(table), properties)
