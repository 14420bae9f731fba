"""A piece of the change feed, merged into target and quarantine: read both, decide which rows go and come, commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.artifact import version_of
from adaptor.errors import AdaptorError
from adaptor.spark.apply.engines.direct import UNIT_BYTES
from adaptor.spark.apply.engines.frames import bad_rows, by_arrow
from adaptor.spark.apply.feed import FeedSummary, last_words, new_rows, summarise
from adaptor.spark.apply.full import Outcome
from adaptor.spark.apply.quarantine import merge_quarantine
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.stamp import VERSION, Stamp
from adaptor.spark.apply.target import MARKS, stamp_of
from adaptor.spark.delta_log import Conflict, DataFile, DeltaLog, Merge, SetProperties, Snapshot, Transaction
from adaptor.spark.names import quoted
from adaptor.spark.row_checks import count_reasons, describe_reasons


@dataclass(frozen=True)
class MergePlan:
    """Which rows of the target go, and which of the source come: read of both before anything is written."""

    last: DataFrame  # of each changed id its last word
    new: DataFrame  # rows of the source to adapt
    summary: FeedSummary
    near: list[DataFile]  # the target's files that may hold a changed id
    old: DataFrame  # where in them the ids stand
    replaced: int  # rows of the target that go
    rows: int  # that the target has before


def merge_changes(
    request: Request, changes: DataFrame, versions: tuple[int, int], once: tuple[str, int] | None
) -> Outcome:
    """Merge a piece of the change feed into quarantine and target, the latter in one commit.

    `versions` of the source are the one that the target holds and the one that it will: the commit
    says so, so that no change is merged twice. `once` is Delta's txnAppId and txnVersion, for a
    stream. Old rows are marked in deletion vectors and new ones come in files of their own: Delta's
    MERGE would read whole rows of every file that is touched. Vectors are read once, when they are
    adapted; ids say all the rest. Raises `AdaptorError` when another run merges meanwhile.
    """
    log = request.log(request.target)
    with ExitStack() as stack:
        last = stack.enter_context(_cached(last_words(request, changes)))
        summary = summarise(last)
        new = new_rows(request, changes, last, summary)
        _require_mergeable(request, summary, new)
        try:
            _switch_on_marks(request, log)
            transaction = log.start()
            stamp = Stamp.from_properties(transaction.before.properties)
            require_same_artifact(request, transaction.before)
            if stamp is None or stamp.version != versions[0] or (once and transaction.seen(*once)):
                raise _meanwhile(request)
            plan = _plan(request, transaction.before, last, new, summary, stack)
            return _commit(request, transaction, plan, versions, stack)
        except Conflict as error:
            raise _meanwhile(request) from error


def _plan(
    request: Request, before: Snapshot, last: DataFrame, new: DataFrame, summary: FeedSummary, stack: ExitStack
) -> MergePlan:
    """Look up where the changed ids stand in the target."""
    if before.rows is None:
        raise AdaptorError(
            f"{request.target.where} has files without statistics, so its rows can't be counted; "
            "run once with apply.mode=full and apply.rebuild=true"
        )
    low, high = summary.low, summary.high
    near = [file for file in before.files if summary.ids and file.may_hold(request.columns.id, low, high)]
    old = stack.enter_context(_cached(_places(request, before.read(near), last)))
    return MergePlan(last, new, summary, near, old, _one_each(request, old), before.rows)


def _commit(
    request: Request, transaction: Transaction, plan: MergePlan, versions: tuple[int, int], stack: ExitStack
) -> Outcome:
    """Adapt the new rows and write them, then the bad ones to the quarantine, and commit all that to the target."""
    since, version = versions
    before, summary = transaction.before, plan.summary
    transaction.define(before.definition.having({VERSION: str(version)}))
    files = by_arrow(request, plan.new.coalesce(_files(request, summary)), transaction)
    written = sum(file.rows or 0 for file in files)
    some_bad = request.keeps_bad or written < summary.there
    bad = stack.enter_context(_cached(bad_rows(request.kernel, plan.new))) if some_bad else None
    counted = {} if bad is None else count_reasons(bad)
    if counted:
        request.require_width()
    _require_no_bad_changes(request, counted)
    merge = f"merge after {since} into {before.version}"
    if request.lists_bad and not merge_quarantine(request.at(version), plan.last, bad, merge):
        raise _meanwhile(request)
    _require_counts(request.at(version), plan.rows - plan.replaced + written)
    removed = 0 if summary.there == summary.ids else plan.old.where("NOT there").count()
    if bad is not None and not request.keeps_bad:
        removed += plan.old.join(bad, "id", "left_semi").count()
    transaction.remove_rows(plan.old.select("file", "row"), plan.near)
    updated = plan.replaced - removed
    transaction.commit(stamp_of(request.at(version)).to_properties(), Merge(written - updated, updated, removed))
    return Outcome(version, written, counted, sum(counted.values()) if request.lists_bad else 0, updated, removed)


@contextmanager
def _cached(rows: DataFrame) -> Iterator[DataFrame]:
    """Keep rows that are read more than once, as long as they are needed."""
    rows.persist()
    try:
        yield rows
    finally:
        rows.unpersist()


def _switch_on_marks(request: Request, log: DeltaLog) -> None:
    """Deletion vectors for a target that a full run built: rows have no place to be found at before."""
    transaction = log.start()
    before = transaction.before
    if before.properties.get(MARKS) != "true":
        transaction.define(before.definition.having({MARKS: "true"}))
        transaction.commit({}, SetProperties({MARKS: "true"}))


def _files(request: Request, summary: FeedSummary) -> int:
    """How many files the new rows make: a night's changes are few, and small files add up."""
    return 1 + summary.ids * 4 * request.kernel.adaptor.width // UNIT_BYTES


