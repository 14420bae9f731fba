"""A job's progress for a person: on a terminal a bar under the lines, elsewhere a line every ten seconds."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from adaptor.console.app import console, progress
from adaptor.spark.progress import Progress
from adaptor.spark.session import open_session, tasks_at_work

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LOOKS_A_SECOND = 2


class ConsoleProgress(Progress):
    """Lines on the console, and while a `with` block lasts, how far the stage is."""

    def __init__(self, spark: SparkSession, on: Console = console) -> None:
        super().__init__(progress)
        self._spark, self._bar = spark, _Bar(on) if on.is_terminal else None
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()
        if self._bar is not None:
            self._bar.stop()

    def _look(self) -> None:
        """Look what is done by now, until the block ends."""
        while not self._ended.wait(1 / LOOKS_A_SECOND):
            tasks = tasks_at_work(self._spark)
            if self._bar is None:
                self.tick(tasks)
                continue
            count = self.count
            done, total = (tasks.done, tasks.total) if count is None else (count.so_far(tasks), count.total)
            self._bar.show(self.status(tasks), done, total or None)


@contextmanager
def at_work(name: str) -> Iterator[tuple[SparkSession, ConsoleProgress]]:
    """Spark for a job, and the job's progress while the block lasts."""
    progress("starting Spark")
    spark = open_session(name, progress=False)
    with ConsoleProgress(spark) as said:
        said("opening tables")
        yield spark, said


class _Bar(Bar):
    """One bar, which vanishes at its end."""

    def __init__(self, on: Console) -> None:
        status = TextColumn("{task.fields[status]}")
        super().__init__(SpinnerColumn(), BarColumn(), status, console=on, transient=True)
        self._task = self.add_task("", total=None, status="")

    def show(self, status: str, done: int, total: int | None) -> None:
        """Draw `done` of `total`, None where nobody knows."""
        self.update(self._task, completed=done, total=total, status=escape(status))
