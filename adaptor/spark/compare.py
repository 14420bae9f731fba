"""Two versions of an artifact side by side: the same rows and queries, paired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pyspark.sql import SparkSession

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.metrics import paired_interval, told_apart
from adaptor.release import Versions
from adaptor.spark.causes import named_causes
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.query_set import Search, leading_metrics, open_source
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.search import View, exact_search
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef


@dataclass(frozen=True)
class Comparison:
    """What the current version and another one keep at each dim that both have, and SVD beside them."""

    current: str
    other: str
    metric: str
    full: float  # of the full width
    values: dict[str, dict[int, float]]  # svd, current, other -> dim
    intervals: dict[int, tuple[float, float]]  # of what the other one gains on the current one
    queries: int
    rows: int

    def verdict(self) -> str:
        """Which is better at which dims, in one sentence."""
        better, worse, _ = told_apart(self.intervals)
        groups = (("better", better), ("worse", worse))
        parts = [f"{word} at {', '.join(map(str, dims))}" for word, dims in groups if dims]
        if not parts:
            return f"By {self.metric} {self.other} is not told apart from it at any dim."
        return f"By {self.metric} {self.other} is {' and '.join(parts)} than the current one."


def compare_versions(
    spark: SparkSession, config: Config, report: Callable[[str], None], version: str | None = None
) -> Comparison:
    """Search the source through the current version and another one, the candidate unless `version` names one.

    Raises `AdaptorError` where there are not two versions, or they share no dim.
    """
    with recording_failure(spark, config, "compare") as clock:
        versions = Versions(config.artifact.folder)
        current, other = versions.current, version or versions.candidate
        if current is None or other is None or current == other:
            raise AdaptorError(
                f"{versions.root} has no candidate beside the current version {current}: fit one, or name a version"
            )
        pair = {current: versions.load(current), other: versions.load(other)}
        dims = tuple(sorted(set.intersection(*(set(adaptor.dims) for adaptor in pair.values()))))
        if not dims or len({adaptor.width for adaptor in pair.values()}) > 1:
            raise AdaptorError(f"versions {current} and {other} share no dim of one width, so nothing can be compared")
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        with named_causes(spark, source, config.source):
            return _compare(spark, config, source, pair, dims, as_progress(report), clock)


def _compare(  # noqa: PLR0913 - what both versions are asked with
    spark: SparkSession,
    config: Config,
    source: TableRef,
    pair: dict[str, Adaptor],
    dims: tuple[int, ...],
    report: Progress,
    clock: Clock,
) -> Comparison:
    assert config.evaluate is not None
    judged, (current, other) = bool(config.evaluate.judgments), pair
    newer = pair[other]
    search = Search.of(config, source, open_source(spark, source, config)[1], newer, dims, report)
    total, query_set = search.total, search.query_set
    views = search.views + [
        View(name, "embedding", dim, query_set.through(adaptor, dim), adaptor.map())
        for name, adaptor in pair.items()
        for dim in dims
    ]
    report(f"searching {total} rows with {len(query_set.ids)} queries through {current}, the current one, and {other}")
    with report.rows(total) as count:
        count.expect(total)
        values = query_set.measure(exact_search(search.rows, "id", views, 100), newer.width)
    metric, _ = leading_metrics(next(iter(values.values())), newer, judged)
    names = ("svd", current, other)
    means = {name: {dim: float(np.mean(values[name, dim][metric])) for dim in dims} for name in names}
    intervals = {dim: paired_interval(values[other, dim][metric], values[current, dim][metric]) for dim in dims}
    figures = [
        Figure(name, dim, measure, float(by_query.mean()))
        for (name, dim), measures in values.items()
        for measure, by_query in measures.items()
    ]
    record(
        spark,
        config.runs,
        Run.finish(clock, "compare", config.evaluate.data_set, newer.fingerprint, source, total),
        figures,
    )
    full = float(np.mean(values["original", newer.width][metric]))
    return Comparison(current, other, metric, full, means, intervals, len(query_set.ids), total)
