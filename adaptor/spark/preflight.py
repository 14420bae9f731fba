"""Whether a commit will be allowed, checked before the first row is written."""

from __future__ import annotations

from pyspark.sql import SparkSession

from adaptor.errors import AdaptorError
from adaptor.spark.delta_log import DeltaLog
from adaptor.spark.tables import TableRef, refusal
from adaptor.storage import require_writable_folder

APPEND_ONLY = "delta.appendOnly"


def require_commits(spark: SparkSession, table: TableRef, key: str, replaced: bool) -> None:
    """`AdaptorError` where commits to `table`, the config's `key`, would fail; `replaced` rows are taken out too."""
    there = table.exists(spark)
    if not there and not table.is_path:
        return  # a catalog knows where it will lie
    location = table.location(spark)
    require_writable_folder(location, key)
    if not there:
        return
    log = DeltaLog(spark, location)
    if replaced and log.snapshot().properties.get(APPEND_ONLY, "").lower() == "true":
        raise AdaptorError(
            f"{key} is {table.where}, which is append-only, and apply takes old rows out: ALTER TABLE "
            f"{table.identifier} UNSET TBLPROPERTIES ('{APPEND_ONLY}'), or name another table"
        )
    with refusal(f"{key} is {table.where}, which can't be written"):
        log.require_protocol()
