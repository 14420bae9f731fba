"""Numbers as people read them."""

from __future__ import annotations

from datetime import datetime


def in_ms(value: float) -> str:
    """Milliseconds at the two digits that are certain, or all before the point."""
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.2g} ms"


def in_cell(value: object) -> str:
    """A value of a table: nothing and NaN as a dash, numbers at four digits, times to the second."""
    if value is None or value != value:
        return "-"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")[:19]
    return str(value)
