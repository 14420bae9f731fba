"""A job's progress for a person: dim lines, and a bar for its rows where there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from adaptor.console.app import console, progress
from adaptor.spark.progress import Progress, RowCount


class ConsoleProgress(Progress):
    """Lines on the console; rows as a bar on a terminal, elsewhere as lines too."""

    def __init__(self) -> None:
        super().__init__(progress)

    @contextmanager
    def rows(self, total: int | None) -> Iterator[RowCount]:
        """Count rows, of `total` in all, None where nobody knows."""
        if not console.is_terminal:
            yield RowCount(total, self)
            return
        left = TimeRemainingColumn(elapsed_when_finished=True)
        with RichProgress(BarColumn(), TextColumn("{task.percentage:>3.0f}%"), _Rows(), left, console=console) as bar:
            yield _Bar(total, self, bar)


class _Bar(RowCount):
    def __init__(self, total: int | None, progress: Progress, bar: RichProgress) -> None:
        super().__init__(total, progress)
        self._bar = bar
        self._task = bar.add_task("rows", total=total, speed=0.0)

    def show(self) -> None:
        self._bar.update(self._task, completed=self.done, speed=self.speed)


class _Rows(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed:,.0f} rows, {task.fields['speed']:,.0f} rows/s")
