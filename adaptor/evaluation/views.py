"""What a search looks at and what it finds, in NumPy: views of a table, and the hits of each query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from adaptor.codecs import Codec
from adaptor.layout import Encoding
from adaptor.maps import Map
from adaptor.vectors import Float32, prefix

Metric = Literal["cosine", "dot", "l2"]


@dataclass(frozen=True)
class View:
    """One way to look at a table: prefixes `dims` of `column`, through `map` if there is one, in an `encoding`.

    Of `bits`, `dims` are lengths of codes in bytes.

    `queries (q, K) float32`, K at least the longest dim, are what it is searched with; their prefixes are cut here.
    `rescored_by` names a prefix of another view of the same table and queries, (name, dim): each hit brings along the
    score it has there, so that a short list can be put in that order afterwards.
    """

    name: str
    column: str
    dims: tuple[int, ...]
    queries: Float32
    map: Map | None = None
    encoding: Encoding = "float32"
    codecs: Mapping[int, Codec] = field(default_factory=dict)  # by dim; none: as float32
    metric: Metric = "cosine"
    k: int = 100
    rescored_by: tuple[str, int] | None = None

    @property
    def width(self) -> int:
        """The width of rows it takes: that of the map, or of the queries."""
        return int(self.queries.shape[1]) if self.map is None else self.map.width

    def scores(self, y: Float32) -> Iterator[tuple[int, Float32]]:
        """Each dim with the scores of mapped rows `y (b, K)` there, `(q, b)`, but for the lengths of the queries.

        A longer prefix adds its last numbers to the products of the one before. Rows without direction get -inf.
        """
        if self.codecs:
            for dim in self.dims:
                codec = self.codecs[dim]
                rows = codec.decode(codec.encode(prefix(y, codec.width)))
                yield dim, prefix(self.queries, codec.width) @ rows.T
            return
        products: Float32 = np.zeros((1, 1), np.float32)
        squares = np.zeros(len(y), np.float32)
        for start, stop in zip((0, *self.dims), self.dims):
            part = y[:, start:stop]
            products = products + self.queries[:, start:stop] @ part.T
            squares += np.einsum("ij,ij->i", part, part)
            yield stop, self._by_metric(products, squares)

    def _by_metric(self, products: Float32, squares: Float32) -> Float32:
        nowhere = ~np.isfinite(squares)
        if self.metric == "dot":
            scores = products
        elif self.metric == "l2":  # what is left out, the query's length, is the same for all rows
            scores = 2 * products - squares
        else:
            nowhere |= squares == 0
            scores = products / np.sqrt(np.where(nowhere, 1, squares))
        return np.where(nowhere, np.float32(-np.inf), scores) if nowhere.any() else scores

    def finished(self, dim: int, scores: Float32, first: int = 0) -> Float32:
        """Scores `(q, k)` of the queries from `first` on, as users know them: cosines, products or distances."""
        part = self.queries[first : first + len(scores), :dim]
        squares = np.einsum("ij,ij->i", part, part)[:, None]
        if self.metric == "l2":
            return np.sqrt(np.maximum(squares - scores, 0))
        if self.metric == "dot" or self.codecs:
            return scores
        return scores / np.sqrt(np.where(squares > 0, squares, 1))

    def without_direction(self, dim: int) -> NDArray[np.bool_]:
        """Queries whose prefix is zero: by cosine they find nothing, `(q,)`."""
        return np.asarray(~self.queries[:, : self.numbers(dim)].any(axis=1) & (self.metric == "cosine"))

    def numbers(self, dim: int) -> int:
        """How many numbers of a mapped row its prefix takes."""
        return self.codecs[dim].width if self.codecs else dim


@dataclass(frozen=True)
class Hits:
    """What each query finds, best first: `rows (q, k)`, -1 where there were fewer, with `scores (q, k)`.

    Rows are numbered by a `Numbering` that several searches share. `rescored (q, k)` are the scores in the view of
    `rescored_by`.
    """

    rows: NDArray[np.int64]
    scores: Float32
    rescored: Float32 | None = None

    def shortlist(self, length: int) -> Hits:
        """The first `length`, put in the order of their other score."""
        assert self.rescored is not None
        order = np.argsort(-self.rescored[:, :length], axis=1, kind="stable")
        return Hits(
            np.take_along_axis(self.rows[:, :length], order, axis=1),
            np.take_along_axis(self.rescored[:, :length], order, axis=1),
        )

    def without(self, rows: NDArray[np.int64]) -> Hits:
        """The hits but for one row a query, `(q,)`, such as the query itself."""
        order = np.argsort(self.rows == rows[:, None], axis=1, kind="stable")  # moves it to the end
        hits = np.take_along_axis(self.rows, order, axis=1)
        gone = hits == rows[:, None]

        def scores(of: Float32) -> Float32:
            return np.where(gone, np.float32(-np.inf), np.take_along_axis(of, order, axis=1))

        rescored = None if self.rescored is None else scores(self.rescored)
        return Hits(np.where(gone, -1, hits), scores(self.scores), rescored)


class Numbering:
    """Ids as numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __call__(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """The number of each id, which gets one if it has none."""
        return np.array([self._numbers.setdefault(name, len(self._numbers)) for name in ids], np.int64)

    def runs(self, hits: Hits, depth: int) -> list[dict[str, float]]:
        """For each query id -> score of the first `depth`, as IR tools take it."""
        names = [*self._numbers, None]
        return [
            {names[row]: score for row, score in zip(rows, scores) if row >= 0}
            for rows, scores in zip(hits.rows[:, :depth].tolist(), hits.scores[:, :depth].tolist())
        ]
