"""The whole source, chunk by chunk: each is written once, whoever is killed, and all are published in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from adaptor.errors import AdaptorError
from adaptor.spark.apply.engines import ENGINES
from adaptor.spark.apply.engines.choice import choose
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.staging import BAD_ROWS, Chunk, Staging, cut
from adaptor.spark.apply.stamp import CHUNK_BYTES, VERSION, Stamp
from adaptor.spark.apply.target import (
    require_replaceable,
    stamp_of,
    target_definition,
    target_location,
)
from adaptor.spark.causes import lost_files, require_files
from adaptor.spark.delta_log import Conflict, DeltaLog, Snapshot
from adaptor.spark.progress import Progress
from adaptor.spark.row_checks import count_reasons, describe_reasons
from adaptor.spark.tables import require_rows, write_table

ROUNDS, SLOT_BYTES = 8, 128 << 20  # a chunk: so many rounds of all task slots, each with so much of the source


@dataclass(frozen=True)
class Outcome:
    """What a run left in the target: source rows = rows + quarantined, in place source rows = rows."""

    version: int  # of the source
    rows: int
    bad_rows: Mapping[str, int]
    quarantined: int
    removed: int = 0


def build(request: Request, report: Progress) -> Outcome:
    """Write every row of the source at its version and publish; goes on with a build that was cut off.

    Raises `AdaptorError` when the target may not be replaced, when bad rows are not allowed, when
    the source's files are gone, and when the counts do not add up: the target is then as before.
    """
    location = target_location(request)
    target = DeltaLog(request.spark, location)
    before = target.snapshot()
    if before.version >= 0:
        require_replaceable(request, before.properties)
        if not request.settings.rebuild and _holds(before, request):
            report(f"{request.target.where} holds {request.source} by this artifact already: nothing to do")
            return Outcome(int(before.properties[VERSION]), 0, {}, 0)
    try:
        request, staging = _begin(request, location, report)
        with _giving_up_lost_files(request, staging):
            return _build(request, staging, location, report)
    except (PySparkException, Py4JError, OSError) as error:
        if "No space left on device" in str(error):
            raise AdaptorError(
                f"no space left on device while {request.target.where} was written: make room there, and where "
                "spark.local.dir lies; the table is as it was, and apply, run again, goes on where it stopped"
            ) from error
        raise


def _holds(target: Snapshot, request: Request) -> bool:
    """Whether nothing has changed since the target was published; in place that was the source's last commit."""
    applied = target.version - 1 if request.in_place else request.source.version
    stamp = Stamp.from_properties(target.properties)
    return stamp is not None and (stamp.key, stamp.version) == (request.key, applied)


@contextmanager
def _giving_up_lost_files(request: Request, staging: Staging) -> Iterator[None]:
    """Give the build up, and say so, where files that it reads are no longer there."""
    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        if not lost_files(error):
            raise
        staging.abandon()
        by_config = request.columns.version is not None
        newest = DeltaLog(request.spark, request.source.location(request.spark)).snapshot().version
        if by_config or newest == request.source.version:  # beginning anew would read the same
            require_files(request.spark, request.source, by_config)
        raise AdaptorError(
            f"files of {request.source}, or of this build, are gone: a table was vacuumed while its rows were adapted; "
            f"{request.target.where} is as it was: run apply again, it begins anew with the latest version"
        ) from error


def _begin(request: Request, location: str, report: Callable[[str], None]) -> tuple[Request, Staging]:
    """The staging of this request: of an unfinished build, with the version it began with, or a new one."""
    staging = Staging(request.spark, location, request.key)
    fixed = request.columns.version is not None or request.in_place
    while True:
        version = staging.join()
        if version is not None and (version == request.source.version or not fixed):
            if version != request.source.version:
                report(
                    f"going on with the build of version {version}; the source is at {request.source.version} by now"
                )
            return request.at(version), staging
        source, size = request.snapshot(), chunk_bytes(request)
        if staging.begin(target_definition(request, source), size, alone=len(cut(source.files, size)) <= 1):
            return request, staging


