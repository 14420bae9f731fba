"""What a fit learns from: rows to train on, rows held out, and queries and judgments where there are any."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adaptor.batches import ArrayBatches, Batches
from adaptor.vectors import Float32

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

    `strata (h,)` are the labels of the held-out rows, such as languages, where they are told apart.
    """

    train: Fold
    held_out: Fold
    whole: Fold
    queries: Float32 | None = None
    judgments: Judgments = field(default_factory=dict)
    strata: NDArray[np.object_] | None = None


def in_memory(rows: Float32) -> Fold:
    """A fold that was never materialised."""
    return Fold(rows, ArrayBatches(rows))
