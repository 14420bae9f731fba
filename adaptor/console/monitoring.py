"""What the monitor prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from adaptor.console.app import console

if TYPE_CHECKING:
    from adaptor.spark.monitor import Monitored


def print_monitored(monitored: Monitored) -> None:
    """Every check with its band, then each alert in a sentence."""
    what = "new rows" if monitored.new_rows_only else "rows"
    table = Table(title=f"{monitored.rows:,} {what} of {escape(str(monitored.source))}", title_justify="left")
    table.add_column("check")
    for name in ("figure", "from", "to"):
        table.add_column(name, justify="right")
    table.add_column("")
    for check in monitored.checks:
        numbers = (f"{number:.4g}" for number in (check.value, check.low, check.high))
        table.add_row(escape(check.name), *numbers, "ALERT" if check.is_alert else "")
    console.print(table)
    for alert in monitored.alerts:
        console.print(f"alert        {escape(alert.sentence)}")
    for note in monitored.notes:
        console.print(f"note         {escape(note)}")
    if monitored.refit:
        console.print(f"refit        {escape(monitored.refit)}")
    came_out = f"{len(monitored.alerts)} alerts" if monitored.alerts else "nothing has changed"
    console.print(f"monitor      {came_out}, version {monitored.version}")
    console.print(f"read         {monitored.read_share:.1%} of the source's bytes at most")
    console.print(f"took         {monitored.seconds:.0f} s")
