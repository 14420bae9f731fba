"""Held-out rows as judge: how many of their neighbours a prefix finds again. No labels needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adaptor.artifact import Side
from adaptor.maps import Sides
from adaptor.metrics import nearest
from adaptor.vectors import Float32, prefix

if TYPE_CHECKING:
    from adaptor.workers import Collective

NEIGHBOURS = 10


@dataclass(frozen=True)
class Judge:
    """Held-out rows `(h, D)` of one side, and the corpus rows `(h, 10)` they ought to find."""

    rows: Float32
    side: Side
    expected: NDArray[np.int64]
    dims: tuple[int, ...]

    @classmethod
    def of(cls, reference: Sides, rows: Float32, side: Side, corpus: Float32, dims: tuple[int, ...]) -> Judge:
        """What `rows` ought to find is what `reference` finds at full width."""
        width = reference.corpus.out_width
        asked = reference.query if side == "query" else reference.corpus
        k = min(NEIGHBOURS, len(corpus))
        return cls(rows, side, nearest(prefix(asked(rows), width), prefix(reference.corpus(corpus), width), k), dims)

    def part(self, chosen: NDArray[np.bool_]) -> Judge:
        """The judge that holds only the chosen rows, `chosen (h,)`."""
        return replace(self, rows=self.rows[chosen], expected=self.expected[chosen])

    def overlap(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """Overlap@10 at each dim: the mean share of expected rows that are found.

        Nothing is ranked: an expected row is found when it scores above the tenth best, and rows level
        with that share the places left. Each band of numbers is multiplied once.
        """
        depth, k = self.dims[-1], self.expected.shape[1]
        asked = (sides.query if self.side == "query" else sides.corpus)(self.rows, depth)
        y = sides.corpus(corpus, depth)
        scores = np.zeros((len(asked), len(y)), dtype=np.float32)
        squares = np.zeros(len(y), dtype=np.float32)
        kept = {}
        for start, dim in zip((0, *self.dims), self.dims):
            scores += asked[:, start:dim] @ y[:, start:dim].T
            squares += np.square(y[:, start:dim]).sum(axis=1)
            cosines = scores / np.sqrt(np.maximum(squares, 1e-12))  # a query's own length changes no order
            wanted = np.take_along_axis(cosines, self.expected, axis=1)
            cosines.partition(len(y) - k, axis=1)
            last = cosines[:, len(y) - k, None]
            above = (cosines[:, len(y) - k :] > last).sum(axis=1, keepdims=True)
            level = (cosines == last).sum(axis=1, keepdims=True)
            kept[dim] = float(((wanted > last) + (wanted == last) * (k - above) / level).mean())
        return kept

    def score(self, sides: Sides, corpus: Float32, collective: Collective) -> float:
        """The overlap over dims; averaged over workers, so that all take the same decision."""
        import torch

        score = torch.tensor([geometric_mean(self.overlap(sides, corpus))], dtype=torch.float64)
        collective.mean_(score)
        return float(score)


def geometric_mean(overlap: dict[int, float]) -> float:
    """One number for all dims in which each counts by its relative gain: short prefixes have most to win."""
    return float(np.exp(np.mean(np.log(np.maximum(list(overlap.values()), 1e-9)))))
