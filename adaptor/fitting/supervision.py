"""The supervised stage: trained on judgments, and taken only as far as held-out queries bear it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import product

import numpy as np

from adaptor.fitting.report import SupervisionGain
from adaptor.fitting.sample import Judgments
from adaptor.maps import Sides
from adaptor.metrics import judge, nearest
from adaptor.vectors import Float32, prefix

LEAST_LABELLED = 40  # judged queries under which nothing is learned from them
ONE_SPLIT_FROM = 400  # judged queries from which one half is enough to judge the other
WEIGHTS = (0.5, 0.25, 0.75)  # of the judged terms, tried where none is given
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
LABELS_PRIOR = 50  # the share that held-out queries choose is cut by q / (q + prior): few can't tell how far to go
FULL_WIDTH_LOSS = 0.003  # of nDCG@10 that may be lost at full width


def choose_supervision(  # noqa: PLR0913 - two sides, what judges them, and how to train
    start: Sides,
    train: Callable[[Judgments, float], Sides],
    weights: Sequence[float],
    corpus: Float32,
    queries: Float32,
    judgments: Judgments,
    dims: tuple[int, ...],
    seed: int,
) -> SupervisionGain:
    """What judged terms weigh in training, and how far to go from `start` toward its end, judged on held-out queries.

    The weight and share of the way whose mean gain less one standard error is highest; a share of 0 when none
    gains, or when the full width, the last of `dims`, would lose more than it may. Whether judgments teach anything
    is asked of the first weight alone: of many weights one always seems to gain.
    """
    from adaptor.training.objectives.judgments import blend

    order = np.random.default_rng(seed).permutation(sorted(judgments))
    halves = np.array_split(order, 2)[: 1 if len(order) >= ONE_SPLIT_FROM else 2]
    held = [{int(query): judgments[int(query)] for query in half} for half in halves]
    taught = [{query: graded for query, graded in judgments.items() if query not in half} for half in held]
    before = [ndcg(start, corpus, queries, half, dims) for half in held]

    @cache
    def ends(weight: float) -> list[Sides]:
        return [train(some, weight) for some in taught]

    def gains(weight: float, share: float) -> Float32:
        """Of every held-out query at every dim: `(labelled, dims)`."""
        return np.concatenate(
            [
                ndcg(blend(start, end, share), corpus, queries, half, dims) - was
                for end, half, was in zip(ends(weight), held, before)
            ]
        )

    @cache
    def bound(weight: float, share: float) -> float:
        by_query = gains(weight, share)
        if by_query[:, -1].mean() < -FULL_WIDTH_LOSS:
            return -1.0
        means = by_query.mean(axis=1)
        return float(means.mean() - means.std() / len(means) ** 0.5)

    weight, farthest = max(product(weights[:1], SHARES), key=lambda pair: bound(*pair))
    if farthest:
        weight, farthest = max(product(weights, SHARES), key=lambda pair: bound(*pair))
    share = farthest * len(judgments) / (len(judgments) + LABELS_PRIOR)
    return SupervisionGain(share, float(gains(weight, share).mean()), len(judgments), weight)


def ndcg(sides: Sides, corpus: Float32, queries: Float32, judgments: Judgments, dims: tuple[int, ...]) -> Float32:
    """nDCG@10 of each judged query, in order, at each dim: `(labelled, dims)`."""
    rows = sorted(judgments)
    graded = {str(row): {str(doc): int(grade) for doc, grade in judgments[row].items()} for row in rows}
    y, x = sides.corpus(corpus), sides.query(queries[rows])
    columns = []
    for dim in dims:
        hits = nearest(prefix(x, dim), prefix(y, dim), min(10, len(corpus)))
        run = {str(row): {str(doc): -float(rank) for rank, doc in enumerate(ids)} for row, ids in zip(rows, hits)}
        values = judge(run, graded, ("nDCG@10",))["nDCG@10"]
        columns.append([values[str(row)] for row in rows])
    return np.array(columns, dtype=np.float32).T