def chunk_bytes(request: Request) -> int:
    """How much of the source goes into one commit."""
    return request.settings.chunk_bytes or ROUNDS * request.spark.sparkContext.defaultParallelism * SLOT_BYTES


def _build(request: Request, staging: Staging, location: str, report: Progress) -> Outcome:
    source = request.snapshot()
    engine = choose(request, source, staging.definition, location, report)
    chunks = cut(source.files, int(staging.definition.properties[CHUNK_BYTES]))
    total = source.rows if request.columns.where is None else None
    report(
        f"writing {total or 'some'} rows of {request.source} to {request.target}, engine {engine}, {len(chunks)} chunks"
    )
    with report.rows(total) as count:
        for chunk in chunks:
            seen = _write_chunk(request, source, chunk, staging, engine, last=chunk is chunks[-1])
            count.advance(chunk.rows or seen or 0, new=seen is not None)
    staging.require_whole()
    listed = staging.bad_rows()
    bad_rows = {} if listed is None else count_reasons(listed)
    _require_allowed_rows(request, bad_rows, staging)
    rows, bad = staging.rows, sum(bad_rows.values())
    quarantined = bad if request.lists_bad else 0
    if total is None:
        total = request.count(source)
    if not total:
        staging.abandon()
        require_rows(request.source.read(request.spark), request.columns.where, request.source)
    if rows + (0 if request.keeps_bad else bad) != total:
        staging.abandon()
        raise AdaptorError(
            f"{request.source} has {total} rows, but {rows} were written and {bad} are bad; "
            f"{request.target} is as it was: run apply again"
        )
    if not staging.published:  # else what it holds by now, and the quarantine with it, may be newer
        note = stamp_of(request).to_properties()
        _quarantine(request, staging, note)
        staging.publish(request.in_place, note, partial(require_replaceable, request))
    return Outcome(int(request.source.version or 0), rows, bad_rows, quarantined)


def _write_chunk(
    request: Request, source: Snapshot, chunk: Chunk, staging: Staging, engine: str, last: bool
) -> int | None:
    """How many rows it read; None where another run has written it already."""
    while True:
        transaction = staging.started(chunk)
        if transaction is None:
            return None
        try:
            seen = ENGINES[engine](request, source, chunk, staging, transaction)
            _require_good(request, staging, chunk)
            staging.finish(transaction, last)
            return seen
        except Conflict:  # another run wrote this chunk meanwhile, or was just the first to list bad rows
            continue


def _require_good(request: Request, staging: Staging, chunk: Chunk) -> None:
    """`AdaptorError` where bad rows are not allowed, and where the first chunk's come of a wrong artifact."""
    first = chunk.number == 0
    if (first or request.settings.bad_rows == "fail") and (bad := staging.bad_rows()) is not None:
        if first:
            try:
                request.require_width()
            except AdaptorError:
                staging.abandon()
                raise
        _require_allowed_rows(request, count_reasons(bad), staging)


def _require_allowed_rows(request: Request, bad_rows: Mapping[str, int], staging: Staging) -> None:
    if bad_rows and request.settings.bad_rows == "fail":
        staging.abandon()
        raise AdaptorError(
            f"{request.source} holds bad rows ({describe_reasons(bad_rows)}); "
            "mend them, or set apply.bad_rows to quarantine or null"
        )


def _quarantine(request: Request, staging: Staging, note: Mapping[str, str]) -> None:
    """Write the bad rows to their table, or take those of an earlier run out of it."""
    if not request.lists_bad:
        return
    bad = staging.bad_rows()
    if bad is not None or request.quarantine.exists(request.spark):
        empty = request.spark.createDataFrame([], BAD_ROWS)
        try:
            write_table(empty if bad is None else bad, request.quarantine, note)
        except Conflict:  # a run that shares this build has just written the same
            write_table(empty if bad is None else bad, request.quarantine, note)
