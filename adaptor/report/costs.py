"""Panels of what things cost: storing and searching against quality, and what the jobs took."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import altair as alt
from rich.filesize import decimal

from adaptor.evaluation.recommendation import Option, Recommendation, amount
from adaptor.report.charts import bars, dated, percent, points
from adaptor.report.contents import Chart, JobRun, Panel


def cost_against_quality(advice: Recommendation) -> Panel:
    """Each way to store the rows: what a month of it costs and what a query takes, against what it keeps."""
    values = [_option(advice, option) for option in advice.options]
    kept = percent("kept", "kept")
    has_price = advice.full_month is not None
    what = "price of storage, a month" if has_price else "bytes of all rows"
    axis = alt.Axis(format="~g" if has_price else "~s", labelOverlap=True)
    x = alt.X("month:Q" if has_price else "stored:Q", title=what, scale=alt.Scale(type="log"), axis=axis)
    charts = [Chart(f"Share kept against {what}, a point a width and encoding", points(values, x, kept), what)]
    timed = [value for value in values if value["ms"] is not None]
    if timed:
        x = alt.X(
            "ms:Q", title="ms a query", scale=alt.Scale(type="log"), axis=alt.Axis(format="~g", labelOverlap=True)
        )
        charts.append(Chart("Share kept against ms a query", points(timed, x, kept), "search, ms a query, one process"))
    columns = ("stored as", "width", "rescored", "bytes a row", "kept", "from", "to", "sure", "ms a query", "a month")
    return Panel(
        "Cost against quality",
        f"Every way to store and search {advice.rows:,} rows. The upper left is the place to be; the ring is what to "
        "take. Rescored: the original's vectors put a query's first hits in order.",
        charts,
        columns,
        [
            (o.variant.encoding, o.variant.numbers, o.variant.shortlist or None, o.variant.bytes, o.retention.value,
             o.retention.low, o.retention.high, o.sure, value["ms"], o.month)
            for o, value in zip(advice.options, values)
        ],
        marked=frozenset(i for i, option in enumerate(advice.options) if option is advice.chosen),
    )  # fmt: skip


def storage(advice: Recommendation) -> Panel:
    """What all rows take as they are, and as the smallest of each encoding that certainly holds the rules."""
    smallest: dict[str, Option] = {}
    for option in advice.options:
        if option.holds and option.is_certain and not option.variant.shortlist:
            smallest.setdefault(option.variant.encoding, option)
    stored = [("original", advice.full_bytes, advice.full_month, False)]
    for option in smallest.values():
        name = option.variant.form
        stored.append((name, option.variant.bytes, option.month, option is advice.chosen))
    values = [
        {"name": name, "stored": size * advice.rows, "says": decimal(size * advice.rows), "marked": marked}
        for name, size, _, marked in stored
    ]
    x = alt.X("stored:Q", title=None, axis=None, scale=alt.Scale(domain=[0, advice.full_bytes * advice.rows * 1.15]))
    rules = " and ".join(rule.text for rule in advice.rules)
    return Panel(
        "Storage saved",
        f"Bytes of {advice.rows:,} rows: the original, and the smallest of each encoding that certainly holds {rules}.",
        [Chart("Bytes of all rows", bars(values, x, [name for name, *_ in stored]))],
        ("stored as", "bytes a row", "bytes of all rows", "a month", "share of the original"),
        [(name, size, size * advice.rows, month, size / advice.full_bytes) for name, size, month, _ in stored],
        marked=frozenset(number for number, row in enumerate(stored) if row[3]),
    )


def runs_over_time(runs: Sequence[JobRun]) -> Panel | None:
    """Time, throughput and price of each job's runs; None where there are none."""
    if not runs:
        return None
    figures: list[tuple[str, Callable[[JobRun], float | None]]] = [
        ("seconds", lambda run: run.seconds),
        ("rows a second", lambda run: run.rows / run.seconds if run.seconds > 0 else None),
        ("price of a run", lambda run: run.price),
    ]
    charts = []
    for title, figure in figures:
        values = [
            {"at": run.started_at.isoformat(), "value": value, "series": run.job, "says": f"{run.job}: {amount(value)}"}
            for run in sorted(runs, key=lambda run: (run.job, run.started_at))
            if (value := figure(run)) is not None
        ]
        if values:
            y = alt.Y("value:Q", title=None, axis=alt.Axis(format="~s" if "price" not in title else "~g"))
            charts.append(Chart(f"{title} of each run", dated(values, y), title))
    return Panel(
        "Time, throughput and cost over runs",
        "What each run of a job took. Core seconds are task time and the driver's own.",
        charts,
        ("started", "job", "data set", "rows", "seconds", "core seconds", "rows a second", "price"),
        [
            (r.started_at, r.job, r.data_set, r.rows, r.seconds, r.core_seconds, figures[1][1](r), r.price)
            for r in sorted(runs, key=lambda run: run.started_at)
        ],
    )


def _option(advice: Recommendation, option: Option) -> dict[str, object]:
    variant, kept = option.variant, option.retention
    seconds = option.search_seconds
    rescored = f", {variant.shortlist} rescored" if variant.shortlist else ""
    chosen = option is advice.chosen
    return {
        "series": f"{variant.encoding}{', rescored' if rescored else ''}",
        "kept": kept.value,
        "low": kept.low,
        "high": kept.high,
        "month": option.month,
        "stored": variant.bytes * advice.rows,
        "ms": None if seconds is None else seconds * advice.rows / 1e3,
        "name": variant.form if chosen else "",
        "says": f"{variant.form}{rescored}: {kept.value:.1%}, {variant.bytes} bytes a row",
    }
