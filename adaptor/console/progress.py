"""One bar for a job's rows: how many, how fast, how much is done, how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from adaptor.console.app import console

LINE_SECONDS = 30  # where there is no terminal: between one line and the next


class Bar:
    """A bar on a terminal; elsewhere a line through `report` every half minute.

    `total` rows, None where nobody knows.
    """

    def __init__(self, total: int | None, report: Callable[[str], None]) -> None:
        self._total, self._report = total, report
        self._done = self._new = 0
        self._started = self._said = time.monotonic()
        left = TimeRemainingColumn(elapsed_when_finished=True)
        columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), _Rows(), left)
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task("rows", total=total, speed=0.0)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, rows: int, new: bool = True) -> None:
        """`rows` more are done; those that an earlier run wrote are not `new` and say nothing of the speed."""
        self._done += rows
        self._new += rows if new else 0
        now = time.monotonic()
        speed = self._new / max(now - self._started, 1e-9)
        self._progress.update(self._task, completed=self._done, speed=speed)
        if self._progress.disable and now - self._said >= LINE_SECONDS:
            self._said = now
            self._report(self._line(speed))

    def _line(self, speed: float) -> str:
        if not self._total:
            return f"{self._done:,} rows, {speed:,.0f} rows/s"
        left = (self._total - self._done) / speed if speed else 0
        return (
            f"{self._done:,} of {self._total:,} rows ({self._done / self._total:.0%}), {speed:,.0f} rows/s, "
            f"{left:,.0f} s left"
        )


class _Rows(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed:,.0f} rows, {task.fields['speed']:,.0f} rows/s")
