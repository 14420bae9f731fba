"""Which width and encoding is enough: the smallest that holds the rules, how sure that is, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from adaptor.errors import AdaptorError
from adaptor.evaluation import records
from adaptor.evaluation.measurement import ADAPTOR, Measurement, Variant
from adaptor.evaluation.rules import RETENTION, Rule, Verdict, judge_variant, parse_rules, statistic_of
from adaptor.evaluation.statistics import resampled


@dataclass(frozen=True)
class Option:
    """One way to store and search the rows, what it keeps at worst over the data sets, and what it costs."""

    variant: Variant
    retention: Verdict  # on the data set where it is lowest
    sure: float  # share of resamples in which all rules hold, on the data set where it is lowest
    holds: bool  # every rule by its figure
    is_certain: bool  # every rule with its whole interval
    search_seconds: float | None  # a query and a million rows, in NumPy on this machine
    month: float | None  # the price of storing the rows for a month


@dataclass(frozen=True)
class Recommendation:
    """The options by bytes a row, and which of them to take."""

    rules: tuple[Rule, ...]
    options: tuple[Option, ...]
    certain: Option | None  # the smallest that holds the rules with their intervals
    likely: Option | None  # the smallest that holds them by their figures
    knee: Variant  # where more bytes begin to give less
    full_bytes: int
    full_month: float | None
    rows: int

    @property
    def chosen(self) -> Option | None:
        """The one to take: the smallest that is certain."""
        return self.certain

    def sentence(self) -> str:
        """What to take and why, in words."""
        rules = " and ".join(rule.text for rule in self.rules)
        if self.certain is None and self.likely is None:
            return f"No width and encoding holds {rules}: keep the full width, or loosen the rules."
        if self.certain is None:
            assert self.likely is not None
            return (
                f"{self.likely.variant} holds {rules}, but not with its whole interval "
                f"({self.likely.sure:.0%} sure): more queries would tell."
            )
        one = self.certain
        saved = f"{1 - one.variant.bytes / self.full_bytes:.1%} of the bytes"
        if one.month is not None and self.full_month is not None:
            saved += f", {self.full_month - one.month:,.2f} of {self.full_month:,.2f} a month"
        return (
            f"Take {one.variant}: {one.variant.bytes} bytes a row hold {rules}, {one.sure:.0%} sure. It saves {saved}."
        )


def recommend(
    measurements: Sequence[Measurement], rules: Sequence[Rule], gigabyte_month: float | None = None
) -> Recommendation:
    """Judge every variant of the adaptor on every data set by rules that name no dim.

    Rows, bytes and prices are of the largest data set. `gigabyte_month` is the price of 10^9 bytes for a month.
    """
    first = max(measurements, key=lambda measurement: measurement.rows)
    variants = sorted(
        (v for v in first.values if v.candidate == ADAPTOR and all(v in other.values for other in measurements)),
        key=lambda variant: (variant.bytes, variant.shortlist, variant.dim),
    )

    def price(bytes_a_row: int) -> float | None:
        return None if gigabyte_month is None else first.rows * bytes_a_row / 1e9 * gigabyte_month

    options = tuple(
        _option(measurements, tuple(rules), variant, first.search_seconds.get(variant), price(variant.bytes))
        for variant in variants
    )
    return Recommendation(
        rules=tuple(rules),
        options=options,
        certain=next((option for option in options if option.holds and option.is_certain), None),
        likely=next((option for option in options if option.holds), None),
        knee=_knee(first),
        full_bytes=first.full.bytes,
        full_month=price(first.full.bytes),
        rows=first.rows,
    )


def recommend_for(
    root: str, version: str | None, rules: Sequence[Rule], gigabyte_month: float | None = None
) -> Recommendation:
    """By what was measured last of a version, on every data set; `AdaptorError` where nothing was."""
    measurements = records.last_of(root, version) if version else []
    if not measurements:
        raise AdaptorError(f"nothing was measured of version {version} in {root}; run jobs/evaluate.py first")
    return recommend(measurements, rules, gigabyte_month)


def _option(
    measurements: Sequence[Measurement],
    rules: tuple[Rule, ...],
    variant: Variant,
    search_seconds: float | None,
    month: float | None,
) -> Option:
    verdicts, sure = [], []
    for measurement in measurements:
        all_hold = np.ones(1, dtype=bool)
        for rule in rules:
            verdicts.append(judge_variant(rule, measurement, variant))
            drawn = resampled(*statistic_of(rule, measurement, variant))
            all_hold = all_hold & (drawn >= rule.bound if rule.at_least else drawn <= rule.bound)
        sure.append(float(all_hold.mean()))
    (kept,) = parse_rules([f"{RETENTION} >= 0"], (), ())
    return Option(
        variant=variant,
        retention=min((judge_variant(kept, one, variant) for one in measurements), key=lambda verdict: verdict.value),
        sure=min(sure),
        holds=all(verdict.holds for verdict in verdicts),
        is_certain=all(verdict.is_certain for verdict in verdicts),
        search_seconds=search_seconds,
        month=month,
    )


def _knee(measurement: Measurement) -> Variant:
    """The float32 prefix furthest above the line from the shortest to the full width, by the logarithm of its bytes.

    So Satopää et al. 2011, "Finding a Kneedle in a Haystack".
    """
    variants = [Variant(ADAPTOR, dim) for dim in measurement.dims if Variant(ADAPTOR, dim) in measurement.values]
    points = [*variants, measurement.full]
    x = np.log2([variant.bytes for variant in points])
    y = np.array([measurement.retention(variant) for variant in points])
    along = (x - x[0]) / max(x[-1] - x[0], 1e-9)
    return points[int(np.argmax(y - (y[0] + along * (y[-1] - y[0]))))]
