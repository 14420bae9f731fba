"""The whole source, chunk by chunk: a run that is killed loses one chunk at most; all are published in one commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from adaptor.errors import AdaptorError
from adaptor.spark.apply.builds import Build, Site
from adaptor.spark.apply.chunks import Chunk, cut
from adaptor.spark.apply.engines import ENGINES
from adaptor.spark.apply.engines.choice import choose
from adaptor.spark.apply.quarantine import quarantine_schema, replace_quarantine
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.stamp import VERSION, Stamp
from adaptor.spark.apply.target import (
    require_replaceable,
    stamp_of,
    target_definition,
    target_location,
)
from adaptor.spark.causes import lost_files, require_files
from adaptor.spark.delta_log import Conflict, DeltaLog, Snapshot, Transaction
from adaptor.spark.progress import Progress
from adaptor.spark.row_checks import count_reasons, describe_reasons
from adaptor.spark.tables import require_rows

ROUNDS, SLOT_BYTES = 8, 128 << 20  # a chunk: so many rounds of all task slots, each with so much of the source


@dataclass(frozen=True)
class Outcome:
    """What a run left in the target: source rows = rows + quarantined, in place source rows = rows."""

    version: int  # of the source
    rows: int
    bad_rows: Mapping[str, int]
    quarantined: int
    updated: int = 0  # of the rows that were written, those that took the place of others
    removed: int = 0


def apply_full(request: Request, report: Progress) -> Outcome:
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
        request, build = _begin(request, location, report)
        with _giving_up_lost_files(request, build):
            return _write(request, build, location, report)
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
def _giving_up_lost_files(request: Request, build: Build) -> Iterator[None]:
    """Give the build up, and say so, where files that it reads are no longer there."""
    try:
        yield
    except (PySparkException, Py4JError, OSError) as error:
        if not lost_files(error):
            raise
        build.abandon()
        by_config = request.columns.version is not None
        newest = request.log(request.source).snapshot().version
        if by_config or newest == request.source.version:  # beginning anew would read the same
            require_files(request.spark, request.source, by_config)
        raise AdaptorError(
            f"files of {request.source}, or of this build, are gone: a table was vacuumed while its rows were adapted; "
            f"{request.target.where} is as it was: run apply again, it begins anew with the latest version"
        ) from error


def _begin(request: Request, location: str, report: Callable[[str], None]) -> tuple[Request, Build]:
    """The build of this request: an unfinished one, with the version of the source it began with, or a new one."""
    site = Site(request.spark, location, request.key, quarantine_schema(request))
    fixed = request.columns.version is not None or request.in_place
    while True:
        now, build = request.source.version, site.unfinished()
        if build is not None and (build.source_version == now or not fixed):
            if build.source_version != now:
                report(f"going on with the build of version {build.source_version}; the source is at {now} by now")
            return request.at(build.source_version), build
        source, size = request.snapshot(), chunk_bytes(request)
        new = site.begin(target_definition(request, source), size, single=len(cut(source.files, size)) <= 1)
        if new is not None:
            return request, new


def chunk_bytes(request: Request) -> int:
    """How much of the source goes into one commit."""
    return request.settings.chunk_bytes or ROUNDS * request.spark.sparkContext.defaultParallelism * SLOT_BYTES


def _write(request: Request, build: Build, location: str, report: Progress) -> Outcome:
    """Write every chunk that is not there yet, check the counts, and publish."""
    source = request.snapshot()
    engine = choose(request, source, build.definition, location, report)
    chunks = cut(source.files, build.chunk_bytes)
    total = source.rows if request.columns.where is None else None
    report(
        f"writing {total or 'some'} rows of {request.source} to {request.target}, engine {engine}, {len(chunks)} chunks"
    )
    with report.rows(total) as count:
        for chunk in chunks:
            known = chunk.rows if request.columns.where is None else None
            count.expect(known or 0)
            seen, transaction = _write_chunk(request, source, chunk, build, engine, last=chunk is chunks[-1])
            if transaction is not None:
                build = build.with_last(transaction)
            count.advance(known or seen or 0, new=seen is not None)
    build.require_whole()
    listed = build.bad_rows()
    bad_rows = {} if listed is None else count_reasons(listed)
    _require_allowed_rows(request, bad_rows, build)
    rows, bad = build.rows, sum(bad_rows.values())
    if total is None:
        total = request.count(source)
    if not total:
        build.abandon()
        require_rows(request.source.read(request.spark), request.columns.where, request.source)
    if rows + (0 if request.keeps_bad else bad) != total:
        build.abandon()
        raise AdaptorError(
            f"{request.source} has {total} rows, but {rows} were written and {bad} are bad; "
            f"{request.target} is as it was: run apply again"
        )
    if not build.published:  # else what it holds by now, and the quarantine with it, may be newer
        note = stamp_of(request).to_properties()
        replace_quarantine(request, listed, note)
        build.publish(request.in_place, note, partial(require_replaceable, request))
    return Outcome(int(request.source.version or 0), rows, bad_rows, bad if request.lists_bad else 0)


def _write_chunk(
    request: Request, source: Snapshot, chunk: Chunk, build: Build, engine: str, last: bool
) -> tuple[int | None, Transaction | None]:
    """How many rows it read, None where another run has written it already; of the `last` the open transaction."""
    while True:
        transaction = build.start(chunk)
        if transaction is None:
            return None, None
        try:
            seen = ENGINES[engine](request, source, chunk, build, transaction)
            _require_good(request, build, chunk)
            if last:
                return seen, transaction
            transaction.commit({})
            return seen, None
        except Conflict:  # another run wrote this chunk meanwhile, or was just the first to list bad rows
            continue


def _require_good(request: Request, build: Build, chunk: Chunk) -> None:
    """`AdaptorError` where bad rows are not allowed, and where the first chunk's come of a wrong artifact."""
    first = chunk.number == 0
    if (first or request.settings.bad_rows == "fail") and (bad := build.bad_rows()) is not None:
        if first:
            try:
                request.require_width()
            except AdaptorError:
                build.abandon()
                raise
        _require_allowed_rows(request, count_reasons(bad), build)


def _require_allowed_rows(request: Request, bad_rows: Mapping[str, int], build: Build) -> None:
    if bad_rows and request.settings.bad_rows == "fail":
        build.abandon()
        raise AdaptorError(
            f"{request.source} holds bad rows ({describe_reasons(bad_rows)}); "
            "mend them, or set apply.bad_rows to quarantine or null"
        )
