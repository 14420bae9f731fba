"""The two halves of an exact search in Arrow batches: what a task keeps of its rows, and how tasks' hits merge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from adaptor.errors import AdaptorError
from adaptor.evaluation.top_k import TopK
from adaptor.evaluation.views import View
from adaptor.vectors import Float32

BLOCK_SCORES = 2_000_000  # scored at once: 8 MB, which stay near a core while they are looked at
MERGED_QUERIES = 128  # whose hits one task merges at a time
Slot = tuple[int, int]  # the number of a view, and a dim


def slots_of(views: Sequence[View]) -> list[Slot]:
    """Each dim of each view, in the order in which they are counted."""
    return [(number, dim) for number, view in enumerate(views) for dim in view.dims]


class BestOfTask:
    """Of batches `id, stratum, a vector column each` the best hits of each view, dim and stratum."""

    def __init__(self, views: Sequence[View], columns: Sequence[str], same_width: bool) -> None:
        self._views, self._columns, self._same_width = list(views), list(columns), same_width
        self._others = {view.rescored_by for view in views if view.rescored_by}
        # Views that others are rescored by come first, so that their scores are there.
        first = [any((view.name, dim) in self._others for dim in view.dims) for view in views]
        self._order = sorted(range(len(views)), key=lambda number: not first[number])
        self._slots = {slot: number for number, slot in enumerate(slots_of(views))}
        self._block = max(64, BLOCK_SCORES // max(len(view.queries) for view in views))

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows slot, part of the queries, stratum, queries in it, and their hits as flat lists of equal length."""
        best: dict[tuple[Slot, str], TopK] = {}
        ids, seen = [], 0
        for batch in batches:
            ids.append(batch.column(0))
            labels = batch.column(1).dictionary_encode()
            names, codes = labels.dictionary.to_pylist(), labels.indices.to_numpy(zero_copy_only=False)
            vectors = [self._matrix(batch, number) for number in range(len(self._columns))]
            for start in range(0, batch.num_rows, self._block):
                block = slice(start, start + self._block)
                numbers = seen + np.arange(*block.indices(batch.num_rows))
                for name, rows in _by_stratum(names, codes[block]):
                    self._add(best, name, [matrix[block][rows] for matrix in vectors], numbers[rows])
            seen += batch.num_rows
        for (slot, name), top in best.items():
            yield from self._hits(slot, name, top, pa.chunked_array(ids))

    def _matrix(self, batch: pa.RecordBatch, number: int) -> Float32:
        """A column of lists as `(n, width)`; a null is a row of NaN, which no query finds."""
        lists, name = batch.column(2 + number), self._columns[number]
        needed = max(view.width for view in self._views if view.column == name)
        widths = pc.list_value_length(lists).drop_null().to_numpy(zero_copy_only=False)
        wrong = (widths != widths[:1]) | (widths < needed) | (self._same_width & (widths != needed))
        if wrong.any():
            raise AdaptorError(
                f"column {name} has rows of {widths[0]} and of {widths[wrong][0]} numbers, the queries have {needed}: "
                "all must be equally wide; leave out the others"
            )
        vectors = np.asarray(lists.flatten()).reshape(len(widths), widths[0] if len(widths) else needed)
        if not lists.null_count:
            return vectors
        matrix = np.full((len(lists), vectors.shape[1]), np.nan, np.float32)
        matrix[np.asarray(lists.is_valid())] = vectors
        return matrix

    def _add(
        self, best: dict[tuple[Slot, str], TopK], name: str, block: list[Float32], rows: npt.NDArray[np.int64]
    ) -> None:
        """Score rows of one stratum by every view, and keep what is best."""
        mapped: dict[tuple[str, int], Float32] = {}
        others: dict[tuple[str, int], Float32] = {}
        for number in self._order:
            view = self._views[number]
            for dim, scores in view.scores(self._mapped(view, block, mapped)):
                if (view.name, dim) in self._others:
                    others[view.name, dim] = scores
                carried = (
                    others[view.rescored_by][None] if view.rescored_by else np.empty((0, *scores.shape), np.float32)
                )
                key = ((number, dim), name)
                if key not in best:
                    best[key] = TopK(len(view.queries), view.k, len(carried))
                best[key].add(scores, rows, carried)

    def _mapped(self, view: View, block: list[Float32], mapped: dict[tuple[str, int], Float32]) -> Float32:
        """The view's rows, mapped once for all views that share the map."""
        rows = block[self._columns.index(view.column)]
        if view.map is None:
            return rows
        key = view.column, id(view.map)
        if key not in mapped:
            depth = max(other.numbers(dim) for other in self._views if other.map is view.map for dim in other.dims)
            mapped[key] = view.map(rows, depth)
        return mapped[key]

    def _hits(self, slot: Slot, name: str, top: TopK, ids: pa.ChunkedArray) -> Iterator[pa.RecordBatch]:
        for first in range(0, len(top.scores), MERGED_QUERIES):
            part = slice(first, first + MERGED_QUERIES)
            scores, rows = top.scores[part], top.rows[part].ravel()
            kept = ids.take(pa.array(np.where(rows < 0, 0, rows))).combine_chunks()
            values = [
                pa.array([self._slots[slot]], pa.int32()),
                pa.array([first], pa.int32()),
                pa.array([name]),
                pa.array([len(scores)], pa.int32()),
                _one_list(kept),
                _one_list(pa.array(scores.ravel())),
                _one_list(pa.array(top.carried[:, part].astype(np.float32).ravel())),
            ]
            names = ["slot", "part", "stratum", "queries", "ids", "scores", "rescored"]
            yield pa.RecordBatch.from_arrays(values, names=names)


