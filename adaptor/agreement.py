"""Held-out queries as judge: nDCG without labels, the grades being how near a document is at full width."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.artifact import Side
from adaptor.judge import NEIGHBOURS, Judge
from adaptor.maps import Sides
from adaptor.metrics import nearest
from adaptor.vectors import Float32, prefix

TEMPERATURE = 0.02  # in cosine: a document this much further away than the nearest has a grade of 1/e


@dataclass(frozen=True)
class GradedJudge(Judge):
    """A judge to whom the nearest document matters most, as to whoever labels documents.

    `grades (h, 10) float32` are `exp((cosine - highest cosine) / TEMPERATURE)` of the expected rows under
    the reference. Where a corpus is small, or has one right answer, the tenth neighbour says little.
    """

    grades: Float32

    @classmethod
    def of(cls, reference: Sides, rows: Float32, side: Side, corpus: Float32, dims: tuple[int, ...]) -> GradedJudge:
        width = reference.corpus.out_width
        asked, documents = _prefixes(reference, rows, side, corpus, width)
        expected = nearest(asked, documents, min(NEIGHBOURS, len(corpus)))
        cosines = np.einsum("hd,hkd->hk", asked, documents[expected])
        return cls(rows, side, expected, dims, np.exp((cosines - cosines[:, :1]) / TEMPERATURE))

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """nDCG@10 at each dim, by the grades."""
        found = {}
        for dim in self.dims:
            asked, documents = _prefixes(sides, self.rows, self.side, corpus, dim)
            found[dim] = float(agreement(nearest(asked, documents, self.expected.shape[1]), self.expected, self.grades))
        return found


def agreement(found: NDArray[np.int64], expected: NDArray[np.int64], grades: Float32) -> float:
    """nDCG of `found (h, k)`, where `expected (h, k)`, best first, have these `grades (h, k)` and all else 0."""
    discount = 1 / np.log2(np.arange(2, 2 + expected.shape[1]))
    gains = ((found[:, :, None] == expected[:, None, :]) * grades[:, None, :]).sum(axis=2)
    return float(((gains @ discount) / (grades @ discount)).mean())


def _prefixes(sides: Sides, rows: Float32, side: Side, corpus: Float32, dim: int) -> tuple[Float32, Float32]:
    asked = sides.query if side == "query" else sides.corpus
    return prefix(asked(rows, dim), dim), prefix(sides.corpus(corpus, dim), dim)
