"""Rules in words, such as `retention@64 >= 0.95`: what they ask of a measurement, and whether it holds."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.evaluation.measurement import ADAPTOR, SVD, TAIL, Measurement, Variant
from adaptor.evaluation.statistics import Statistic, Values, interval, resampled

RETENTION, WORST_STRATUM, TAIL_SCOPE = "retention", "worst stratum", "5th percentile"
EXAMPLES = (
    "retention@64 >= 0.95",
    "worst stratum retention@64 >= 0.9",
    "5th percentile neighbours@10 at 64 >= 0.4",
    "ndcg@10 drop against run before <= 0.01",
    "retention@48 bytes >= 0.95",
)
RULE = re.compile(
    r"(?P<scope>worst stratum |5th percentile )?"
    r"(?P<figure>retention|\S+?)(?:(?: at |(?<=retention)@)(?P<dim>\d+)(?P<bytes> bytes)?)?"
    r"(?: drop against (?P<against>svd|original|current|run (?P<run>\S+?))"
    r"(?: at (?P<dim_after>\d+)(?P<bytes_after> bytes)?)?)?"
    r" ?(?P<order>>=|<=) ?(?P<bound>-?\d+(?:\.\d+)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """One rule: a figure, of which queries, at which dim, against what, and its bound."""

    text: str
    figure: str  # retention, or a metric
    scope: str | None  # worst stratum, 5th percentile; None: the mean
    dim: int | None  # None: each dim
    against: str | None  # svd, original, current, run: what the figure may drop against
    run: str | None  # the name of the reference
    at_least: bool
    bound: float
    of_code: bool = False  # the dim is the length of a code in bytes

    def holds(self, value: float) -> bool:
        """Whether a value keeps to the bound; NaN does not."""
        return bool(self.holds_in(np.asarray(value)))

    def holds_in(self, drawn: Values) -> NDArray[np.bool_]:
        """In which resamples the figure keeps to the bound, `(r,)`."""
        return np.asarray(drawn >= self.bound if self.at_least else drawn <= self.bound)


@dataclass(frozen=True)
class Verdict:
    """What a rule says of a data set: the figure at the dim where it is worst, and its interval."""

    rule: Rule
    data_set: str
    variant: Variant
    value: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether the figure keeps to the bound."""
        return self.rule.holds(self.value)

    @property
    def is_certain(self) -> bool:
        """Whether its whole interval is on the same side of the bound."""
        return self.rule.holds(self.low) == self.rule.holds(self.high) == self.holds

    @property
    def sentence(self) -> str:
        """The rule, the figure and its interval in words."""
        if np.isnan(self.value):
            return f"{self.rule.text}: fails on {self.data_set}, nothing was measured at {self._size}"
        holds = f"{'holds' if self.holds else 'fails'}{'' if self.is_certain else ', but its interval holds the bound'}"
        return (
            f"{self.rule.text}: {holds}; {self.value:.4f} [{self.low:.4f}, {self.high:.4f}] "
            f"at {self._size} on {self.data_set}"
        )

    @property
    def _size(self) -> str:
        return f"{self.variant.dim} bytes" if self.variant.encoding == "bits" else str(self.variant.dim)


def parse_rules(texts: Sequence[str], metrics: Sequence[str], dims: Sequence[int]) -> tuple[Rule, ...]:
    """Rules from their words; `AdaptorError` for a form, a metric or a dim that is unknown, naming the nearest."""
    return tuple(_parse(text, metrics, dims) for text in texts)


def _parse(text: str, metrics: Sequence[str], dims: Sequence[int]) -> Rule:
    match = RULE.fullmatch(" ".join(text.split()))
    if match is None:
        raise AdaptorError(f"rule {text!r} can't be read; rules look like {'; '.join(map(repr, EXAMPLES))}")
    known = {name.lower(): name for name in (RETENTION, *metrics)}
    figure = match["figure"].lower()
    if figure not in known:
        nearest = difflib.get_close_matches(figure, known, n=1)
        hint = f"; did you mean {known[nearest[0]]}?" if nearest else ""
        raise AdaptorError(
            f"rule {text!r}: {match['figure']} is not measured{hint} (there are {', '.join(known.values())})"
        )
    dim = match["dim"] or match["dim_after"]
    of_code = bool(match["bytes"] or match["bytes_after"])
    if dim is not None and not of_code and int(dim) not in dims:
        raise AdaptorError(f"rule {text!r}: dim {dim} is none of dims {list(dims)}")
    against = match["against"].split()[0].lower() if match["against"] else None
    if of_code and against == "svd":
        raise AdaptorError(f"rule {text!r}: SVD has no codes; let it be against original, current or a run")
    return Rule(
        text=text,
        figure=known[figure],
        scope=match["scope"].strip().lower() if match["scope"] else None,
        dim=int(dim) if dim else None,
        against=against,
        run=match["run"],
        at_least=match["order"] == ">=",
        bound=float(match["bound"]),
        of_code=of_code,
    )


