"""What an evaluation, a comparison, a gate and a recommendation print."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from adaptor.console.app import console
from adaptor.console.summaries import explain
from adaptor.evaluation.gate import require_held, write_junit
from adaptor.evaluation.measurement import ADAPTOR, SVD, Measurement, Variant
from adaptor.evaluation.recommendation import amount
from adaptor.evaluation.statistics import corrected, difference
from adaptor.metrics import MEANING, NEIGHBOURS
from adaptor.spark.measuring import USUAL_SHORTLIST

if TYPE_CHECKING:
    from adaptor.evaluation.gate import Gate
    from adaptor.evaluation.recommendation import Recommendation
    from adaptor.spark.compare import Comparison
    from adaptor.spark.evaluate import Evaluated


def print_evaluated(evaluated: Sequence[Evaluated]) -> None:
    """Each data set with its strata, tails, encodings and two-step search; then data sets and artifacts together."""
    for one in evaluated:
        if len(evaluated) > 1:
            console.rule(escape(f"{one.measurement.data_set}, artifact {one.measurement.version}"))
        _print_one(one)
    if len(evaluated) > 1:
        console.rule("together")
        console.print(_together([one.measurement for one in evaluated]))
        for line in _beside_each_other([one.measurement for one in evaluated]):
            console.print(line)
    for one in evaluated:
        if one.gate is not None:
            print_gate(one.gate)


def _print_one(evaluated: Evaluated) -> None:
    measurement = evaluated.measurement
    for label in measurement.parts:
        console.print(_kept(evaluated, label))
    console.print(_other_figures(measurement))
    console.print(_encodings(measurement))
    if any(variant.shortlist for variant in measurement.values):
        console.print(_two_steps(measurement))
    console.print(evaluated.verdict())
    explain(*(metric for metric in measurement.metrics if metric in MEANING))
    console.print(f"adaptor      {measurement.made_by}, searched in the columns that apply wrote")
    _recommended(evaluated.recommendation)
    console.print(f"took         {evaluated.seconds:.0f} s")


def _recommended(recommendation: Recommendation) -> None:
    console.print(f"recommended  {recommendation.sentence()}")
    if sentence := recommendation.rescored_sentence():
        console.print(f"in two steps {sentence}")


def _kept(evaluated: Evaluated, stratum: str | None) -> Table:
    """Truncation, SVD and the adaptor at each dim, with the paired interval against SVD."""
    full = evaluated.value("original", evaluated.width, stratum=stratum)
    of = f" of stratum {escape(stratum)}" if stratum else ""
    table = _table(
        f"{evaluated.metric}{of}: {full:.4f} at full width {evaluated.width}, {4 * evaluated.width} bytes a row",
        ("dim", "truncation", "svd", "adaptor", "retention", "gain over svd, 95 % interval", "bytes a row"),
    )
    for dim in evaluated.dims:
        values = [evaluated.value(name, dim, stratum=stratum) for name in ("truncation", "svd", "adaptor")]
        low, high = evaluated.intervals[stratum, dim]
        table.add_row(
            str(dim),
            *(f"{value:.4f}" for value in values),
            f"{values[-1] / full:.1%}" if full else "-",
            f"{values[-1] - values[-2]:+.4f} [{low:+.4f}, {high:+.4f}]",
            str(evaluated.stored_bytes(dim)),
        )
    return table


def _other_figures(measurement: Measurement) -> Table:
    """The other metrics, the tails and the significance: a line a figure, a column a dim."""
    dims = measurement.dims
    table = _table("The other figures", ("figure", "of", *map(str, dims), "full width"), left=2)
    shipped = [measurement.shipped(dim) for dim in dims]
    svd = [Variant(SVD, dim) for dim in dims]
    full = measurement.full

    def worst(variant: Variant) -> str:
        stratum = measurement.worst_stratum(variant)
        return f"{escape(stratum[0])} {stratum[1]:.4f}" if stratum else "-"

    def mean_of(metric: str) -> Callable[[Variant], str]:
        return lambda variant: _number(measurement.mean(variant, metric))

    figures = {metric: mean_of(metric) for metric in measurement.metrics[1:]}
    figures[f"{measurement.metric}, 5th percentile"] = lambda variant: _number(measurement.tail(variant))
    if measurement.strata is not None:
        figures[f"{measurement.metric}, worst stratum"] = worst
    for figure, cell in figures.items():
        table.add_row(figure, "svd", *map(cell, (*svd, full)))
        table.add_row("", "adaptor", *map(cell, (*shipped, full)))
    p_values = {
        (against, dim): difference(measurement.of(mine), measurement.of(theirs)).p
        for dim, mine in zip(dims, shipped)
        for against, theirs in (("svd", Variant(SVD, dim)), ("full width", full))
    }
    p_values = corrected(p_values)
    for against in ("svd", "full width"):
        table.add_row(f"p against {against}", "adaptor", *(f"{p_values[against, dim]:.3f}" for dim in dims), "")
    table.caption = f"p: paired t test, corrected for {len(p_values)} comparisons (Benjamini and Hochberg)"
    table.caption_justify = "left"
    return table


def _encodings(measurement: Measurement) -> Table:
    """Every width and encoding by the bytes of a row, as it is and rescored by the full width."""
    lengths = sorted({variant.shortlist for variant in measurement.values if variant.shortlist})
    length = USUAL_SHORTLIST if USUAL_SHORTLIST in lengths else (lengths[-1] if lengths else 0)
    columns = ["bytes a row", "dim", "encoding", measurement.metric, "kept"]
    columns += [f"{length} rescored", "kept"] if length else []
    table = _table("At equal bytes", columns)
    variants = [v for v in measurement.values if v.candidate == ADAPTOR and not v.shortlist]
    for variant in sorted(variants, key=lambda one: (one.bytes, one.dim)):
        cells = _mean_and_share(measurement, variant)
        rescored = Variant(ADAPTOR, variant.dim, variant.encoding, length)
        if length:
            cells += _mean_and_share(measurement, rescored) if rescored in measurement.values else ["-", "-"]
        table.add_row(str(variant.bytes), _dim(variant), variant.encoding, *cells)
    return table


def _dim(variant: Variant) -> str:
    return str(variant.numbers or "-")


def _mean_and_share(measurement: Measurement, variant: Variant) -> list[str]:
    return [_number(measurement.mean(variant)), f"{measurement.retention(variant):.1%}"]


def _two_steps(measurement: Measurement) -> Table:
    """What part of the full search's 10 nearest a short list of a prefix holds, and what it reads."""
    table = _table(
        "Two-step search: share of the full width's 10 nearest in the short list of a prefix, and of its numbers read",
        ("short list", *map(str, measurement.dims)),
    )
    lengths = sorted({variant.shortlist for variant in measurement.values if variant.shortlist})
    rows, width = measurement.rows, measurement.width
    for length in lengths:
        variants = [Variant(ADAPTOR, dim, "float32", length) for dim in measurement.dims]
        cells = [
            f"{measurement.mean(variant, NEIGHBOURS):.4f} at {min(1.0, variant.dim / width + length / rows):.1%}"
            for variant in variants
            if variant in measurement.values
        ]
        table.add_row(str(length), *cells)
    return table


