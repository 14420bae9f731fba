"""What compression keeps, without labels: figures of each query, from what it finds and from its similarities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from adaptor.evaluation.views import Hits
from adaptor.metrics import agreement, grades_of
from adaptor.vectors import Float32

K = 10


def neighbours(hits: Hits, original: Hits) -> NDArray[np.float64]:
    """Share of the 10 nearest at the original full width that are among the 10 nearest: `(q,)`."""
    nearest = original.rows[:, :K]
    return _share(_are_hits(nearest, hits), nearest >= 0)


def retrieval(hits: Hits, reference: Hits) -> NDArray[np.float64]:
    """Agreement with the 10 nearest of `reference`, the full width, by grades: `(q,)`."""
    expected, level = reference.rows[:, :K], np.ones_like(reference.rows[:, :K])
    is_row = expected >= 0
    found = (hits.rows[:, None, :K] == expected[:, :, None]) & is_row[:, :, None]
    above = np.where(found.any(axis=2), found.argmax(axis=2), K)
    cosines = np.where(is_row, reference.scores[:, :K], -np.inf)
    some = is_row[:, 0]
    values = np.zeros(len(expected))
    if some.any():
        values[some] = agreement(above[some], level[some], grades_of(cosines[some]))
    return values


def anti_hubs(hits: Hits, original: Hits) -> NDArray[np.float64]:
    """Share of its neighbours that no other query has which each query keeps: `(q,)`, NaN where it has none.

    A neighbour is one of the 10 nearest at the original full width. Rows that are rarely anyone's neighbour are lost
    first, and a mean over all neighbours does not show it.
    """
    nearest = original.rows[:, :K]
    counts = np.bincount(nearest[nearest >= 0], minlength=nearest.max(initial=0) + 1)
    return _share(_are_hits(nearest, hits), (nearest >= 0) & (counts[nearest] == 1))


def rank_correlation(similarities: Float32, original: Float32) -> NDArray[np.float64]:
    """Spearman's correlation of the similarities `(q, n)` of each query to the same rows: `(q,)`."""
    one, two = (rankdata(values, axis=1) for values in (similarities, original))
    one, two = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in (one, two))
    spread = np.sqrt((one**2).sum(axis=1) * (two**2).sum(axis=1))
    return np.divide((one * two).sum(axis=1), spread, out=np.full(len(one), np.nan), where=spread > 0)


def _are_hits(nearest: NDArray[np.int64], hits: Hits) -> NDArray[np.bool_]:
    return np.asarray((hits.rows[:, None, :K] == nearest[:, :, None]).any(axis=2))


def _share(shared: NDArray[np.bool_], of: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = of.sum(axis=1)
    return np.divide((shared & of).sum(axis=1), count, out=np.full(len(of), np.nan), where=count > 0)
