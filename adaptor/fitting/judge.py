"""Held-out rows or queries as judge: how much of what the full width finds a prefix finds again. No labels needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from adaptor import metrics
from adaptor.artifact import Side
from adaptor.fitting.places import Hits, hits_in
from adaptor.maps import Sides
from adaptor.metrics import agreement, geometric_mean, grades_of, nearest
from adaptor.vectors import Float32, prefix

if TYPE_CHECKING:
    from adaptor.training.shares import Share
    from adaptor.training.workers import Collective

NEIGHBOURS = 10
BLOCK = 2048  # corpus rows that are mapped and looked through at once

Placed = tuple[int, NDArray[np.int64], NDArray[np.int64]]
"""A dim, and for each expected row how many others score above it and how many level with it: `(h, k)`."""


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
        return self._overlap(self.places(sides, corpus))

    def places(self, sides: Sides, corpus: Float32) -> Iterator[Placed]:
        """For each dim, how many rows score above each expected one, k at most, and how many are level with it."""
        return self._placed(self.find(sides, corpus))

    def find(self, sides: Sides, corpus: Float32, first: int = 0) -> list[Hits]:
        """What the rows find at each dim in a part of the corpus, whose rows are those from number `first` on."""
        depth = self.dims[-1]
        queries = (sides.query if self.side == "query" else sides.corpus)(self.rows, depth)
        hits: list[Hits] = []
        for start in range(0, len(corpus), BLOCK):
            y = sides.corpus(corpus[start : start + BLOCK], depth)
            part = hits_in(queries, y, self.expected, first + start, self.dims)
            hits = [one + other for one, other in zip(hits, part)] if hits else part
        return hits

    def kept(self, sides: Sides, corpus: Float32) -> dict[int, float]:
        """What maps are ranked by, at each dim."""
        return self._worth(self.places(sides, corpus))

    def score(self, sides: Sides, share: Share, collective: Collective) -> float:
        """What is kept, over dims, in the whole sample; averaged over workers, so that all take the same decision.

        Each worker looks through its share, and what all have found is put together.
        """
        import torch

        here = self.find(sides, share.rows.numpy(), share.first)
        arrays = np.stack([part.to_array() for part in here])
        of_workers = [
            [part.of_another(array) for part, array in zip(here, theirs.numpy())]
            for theirs in share.gathered(torch.from_numpy(arrays))
        ]
        together = [reduce(Hits.__add__, parts) for parts in zip(*of_workers)]
        score = torch.tensor([geometric_mean(self._worth(self._placed(together)))], dtype=torch.float64)
        collective.mean_(score)
        return float(score)

    def _placed(self, parts: Sequence[Hits]) -> Iterator[Placed]:
        return ((dim, *part.places) for dim, part in zip(self.dims, parts))

    def _overlap(self, places: Iterable[Placed]) -> dict[int, float]:
        k = self.expected.shape[1]
        return {dim: float((np.clip(k - above, 0, level) / level).mean()) for dim, above, level in places}

    def _worth(self, places: Iterable[Placed]) -> dict[int, float]:
        """What rows in these places are worth, at each dim."""
        return self._overlap(places)


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

    def _worth(self, places: Iterable[Placed]) -> dict[int, float]:
        """nDCG@10 at each dim, by the grades."""
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