def _together(measurements: Sequence[Measurement]) -> Table:
    """What each artifact keeps on each data set, at each dim that any has."""
    dims = sorted({dim for measurement in measurements for dim in measurement.dims})
    table = _table("Retention", ("data set", "metric", "artifact", "full width", *map(str, dims)), left=3)
    for one in measurements:
        cells = [f"{one.retention(one.shipped(dim)):.1%}" if dim in one.dims else "-" for dim in dims]
        full = _number(one.mean(one.full))
        table.add_row(escape(one.data_set), one.metric, one.version, full, *cells)
    return table


def _beside_each_other(measurements: Sequence[Measurement]) -> Iterator[str]:
    """For two artifacts on one data set a sentence a dim."""
    for one, other in combinations(measurements, 2):
        if one.data_set != other.data_set or one.metric != other.metric or one.queries != other.queries:
            continue
        for dim in (dim for dim in one.dims if dim in other.dims):
            gain = difference(other.of(other.shipped(dim)), one.of(one.shipped(dim)))
            yield escape(f"{one.data_set} at {dim}: {other.version} {gain} {one.metric} over {one.version}")


def print_comparison(comparison: Comparison) -> None:
    """The current version and the other one at each dim, with the interval of the difference, and a sentence."""
    measurement = comparison.measurement
    full = measurement.mean(measurement.full)
    table = _table(
        f"{measurement.metric}: {full:.4f} at full width; {len(measurement.queries):,} ask among "
        f"{measurement.rows:,} rows",
        ("dim", "svd", f"{comparison.current} (current)", comparison.other, "difference, 95 % interval"),
    )
    for dim, gain in comparison.gains.items():
        cells = (f"{comparison.value(name, dim):.4f}" for name in (SVD, comparison.current, comparison.other))
        table.add_row(str(dim), *cells, str(gain))
    console.print(table)
    console.print(comparison.verdict())


def print_gate(gate: Gate) -> None:
    """A sentence a rule, and what follows."""
    for verdict in gate.verdicts:
        console.print(f"gate         {escape(verdict.sentence)}")
    came_out = "passed" if gate.passed else f"FAILED: {gate.failures} of {len(gate.verdicts)} rules do not hold"
    console.print(f"gate         {came_out}, version {gate.version}")


def conclude_gates(evaluated: Sequence[Evaluated], junit: str | None) -> None:
    """Write the gates' verdicts where asked, and end with them: `GateFailed` where a rule does not hold."""
    gates = [one.gate for one in evaluated if one.gate is not None]
    if junit is not None:
        write_junit(gates, junit)
    require_held(gates)


def print_recommendation(recommendation: Recommendation) -> None:
    """Every way to store and search the rows by its bytes, and which to take."""
    table = _table(
        f"Ways to store {recommendation.rows:,} rows, by bytes",
        ("bytes a row", "dim", "encoding", "retention, 95 % interval", "sure", "ms a query", "a month", "rescore", ""),
    )
    for option in (one for one in recommendation.options if not one.variant.shortlist):
        kept, seconds, month = option.retention, option.search_seconds, option.month
        enough = recommendation.shortest_list(option.variant)
        marks = [
            "take this" if option is recommendation.chosen else "",
            "knee" if option.variant == recommendation.knee else "",
        ]
        table.add_row(
            str(option.variant.bytes),
            _dim(option.variant),
            option.variant.encoding,
            f"{kept.value:.1%} [{kept.low:.1%}, {kept.high:.1%}]",
            f"{option.sure:.0%}",
            "-" if seconds is None else amount(seconds * recommendation.rows / 1e3),
            "-" if month is None else amount(month),
            "-" if enough is None else str(enough.variant.shortlist),
            ", ".join(filter(None, marks)),
        )
    table.caption = "rescore: hits of a query that the full vectors must put in order for the rules to hold"
    table.caption_justify = "left"
    console.print(table)
    _recommended(recommendation)
    full = decimal(recommendation.full_bytes * recommendation.rows)
    console.print(f"full width   {recommendation.full_bytes} bytes a row, {full} in all")


def _table(title: str, columns: Sequence[str], left: int = 0) -> Table:
    """A table whose first `left` columns are words, the others numbers."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right")
    return table


def _number(value: float) -> str:
    return "-" if value != value else f"{value:.4f}"
