"""What Spark's errors mean for whoever wrote the config: which key is at fault, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from adaptor.config import Source
from adaptor.errors import AdaptorError
from adaptor.spark.delta_log import DeltaLog
from adaptor.spark.tables import TableRef, first_line

LOST = (
    "FileNotFoundException",
    "FileNotFoundError",
    "FILE_NOT_EXIST",
    "DELTA_VERSION_NOT_FOUND",
)  # of data and of the log
OF_VALUES = "SQLSTATE: 22"  # how SQL's errors about a row's values begin: casts, divisions, indices
VERSIONS_LOOKED_AT = 50


@contextmanager
def named_causes(spark: SparkSession, source: TableRef, settings: Source) -> Iterator[None]:
    """Name what is at fault where Spark fails on a row under `source.where`, or on files that are gone.

    `source` is the table that `given` names, at the version that is read. Other errors pass as they are.
    """
    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        if settings.where is not None and OF_VALUES in str(error):
            _require_true_or_false(spark, source, settings.where)
        if source.version is not None and lost_files(error):
            require_files(spark, source, by_config=settings.version is not None)
        raise


def lost_files(error: Exception) -> bool:
    """Whether files or versions that a log names are no longer there."""
    return any(name in str(error) for name in LOST)


def _require_true_or_false(spark: SparkSession, source: TableRef, where: str) -> None:
    """`AdaptorError` where the condition itself fails on some row."""
    try:
        source.read(spark).agg(F.count_if(F.expr(where))).collect()
    except PySparkException as error:
        raise AdaptorError(
            f"source.where {where!r} fails on a row of {source}: {first_line(error)}; "
            "mend the condition, such as by TRY_CAST in place of CAST"
        ) from error


def require_files(spark: SparkSession, table: TableRef, by_config: bool) -> None:
    """`AdaptorError` where files of the table at its version are gone, and which versions are whole.

    `by_config` says whether it was `source.version` that chose this one.
    """
    log = DeltaLog(spark, table.location(spark))
    if not log.missing(log.snapshot(table.version).files):
        return
    whole = _whole_versions(log)
    if by_config:
        instead = f", or name one of {', '.join(map(str, whole))}" if whole else ""
        way_out = f"take source.version out{instead}"
    elif whole:
        way_out = f"run again, which takes version {whole[-1]}"
    else:
        way_out = "bring them back from a copy, for its latest version lacks files too"
    raise AdaptorError(f"files of version {table.version} of {table.where} are gone, such as by a VACUUM; {way_out}")


def _whole_versions(log: DeltaLog) -> list[int]:
    """The latest versions of which every file is there, ascending; older ones have older files."""
    newest = log.snapshot().version
    some = range(newest, max(newest - VERSIONS_LOOKED_AT, -1), -1)
    return sorted(takewhile(lambda version: not log.missing(log.snapshot(version).files), some))