def _by_stratum(names: list[str], codes: npt.NDArray[np.int32]) -> Iterator[tuple[str, npt.NDArray[np.int64] | slice]]:
    """Each stratum with where its rows stand; where there is one, all of them, which copies nothing."""
    if len(names) == 1:
        yield names[0], slice(None)
        return
    for code in np.unique(codes):
        yield names[code], np.flatnonzero(codes == code)


def _one_list(values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array([0, len(values)], pa.int32()), values)


class MergeHits:
    """The hits of all tasks for one part of the queries as rows: slot, stratum, query, rank, id, score, rescored."""

    def __init__(self, views: Sequence[View]) -> None:
        self._views, self._slots = list(views), slots_of(views)

    def __call__(self, table: pa.Table) -> pa.Table:
        """The best of them, by score and then by id."""
        slot, first = table["slot"][0].as_py(), table["part"][0].as_py()
        queries = table["queries"][0].as_py()
        number, dim = self._slots[slot]
        view = self._views[number]
        ids = pa.concat_arrays([piece.values for piece in table["ids"]])
        scores, rows = _side_by_side(table["scores"], queries)
        order = np.lexsort((_ranks(ids)[rows], -scores), axis=1)[:, : view.k]
        scores, rows = np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)
        is_hit = (scores > -np.inf) & ~view.without_direction(dim)[first : first + queries, None]
        query, rank = np.nonzero(is_hit)
        if view.rescored_by:
            name, other_dim = view.rescored_by
            other = next(v for v in self._views if v.name == name)
            rescored, _ = _side_by_side(table["rescored"], queries)
            rescored = other.finished(other_dim, np.take_along_axis(rescored, order, axis=1), first)
        else:
            rescored = np.full_like(scores, np.nan)
        count = len(query)
        return pa.table(
            {
                "slot": pa.array(np.full(count, slot, np.int32)),
                "stratum": pa.array([table["stratum"][0].as_py()] * count, pa.string()),
                "query": pa.array((query + first).astype(np.int32)),
                "rank": pa.array(rank.astype(np.int32)),
                "id": ids.take(pa.array(rows[is_hit])),
                "score": pa.array(view.finished(dim, scores, first)[is_hit]),
                "rescored": pa.array(rescored[is_hit]),
            }
        )


def _side_by_side(lists: pa.ChunkedArray, queries: int) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Each task's flat list as columns of `(queries, all k)`, and each one's place in the lists laid end to end."""
    blocks, places, start = [], [], 0
    for piece in lists:
        values = np.asarray(piece.values)
        blocks.append(values.reshape(queries, -1))
        places.append(start + np.arange(len(values)).reshape(queries, -1))
        start += len(values)
    return np.concatenate(blocks, axis=1), np.concatenate(places, axis=1)


def _ranks(ids: pa.Array) -> npt.NDArray[np.int64]:
    """The place of each id among all: of equal scores the lower id comes first."""
    try:
        return np.asarray(pc.rank(ids))
    except pa.ArrowNotImplementedError:  # a type that has no order in Arrow
        return np.arange(len(ids))
