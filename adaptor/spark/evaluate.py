"""The evaluate job: what each dim keeps, beside truncation and SVD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.strata import check_count
from adaptor.layout import Encoding, bytes_of, column_of
from adaptor.maps import Map
from adaptor.metrics import judge, paired_interval
from adaptor.spark.apply.stamp import Stamp
from adaptor.spark.causes import named_causes
from adaptor.spark.columns import column, full_name
from adaptor.spark.decoders import prefix_column
from adaptor.spark.preflight import require_commits
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.queries import read_queries, strata_by_id, vectors_by_id
from adaptor.spark.row_checks import legible, reason, stratum
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.sampling import balanced, place, sample
from adaptor.spark.search import View, exact_search
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, restricted
from adaptor.vectors import Float32, normalise, prefix

BASELINE_ROWS = 50_000  # rows the SVD baseline is fitted on, those of the table if it has fewer
NEIGHBOURS = 10


@dataclass(frozen=True)
class Evaluated:
    """Figures by candidate, dim, metric and stratum; intervals of the adaptor's gain over SVD."""

    metric: str  # the one that leads: nDCG@10 or overlap@10
    width: int
    dims: tuple[int, ...]
    figures: list[Figure]
    intervals: dict[tuple[str | None, int], tuple[float, float]]  # by stratum, None for all, and dim
    strata: tuple[str, ...]
    candidate: str
    seconds: float

    def value(self, candidate: str, dim: int, metric: str | None = None, stratum: str | None = None) -> float:
        """One figure; of the metric that leads and of all strata together, unless another is named."""
        key = (candidate, dim, metric or self.metric, stratum)
        return next(f.value for f in self.figures if (f.candidate, f.dim, f.metric, f.stratum) == key)

    def stored_bytes(self, dim: int) -> int:
        """What the adaptor's prefix takes in a row of the target."""
        return next(f.bytes for f in self.figures if (f.candidate, f.dim) == ("adaptor", dim) and f.bytes)


def evaluate_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Evaluated:
    """Search the target's nested columns, and the source by truncation, SVD and full width.

    With queries and judgments: nDCG@10, R@10, R@100, RR@10. Without: the share of each held-out
    row's 10 nearest neighbours at full width that a prefix finds again. With `sample.stratum` the
    figures of each stratum stand beside those of all: of queries, where their table has the column;
    without judgments of held-out rows, as many of each.
    """
    with recording_failure(spark, config, "evaluate") as clock:
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        require_commits(spark, TableRef(config.runs), "runs", replaced=False)
        with named_causes(spark, source, config.source):
            return _evaluate(spark, source, config, as_progress(report), clock)


def _evaluate(spark: SparkSession, source: TableRef, config: Config, report: Progress, clock: Clock) -> Evaluated:
    settings = config.evaluate
    assert settings is not None  # load_config has seen to it
    adaptor = Adaptor.load(config.artifact)
    name, rows = _open_source(spark, source, config)
    nested, encoding = _open_target(spark, config, adaptor, name)
    report(f"counting the good rows of {source}")
    rows = rows.where(reason("id", "embedding", adaptor.width).isNull())
    total = rows.count()
    if total < (1 if settings.judgments else 2):
        few = "only one good row" if total else "no good rows"
        raise AdaptorError(f"{source} has {few} of width {adaptor.width}: there is nothing to find")

    report(f"fitting the SVD baseline on {min(total, BASELINE_ROWS)} rows of {source}")
    svd = closed_forms.svd(vectors_by_id(sample(rows, "id", BASELINE_ROWS, 0, total))[1]).corpus
    query_set = _judged_queries(spark, config, adaptor) if settings.judgments else _held_out_rows(rows, config)
    report(f"searching {total} rows with {len(query_set.ids)} queries at dims {list(adaptor.dims)} and {adaptor.width}")
    hits: dict[tuple[str, int], list[dict[str, float]]] = {}
    searches = ((rows, _baselines(adaptor, svd, query_set.vectors)), (nested, _nested_views(adaptor, query_set)))
    with report.rows(len(searches) * total) as count:
        for table, views in searches:
            count.expect(total)
            hits |= exact_search(table, "id", views, 100)
            count.advance(total)

    values = query_set.measure(hits, adaptor.width)
    metric = next(iter(next(iter(values.values()))))
    parts = query_set.parts()
    figures = [
        Figure(
            name,
            dim,
            measure,
            float(by_query[chosen].mean()),
            bytes_of(dim, encoding) if name == "adaptor" else None,
            label,
        )
        for label, chosen in parts.items()
        for (name, dim), measures in values.items()
        for measure, by_query in measures.items()
    ]
    intervals = {
        (label, dim): paired_interval(values["adaptor", dim][metric][chosen], values["svd", dim][metric][chosen])
        for label, chosen in parts.items()
        for dim in adaptor.dims
    }
    run = Run.finish(clock, "evaluate", settings.data_set, adaptor.fingerprint, source, total)
    record(spark, config.runs, run, figures)
    strata = tuple(label for label in parts if label is not None)
    candidate = str(adaptor.config.get("candidate"))
    return Evaluated(metric, adaptor.width, adaptor.dims, figures, intervals, strata, candidate, run.seconds)


