"""How charts look: colours by meaning, as variables of the page's style, which light, dark and print set."""

from __future__ import annotations

from adaptor.evaluation.measurement import ADAPTOR, ORIGINAL, SVD, TRUNCATION

COLOURS = {
    ADAPTOR: "var(--accent)",
    SVD: "var(--second)",
    TRUNCATION: "var(--faint)",
    ORIGINAL: "var(--ink)",
    "float32": "var(--accent)",
    "int8": "var(--warm)",
    "binary": "var(--cool)",
    "bits": "var(--rose)",
}
SERIES = ("var(--accent)", "var(--warm)", "var(--cool)", "var(--second)", "var(--rose)", "var(--leaf)")
GOOD_ON_BOTH = ("#0d9488", "#d97706", "#6366f1", "#db2777", "#65a30d", "#0284c7", "#a16207", "#9333ea")
"""Of points on a canvas, which knows no variables: to be told apart on white and on black."""
ALERT = "var(--alert)"

CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "domain": False,
        "ticks": False,
        "grid": True,
        "gridColor": "var(--line)",
        "labelColor": "var(--soft)",
        "titleColor": "var(--soft)",
        "titleFontWeight": "normal",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "labelPadding": 6,
        "titlePadding": 8,
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--line)"},
    "legend": {
        "orient": "top",
        "title": None,
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "symbolStrokeWidth": 3,
        "symbolOpacity": 1,
        "columns": 4,
    },
    "line": {"strokeWidth": 2.5, "strokeCap": "round"},
    "point": {"size": 45, "filled": True, "opacity": 1},
    "text": {"color": "var(--ink)", "fontSize": 12},
}


def colour_of(name: str, number: int) -> str:
    """The colour of a series: by what it is, or by its number."""
    return COLOURS.get(name, SERIES[number % len(SERIES)])
