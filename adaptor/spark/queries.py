"""Queries and judgments from Delta tables, into memory: there are thousands, not billions."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.errors import AdaptorError
from adaptor.spark.columns import path_of
from adaptor.spark.row_checks import ids_and_vectors, legible, reason, stratum
from adaptor.spark.tables import TableRef, require_columns, require_embeddings
from adaptor.vectors import Float32

Grades = dict[str, dict[str, int]]
"""Query id -> corpus id -> grade."""


@dataclass(frozen=True)
class Queries:
    """Ids, embeddings `(q, D)` in the order of the ids, and judgments where there are any."""

    ids: list[str]
    vectors: Float32
    judgments: Grades | None
    strata: dict[str, str] | None = None  # by id, where the table has that column


def read_queries(  # noqa: PLR0913 - tables, their columns, and what to read of them
    spark: SparkSession,
    table: str,
    judgments: str | Grades | None,
    id_column: str,
    embedding: str,
    width: int,
    judged_only: bool = False,
    stratum_column: str | None = None,
) -> Queries:
    """The queries of `table` with their judgments, a table's or as given, all checked.

    `judged_only` leaves out those without, where there are judgments.

    Raises `AdaptorError` for missing columns, unusable embeddings and judged queries that are not there.
    """
    ref = TableRef(table).pinned(spark)
    df = ref.read(spark)
    require_columns(df, [id_column, embedding], ref)
    require_embeddings(df, embedding, ref)
    told_apart = stratum_column is not None and path_of(df.schema, stratum_column) is not None
    df = df.select(
        *ids_and_vectors(df, id_column, embedding),
        stratum(df, stratum_column if told_apart else None).alias("stratum"),
    )
    grades = read_judgments(spark, judgments) if isinstance(judgments, str) else judgments
    if judged_only and grades is not None:
        df = df.where(F.col("id").isin(list(grades)))
    bad = df.where(reason("id", "embedding", width).isNotNull()).count()
    if bad:
        raise AdaptorError(f"{bad} queries of {ref} have no usable embedding of width {width}; mend them")
    ids, vectors = vectors_by_id(df)
    if len(set(ids)) < len(ids):
        raise AdaptorError(f"{ref} has {len(ids) - len(set(ids))} query ids twice; make them unique")
    if grades is not None and (missing := set(grades) - set(ids)):
        raise AdaptorError(f"{len(missing)} judged queries, such as {min(missing)!r}, are not in {ref}")
    return Queries(ids, vectors, grades, strata_by_id(df) if told_apart else None)


def read_judgments(spark: SparkSession, table: str) -> Grades:
    """The judgments of a table with columns query_id, corpus_id and grade."""
    ref = TableRef(table).pinned(spark)
    df = ref.read(spark)
    require_columns(df, ["query_id", "corpus_id", "grade"], ref)
    grades: Grades = {}
    ids = [legible(df, name).cast("string") for name in ("query_id", "corpus_id")]
    for query, document, grade in df.select(*ids, F.col("grade").cast("int")).collect():
        grades.setdefault(query, {})[document] = grade
    return grades


def strata_by_id(rows: DataFrame) -> dict[str, str]:
    """Id -> stratum of a few rows."""
    return {row["id"]: row["stratum"] for row in rows.select(F.col("id").cast("string"), "stratum").collect()}


def vectors_by_id(rows: DataFrame) -> tuple[list[str], Float32]:
    """Ids and embeddings `(n, D)` of good rows, in the order of their ids."""
    table = rows.select(F.col("id").cast("string"), "embedding").toArrow().combine_chunks().sort_by("id")
    ids = table["id"].to_pylist()
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    return ids, flat.reshape(len(ids), -1)