def judge_rule(rule: Rule, measurement: Measurement, other: Measurement | None = None) -> Verdict:
    """What a rule says of what ships; at each dim where it names none, the worst counts.

    `other` is the measurement of the same data set that `drop against run` or `current` compares with.
    """
    verdicts = [judge_variant(rule, measurement, variant, other)[0] for variant in _judged(rule, measurement)]
    sign = 1 if rule.at_least else -1
    return min(verdicts, key=lambda verdict: (not np.isnan(verdict.value), sign * verdict.value))


def _judged(rule: Rule, measurement: Measurement) -> list[Variant]:
    """What a rule speaks of: a code of some length, or prefixes of what ships."""
    if not rule.of_code:
        return [measurement.shipped(dim) for dim in (measurement.dims if rule.dim is None else (rule.dim,))]
    assert rule.dim is not None
    code = Variant(ADAPTOR, rule.dim, "bits")
    if code not in measurement.values:
        lengths = sorted(
            v.dim for v in measurement.values if (v.candidate, v.encoding, v.shortlist) == (ADAPTOR, "bits", 0)
        )
        there = f"there are {', '.join(map(str, lengths))}" if lengths else "evaluate.encodings leaves bits out"
        raise AdaptorError(
            f"rule {rule.text!r}: no code of {rule.dim} bytes was measured on {measurement.data_set} ({there}); "
            "name one of them, or set bytes"
        )
    return [code]


def judge_variant(
    rule: Rule, measurement: Measurement, variant: Variant, other: Measurement | None = None
) -> tuple[Verdict, Values]:
    """What a rule says of one way to store and search the rows, and its figure in each resample."""
    statistic, count = statistic_of(rule, measurement, variant, other)
    drawn = resampled(statistic, count)
    value = float(statistic(np.arange(count)))
    return Verdict(rule, measurement.data_set, variant, value, *interval(drawn)), drawn


def share_kept(measurement: Measurement, variant: Variant) -> Verdict:
    """The share of the full width's figure that a variant keeps, and its interval."""
    (kept,) = parse_rules([f"{RETENTION} >= 0"], (), ())
    return judge_variant(kept, measurement, variant)[0]


def statistic_of(
    rule: Rule, measurement: Measurement, variant: Variant, other: Measurement | None = None
) -> tuple[Statistic, int]:
    """The rule's figure as a function of which queries are looked at, by number, and how many there are."""
    metric = measurement.metric if rule.figure == RETENTION else rule.figure
    mine = theirs = np.arange(len(measurement.queries))
    before = None
    if rule.against in ("svd", "original"):
        before = measurement.of(measurement.full if rule.against == "original" else Variant(SVD, variant.dim), metric)
    elif rule.against is not None:
        assert other is not None
        mine, theirs = _common(measurement, other)
        before = other.of(variant if rule.of_code else other.shipped(variant.dim), metric)[theirs]
    values = measurement.of(variant, metric)[mine]
    full = measurement.of(measurement.full, metric)[mine] if rule.figure == RETENTION else None
    strata = _strata(rule, measurement, mine)

    def figure(queries: NDArray[np.int64]) -> Values:
        now = _scoped(rule.scope, values, full, strata, queries)
        return now if before is None else _scoped(rule.scope, before, full, strata, queries) - now

    return figure, len(mine)


def _common(measurement: Measurement, other: Measurement) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the queries that both have stand in each."""
    place = {name: number for number, name in enumerate(other.queries)}
    both = [(number, place[name]) for number, name in enumerate(measurement.queries) if name in place]
    if not both:
        raise AdaptorError(f"the reference run was asked other queries on {measurement.data_set}; freeze a new one")
    mine, theirs = np.array(both).T
    return mine, theirs


def _strata(rule: Rule, measurement: Measurement, mine: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Which queries belong to each stratum, where the rule asks for the worst."""
    if rule.scope != WORST_STRATUM:
        return []
    if measurement.strata is None:
        raise AdaptorError(
            f"rule {rule.text!r}: {measurement.data_set} was measured without strata; set sample.stratum"
        )
    return [part[mine] for label, part in measurement.parts.items() if label is not None]


def _scoped(
    scope: str | None,
    values: Values,
    full: Values | None,
    strata: list[NDArray[np.bool_]],
    queries: NDArray[np.int64],
) -> Values:
    """The mean, the 5th percentile or the worst stratum's mean of `values (q,)`, as a share of `full` where given."""

    def share(one: Values, of: Values | None) -> Values:
        with np.errstate(invalid="ignore", divide="ignore"):
            return one if of is None else one / of

    drawn = values[queries]
    of = None if full is None else full[queries]
    if scope == TAIL_SCOPE:
        return share(
            np.nanpercentile(drawn, TAIL, axis=-1), None if of is None else np.nanpercentile(of, TAIL, axis=-1)
        )
    if scope is None:
        return share(_mean(drawn), None if of is None else _mean(of))
    means = [share(_mean(drawn, part[queries]), None if of is None else _mean(of, part[queries])) for part in strata]
    with np.errstate(invalid="ignore"):
        return np.fmin.reduce(means)


def _mean(values: Values, part: NDArray[np.bool_] | None = None) -> Values:
    """The mean over the last axis of values that are numbers, and in `part` if given; NaN where there is none."""
    counted = ~np.isnan(values) if part is None else ~np.isnan(values) & part
    count = counted.sum(axis=-1)
    total = np.where(counted, values, 0).sum(axis=-1)
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
