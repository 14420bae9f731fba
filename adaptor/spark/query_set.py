"""What an evaluation asks for, queries with judgments or held-out rows, and how it measures what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.strata import check_count
from adaptor.maps import Map, Sides
from adaptor.metrics import NEIGHBOURS, RETRIEVAL, graded_overlap, judge
from adaptor.spark.columns import column, full_name
from adaptor.spark.queries import read_queries, strata_by_id, vectors_by_id
from adaptor.spark.row_checks import legible, reason, stratum
from adaptor.spark.sampling import balanced, place, sample
from adaptor.spark.search import View
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, restricted
from adaptor.vectors import Float32, normalise, prefix

BASELINE_ROWS = 50_000  # rows the SVD baseline is fitted on, those of the table if it has fewer
NEAREST = 10
REFERENCE = "corrected"  # the full width that retrieval@10 compares with


@dataclass(frozen=True)
class Baseline:
    """The plain alternative, made here of the table itself: it must be there whatever an artifact holds."""

    rows: Float32
    svd: Sides

    @classmethod
    def of(cls, rows: DataFrame, total: int) -> Baseline:
        """SVD of `id, embedding`, of `BASELINE_ROWS` at most."""
        plain = vectors_by_id(sample(rows, "id", BASELINE_ROWS, 0, total))[1]
        return cls(plain, closed_forms.svd(plain))

    def reference(self, adaptor: Adaptor, queries: Float32) -> View:
        """What `retrieval@10` compares with: the full width as the fit took it, hubs corrected for, or as it is."""
        if adaptor.metrics.get("already_nested"):
            return View(REFERENCE, "embedding", adaptor.width, normalise(queries))
        corrected = closed_forms.temper(self.svd, self.rows, closed_forms.damping(self.rows)).corpus
        return View(REFERENCE, "embedding", adaptor.width, prefix(corrected(queries), adaptor.width), corrected)

    def views(self, width: int, dims: tuple[int, ...], queries: Float32) -> list[View]:
        """The full width, and truncation and SVD at each dim."""
        svd: Map = self.svd.corpus
        views = [View("original", "embedding", width, normalise(queries))]
        for dim in dims:
            views.append(View("truncation", "embedding", dim, prefix(queries, dim)))
            views.append(View("svd", "embedding", dim, prefix(svd(queries, dim), dim), svd))
        return views


@dataclass(frozen=True)
class Search:
    """What every search over the source begins with: its good rows, who asks, and the baselines as views."""

    rows: DataFrame
    total: int
    query_set: QuerySet
    views: list[View]

    @classmethod
    def of(
        cls,
        config: Config,
        source: TableRef,
        rows: DataFrame,
        adaptor: Adaptor,
        dims: tuple[int, ...],
        report: Callable[[str], None],
    ) -> Search:
        """The search of `rows`, as `open_source` gives them, at `dims` and at full width.

        Raises `AdaptorError` where there is nothing to find, or nobody to ask.
        """
        assert config.evaluate is not None  # load_config has seen to it
        judged = bool(config.evaluate.judgments)
        report(f"counting the good rows of {source}")
        rows, total = _good_rows(rows, source, adaptor.width, judged)
        report(f"fitting the SVD baseline on {min(total, BASELINE_ROWS)} rows of {source}")
        baseline = Baseline.of(rows, total)
        asking = _judged_queries(rows.sparkSession, config, adaptor) if judged else _held_out_rows(rows, config)
        views = baseline.views(adaptor.width, dims, asking.vectors)
        if not judged:
            views.append(baseline.reference(adaptor, asking.vectors))
        return cls(rows, total, asking, views)


def _good_rows(rows: DataFrame, source: TableRef, width: int, judged: bool) -> tuple[DataFrame, int]:
    """Rows that can be searched, and how many; `AdaptorError` where there is nothing to find among them."""
    rows = rows.where(reason("id", "embedding", width).isNull())
    total = rows.count()
    if total < (1 if judged else 2):
        few = "only one good row" if total else "no good rows"
        raise AdaptorError(f"{source} has {few} of width {width}: there is nothing to find")
    return rows, total


def leading_metrics(values: dict[str, np.ndarray], adaptor: Adaptor, judged: bool) -> tuple[str, str | None]:
    """The figure that leads, and without judgments the one beside it: what `fit.keep` asked for comes first."""
    if judged:
        return next(iter(values)), None
    keep = adaptor.config.get("settings", {}).get("keep", "retrieval")
    return (NEIGHBOURS, RETRIEVAL) if keep == "neighbours" else (RETRIEVAL, NEIGHBOURS)


def open_source(spark: SparkSession, source: TableRef, config: Config) -> tuple[str, DataFrame]:
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

    def through(self, adaptor: Adaptor, dim: int) -> Float32:
        """The vectors as `adaptor` maps them at `dim`, by the map for queries where they are queries: `(q, dim)`."""
        side = adaptor.map("corpus" if self.judgments is None else "query")
        return prefix(side(self.vectors, dim), dim)

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
        others = {key: [_others(run, itself) for itself, run in zip(self.ids, runs)] for key, runs in hits.items()}
        reference = others.pop((REFERENCE, width))
        return {
            key: {
                RETRIEVAL: np.array([graded_overlap(run, other) for run, other in zip(runs, reference)]),
                NEIGHBOURS: np.array([_shared(run, other) for run, other in zip(runs, others["original", width])]),
            }
            for key, runs in others.items()
        }


def _others(run: dict[str, float], itself: str) -> dict[str, float]:
    """The best hits of a row, but for itself."""
    ranked = sorted(run, key=lambda row: (-run[row], row))
    return {row: run[row] for row in ranked if row != itself}


def _shared(run: dict[str, float], other: dict[str, float]) -> float:
    """The share of the other's 10 nearest that are among these 10 nearest."""
    one, two = set(list(run)[:NEAREST]), set(list(other)[:NEAREST])
    return len(one & two) / len(two)
