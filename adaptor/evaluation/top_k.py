"""The best rows of each query, kept while the rows of a corpus pass by in blocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from adaptor.vectors import Float32


class TopK:
    """The `k` rows of highest score for each of `queries`, by row number, with `carried` further scores of each.

    What a block can add is what lies above the k-th best score so far: after the first blocks that is a handful of
    rows a query, so a block costs one comparison, not one partial sort. Of equal scores the earlier row stays.
    """

    def __init__(self, queries: int, k: int, carried: int = 0) -> None:
        self.k = k
        self.scores: Float32 = np.empty((queries, 0), np.float32)
        self.rows: NDArray[np.int64] = np.empty((queries, 0), np.int64)
        self.carried: Float32 = np.empty((carried, queries, 0), np.float32)
        self._lowest = np.full((queries, 1), -np.inf, np.float32)

    def add(self, scores: Float32, rows: NDArray[np.int64], carried: Float32) -> None:
        """Take in `rows (b,)` with `scores (q, b)`, and `carried (c, q, b)`; a row of score -inf is no row."""
        if self.scores.shape[1] < self.k:
            numbers = np.broadcast_to(rows, scores.shape)
            self._merge(scores, numbers, carried)
            return
        above = np.flatnonzero(scores > self._lowest)
        if not len(above):
            return
        query, column = np.divmod(above, scores.shape[1])
        counts = np.bincount(query, minlength=len(scores))
        place = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
        shape = (len(scores), int(counts.max()))
        new, numbers = np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64)
        new[query, place], numbers[query, place] = scores[query, column], rows[column]
        further = np.zeros((len(carried), *shape), np.float32)
        further[:, query, place] = carried[:, query, column]
        self._merge(new, numbers, further)

    def _merge(self, scores: Float32, rows: NDArray[np.int64], carried: Float32) -> None:
        scores = np.concatenate([self.scores, scores], axis=1)
        rows = np.concatenate([self.rows, rows], axis=1)
        carried = np.concatenate([self.carried, carried], axis=2)
        k = min(self.k, scores.shape[1])
        if k < scores.shape[1]:
            top = np.argpartition(-scores, k - 1, axis=1)[:, :k]
            scores, rows = np.take_along_axis(scores, top, axis=1), np.take_along_axis(rows, top, axis=1)
            carried = np.take_along_axis(carried, top[None], axis=2)
        self.scores, self.rows, self.carried = scores, rows, carried
        self._lowest = scores.min(axis=1, keepdims=True)
