"""Where expected rows stand in a search, found in parts of a corpus, blocks or workers' shares, and put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.vectors import Float32

LEVEL = 1e-6  # cosines this near are level: where in a product equal rows stand decides their last bits


@dataclass(frozen=True)
class Hits:
    """What h queries find at one dim in a part of a corpus. Cosines are times the query's length; order stays.

    `best (h, k)` are the highest, in any order after the lowest of them; `reach (h,)` says how many rows are no lower,
    or level with it; `expected (h, k)` are those of the expected rows. What is not in the part is -inf. `near (h, 1)`
    is the distance of level ones.
    """

    best: Float32
    reach: NDArray[np.int64]
    expected: Float32
    near: Float32

    def __add__(self, other: Hits) -> Hits:
        """The same of both parts together; a row level with one that is level counts as level."""
        k = self.best.shape[1]
        both = np.concatenate([self.best, other.best], axis=1)
        both.partition(k, axis=1)
        best = both[:, k:].copy()
        last = best[:, :1] - self.near
        reach = [
            np.where(part.best[:, 0] >= last[:, 0], part.reach, (part.best >= last).sum(axis=1))
            for part in (self, other)
        ]
        return Hits(best, reach[0] + reach[1], np.maximum(self.expected, other.expected), self.near)

    @property
    def places(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many rows score above each expected one, and how many level with it: `(h, k)`, k at most above."""
        last, near = self.best[:, :1], self.near[:, :, None]
        lowest = self.reach - (self.best > last + self.near).sum(axis=1)
        beyond = self.best[:, None] - self.expected[:, :, None]  # (h, k, k)
        is_last = abs(self.expected - last) <= self.near
        level = np.where(is_last, lowest[:, None], (abs(beyond) <= near).sum(axis=2))
        return (beyond > near).sum(axis=2), np.maximum(level, 1)

    def to_array(self) -> NDArray[np.float64]:
        """What another worker can't know, `(h, 2k + 1)`."""
        return np.column_stack([self.best, self.expected, self.reach]).astype(np.float64)

    def of_another(self, array: NDArray[np.float64]) -> Hits:
        """What `to_array` gave, of the same queries, elsewhere."""
        k = self.best.shape[1]
        best, expected = (part.astype(np.float32) for part in (array[:, :k], array[:, k : 2 * k]))
        return Hits(best, array[:, 2 * k].astype(np.int64), expected, self.near)


def hits_in(queries: Float32, y: Float32, expected: NDArray[np.int64], first: int, dims: Sequence[int]) -> list[Hits]:
    """What mapped `queries (h, K)` find, at each dim, among mapped rows `y (b, K)`, number `first` of the corpus on.

    `expected (h, k)` are numbers in the corpus. Nothing is ranked, and each band of numbers is multiplied once.
    """
    (h, k), most = expected.shape, min(expected.shape[1], len(y))
    scores = np.zeros((h, len(y)), dtype=np.float32)
    squares, lengths = np.zeros(len(y), dtype=np.float32), np.zeros((h, 1), dtype=np.float32)
    here = (expected >= first) & (expected < first + len(y))
    parts = []
    for start, dim in zip((0, *dims), dims):
        scores += queries[:, start:dim] @ y[:, start:dim].T
        squares += np.square(y[:, start:dim]).sum(axis=1)
        lengths += np.square(queries[:, start:dim]).sum(axis=1, keepdims=True)
        cosines = scores / np.sqrt(np.maximum(squares, 1e-12))
        of_expected = np.take_along_axis(cosines, np.where(here, expected - first, 0), axis=1)
        cosines.partition(len(y) - most, axis=1)
        best = np.full((h, k), -np.inf, dtype=np.float32)
        best[:, k - most :] = cosines[:, len(y) - most :]
        near = LEVEL * np.sqrt(lengths)
        reach = (cosines >= best[:, :1] - near).sum(axis=1)
        parts.append(Hits(best, reach, np.where(here, of_expected, np.float32(-np.inf)), near))
    return parts
