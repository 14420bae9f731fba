"""Held-out queries as judge: nDCG without labels, the grades being how near a document is at full width."""

from __future__ import annotations

from dataclasses import dataclass, replace

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

    def part(self, chosen: NDArray[np.bool_]) -> GradedJudge:
        return replace(super().part(chosen), grades=self.grades[chosen])  # type: ignore[call-arg, return-value]

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """nDCG@10 at each dim, by the grades."""
        return {dim: agreement(above, level, self.grades) for dim, above, level in self.places(sides, corpus)}


def agreement(above: NDArray[np.int64], level: NDArray[np.int64], grades: Float32) -> float:
    """nDCG where documents with `grades (h, k)`, best first, have `above` others before them, all else being 0.

    A document that is `level` with others gets the mean of what their places are worth.
    """
    k = grades.shape[1]
    discount = 1 / np.log2(np.arange(2, 2 + k))
    worth = np.concatenate([[0], np.cumsum(discount)])  # of the first 0, 1, ... k places
    gained = (worth[np.minimum(above + level, k)] - worth[np.minimum(above, k)]) / level
    return float(((gained * grades).sum(axis=1) / (grades @ discount)).mean())


def _prefixes(sides: Sides, rows: Float32, side: Side, corpus: Float32, dim: int) -> tuple[Float32, Float32]:
    asked = sides.query if side == "query" else sides.corpus
    return prefix(asked(rows, dim), dim), prefix(sides.corpus(corpus, dim), dim)
