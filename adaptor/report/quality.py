"""Panels of what is kept: by width, by bytes, over runs, of each data set and of each stratum."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import numpy as np

from adaptor.evaluation.measurement import ADAPTOR, SVD, TRUNCATION, Measurement, Variant
from adaptor.evaluation.rules import share_kept
from adaptor.report.charts import bars, dated, doubling, lines, percent
from adaptor.report.contents import Chart, DatedFigure, Panel

MOST_STRATA = 20  # strata that are shown, the worst of them
POWERS = [4 << power for power in range(16)]  # of two, bytes that an axis names


def by_width(measurements: Sequence[Measurement]) -> Panel:
    """What each width keeps, stored as the target stores it, beside SVD and truncation."""
    charts, rows = [], []
    for one in measurements:
        baselines = [Variant(name, dim) for name in (SVD, TRUNCATION) for dim in one.dims]
        variants = [v for v in (*map(one.shipped, one.dims), *baselines) if v in one.values]
        values = [_kept(one, variant, variant.candidate) for variant in variants]
        charts.append(_kept_lines(one, values, doubling("dim", "numbers a row", one.dims), "that each width keeps"))
        rows += [(one.data_set, v["series"], v["dim"], v["figure"], v["kept"], v["low"], v["high"]) for v in values]
    return Panel(
        "Quality by width",
        "Share of the full width's figure that each width keeps; the bands are 95 % intervals over queries.",
        charts,
        ("data set", "candidate", "width", "figure", "kept", "from", "to"),
        rows,
    )


def by_bytes(measurements: Sequence[Measurement]) -> Panel:
    """What each encoding keeps at its bytes, beside float32 prefixes of SVD and of the original."""
    charts, rows = [], []
    for one in measurements:
        variants = [v for v in one.values if v.candidate in (ADAPTOR, SVD, TRUNCATION) and not v.shortlist]
        values = [_kept(one, v, v.encoding if v.candidate == ADAPTOR else v.candidate) for v in variants]
        values.sort(key=lambda value: (str(value["series"]), value["bytes"]))
        charts.append(_kept_lines(one, values, doubling("bytes", "bytes a row", POWERS), "by the bytes of a row"))
        rows += [(one.data_set, v["series"], v["dim"], v["bytes"], v["kept"], v["low"], v["high"]) for v in values]
    return Panel(
        "Quality by bytes",
        "The same by what a row takes: the adaptor in each encoding, SVD and plain truncation as float32.",
        charts,
        ("data set", "stored as", "width", "bytes", "kept", "from", "to"),
        rows,
    )


def _kept_lines(one: Measurement, values: list[dict[str, object]], x: alt.X, how: str) -> Chart:
    """Of one data set what is kept, with its bands and the full width across."""
    says = f"Share of the full width's {one.metric} on {one.data_set} {how}"
    return Chart(says, lines(values, x, percent("kept", f"{one.metric} kept"), band=True, rule_at=1.0), one.data_set)


def over_runs(figures: Sequence[DatedFigure]) -> Panel | None:
    """How the adaptor's figure went from one evaluation to the next, a chart a data set; None for a single one."""
    if len({figure.at for figure in figures}) < 2:
        return None
    charts = []
    for data_set in dict.fromkeys(figure.data_set for figure in figures):
        mine = [figure for figure in figures if figure.data_set == data_set]
        values = [
            {"at": f.at.isoformat(), "value": f.value, "series": str(f.dim), "says": f"{f.dim}: {f.value:.4f}"}
            for f in sorted(mine, key=lambda figure: (figure.dim, figure.at))
        ]
        y = alt.Y("value:Q", title=mine[0].name, scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f"))
        charts.append(Chart(f"{mine[0].name} on {data_set} over runs, a line a width", dated(values, y), data_set))
    return Panel(
        "Quality over runs",
        "A line a width: what the adaptor had at each evaluation.",
        charts,
        ("at", "data set", "metric", "width", "figure"),
        [(f.at, f.data_set, f.name, f.dim, f.value) for f in figures],
    )


def across_data_sets(measurements: Sequence[Measurement]) -> Panel | None:
    """What ships on each data set; None where there is one."""
    if len(measurements) < 2:
        return None
    values = [_kept(one, one.shipped(dim), one.data_set) for one in measurements for dim in one.dims]
    dims = sorted({dim for one in measurements for dim in one.dims})
    chart = lines(values, doubling("dim", "numbers a row", dims), percent("kept", "kept"), rule_at=1.0)
    return Panel(
        "Data sets compared",
        "Share of each data set's own full width that each width keeps.",
        [Chart("Share of the full width that is kept, a line a data set", chart)],
        ("data set", "metric", "full width", *map(str, dims)),
        [
            (
                one.data_set,
                one.metric,
                one.mean(one.full),
                *(one.retention(one.shipped(dim)) if dim in one.dims else None for dim in dims),
            )
            for one in measurements
        ],
    )


def strata(measurements: Sequence[Measurement], variant: Variant) -> Panel | None:
    """What each stratum keeps at the width that was chosen, the worst first; None where there are no strata."""
    rows: list[tuple[str, str, int, float, float, float]] = []
    for one in measurements:
        if one.strata is not None and variant in one.values:
            rows += _rows_of_strata(one, variant)
    if not rows:
        return None
    rows.sort(key=lambda row: (np.isnan(row[5]), row[5]))
    worst, others = rows[:MOST_STRATA], len(rows) - MOST_STRATA
    several = len({row[0] for row in rows}) > 1
    names = [f"{row[1]} ({row[0]})" if several else row[1] for row in worst]
    values = [
        {"name": name, "kept": row[5], "says": f"{row[5]:.1%}", "marked": number == 0}
        for number, (name, row) in enumerate(zip(names, worst))
        if not np.isnan(row[5])
    ]
    x = alt.X("kept:Q", title="kept", axis=alt.Axis(format=".0%"))
    says = f"{worst[0][1]} keeps least of its own full width."
    if others > 0:
        says += f" The worst {MOST_STRATA} of {len(rows):,} are shown."
    return Panel(
        "Strata",
        says,
        [Chart(f"Share of its full width that each stratum keeps at {variant}", bars(values, x, names))],
        ("data set", "stratum", "queries", "full width", "figure", "kept"),
        worst,
        marked=frozenset([0]),
    )


def _rows_of_strata(one: Measurement, variant: Variant) -> list[tuple[str, str, int, float, float, float]]:
    """All strata at once: there may be as many as queries."""
    assert one.strata is not None
    labels, stratum = np.unique(np.array(one.strata, dtype=object), return_inverse=True)
    full, values = one.of(one.full), one.of(variant)
    counted = ~np.isnan(full) & ~np.isnan(values)
    counts = np.bincount(stratum[counted], minlength=len(labels))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [np.bincount(stratum[counted], v[counted], len(labels)) / counts for v in (full, values)]
        kept = np.where(means[0] > 0, means[1] / means[0], np.nan)
    return [
        (one.data_set, str(label), int(count), float(before), float(after), float(share))
        for label, count, before, after, share in zip(labels, counts, *means, kept)
    ]


def _kept(one: Measurement, variant: Variant, series: str) -> dict[str, object]:
    kept = share_kept(one, variant)
    return {
        "series": series,
        "dim": variant.numbers,
        "bytes": variant.bytes,
        "figure": one.mean(variant),
        "kept": kept.value,
        "low": kept.low,
        "high": kept.high,
        "says": f"{series}, {variant.bytes} bytes: {kept.value:.1%} [{kept.low:.1%}, {kept.high:.1%}]",
    }
