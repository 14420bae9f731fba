"""The same changes as Structured Streaming reads them: all there are now, each batch merged exactly once."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.spark.apply.changes import Merged, broken_feed, held_version, merge_changes, require_counts
from adaptor.spark.apply.full import Written, build
from adaptor.spark.apply.target import BUILD, VERSION
from adaptor.spark.apply.work import Work
from adaptor.spark.delta_log import DeltaLog


def apply_stream(work: Work, report: Callable[[str], None]) -> Written:
    """Follow the change feed up to the latest version; build the target where there is none.

    A checkpoint in the target's folder says which batches were planned, the target's log which
    were merged. Raises `AdaptorError` as an incremental run does.
    """
    last = held_version(work, report)
    if last is None:
        return build(work, report)
    location = work.target.location(work.spark)
    target = DeltaLog(work.spark, location)
    if last == work.source.version:
        report(f"{work.target.where} holds {work.source} already: nothing to do")
        return Written(last, 0, {}, 0)
    made = target.snapshot().properties[BUILD]
    merges: list[Merged] = []
    failed: list[Exception] = []

    def merge(batch: DataFrame, number: int) -> None:
        try:
            merge_new(batch, number)
        except Exception as error:
            failed.append(error)  # as it is: the query would wrap it up
            raise

    def merge_new(batch: DataFrame, number: int) -> None:
        held = int(target.snapshot().properties[VERSION])
        new = batch.where(F.col("_commit_version") > held)  # an incremental run may have been here
        version = new.agg(F.max("_commit_version")).collect()[0][0]
        if version is not None:
            report(f"merging the changes up to version {version} into {work.target.where}")
            once = f"stream of {made} after {held}"  # a checkpoint that was lost counts its batches from 0 again
            merges.append(merge_changes(work, new, (held, int(version)), (once, number)))

    reader = work.spark.readStream.format("delta").option("readChangeFeed", "true").option("startingVersion", last + 1)
    changes = reader.load(work.source.path) if work.source.is_path else reader.table(work.source.where)
    writer = changes.writeStream.trigger(availableNow=True).foreachBatch(merge)
    query = writer.option("checkpointLocation", f"{location}/_matryoshka/stream-{made}").start()
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        raise failed[0] if failed else broken_feed(work, last, error) from error
    if not merges:
        report(f"no changes came; if {work.target.where} was restored, run once with apply.mode=incremental")
    version = int(target.snapshot().properties[VERSION])
    require_counts(work.at(version))
    bad_rows: dict[str, int] = {}
    for merged in merges:
        for why, count in merged.bad_rows.items():
            bad_rows[why] = bad_rows.get(why, 0) + count
    written, removed = (sum(getattr(merged, name) for merged in merges) for name in ("written", "removed"))
    return Written(version, written, bad_rows, sum(bad_rows.values()), removed=removed)
