"""The fit job: from a Delta table to a published artifact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.card import model_card
from adaptor.config import Config, QueryLog
from adaptor.errors import AdaptorError
from adaptor.fitting.paired import Pairs, fit_pairs
from adaptor.fitting.pipeline import fit_sample
from adaptor.fitting.report import FitReport, Origin
from adaptor.fitting.sample import Fold, Judgments, Sample
from adaptor.release import Versions
from adaptor.spark.causes import named_causes
from adaptor.spark.columns import column
from adaptor.spark.file_sample import FileSample, files_for
from adaptor.spark.moments import TableMoments
from adaptor.spark.pairs import NewerRows
from adaptor.spark.preflight import require_commits
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.queries import read_judgments, read_queries
from adaptor.spark.row_checks import common_width
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.sampling import Materialised, materialise
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, require_rows
from adaptor.spark.tracking import require_mlflow, track
from adaptor.spark.trials import as_tasks
from adaptor.spark.workers import checkpoints_of, open_workers
from adaptor.storage import require_writable_folder
from adaptor.training.batches import usual_batches
from adaptor.vectors import check_dims

FEW_ROWS = 100  # tell the width


@dataclass(frozen=True)
class Fitted:
    """What a fit job leaves behind."""

    adaptor: Adaptor
    report: FitReport
    path: str
    source: TableRef
    bad_rows: Mapping[str, int]
    is_candidate: bool  # another version is current: this one waits to be compared and promoted
    seconds: float


def fit_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Fitted:
    """Sample `config.source`, fit on `config.workers`, leave a version under `config.artifact`.

    It is the candidate, but current where it is the first one, or where `artifact.promote` says so.

    With `config.tracking` MLflow gets a record of it; where it can't, a line says so and the version is kept. Raises
    `AdaptorError` when the source can't be read as embeddings or has too few good rows.
    """
    if config.tracking:
        require_mlflow(config.tracking.uri)
    with recording_failure(spark, config, "fit") as clock:
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        require_writable_folder(config.artifact.folder, "artifact")
        require_commits(spark, TableRef(config.runs), "runs", replaced=False)
        with named_causes(spark, source, config.source):
            fitted = _fit(spark, source, config, as_progress(report), clock)
    if config.tracking:
        track(config, config.tracking, fitted, _figures(fitted.report), report)
    return fitted


def _fit(spark: SparkSession, source: TableRef, config: Config, report: Progress, clock: Clock) -> Fitted:
    df = source.read(spark)
    stratum = config.sample.stratum
    require_columns(df, [config.source.id, config.source.embedding, *([stratum] if stratum else [])], source)
    require_embeddings(df, config.source.embedding, source)
    rows = require_rows(df, config.source.where, source)
    workers = open_workers(spark, config.workers, config.sample.folder, report)
    checkpoints = checkpoints_of(config.workers, config.sample.folder)
    require_dims(rows, config.source.embedding, config.dims, source)
    newer = NewerRows.read(spark, config.fit.paired, report) if config.fit.paired else None
    sample, drawn = _draw(spark, source, rows, newer, config, report)
    try:
        whole = sample.whole
        report(f"sample: {len(whole.rows)} rows of {source}, {len(sample.held_out.rows)} held out")
        dims = check_dims(config.dims, whole.rows.shape[1])
        learnt = learn_from(spark, config.query_log, sample, whole, newer.width if newer else None)
        moments = TableMoments(rows, config.source, whole.rows.shape[1], report)
        learnt = replace(learnt, moments=moments if config.sample.moments == "all" else None)
        seed = config.sample.seed
        if newer is None:
            trials, most = partial(as_tasks, spark), config.workers.whole_sample_bytes
            adaptor, measured = fit_sample(learnt, dims, config.fit, seed, workers, report, trials, checkpoints, most)
        else:
            pairs = Pairs(learnt, newer.of(sample.ids))
            adaptor, measured = fit_pairs(pairs, dims, config.fit, seed, workers, report, checkpoints)
    finally:
        sample.delete()
    started_at = clock.started_at.isoformat(timespec="seconds")
    origin = Origin(
        source=source.where,
        source_version=source.version,
        stratum=stratum,
        bad_rows=dict(sample.bad_rows),
        started_at=started_at,
        sample=drawn.sentence if drawn else None,
        moments=moments.result.count if moments.result else None,
    )
    training = measured.training and replace(measured.training, workers=config.workers.model_dump())
    measured = replace(measured, origin=origin, training=training)
    adaptor = replace(adaptor, metrics=measured.to_json())
    versions = Versions(config.artifact.folder)
    path = versions.add(adaptor, model_card(adaptor, measured), promote=config.artifact.promote == "always")
    if checkpoints:
        checkpoints.delete()
    _save_profile(measured, sample, versions.root, adaptor.version)
    data_set = config.evaluate.data_set if config.evaluate else source.where
    run = Run.finish(clock, "fit", data_set, adaptor.fingerprint, source, len(whole.rows), config.rates)
    record(spark, config.runs, run, _figures(measured))
    is_candidate = versions.current != adaptor.version
    return Fitted(adaptor, measured, path, source, sample.bad_rows, is_candidate, run.seconds)


def _draw(
    spark: SparkSession,
    source: TableRef,
    rows: DataFrame,
    newer: NewerRows | None,
    config: Config,
    report: Progress,
) -> tuple[Materialised, FileSample | None]:
    """The sample on disk, and which files it comes from where not every row was looked at."""
    report(f"sampling {config.sample.rows:,} rows, or all, of {source}")
    named, batches = (config.source.id, config.source.embedding), config.workers.batches or usual_batches(report)
    judged = _judged_documents(spark, config.query_log)
    if newer is not None:
        rows, drawn = newer.both(rows, config.source.id), None
    else:
        drawn = files_for(spark, source, config.source, rows, config.sample, report)
    if drawn is not None:
        report(f"sample: {drawn.sentence}")
    sample = materialise(rows, *named, config.sample, batches, judged, drawn.rows if drawn else None)
    for reason, count in sample.bad_rows.items():
        report(f"set aside: {count} rows, {reason}")
    return sample, drawn


def _save_profile(measured: FitReport, sample: Materialised, root: str, version: str) -> None:
    """What the monitor compares later rows with, and the share of bad rows that the sample had."""
    if measured.profile is None:
        return
    bad = sum(sample.bad_rows.values())
    sampled = bad + len(sample.ids)
    replace(measured.profile, bad_share=bad / sampled, sampled=sampled).save(root, version)


def _figures(measured: FitReport) -> list[Figure]:
    """What candidates reached, over all held-out rows and by stratum, for the runs table."""
    of_all = [
        Figure(score.candidate, dim, metric, value)
        for score in measured.candidates
        for metric, values in score.figures.items()
        for dim, value in values.items()
    ]
    by_stratum = [
        Figure(name, dim, measured.metric, value, stratum=label)
        for label, part in measured.strata.items()
        for name, values in part.kept.items()
        for dim, value in values.items()
    ]
    return of_all + by_stratum


def require_dims(rows: DataFrame, embedding: str, dims: Sequence[int], source: TableRef) -> None:
    """`AdaptorError` where a dim is above the width of the embeddings: by the first rows, if those don't say so."""
    vectors = rows.select(column(rows, embedding).alias("embedding")).where(F.size("embedding") > 0)
    few = vectors.limit(FEW_ROWS)
    if max(dims) <= common_width(few, "embedding"):
        return
    width = common_width(vectors, "embedding")  # the first rows may be odd ones
    if max(dims) > width:
        raise AdaptorError(f"dim {max(dims)} is above the width of the embeddings of {source.where}, {width}")


def _judged_documents(spark: SparkSession, log: QueryLog | None) -> list[str]:
    """Ids of the corpus rows that have a judgment."""
    if log is None or log.judgments is None:
        return []
    grades = read_judgments(spark, log.judgments)
    return sorted({document for judged in grades.values() for document in judged})


def learn_from(
    spark: SparkSession, log: QueryLog | None, sample: Materialised, whole: Fold, width: int | None = None
) -> Sample:
    """The sample with its queries, of the rows' width if no other is named, and judgments, these by row number."""
    if log is None:
        return Sample(sample.train, sample.held_out, whole, strata=sample.strata)
    queries = read_queries(spark, log.table, log.judgments, log.id, log.embedding, width or whole.rows.shape[1])
    document = {name: row for row, name in enumerate(sample.ids)}
    judgments: Judgments = {}
    for row, name in enumerate(queries.ids):
        for document_id, grade in (queries.judgments or {}).get(name, {}).items():
            if grade > 0 and document_id in document:
                judgments.setdefault(row, {})[document[document_id]] = float(grade)
    return Sample(sample.train, sample.held_out, whole, queries.vectors, judgments, sample.strata)
