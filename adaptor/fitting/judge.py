"""Held-out rows or queries as judge: how much of what the full width finds a prefix finds again. No labels needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from adaptor import metrics
from adaptor.artifact import Side
from adaptor.maps import Sides
from adaptor.metrics import agreement, geometric_mean, grades_of, nearest
from adaptor.vectors import Float32, prefix

if TYPE_CHECKING:
    from adaptor.training.workers import Collective

NEIGHBOURS = 10
LEVEL = 1e-6  # cosines this near are level: where in a product equal rows stand decides their last bits


@dataclass(frozen=True)
class Judge:
    """Held-out rows `(h, D)` of one side, and the corpus rows `(h, 10)` they ought to find."""

    metric: ClassVar[str] = metrics.NEIGHBOURS

    rows: Float32
    side: Side
    expected: NDArray[np.int64]
    dims: tuple[int, ...]

    @classmethod
    def of(cls, reference: Sides, rows: Float32, side: Side, corpus: Float32, dims: tuple[int, ...]) -> Judge:
        """What `rows` ought to find is what `reference` finds at full width."""
        width = reference.corpus.out_width
        side_map = reference.query if side == "query" else reference.corpus
        k = min(NEIGHBOURS, len(corpus))
        return cls(rows, side, nearest(prefix(side_map(rows), width), prefix(reference.corpus(corpus), width), k), dims)

    def part(self, chosen: NDArray[np.bool_]) -> Judge:
        """The judge that holds only the chosen rows, `chosen (h,)`."""
        return replace(self, rows=self.rows[chosen], expected=self.expected[chosen])

    def overlap(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """Overlap@10 at each dim: the mean share of expected rows that are found; level rows share the places left."""
        k = self.expected.shape[1]
        return {
            dim: float((np.clip(k - above, 0, level) / level).mean())
            for dim, above, level in self.places(sides, corpus)
        }

    def places(self, sides: Sides, corpus: Float32) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
        """For each dim, how many rows score above each expected one, and how many level with it: `(h, k)`, k at most.

        Nothing is ranked, and each band of numbers is multiplied once.
        """
        depth, k = self.dims[-1], self.expected.shape[1]
        queries = (sides.query if self.side == "query" else sides.corpus)(self.rows, depth)
        y = sides.corpus(corpus, depth)
        scores = np.zeros((len(queries), len(y)), dtype=np.float32)
        squares, lengths = np.zeros(len(y), dtype=np.float32), np.zeros((len(queries), 1), dtype=np.float32)
        for start, dim in zip((0, *self.dims), self.dims):
            scores += queries[:, start:dim] @ y[:, start:dim].T
            squares += np.square(y[:, start:dim]).sum(axis=1)
            lengths += np.square(queries[:, start:dim]).sum(axis=1, keepdims=True)
            cosines = scores / np.sqrt(np.maximum(squares, 1e-12))  # times the query's length, which changes no order
            near = LEVEL * np.sqrt(lengths)
            expected_cosines = np.take_along_axis(cosines, self.expected, axis=1)
            cosines.partition(len(y) - k, axis=1)
            best, last = cosines[:, len(y) - k :], cosines[:, len(y) - k, None]
            lowest = (cosines >= last - near).sum(axis=1) - (best > last + near).sum(axis=1)
            beyond, near = best[:, None] - expected_cosines[:, :, None], near[:, :, None]  # (h, k, k)
            level = np.where(
                abs(expected_cosines - last) <= near[:, 0], lowest[:, None], (abs(beyond) <= near).sum(axis=2)
            )
            yield dim, (beyond > near).sum(axis=2), np.maximum(level, 1)

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """What maps are ranked by, at each dim."""
        return self.overlap(sides, corpus)

    def score(self, sides: Sides, corpus: Float32, collective: Collective) -> float:
        """What is kept, over dims; averaged over workers, so that all take the same decision."""
        import torch

        score = torch.tensor([geometric_mean(self.kept(sides, corpus))], dtype=torch.float64)
        collective.mean_(score)
        return float(score)


@dataclass(frozen=True)
class GradedJudge(Judge):
    """A judge to whom the nearest document matters most, as to whoever labels documents.

    `grades (h, 10) float32` are those that `grades_of` gives the expected rows under the reference. Where a
    corpus is small, or has one right answer, the tenth neighbour says little.
    """

    metric: ClassVar[str] = metrics.RETRIEVAL

    grades: Float32

    @classmethod
    def of(cls, reference: Sides, rows: Float32, side: Side, corpus: Float32, dims: tuple[int, ...]) -> GradedJudge:
        """What `rows` ought to find is what `reference` finds at full width, the nearer the better."""
        width = reference.corpus.out_width
        queries, documents = _prefixes(reference, rows, side, corpus, width)
        expected = nearest(queries, documents, min(NEIGHBOURS, len(corpus)))
        cosines = np.einsum("hd,hkd->hk", queries, documents[expected])
        return cls(rows, side, expected, dims, grades_of(cosines))

    def part(self, chosen: NDArray[np.bool_]) -> GradedJudge:
        """The judge that holds only the chosen rows, `chosen (h,)`."""
        return replace(super().part(chosen), grades=self.grades[chosen])  # type: ignore[call-arg, return-value]

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """nDCG@10 at each dim, by the grades."""
        places = self.places(sides, corpus)
        return {dim: float(agreement(above, level, self.grades).mean()) for dim, above, level in places}


@dataclass(frozen=True)
class Standard:
    """By what candidates are measured: who judges them, and whether the embedder was nested already.

    `judge` decides, by the figure that `fit.keep` asks for; what `other` says stands beside it.
    """

    judge: Judge
    nested: bool
    other: Judge | None = None

    def figures(self, sides: Sides, corpus: Float32) -> dict[str, dict[int, float]]:
        """Metric -> dim -> what is kept, that of the judge who decides first."""
        judges = (self.judge,) if self.other is None else (self.judge, self.other)
        return {judge.metric: judge.kept(sides, corpus) for judge in judges}


def _prefixes(sides: Sides, rows: Float32, side: Side, corpus: Float32, dim: int) -> tuple[Float32, Float32]:
    side_map = sides.query if side == "query" else sides.corpus
    return prefix(side_map(rows, dim), dim), prefix(sides.corpus(corpus, dim), dim)
