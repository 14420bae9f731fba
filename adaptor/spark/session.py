"""The Spark session of a job: Delta switched on, Spark's noise off."""

import os
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version

import pyspark
from py4j.protocol import Py4JError
from pyspark import SparkConf, SparkContext
from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from adaptor.errors import AdaptorError
from adaptor.spark.progress import NO_TASKS, Tasks

DAEMON = "spark.python.daemon.module"
CLASSIC = (
    "the jobs need a classic Spark session, for Spark Connect has no Delta transactions: run them with spark-submit, "
    "without SPARK_REMOTE; adapt_udf and register_decoders take either"
)


def open_session(name: str, progress: bool = True) -> SparkSession:
    """The session of this submit, or a local one, able to read and write Delta tables.

    `progress` False leaves the terminal to a bar of the caller's own, whatever Spark's settings say.

    Raises `AdaptorError` when Delta's JARs are missing, and where Spark Connect is asked for.
    """
    if "SPARK_REMOTE" in os.environ:
        raise AdaptorError(CLASSIC)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # executors need these packages too
    SparkContext._ensure_initialized()  # before it, a SparkConf knows nothing of what was submitted
    spark = (
        SparkSession.builder.appName(name)
        .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
        .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
        .config(DAEMON, SparkConf().get(DAEMON, "adaptor.spark.daemon"))
        .config("spark.ui.showConsoleProgress", str(progress and sys.stderr.isatty()).lower())
        .getOrCreate()
    )
    for logger in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(
            logger
        ).disabled = True  # they print an error as a line of JSON before anyone can say it
    spark.sparkContext.setLogLevel(os.environ.get("ADAPTOR_SPARK_LOG", "FATAL"))
    try:
        spark.sparkContext._jvm.java.lang.Class.forName(  # type: ignore[union-attr]
            "io.delta.sql.DeltaSparkSessionExtension",
            False,
            spark.sparkContext._jvm.java.lang.Thread.currentThread().getContextClassLoader(),  # type: ignore[union-attr]
        )
    except Exception as error:
        raise AdaptorError(
            f"Spark has no Delta: submit with --packages {delta_package()}, or run tools/setup_spark.py once"
        ) from error
    return spark


def delta_package() -> str:
    """Delta for this Spark, as Spark's `--packages` takes it: from 4.1 on its name says for which Spark it is."""
    spark, delta = ".".join(pyspark.__version__.split(".")[:2]), version("delta-spark")
    return f"io.delta:delta-spark_{'' if delta < '4.1' else f'{spark}_'}2.13:{delta}"


def require_classic(spark: SparkSession) -> None:
    """`AdaptorError` for a session of Spark Connect."""
    if not hasattr(spark, "_jsparkSession"):
        raise AdaptorError(CLASSIC)


def tasks_at_work(spark: SparkSession) -> Tasks:
    """Tasks of the stages that run now; none once the session has ended."""
    tracker = spark.sparkContext.statusTracker()
    try:
        stages = [tracker.getStageInfo(number) for number in tracker.getActiveStageIds()]
    except (Py4JError, OSError):
        return NO_TASKS
    there = [stage for stage in stages if stage is not None]
    return Tasks(sum(stage.numCompletedTasks for stage in there), sum(stage.numTasks for stage in there))


class Clock:
    """What a job has cost since this clock was made: wall seconds and core-seconds."""

    def __init__(self, spark: SparkSession) -> None:
        require_classic(spark)
        self._spark = spark
        self.started_at = datetime.now(UTC)
        self._started, self._cpu, self._tasks = time.monotonic(), time.process_time(), self._task_seconds()

    def seconds(self) -> float:
        """Wall seconds."""
        return time.monotonic() - self._started

    def task_seconds(self) -> float:
        """Task time on all executors."""
        return self._task_seconds() - self._tasks

    def core_seconds(self) -> float:
        """Task time on all executors plus CPU time of this driver's Python."""
        return self.task_seconds() + time.process_time() - self._cpu

    def _task_seconds(self) -> float:
        # As they are stored: the list that the store hands out shows a local session's uptime instead.
        loader = self._spark.sparkContext._jvm.java.lang.Thread.currentThread().getContextClassLoader()  # type: ignore[union-attr]
        kind = loader.loadClass("org.apache.spark.status.ExecutorSummaryWrapper")
        executors = self._spark.sparkContext._jsc.sc().statusStore().store().view(kind).iterator()
        total = 0
        while executors.hasNext():
            total += executors.next().info().totalDuration()
        return total / 1000
