"""The few kinds of charts that the page is made of, in Altair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from adaptor.evaluation.measurement import SVD, TRUNCATION
from adaptor.report.theme import ALERT, colour_of

Layered = alt.LayerChart | alt.FacetChart
Values = Sequence[Mapping[str, object]]
HEIGHT = 240
DASHES = {SVD: [6, 3], TRUNCATION: [2, 3]}


def lines(values: Values, x: alt.X, y: alt.Y, band: bool = False, rule_at: float | None = None) -> Layered:
    """A line for each `series` of `values`, with a band from `low` to `high`, and a rule across where `rule_at` is.

    Fields besides those of `x` and `y`: `series`, `says` which a pointer shows, `low` and `high` for the band.
    """
    names = list(dict.fromkeys(str(value["series"]) for value in values))
    legend = alt.Legend() if len(names) > 1 else None
    base = _chart(values).encode(
        x=x,
        color=alt.Color("series:N", scale=_scale(names, [colour_of(n, i) for i, n in enumerate(names)]), legend=legend),
    )
    dashes = [DASHES.get(name, [1, 0]) for name in names]
    layers = [
        base.mark_line().encode(y=y, strokeDash=alt.StrokeDash("series:N", scale=_scale(names, dashes), legend=legend)),
        base.mark_point().encode(y=y, tooltip=alt.Tooltip("says:N", title=" ")),
    ]
    if band:
        layers.insert(0, base.mark_area(opacity=0.12).encode(y=_of(y, "low"), y2="high:Q"))
    if rule_at is not None:
        layers.insert(0, _chart([{"at": rule_at}]).mark_rule(strokeDash=[2, 2], color="var(--soft)").encode(y="at:Q"))
    return _sized(alt.layer(*layers))


def points(values: Values, x: alt.X, y: alt.Y) -> Layered:
    """A point for each of `values`, its interval from `low` to `high`; those with a `name` have it written beside."""
    names = list(dict.fromkeys(str(value["series"]) for value in values))
    kinds = [name.partition(",") for name in names]
    colours = [colour_of(kind, number) for number, (kind, _, _) in enumerate(kinds)]
    shapes = ["diamond" if more else "circle" for _, _, more in kinds]
    base = _chart(values).encode(x=x, color=alt.Color("series:N", scale=_scale(names, colours), legend=alt.Legend()))
    shape = alt.Shape("series:N", scale=_scale(names, shapes), legend=alt.Legend())
    return _sized(
        alt.layer(
            base.mark_rule(opacity=0.35).encode(y=_of(y, "low"), y2="high:Q"),
            base.mark_point().encode(y=y, shape=shape, tooltip=alt.Tooltip("says:N", title=" ")),
            base.transform_filter("datum.name").mark_point(size=200, filled=False, strokeWidth=2).encode(y=y),
            base.transform_filter("datum.name")
            .mark_text(align="left", dx=14, dy=14, fontWeight="bold")
            .encode(y=y, text="name:N", color=alt.value("var(--ink)")),
        )
    )


def bars(values: Values, x: alt.X, order: Sequence[str]) -> Layered:
    """A lying bar for each of `values` under its `name`, its `says` written at its end; those `marked` stand out."""
    axis = alt.Axis(grid=False, labelLimit=180, labelColor="var(--ink)")
    names = alt.Y("name:N", sort=list(order), title=None, axis=axis)
    colour = alt.condition("datum.marked", alt.value("var(--accent)"), alt.value("var(--faint)"))
    base = _chart(values).encode(x=x, y=names)
    chart = alt.layer(
        base.mark_bar(cornerRadiusEnd=3, height={"band": 0.6}).encode(color=colour),
        base.mark_text(align="left", dx=6).encode(text="says:N"),
    )
    return chart.properties(width="container", height=30 * len(values))


def dated(values: Values, y: alt.Y) -> Layered:
    """A line for each `series` over the times `at`; what `is_alert` is marked."""
    chart = lines(values, alt.X("at:T", title=None, axis=alt.Axis(tickCount=4, labelOverlap=True)), y)
    alerts = (
        _chart([value for value in values if value.get("is_alert")])
        .mark_point(shape="triangle-up", size=140, color=ALERT)
        .encode(x="at:T", y=y, tooltip=alt.Tooltip("says:N", title=" "))
    )
    return alt.layer(chart, alerts) if any(value.get("is_alert") for value in values) else chart


def percent(field: str, title: str) -> alt.Y:
    """A share, on an axis that shows where the values lie."""
    return alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format=".0%"), scale=alt.Scale(zero=False))


def doubling(field: str, title: str, values: Sequence[float]) -> alt.X:
    """Widths or bytes, of which each doubling takes as much room as the last."""
    ticks = sorted(set(values))
    return alt.X(
        f"{field}:Q",
        title=title,
        scale=alt.Scale(type="log", base=2, nice=False),
        axis=alt.Axis(values=ticks, format=",d", labelOverlap=True),
    )


def _chart(values: Values) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=[dict(value) for value in values]))


def _of(y: alt.Y, field: str) -> alt.Y:
    """The same axis for another field."""
    other = y.copy()
    other.shorthand = f"{field}:Q"
    return other


def _scale(names: Sequence[str], values: Sequence[Any]) -> alt.Scale:
    return alt.Scale(domain=list(names), range=list(values))


def _sized(chart: Layered) -> Layered:
    return chart.properties(width="container", height=HEIGHT)
