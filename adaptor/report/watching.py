"""Panels of what the monitor saw: each check over time, and its alerts."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from adaptor.report.charts import dated
from adaptor.report.contents import Chart, DatedAlert, DatedFigure, Panel


def drift(figures: Sequence[DatedFigure], alerts: Sequence[DatedAlert]) -> Panel | None:
    """A chart a check, its alerts marked; None where the monitor has not run."""
    if not figures:
        return None
    charts = []
    for name in dict.fromkeys(figure.name for figure in figures):
        values: list[dict[str, object]] = [
            {"at": f.at.isoformat(), "value": f.value, "series": name, "says": f"{f.at:%Y-%m-%d %H:%M}: {f.value:.4g}"}
            for f in sorted(figures, key=lambda figure: figure.at)
            if f.name == name
        ]
        values += [
            {"at": a.at.isoformat(), "value": a.value, "series": name, "says": a.sentence, "is_alert": True}
            for a in alerts
            if a.name == name and a.value is not None
        ]
        y = alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=3, format="~g"), scale=alt.Scale(zero=False))
        charts.append(Chart(f"{name} at each run of the monitor", dated(values, y).properties(height=110), name))
    said = f"{len(alerts)} alerts, marked by triangles." if alerts else "No check has left its band."
    return Panel(
        "Drift",
        f"What the monitor saw, a chart a check. {said}",
        charts,
        ("at", "check", "figure"),
        [(f.at, f.name, f.value) for f in figures],
    )


def alerts_panel(alerts: Sequence[DatedAlert]) -> Panel | None:
    """The alerts in words, the last first; None where there are none."""
    if not alerts:
        return None
    last_first = sorted(alerts, key=lambda alert: alert.at, reverse=True)
    rows = [(alert.at, alert.name, alert.sentence) for alert in last_first]
    return Panel(
        "Alerts", "What has stopped being true, the last first.", [], ("at", "check", "alert"), rows, is_open=True
    )