def require_same_artifact(request: Request, target: Snapshot) -> None:
    """`AdaptorError` where another artifact has written the target since this run began, as a promotion does."""
    stamp, ours = Stamp.from_properties(target.properties), request.kernel.adaptor
    if stamp is not None and stamp.fingerprint != ours.fingerprint:
        raise AdaptorError(
            f"{request.target.where} was written by artifact {version_of(stamp.fingerprint)} while this run, of "
            f"artifact {ours.version}, was under way; rows of both must not mix, so its changes were not merged: run "
            "apply again, it takes the version that is current then"
        )


def _meanwhile(request: Request) -> AdaptorError:
    return AdaptorError(f"another run merges changes into {request.target.where}; when it has ended, run apply again")


def _require_counts(request: Request, after: int) -> None:
    """`AdaptorError` unless source rows = quarantined rows + the rows that the target has `after` this merge."""
    total = request.count(request.snapshot())
    listed = request.lists_bad and request.quarantine.exists(request.spark)
    bad = request.quarantine.read(request.spark).count() if listed else 0
    if after + bad != total:
        raise AdaptorError(
            f"{request.source} has {total} rows, but {request.target.where} would have {after} and its quarantine "
            f"{bad}; {request.target.where} is as it was: run once with apply.mode=full and apply.rebuild=true"
        )


def _require_mergeable(request: Request, summary: FeedSummary, new: DataFrame) -> None:
    if summary.nulls:
        raise AdaptorError(f"{request.source.where} has changed rows without an id; run with apply.mode=full")
    if summary.fed > summary.there and new.count() > summary.there:
        raise _not_unique(request)


def _require_no_bad_changes(request: Request, bad_rows: dict[str, int]) -> None:
    if bad_rows and request.settings.bad_rows == "fail":
        raise AdaptorError(f"the changes of {request.source} hold bad rows ({describe_reasons(bad_rows)}); mend them")


def _not_unique(request: Request) -> AdaptorError:
    """Nobody could tell which of the rows changed."""
    return AdaptorError(
        f"an id of {request.source.where} stands for several rows, so changes can't be followed; "
        "make ids unique, or run with apply.mode=full"
    )


def _places(request: Request, target: DataFrame, last: DataFrame) -> DataFrame:
    """Where rows of the target have changed ids: `id, there, file, row`."""
    ids = target.select(
        F.col(quoted(request.columns.id)).alias("id"),
        F.col("_metadata.file_path").alias("file"),
        F.col("_metadata.row_index").alias("row"),
    )
    return ids.join(last.select("id", "there"), "id")


def _one_each(request: Request, old: DataFrame) -> int:
    """How many rows of the target have changed ids; `AdaptorError` where an id stands for several of them."""
    rows, ids = old.agg(F.count("*"), F.count_distinct("id")).collect()[0]
    if rows > ids:
        raise _not_unique(request)
    return int(rows)
