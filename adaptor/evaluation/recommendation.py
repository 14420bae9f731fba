"""Which width and encoding is enough: the smallest that holds the rules, how sure that is, and what it saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from adaptor.evaluation import records
from adaptor.evaluation.measurement import ADAPTOR, Measurement, Variant
from adaptor.evaluation.rules import RETENTION, Rule, Verdict, judge_variant, parse_rules
from adaptor.evaluation.statistics import Values


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
    knee: Variant  # where more bytes begin to give less
    full_bytes: int
    full_month: float | None
    rows: int

    @property
    def chosen(self) -> Option | None:
        """The one to take: the smallest of one step that holds the rules with their whole intervals."""
        return self._smallest(rescored=False, certain=True)

    @property
    def rescored(self) -> Option | None:
        """The smallest that holds them where the full vectors are at hand to put a short list in order."""
        return self._smallest(rescored=True, certain=True)

    def _smallest(self, rescored: bool, certain: bool) -> Option | None:
        fit = (one for one in self.options if bool(one.variant.shortlist) == rescored and one.holds)
        return next((one for one in fit if one.is_certain or not certain), None)

    def shortest_list(self, variant: Variant) -> Option | None:
        """The option that rescores the fewest hits of a prefix and certainly holds the rules."""
        of_prefix = [
            one
            for one in self.options
            if one.variant.shortlist and (one.variant.dim, one.variant.encoding) == (variant.dim, variant.encoding)
        ]
        return next((one for one in of_prefix if one.holds and one.is_certain), None)

    def sentence(self) -> str:
        """What to take and why, in words."""
        rules = " and ".join(rule.text for rule in self.rules)
        chosen, likely = self.chosen, self._smallest(rescored=False, certain=False)
        if chosen is None and likely is None:
            return f"No width and encoding holds {rules}: keep the full width, or loosen the rules."
        if chosen is None:
            assert likely is not None
            return (
                f"{likely.variant} holds {rules}, but not with its whole interval ({likely.sure:.0%} sure): "
                "more queries would tell."
            )
        saved = f"{1 - chosen.variant.bytes / self.full_bytes:.1%} of the bytes"
        if chosen.month is not None and self.full_month is not None:
            saved += f", {amount(self.full_month - chosen.month)} of {amount(self.full_month)} a month"
        return (
            f"Take {chosen.variant}: with {chosen.variant.bytes} bytes a row {rules}, {chosen.sure:.0%} sure. "
            f"It saves {saved}."
        )

    def rescored_sentence(self) -> str | None:
        """What is enough where the full vectors are read for a short list; None where nothing is, or nothing less."""
        option, rules = self.rescored, " and ".join(rule.text for rule in self.rules)
        if option is None or (self.chosen is not None and option.variant.bytes >= self.chosen.variant.bytes):
            return None
        return f"{option.variant}, by the full vectors: {option.variant.bytes} bytes a row to search, {rules}."


def amount(value: float) -> str:
    """A number that is neither rounded to nothing nor longer than it is certain."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


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
        knee=_knee(first),
        full_bytes=first.full.bytes,
        full_month=price(first.full.bytes),
        rows=first.rows,
    )


def recommend_for(
    root: str, version: str | None, rules: Sequence[Rule], gigabyte_month: float | None = None
) -> Recommendation:
    """By what was measured last of a version, on every data set; `AdaptorError` where nothing was."""
    return recommend(records.require_measured(root, version), rules, gigabyte_month)


def _option(
    measurements: Sequence[Measurement],
    rules: tuple[Rule, ...],
    variant: Variant,
    search_seconds: float | None,
    month: float | None,
) -> Option:
    (kept,) = parse_rules([f"{RETENTION} >= 0"], (), ())
    retention, verdicts, sure = [], [], []
    for measurement in measurements:
        (whole, _), *judged = _judge((kept, *rules), measurement, variant)
        retention.append(whole)
        verdicts += [verdict for verdict, _ in judged]
        sure.append(float(np.logical_and.reduce([holds for _, holds in judged]).mean()))
    return Option(
        variant=variant,
        retention=min(retention, key=lambda verdict: verdict.value),
        sure=min(sure),
        holds=all(verdict.holds for verdict in verdicts),
        is_certain=all(verdict.is_certain for verdict in verdicts),
        search_seconds=search_seconds,
        month=month,
    )


def _judge(
    rules: Sequence[Rule], measurement: Measurement, variant: Variant
) -> list[tuple[Verdict, NDArray[np.bool_]]]:
    """What each rule says, and in which resamples it holds; rules about one figure share its resamples."""
    figures: dict[tuple[str, str | None, str | None], tuple[Verdict, Values]] = {}
    judged = []
    for rule in rules:
        about = rule.figure, rule.scope, rule.against
        if about not in figures:
            figures[about] = judge_variant(rule, measurement, variant)
        verdict, drawn = figures[about]
        judged.append((replace(verdict, rule=rule), rule.holds_in(drawn)))
    return judged


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
