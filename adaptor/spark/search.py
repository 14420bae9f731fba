"""Exact search over a table too large for one machine: each task keeps its best, then they merge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.maps import Map
from adaptor.vectors import Float32, prefix

SLICE_ROWS = 2048  # rows scored at once: 10,000 queries x 2,048 scores are 80 MB


@dataclass(frozen=True)
class View:
    """One way to look at a table: the prefix `dim` of `column`, through `map` if there is one.

    `queries (q, dim) float32`, of length 1, are what it is searched with.
    """

    name: str
    column: str
    dim: int
    queries: Float32
    map: Map | None = None

    def rows(self, embeddings: Float32) -> Float32:
        """Embeddings `(n, D)` as this view compares them: `(n, dim)` of length 1."""
        return prefix(embeddings if self.map is None else self.map(embeddings, self.dim), self.dim)


def exact_search(
    df: DataFrame, id_column: str, views: Sequence[View], k: int
) -> dict[tuple[str, int], list[dict[str, float]]]:
    """For each view (by name and dim) and query: the `k` rows of highest cosine, id -> score.

    Columns must hold good vectors only. A query whose prefix is zero finds nothing. What reaches the
    driver is views x queries x k.
    """
    columns = list(dict.fromkeys(view.column for view in views))

    def search(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        best = [Best(len(view.queries), k) for view in views]
        for whole in batches:
            for start in range(0, whole.num_rows, SLICE_ROWS):
                batch = whole.slice(start, SLICE_ROWS)
                ids = np.asarray(batch.column(0).to_pylist(), dtype=object)
                matrices = {
                    name: batch.column(i + 1).flatten().to_numpy().reshape(batch.num_rows, -1)
                    for i, name in enumerate(columns)
                }
                for view, hits in zip(views, best):
                    hits.add(ids, view.queries @ view.rows(matrices[view.column]).T)
        for number, hits in enumerate(best):
            yield from hits.batches(number)

    hits = (
        df.select(F.col(id_column).cast("string"), *(F.col(name).cast("array<float>") for name in columns))
        .mapInArrow(search, "view int, query int, hits array<struct<score: float, id: string>>")
        .groupBy("view", "query")
        .agg(F.slice(F.sort_array(F.flatten(F.collect_list("hits")), asc=False), 1, k).alias("hits"))
    )
    results: dict[tuple[str, int], list[dict[str, float]]] = {
        (view.name, view.dim): [{} for _ in view.queries] for view in views
    }
    for row in hits.toLocalIterator():
        view = views[row["view"]]
        if not view.queries[row["query"]].any():
            continue
        results[view.name, view.dim][row["query"]] = {hit["id"]: hit["score"] for hit in row["hits"]}
    return results


class Best:
    """The k best rows of each query seen so far."""

    def __init__(self, queries: int, k: int) -> None:
        self._k = k
        self._scores = np.empty((queries, 0), np.float32)
        self._ids = np.empty((queries, 0), object)

    def add(self, ids: np.ndarray, scores: Float32) -> None:
        """Take in rows `ids (b,)` with `scores (q, b)`."""
        top = self._top(scores)
        scores, chosen = np.take_along_axis(scores, top, axis=1), ids[top]
        scores = np.concatenate([self._scores, scores], axis=1)
        chosen = np.concatenate([self._ids, chosen], axis=1)
        top = self._top(scores)
        self._scores = np.take_along_axis(scores, top, axis=1)
        self._ids = np.take_along_axis(chosen, top, axis=1)

    def _top(self, scores: Float32) -> np.ndarray:
        k = min(self._k, scores.shape[1])
        return np.argpartition(-scores, k - 1, axis=1)[:, :k]

    def batches(self, view: int) -> Iterator[pa.RecordBatch]:
        """What was kept, a row a query."""
        queries, k = self._scores.shape
        if k:
            hits = pa.StructArray.from_arrays(
                [pa.array(self._scores.ravel()), pa.array(self._ids.ravel(), pa.string())], names=["score", "id"]
            )
            lists = pa.ListArray.from_arrays(np.arange(queries + 1, dtype=np.int32) * k, hits)
            numbers = pa.array(np.full(queries, view, np.int32)), pa.array(np.arange(queries, dtype=np.int32))
            yield pa.RecordBatch.from_arrays([*numbers, lists], names=["view", "query", "hits"])
