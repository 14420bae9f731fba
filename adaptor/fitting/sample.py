"""What a fit learns from: rows to train on, rows held out, and queries and judgments where there are any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.fitting.moments import Moments
from adaptor.inputs import as_reals
from adaptor.vectors import Float32

if TYPE_CHECKING:
    from adaptor.training.batches import Batches

Judgments = dict[int, dict[int, float]]
"""Query row -> corpus row -> grade above 0."""


@dataclass(frozen=True)
class Fold:
    """Rows of a sample, twice: in memory `(n, D) float32`, and as batches for training workers."""

    rows: Float32
    batches: Batches


@dataclass(frozen=True)
class Sample:
    """What a fit learns from. `judgments` name rows of `queries` and of `whole`.

    `strata (h,)` are the labels of the held-out rows, such as languages, where they are told apart. `moments` finds
    those of all rows that the sample is of, where the winner is to be made of them.
    """

    train: Fold
    held_out: Fold
    whole: Fold
    queries: Float32 | None = None
    judgments: Judgments = field(default_factory=dict)
    strata: NDArray[np.object_] | None = None
    moments: Callable[[], Moments] | None = None


def in_memory(rows: Float32) -> Fold:
    """A fold that was never materialised."""
    from adaptor.training.batches import ArrayBatches  # training is an extra

    return Fold(rows, ArrayBatches(rows))


def graded(judgments: object, corpus: Float32, queries: Float32 | None) -> Judgments:
    """Judgments `(j, 3)` as query row -> corpus row -> grade, without grades of 0."""
    if judgments is None:
        return {}
    if queries is None:
        raise AdaptorError("judgments need queries: pass the embeddings of the queries they speak of")
    rows = as_reals(judgments, "judgments", np.float64, booleans=True)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise AdaptorError(f"judgments must be (query row, corpus row, grade), not of shape {rows.shape}")
    wrong = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(wrong):
        raise AdaptorError(
            f"judgments: {len(wrong)} of {len(rows)} rows hold NaN or an infinity (the first is row {wrong[0]}); "
            "remove them first"
        )
    if (rows != np.round(rows)).any():
        raise AdaptorError("judgments must be whole numbers: query row, corpus row, grade")
    counts = len(queries), len(corpus)
    for column, (what, count) in enumerate(zip(("query", "corpus"), counts)):
        outside = rows[(rows[:, column] < 0) | (rows[:, column] >= count), column]
        if len(outside):
            raise AdaptorError(f"judgments name {what} row {outside[0]:.0f}, but there are {count} rows")
    usable: Judgments = {}
    for query, document, grade in rows:
        if grade > 0:
            usable.setdefault(int(query), {})[int(document)] = float(grade)
    return usable
