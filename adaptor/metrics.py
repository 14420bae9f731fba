"""Exact search and what is measured on it: neighbour overlap, and IR metrics by ir-measures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from adaptor.vectors import Float32

RETRIEVAL, NEIGHBOURS = "retrieval@10", "neighbours@10"
MEANING = {
    RETRIEVAL: "of what full width finds once hubs are corrected for, the nearer the better: what queries should find",
    NEIGHBOURS: "share of the 10 nearest at the original full width: for duplicates, clusters, graphs",
}
"""What needs no labels: the two figures by which fits choose and evaluations compare, each from 0 to 1."""

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


def agreement(above: NDArray[np.int64], level: NDArray[np.int64], grades: Float32) -> float:
    """nDCG where documents with `grades (h, k)`, best first, have `above` others before them, all else being 0.

    A document that is `level` with others gets the mean of what their places are worth.
    """
    k = grades.shape[1]
    discount = 1 / np.log2(np.arange(2, 2 + k))
    worth = np.concatenate([[0], np.cumsum(discount)])  # of the first 0, 1, ... k places
    gained = (worth[np.minimum(above + level, k)] - worth[np.minimum(above, k)]) / level
    return float(((gained * grades).sum(axis=1) / (grades @ discount)).mean())


def graded_overlap(hits: Mapping[str, float], reference: Mapping[str, float], k: int = 10) -> float:
    """`retrieval@10` of one query: `agreement` of `hits`, id -> score, with what `reference` finds, id -> cosine."""
    expected = sorted(reference, key=lambda name: (-reference[name], name))[:k]
    if not expected:
        return 0.0
    place = {name: number for number, name in enumerate(sorted(hits, key=lambda name: (-hits[name], name)))}
    above = np.array([[place.get(name, len(expected)) for name in expected]])
    cosines = np.array([[reference[name] for name in expected]])
    return agreement(above, np.ones_like(above), grades_of(cosines))


def told_apart(intervals: Mapping[int, tuple[float, float]]) -> tuple[list[int], list[int], list[int]]:
    """Dims whose interval of a difference is above zero, below it, and those where it holds zero."""
    above = [dim for dim, (low, _) in intervals.items() if low > 0]
    below = [dim for dim, (_, high) in intervals.items() if high < 0]
    return above, below, [dim for dim in intervals if dim not in above + below]


def judge(
    run: Mapping[str, Mapping[str, float]],
    judgments: Mapping[str, Mapping[str, int]],
    measures: tuple[str, ...] = ("nDCG@10", "R@10", "R@100", "RR@10"),
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
