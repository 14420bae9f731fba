"""How sure a figure is: intervals by resampled queries, and significance corrected for how many were compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, ttest_rel

from adaptor.metrics import paired_interval

Values = NDArray[np.float64]
Key = TypeVar("Key")
Statistic = Callable[[NDArray[np.int64]], Values]
"""A figure of queries by number: `(..., q)` to `(...)`."""

RESAMPLES = 2000
BATCH = 100  # resamples computed at once


@dataclass(frozen=True)
class Difference:
    """A mean difference over paired queries, its 95 percent bootstrap interval, and the t test's p value."""

    mean: float
    low: float
    high: float
    p: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def difference(values: Values, against: Values) -> Difference:
    """How far `values (q,)` are ahead of `against (q,)`; queries that lack one of the two are left out."""
    both = ~np.isnan(values - against)
    values, against = values[both], against[both]
    if not len(values):
        return Difference(*[float("nan")] * 4)
    low, high = paired_interval(values, against)
    constant = np.ptp(values - against) == 0
    p = float(values[0] == against[0]) if constant else float(ttest_rel(values, against).pvalue)
    return Difference(float((values - against).mean()), low, high, p)


def corrected(p_values: Mapping[Key, float]) -> dict[Key, float]:
    """p values corrected for how many there are (Benjamini and Hochberg 1995); NaN stays NaN."""
    known = {key: p for key, p in p_values.items() if not np.isnan(p)}
    values = false_discovery_control(list(known.values())) if known else []
    return dict.fromkeys(p_values, float("nan")) | {key: float(p) for key, p in zip(known, values)}


def resampled(statistic: Statistic, queries: int, seed: int = 0) -> Values:
    """The statistic of queries drawn with replacement, `(RESAMPLES,)`: the same draws for each statistic."""
    random = np.random.default_rng(seed)
    parts = [statistic(random.integers(0, queries, (BATCH, queries))) for _ in range(RESAMPLES // BATCH)]
    return np.concatenate(parts)


def interval(distribution: Values) -> tuple[float, float]:
    """The middle 95 percent."""
    low, high = np.nanpercentile(distribution, [2.5, 97.5]) if not np.isnan(distribution).all() else [np.nan] * 2
    return float(low), float(high)
