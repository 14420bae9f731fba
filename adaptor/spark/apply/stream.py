"""The same changes as Structured Streaming reads them: all there are now, each batch merged exactly once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pyspark.errors import StreamingQueryException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.errors import AdaptorError
from adaptor.spark.apply.changes import broken_feed, held_version, is_lost
from adaptor.spark.apply.full import Outcome, apply_full
from adaptor.spark.apply.merge import merge_changes, require_same_artifact
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.stamp import BUILD, VERSION
from adaptor.spark.delta_log import DeltaLog, Snapshot
from adaptor.spark.progress import Progress

MOST_FILES = 2**31 - 1


def apply_stream(request: Request, report: Progress) -> Outcome:
    """Follow the change feed up to the latest version; build the target where there is none.

    A checkpoint in the target's folder says which batches were planned, the target's log which
    were merged. Raises `AdaptorError` as an incremental run does.
    """
    last = held_version(request, report)
    if last is None:
        return apply_full(request, report)
    location = request.target.location(request.spark)
    target = DeltaLog(request.spark, location)
    if last == request.source.version:
        report(f"{request.target.where} holds {request.source} already: nothing to do")
        return Outcome(last, 0, {}, 0)
    build_id = target.snapshot().properties[BUILD]
    merges: list[Outcome] = []
    failed: list[Exception] = []

    def merge(batch: DataFrame, number: int) -> None:
        try:
            merge_new(batch, number)
        except Exception as error:
            failed.append(error)  # as it is: the query would wrap it up
            raise

    def merge_new(batch: DataFrame, number: int) -> None:
        before = target.snapshot()
        held = int(before.properties[VERSION])
        new = batch.where(F.col("_commit_version") > held)  # an incremental run may have been here
        version = new.agg(F.max("_commit_version")).collect()[0][0]
        if version is not None:
            _require_unpromoted(request, before)
            report(f"merging the changes up to version {version} into {request.target.where}")
            # A checkpoint that was lost counts its batches from 0 again, and a target that was restored is as it was.
            once = f"stream of {build_id} after {held}, at {before.version}"
            merges.append(merge_changes(request, new, (held, int(version)), (once, number)))

    # Delta cuts what there is into batches by files, also within a commit, whose rest would count as merged.
    reader = (
        request.spark.readStream.format("delta").option("readChangeFeed", "true").option("startingVersion", last + 1)
    )
    reader = reader.option("maxFilesPerTrigger", MOST_FILES)
    changes = reader.load(request.source.path) if request.source.is_path else reader.table(request.source.identifier)
    writer = changes.writeStream.trigger(availableNow=True).foreachBatch(merge)
    query = writer.option("checkpointLocation", f"{location}/_matryoshka/stream-{build_id}").start()
    try:
        query.awaitTermination()
    except StreamingQueryException as error:
        cause = failed[0] if failed else error
        raise broken_feed(request, last, cause) if is_lost(cause) else cause from error
    if not merges:
        report(f"no changes came; if {request.target.where} was restored, run once with apply.mode=incremental")
    return _together(merges, int(target.snapshot().properties[VERSION]))


def _require_unpromoted(request: Request, target: Snapshot) -> None:
    """`AdaptorError` before a batch, where another version is current by now: one target can't hold both."""
    require_same_artifact(request, target)
    if (promoted := request.promoted()) is not None:
        raise AdaptorError(
            f"version {promoted} was promoted while this stream ran, and {request.target.where} holds rows of version "
            f"{request.kernel.adaptor.version}; rows of both must not mix, so the changes after version "
            f"{target.properties[VERSION]} of {request.source.where} were not merged: set apply.rebuild=true to "
            "replace all rows by the new version in one commit, or roll back and run apply again"
        )


def _together(merges: Sequence[Outcome], version: int) -> Outcome:
    """What several merges did, the last of them up to `version` of the source."""
    bad_rows: Counter[str] = Counter()
    for merge in merges:
        bad_rows.update(merge.bad_rows)
    sums = {
        name: sum(getattr(merge, name) for merge in merges) for name in ("rows", "quarantined", "updated", "removed")
    }
    return Outcome(version, bad_rows=bad_rows, **sums)
