"""Exact search and what is measured on it: neighbour overlap, and IR metrics by ir-measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.vectors import Float32

RETRIEVAL, NEIGHBOURS, ANTI_HUBS, RANKS = "retrieval@10", "neighbours@10", "anti-hubs@10", "rank correlation"
MEANING = {
    RETRIEVAL: "of what full width finds once hubs are corrected for, the nearer the better: what queries should find",
    NEIGHBOURS: "share of the 10 nearest at the original full width: for duplicates, clusters, graphs",
    ANTI_HUBS: "the same share of those neighbours that no other query has: what compression loses first",
    RANKS: "Spearman's correlation of the similarities to the same rows at full width",
}
"""What needs no labels. By the first two fits choose and evaluations compare, each from 0 to 1."""

TEMPERATURE = 0.02  # in cosine: a document this much further away than the nearest has a grade of 1/e
SEARCH_BLOCK = 1024  # queries a matrix product: 1024 x 1,000,000 scores are 4 GB at most


def nearest(queries: Float32, corpus: Float32, k: int, skip: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The `k` corpus rows of highest inner product for each query, best first: `(q, k) int64`.

    `skip (q,)` names one corpus row a query that does not count: itself, usually. Ties go to the
    lower row, so equal input gives equal output.
    """
    rows = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), SEARCH_BLOCK):
        block = slice(start, start + SEARCH_BLOCK)
        scores = queries[block] @ corpus.T
        if skip is not None:
            scores[np.arange(len(scores)), skip[block]] = -np.inf
        top = np.sort(np.argpartition(-scores, k - 1, axis=1)[:, :k], axis=1)
        order = np.argsort(-np.take_along_axis(scores, top, axis=1), axis=1, kind="stable")
        rows[block] = np.take_along_axis(top, order, axis=1)
    return rows


def overlap(hits: NDArray[np.int64], original: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each query's original neighbours that were found again: `(q, k), (q, k) -> (q,)`."""
    shared = (hits[:, :, None] == original[:, None, :]).any(axis=2)
    return np.asarray(shared.mean(axis=1))


def grades_of(cosines: Float32) -> Float32:
    """Grades `(h, k)` of neighbours by their cosines `(h, k)`, best first: `exp((cosine - highest) / TEMPERATURE)`."""
    return np.exp((cosines - cosines[:, :1]) / TEMPERATURE)


def agreement(above: NDArray[np.int64], level: NDArray[np.int64], grades: Float32) -> NDArray[np.float64]:
    """nDCG `(h,)` where documents with `grades (h, k)`, best first, have `above` others before them, all else being 0.

    A document that is `level` with others gets the mean of what their places are worth.
    """
    k = grades.shape[1]
    discount = 1 / np.log2(np.arange(2, 2 + k))
    worth = np.concatenate([[0], np.cumsum(discount)])  # of the first 0, 1, ... k places
    gained = (worth[np.minimum(above + level, k)] - worth[np.minimum(above, k)]) / level
    return np.asarray((gained * grades).sum(axis=1) / (grades @ discount))


def told_apart(intervals: Mapping[int, tuple[float, float]]) -> tuple[list[int], list[int], list[int]]:
    """Dims whose interval of a difference is above zero, below it, and those where it holds zero."""
    above = [dim for dim, (low, _) in intervals.items() if low > 0]
    below = [dim for dim, (_, high) in intervals.items() if high < 0]
    return above, below, [dim for dim in intervals if dim not in above + below]


def check_measures(names: Sequence[str]) -> tuple[str, ...]:
    """Names of measures as ir-measures writes them, such as nDCG@10; `AdaptorError` for one that it does not know."""
    import ir_measures

    for name in names:
        try:
            ir_measures.parse_measure(name)
        except (NameError, ValueError, SyntaxError, TypeError) as error:
            raise AdaptorError(
                f"{name!r} is no measure that ir-measures knows, such as nDCG@10, R@100, RR@10 or AP@100"
            ) from error
    return tuple(names)


def judge(
    run: Mapping[str, Mapping[str, float]],
    judgments: Mapping[str, Mapping[str, int]],
    measures: Sequence[str] = ("nDCG@10", "R@10", "R@100", "RR@10"),
) -> dict[str, dict[str, float]]:
    """Measure -> query id -> value, by ir-measures (nDCG with linear gains).

    `run` is query id -> corpus id -> score, `judgments` query id -> corpus id -> grade. Every
    judged query counts: one that found nothing scores 0.
    """
    import ir_measures

    parsed = {str(measure): name for name in measures for measure in [ir_measures.parse_measure(name)]}
    values: dict[str, dict[str, float]] = {name: dict.fromkeys(judgments, 0.0) for name in measures}
    parsed_measures = [ir_measures.parse_measure(name) for name in measures]
    for metric in ir_measures.iter_calc(parsed_measures, judgments, run):
        values[parsed[str(metric.measure)]][metric.query_id] = metric.value
    return values


def geometric_mean(kept: dict[int, float]) -> float:
    """One number for all dims in which each counts by its relative gain: short prefixes have most to win."""
    return float(np.exp(np.mean(np.log(np.maximum(list(kept.values()), 1e-9)))))


def paired_interval(values: NDArray[np.float64], against: NDArray[np.float64], seed: int = 0) -> tuple[float, float]:
    """The 95 percent bootstrap interval of the mean difference, query by query, by SciPy."""
    from scipy.stats import bootstrap

    difference = values - against
    if np.ptp(difference) == 0:
        return float(difference[0]), float(difference[0])
    interval = bootstrap(
        (difference,), np.mean, n_resamples=2000, method="percentile", batch=100, random_state=seed
    ).confidence_interval
    return float(interval.low), float(interval.high)
