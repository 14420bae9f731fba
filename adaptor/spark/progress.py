"""What a job says while it works: a line a step, and how many of its rows are done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LINE_SECONDS = 10  # between one line about rows and the next


class Progress:
    """Lines by `report`. Where there is a terminal, a subclass draws a bar instead of the lines about rows."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report

    def __call__(self, line: str) -> None:
        """Say what is being done."""
        self._report(line)

    @contextmanager
    def rows(self, total: int | None) -> Iterator[RowCount]:
        """Count rows, of `total` in all, None where nobody knows."""
        yield RowCount(total, self)


class RowCount:
    """Rows that are done, and of those that this run wrote, how many a second."""

    def __init__(self, total: int | None, progress: Progress) -> None:
        self.total, self._progress = total, progress
        self.done = self._new = 0
        self._started = self._said = time.monotonic()

    def advance(self, rows: int, new: bool = True) -> None:
        """`rows` more are done; those that an earlier run wrote are not `new` and say nothing of the speed."""
        self.done += rows
        self._new += rows if new else 0
        self.show()

    def show(self) -> None:
        """A line, if the last one is some time ago."""
        now = time.monotonic()
        if now - self._said >= LINE_SECONDS:
            self._said = now
            self._progress(self.line())

    @property
    def speed(self) -> float:
        """Rows a second."""
        return self._new / max(time.monotonic() - self._started, 1e-9)

    def line(self) -> str:
        """How many rows are done, how fast, and how long the rest will take."""
        speed = self.speed
        if not self.total:
            return f"{self.done:,} rows, {speed:,.0f} rows/s"
        left = f"{(self.total - self.done) / speed:,.0f} s left" if speed else "no new ones yet"
        return f"{self.done:,} of {self.total:,} rows ({self.done / self.total:.0%}), {speed:,.0f} rows/s, {left}"


def as_progress(report: Callable[[str], None]) -> Progress:
    """`report` itself, if it can count rows, else lines through it."""
    return report if isinstance(report, Progress) else Progress(report)
