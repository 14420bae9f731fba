"""Held-out rows as judge: how many of their neighbours a prefix finds again. No labels needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adaptor.artifact import Side
from adaptor.maps import Sides
from adaptor.metrics import nearest, overlap
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
        return cls(rows, side, _found(reference, rows, side, corpus, width), dims)

    def overlap(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """Overlap@10 at each dim: the mean share of expected rows that are found."""
        return {
            dim: float(overlap(_found(sides, self.rows, self.side, corpus, dim), self.expected).mean())
            for dim in self.dims
        }

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """What maps are ranked by, at each dim."""
        return self.overlap(sides, corpus)

    def score(self, sides: Sides, corpus: Float32, collective: Collective) -> float:
        """What is kept, over dims; averaged over workers, so that all take the same decision."""
        import torch

        score = torch.tensor([geometric_mean(self.kept(sides, corpus))], dtype=torch.float64)
        collective.mean_(score)
        return float(score)


def geometric_mean(kept: dict[int, float]) -> float:
    """One number for all dims in which each counts by its relative gain: short prefixes have most to win."""
    return float(np.exp(np.mean(np.log(np.maximum(list(kept.values()), 1e-9)))))


def _found(sides: Sides, rows: Float32, side: Side, corpus: Float32, dim: int) -> NDArray[np.int64]:
    asked = sides.query if side == "query" else sides.corpus
    k = min(NEIGHBOURS, len(corpus))
    return nearest(prefix(asked(rows, dim), dim), prefix(sides.corpus(corpus, dim), dim), k)
