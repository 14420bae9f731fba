"""Who asks in an evaluation: queries with judgments, queries without, or held-out rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from adaptor.artifact import Adaptor, Side
from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.evaluation.trec import read_qrels
from adaptor.fitting.strata import check_count
from adaptor.spark.columns import column, full_name
from adaptor.spark.queries import Grades, read_queries, strata_by_id, vectors_by_id
from adaptor.spark.row_checks import legible, reason, stratum
from adaptor.spark.sampling import balanced, place
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, restricted
from adaptor.vectors import Float32


@dataclass(frozen=True)
class QuerySet:
    """What is searched for: ids, vectors `(q, D)`, and judgments and strata by id where there are any."""

    ids: list[str]
    vectors: Float32
    side: Side  # that of the map they go through; rows of the table find all but themselves
    judgments: Grades | None = None
    strata: dict[str, str] | None = None

    def through(self, adaptor: Adaptor) -> Float32:
        """The vectors as `adaptor` maps them, not renormalised: `(q, K)`."""
        return adaptor.map(self.side)(self.vectors)


def good_rows(rows: DataFrame, source: TableRef, width: int, at_least: int) -> tuple[DataFrame, int]:
    """Rows that can be searched, and how many; `AdaptorError` where there is nothing to find among them."""
    rows = rows.where(reason("id", "embedding", width).isNull())
    total = rows.count()
    if total < at_least:
        few = "only one good row" if total else "no good rows"
        raise AdaptorError(f"{source} has {few} of width {width}: there is nothing to find")
    return rows, total


def open_source(spark: SparkSession, source: TableRef, config: Config) -> tuple[str, DataFrame]:
    """The full name of the id, and the source as `id, embedding, stratum`: that of rows, where no queries ask."""
    of_rows = config.sample.stratum if config.evaluate and not config.evaluate.queries else None
    table = source.read(spark)
    return full_name(table.schema, config.source.id), rows_of(table, source, config, of_rows)


def rows_of(
    table: DataFrame, source: TableRef, config: Config, of_stratum: str | None, named_by: str | None = None
) -> DataFrame:
    """Rows of the source as `id, embedding, stratum`, where the config's condition holds; `AdaptorError` for others.

    With `named_by`, a column, they have a `name` too.
    """
    further = [name for name in (of_stratum, named_by) if name is not None]
    require_columns(table, [config.source.id, config.source.embedding, *further], source)
    require_embeddings(table, config.source.embedding, source)
    table = restricted(table, config.source.where)
    return table.select(
        legible(table, config.source.id).alias("id"),
        column(table, config.source.embedding).cast("array<float>").alias("embedding"),
        stratum(table, of_stratum).alias("stratum"),
        *([column(table, named_by).cast("string").alias("name")] if named_by else []),
    )


def ask(rows: DataFrame, config: Config, width: int) -> QuerySet:
    """The queries of the config, those with judgments where there are any, or held-out rows where it names none."""
    settings = config.evaluate
    assert settings is not None
    asking = _held_out_rows(rows, config) if settings.queries is None else _queries(rows.sparkSession, config, width)
    if asking.strata is not None:
        check_count(len(set(asking.strata.values())), "sample.stratum")
    return asking


def _queries(spark: SparkSession, config: Config, width: int) -> QuerySet:
    settings = config.evaluate
    assert settings is not None
    assert settings.queries is not None
    names = config.source.id, config.source.embedding
    judgments: str | Grades | None = settings.judgments
    if settings.judgments is not None and Path(settings.judgments).is_file():
        judgments = read_qrels(settings.judgments)
    queries = read_queries(spark, settings.queries, judgments, *names, width, True, config.sample.stratum)
    return QuerySet(queries.ids, queries.vectors, "query", queries.judgments, queries.strata)


def _held_out_rows(rows: DataFrame, config: Config) -> QuerySet:
    """Rows at the far end of the order that samples are taken from: as far from a fit as there is."""
    assert config.evaluate is not None
    count, by_stratum = config.evaluate.held_out, config.sample.stratum
    at = place("id", config.sample.seed)
    far = balanced(rows, 1 - at, count) if by_stratum else rows.orderBy(at.desc(), "id").limit(count)
    return QuerySet(*vectors_by_id(far), side="corpus", strata=strata_by_id(far) if by_stratum else None)
