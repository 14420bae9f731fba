"""Exact search over a table too large for one machine: each task keeps its best rows, then they merge, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from adaptor.errors import AdaptorError
from adaptor.evaluation.views import Hits, Metric, Numbering, View
from adaptor.spark import row_checks
from adaptor.spark.columns import column
from adaptor.spark.search_task import BestOfTask, MergeHits, slots_of
from adaptor.spark.tables import require_columns, require_embeddings
from adaptor.vectors import as_embeddings, check_dims


def exact_search(  # noqa: PLR0913 - a public call, by keyword
    df: DataFrame,
    queries: npt.ArrayLike,
    k: int = 10,
    *,
    id: str = "id",
    embedding: str = "embedding",
    dims: Sequence[int] | None = None,
    metric: Metric = "cosine",
    stratum: str | None = None,
) -> DataFrame:
    """The `k` rows of `df` nearest to each of `queries (q, D)`: columns query, dim, rank, id, score.

    `query` counts from 0, `rank` from 1; `id` is of its own type and `score` a cosine, a product, or with `l2` a
    distance. With `dims` each prefix is searched, all in one pass; else the whole width. With `stratum`, a column, the
    k nearest of each of its values, as text, which is a column of the result. Rows are chosen by `df.where(...)`; those
    that are null or have no direction are no hits. Queries go through the adaptor first: `Adaptor.encode`. Raises
    `AdaptorError` for what can't be searched.
    """
    vectors = as_embeddings(queries, "queries")
    if k < 1:
        raise AdaptorError(f"k is {k}: at least one row must be asked for")
    if metric not in get_args(Metric):
        raise AdaptorError(f"metric {metric!r} is unknown: it is one of {', '.join(get_args(Metric))}")
    asked = check_dims([vectors.shape[1]] if dims is None else dims, vectors.shape[1])
    require_columns(df, [id, embedding, *([stratum] if stratum else [])])
    require_embeddings(df, embedding)
    view = View("hits", embedding, asked, vectors, metric=metric, k=k)
    hits = _search(df, column(df, id), {embedding: column(df, embedding)}, [view], stratum, same_width=True)
    dim = F.element_at(F.array(*map(F.lit, asked)), F.col("slot") + 1).alias("dim")
    label = [] if stratum is None else [F.col("stratum").alias(stratum)]
    return hits.select("query", dim, *label, (F.col("rank") + 1).alias("rank"), F.col("id").alias(id), "score")


def search_views(df: DataFrame, views: Sequence[View], numbering: Numbering) -> dict[tuple[str, int], Hits]:
    """What each view of `id, ...` finds at each of its dims, by (name, dim), in one pass; ids are taken as text.

    What reaches the driver is the sum over views of dims x queries x k.
    """
    columns = {view.column: F.col(view.column) for view in views}
    table = _search(df, F.col("id").cast("string"), columns, views).toArrow().combine_chunks()
    slots = table["slot"].to_numpy()
    ids = table["id"].combine_chunks().dictionary_encode()
    rows = numbering(ids.dictionary.to_pylist())[ids.indices.to_numpy()]
    query, rank = table["query"].to_numpy(), table["rank"].to_numpy()
    values = {"rows": rows, "scores": table["score"].to_numpy(), "rescored": table["rescored"].to_numpy()}
    results = {}
    for slot, (number, dim) in enumerate(slots_of(views)):
        view, mine = views[number], slots == slot
        parts = {"rows": np.full((len(view.queries), view.k), -1)}
        for name in ("scores", "rescored") if view.rescored_by else ("scores",):
            parts[name] = np.full(parts["rows"].shape, -np.inf, np.float32)
        for name, matrix in parts.items():
            matrix[query[mine], rank[mine]] = values[name][mine]
        results[view.name, dim] = Hits(**parts)
    return results


def _search(
    df: DataFrame,
    id: Column,
    columns: Mapping[str, Column],
    views: Sequence[View],
    stratum: str | None = None,
    same_width: bool = False,
) -> DataFrame:
    """A row a hit: slot, which counts the dims of all views, stratum, query, rank, both from 0, id, score, rescored."""
    rows = df.select(
        id.alias("id"),
        row_checks.stratum(df, stratum).alias("stratum"),
        *(values.cast("array<float>").alias(f"vector_{number}") for number, values in enumerate(columns.values())),
    )
    kind = rows.schema["id"].dataType.simpleString()
    merge = MergeHits(views)
    lists = f"ids array<{kind}>, scores array<float>, rescored array<float>"
    return (
        rows.mapInArrow(
            BestOfTask(views, list(columns), same_width), f"slot int, part int, stratum string, queries int, {lists}"
        )
        .groupBy("slot", "part", "stratum")
        .applyInArrow(
            lambda table: merge(table),  # Spark counts the arguments, and would count self
            f"slot int, stratum string, query int, rank int, id {kind}, score float, rescored float",
        )
    )
