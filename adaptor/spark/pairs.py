"""Rows of the source that a newer model has embedded as well: a Delta table beside it, by the same ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.errors import AdaptorError
from adaptor.fitting.settings import Paired
from adaptor.spark.queries import vectors_by_id
from adaptor.spark.row_checks import common_width, ids_and_vectors, legible, reason
from adaptor.spark.tables import TableRef, require_columns, require_embeddings
from adaptor.vectors import Float32


@dataclass(frozen=True)
class NewerRows:
    """The usable rows of `fit.paired.table`: `id string, embedding array<float>`, and how wide they are."""

    df: DataFrame
    ref: TableRef
    width: int

    @classmethod
    def read(cls, spark: SparkSession, paired: Paired, report: Callable[[str], None]) -> NewerRows:
        """The table as it stands now; rows without a usable embedding are told of and left out.

        Raises `AdaptorError` for missing columns, a column that holds no embeddings, and ids that are there twice.
        """
        ref = TableRef(paired.table).pinned(spark)
        table = ref.read(spark)
        require_columns(table, [paired.id, paired.embedding], ref)
        require_embeddings(table, paired.embedding, ref)
        rows = table.select(*ids_and_vectors(table, paired.id, paired.embedding))
        width = common_width(rows, "embedding")
        good = rows.where(reason("id", "embedding", width).isNull())
        counts = good.agg(F.count("*"), F.count_distinct("id")).first()
        assert counts is not None
        if counts[0] > counts[1]:
            raise AdaptorError(f"fit.paired: {ref} has {counts[0] - counts[1]} ids more than once; make them unique")
        if bad := rows.count() - counts[0]:
            report(f"left out: {bad} rows of {ref}, no usable embedding of width {width}")
        return cls(good, ref, width)

    def both(self, rows: DataFrame, id_column: str) -> DataFrame:
        """The `rows` of the source that are here too; `AdaptorError` where there are none."""
        ids = self.df.select(F.col("id").alias("id of newer model"))
        shared = rows.join(ids, legible(rows, id_column).cast("string") == ids["id of newer model"], "left_semi")
        if shared.isEmpty():
            raise AdaptorError(
                f"fit.paired: no id of {self.ref} is in the source's column {id_column}; both must name the same rows"
            )
        return shared

    def of(self, ids: Sequence[str]) -> Float32:
        """Their embeddings `(n, E)` in the order of `ids (n,)`, which are all here."""
        wanted = self.df.sparkSession.createDataFrame([(name,) for name in ids], "id string")
        names, vectors = vectors_by_id(self.df.join(F.broadcast(wanted), "id", "left_semi"))
        place = {name: row for row, name in enumerate(names)}
        return vectors[[place[name] for name in ids]]
