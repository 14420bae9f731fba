"""One apply, from a config to a summary: what to do, doing it in the mode that was asked for, the figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import SparkSession

from adaptor.config import Config
from adaptor.layout import bytes_of
from adaptor.spark.apply.changes import apply_changes
from adaptor.spark.apply.full import Outcome, apply_full
from adaptor.spark.apply.request import Request, open_request, require_writable
from adaptor.spark.apply.stream import apply_stream
from adaptor.spark.apply.target import make_view
from adaptor.spark.causes import named_causes
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef

MODES: dict[str, Callable[[Request, Progress], Outcome]] = {
    "full": apply_full,
    "incremental": apply_changes,
    "stream": apply_stream,
}


@dataclass(frozen=True)
class Applied:
    """What an apply job wrote: in a full run, source rows = written + quarantined."""

    source: TableRef
    target: TableRef
    quarantine: TableRef | None  # None where nothing had to be set aside
    columns: tuple[str, ...]
    fingerprint: str
    written: int
    updated: int  # of those written: rows that took the place of others
    removed: int
    bad_rows: Mapping[str, int]
    view: str | None
    way_back: str | None  # in place: the SQL that restores the source
    seconds: float


def apply_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Applied:
    """Adapt the rows of `config.source` and write `config.apply.target`, in the mode of `config.apply.mode`.

    Raises `AdaptorError` when the artifact is missing or of another width, when the target may not
    be replaced, and when the counts do not add up: readers then see what they saw before.
    """
    with recording_failure(spark, config, "apply") as clock:
        return _apply(spark, config, as_progress(report), clock)


def _apply(spark: SparkSession, config: Config, report: Progress, clock: Clock) -> Applied:
    request = open_request(spark, config)
    require_writable(request, config.runs)
    with named_causes(spark, request.source, config.source):
        outcome = MODES[request.settings.mode](request, report)
    if (promoted := request.promoted()) is not None:
        report(
            f"version {promoted} was promoted while this ran; {request.target.where} is all of version "
            f"{request.kernel.adaptor.version}, with which it began: set apply.rebuild=true to have it by the new one"
        )
    kernel = request.kernel
    source, rows = request.at(outcome.version).source, outcome.rows + outcome.quarantined
    data_set = config.evaluate.data_set if config.evaluate else source.where
    run = Run.finish(clock, "apply", data_set, kernel.adaptor.fingerprint, source, rows, config.rates)
    figures = [
        Figure("adaptor", dim, "rows_written", outcome.rows, bytes_of(dim, kernel.encoding)) for dim in kernel.lengths
    ]
    figures.append(Figure("adaptor", kernel.adaptor.width, "rows_set_aside", outcome.quarantined))
    record(spark, config.runs, run, figures)
    return Applied(
        source,
        request.target,
        request.quarantine if outcome.quarantined else None,
        tuple(kernel.schema.names),
        kernel.adaptor.fingerprint,
        outcome.rows,
        outcome.updated,
        outcome.removed,
        outcome.bad_rows,
        make_view(request),
        f"RESTORE TABLE {request.target.identifier} TO VERSION AS OF {outcome.version}" if request.in_place else None,
        run.seconds,
    )