def _open_source(spark: SparkSession, source: TableRef, config: Config) -> tuple[str, DataFrame]:
    """The full name of the id, and the source as `id, embedding, stratum`: that of rows, where no judgments judge."""
    of_rows = config.sample.stratum if config.evaluate and not config.evaluate.judgments else None
    table = source.read(spark)
    require_columns(table, [config.source.id, config.source.embedding, *([of_rows] if of_rows else [])], source)
    require_embeddings(table, config.source.embedding, source)
    table = restricted(table, config.source.where)
    rows = table.select(
        legible(table, config.source.id).alias("id"),
        column(table, config.source.embedding).cast("array<float>").alias("embedding"),
        stratum(table, of_rows).alias("stratum"),
    )
    return full_name(table.schema, config.source.id), rows


def _judged_queries(spark: SparkSession, config: Config, adaptor: Adaptor) -> QuerySet:
    """The queries that have judgments."""
    settings = config.evaluate
    assert settings is not None
    if settings.queries is None:
        raise AdaptorError("evaluate.judgments needs evaluate.queries, the table with the queries' embeddings")
    names = config.source.id, config.source.embedding
    by_stratum = config.sample.stratum
    queries = read_queries(spark, settings.queries, settings.judgments, *names, adaptor.width, True, by_stratum)
    return QuerySet(queries.ids, queries.vectors, queries.judgments, queries.strata)


def _held_out_rows(rows: DataFrame, config: Config) -> QuerySet:
    """Rows at the far end of the order that samples are taken from: as far from a fit as there is."""
    assert config.evaluate is not None
    count, by_stratum = config.evaluate.held_out, config.sample.stratum
    at = place("id", config.sample.seed)
    far = balanced(rows, 1 - at, count) if by_stratum else rows.orderBy(at.desc(), "id").limit(count)
    return QuerySet(*vectors_by_id(far), None, strata_by_id(far) if by_stratum else None)


@dataclass(frozen=True)
class QuerySet:
    """What is searched for: ids, vectors `(q, D)`, and judgments and strata by id where there are any."""

    ids: list[str]
    vectors: Float32
    judgments: dict[str, dict[str, int]] | None
    strata: dict[str, str] | None

    def parts(self) -> dict[str | None, NDArray[np.bool_]]:
        """Which of the measured values belong to each stratum; those of None are all."""
        order = self.ids if self.judgments is None else list(self.judgments)
        parts: dict[str | None, NDArray[np.bool_]] = {None: np.ones(len(order), dtype=bool)}
        if self.strata is not None:
            labels = np.array([self.strata[name] for name in order], dtype=object)
            check_count(len(set(labels)), "sample.stratum")
            parts |= {label: labels == label for label in sorted(set(labels))}
        return parts

    def measure(
        self, hits: dict[tuple[str, int], list[dict[str, float]]], width: int
    ) -> dict[tuple[str, int], dict[str, np.ndarray]]:
        """(candidate, dim) -> metric -> value of each query, in one order."""
        if self.judgments is not None:
            judged = {key: judge(dict(zip(self.ids, runs)), self.judgments) for key, runs in hits.items()}
            return {
                key: {metric: np.array([by_query[q] for q in self.judgments]) for metric, by_query in values.items()}
                for key, values in judged.items()
            }
        nearest = {key: [_nearest(run, itself) for itself, run in zip(self.ids, runs)] for key, runs in hits.items()}
        original = nearest["original", width]
        return {
            key: {"overlap@10": np.array([len(a & b) / len(b) for a, b in zip(sets, original)])}
            for key, sets in nearest.items()
        }


def _nearest(run: dict[str, float], itself: str) -> set[str]:
    ranked = sorted(run, key=lambda row: (-run[row], row))
    return set([row for row in ranked if row != itself][:NEIGHBOURS])


def _baselines(adaptor: Adaptor, svd: Map, queries: Float32) -> list[View]:
    views = [View("original", "embedding", adaptor.width, normalise(queries))]
    for dim in adaptor.dims:
        views.append(View("truncation", "embedding", dim, prefix(queries, dim)))
        views.append(View("svd", "embedding", dim, prefix(svd(queries, dim), dim), svd))
    return views


def _nested_views(adaptor: Adaptor, query_set: QuerySet) -> list[View]:
    side = adaptor.map("corpus" if query_set.judgments is None else "query")
    return [View("adaptor", column_of(dim), dim, prefix(side(query_set.vectors, dim), dim)) for dim in adaptor.dims]


def _open_target(spark: SparkSession, config: Config, adaptor: Adaptor, name: str) -> tuple[DataFrame, Encoding]:
    """The target as `id`, its column `name`, and a prefix a dim, whatever its layout; the encoding it is stored in."""
    if config.apply is None:
        raise AdaptorError("the config has no section 'apply': evaluate reads the table that apply wrote")
    target = TableRef(config.target_table)
    if not target.exists(spark):
        raise AdaptorError(f"there is no table at {target.where}; run jobs/apply.py first")
    stamp = Stamp.from_properties(target.properties(spark))
    if stamp is None:
        raise AdaptorError(f"{target.where} is a table that apply did not write; run jobs/apply.py first")
    if stamp.fingerprint != adaptor.fingerprint:
        raise AdaptorError(
            f"{target.where} was written by artifact {stamp.fingerprint[:12]}, {config.artifact} now holds "
            f"{adaptor.fingerprint[:12]}; run jobs/apply.py with --set apply.rebuild=true"
        )
    kernel = Kernel(adaptor, stamp.layout, stamp.encoding)
    nested = target.read(spark)
    require_columns(nested, [name, *kernel.schema.names], target)
    good = nested.where(F.col(kernel.schema.names[0]).isNotNull())
    prefixes = [
        prefix_column(adaptor, kernel.layout, kernel.encoding, dim).alias(column_of(dim)) for dim in adaptor.dims
    ]
    return good.select(legible(good, name).alias("id"), *prefixes), kernel.encoding
