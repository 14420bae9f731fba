"""What a job says while it works: a line a stage, and in between how much of its rows or steps is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from adaptor.training.workers import Step

LINE_SECONDS = 10  # a job says something at least this often


@dataclass(frozen=True)
class Tasks:
    """Spark's tasks of the stages that run now."""

    done: int
    total: int

    @property
    def share(self) -> float:
        """How much of them is done, from 0 to 1."""
        return self.done / self.total if self.total else 0.0


NO_TASKS = Tasks(0, 0)


class Count:
    """Rows or steps: how many are done, and of those that this run did, how many a second."""

    def __init__(self, total: int | None, unit: str, progress: Progress) -> None:
        self.total, self.unit, self._progress = total, unit, progress
        self.done = self._new = self._expected = self._most = 0
        self._started = time.monotonic()

    def expect(self, more: int) -> None:
        """`more` are at work now, in Spark's tasks: what is done of those tells how many of these are."""
        self._expected = more

    def advance(self, more: int, new: bool = True) -> None:
        """`more` are done; those that an earlier run did are not `new` and say nothing of the speed."""
        self.done += more
        self._new += more if new else 0
        self._expected = 0
        self._progress.tick()

    def so_far(self, tasks: Tasks = NO_TASKS) -> int:
        """How many are done, with those that the tasks at work have done by now.

        Never fewer than before: work may have several stages, each with tasks of its own.
        """
        self._most = max(self._most, self.done + int(self._expected * tasks.share))
        return self._most

    def line(self, tasks: Tasks = NO_TASKS) -> str:
        """How many are done, how fast, and how long the rest will take."""
        done, seconds = self.so_far(tasks), time.monotonic() - self._started
        speed = (self._new + done - self.done) / max(seconds, 1e-9)
        if not self.total:
            return f"{done:,} {self.unit}, {speed:,.0f} {self.unit}/s"
        if not speed:
            at_work = f", {tasks.done:,} of {tasks.total:,} Spark tasks" if tasks.total else ""
            return f"{done:,} of {self.total:,} {self.unit}{at_work}"
        left = f"{(self.total - done) / speed:,.0f} s left"
        return f"{done:,} of {self.total:,} {self.unit} ({done / self.total:.0%}), {speed:,.0f} {self.unit}/s, {left}"


class Steps(Count):
    """Steps of a training, with what its first worker says of them."""

    def __init__(self, first: Step, progress: Progress) -> None:
        super().__init__(first.steps, "steps", progress)
        self._last = first
        self.done = first.number  # since when it took, nobody knows

    def reach(self, step: Step) -> None:
        """Training is at `step`."""
        self._last = step
        self.advance(step.number - self.done)

    def line(self, tasks: Tasks = NO_TASKS) -> str:
        """Step, loss, held-out figure, speed, and how long the rest will take at most."""
        last, speed = self._last, self._new / max(time.monotonic() - self._started, 1e-9)
        parts = [f"{self.done:,} of {last.steps:,} steps ({self.done / last.steps:.0%})"]
        parts += [] if last.loss is None else [f"loss {last.loss:.4f}"]
        parts += [] if last.score is None else [f"held-out {last.score:.4f}"]
        if speed:
            parts += [f"{speed * last.rows:,.0f} rows/s" if last.rows else f"{speed:,.0f} steps/s"]
            parts += [f"{(last.steps - self.done) / speed:,.0f} s left"]
        return ", ".join(parts)


class Progress:
    """Lines by `report`: one a stage, and when the last is `LINE_SECONDS` ago, one about what is done of it.

    Whoever makes one calls `tick` now and then, from a thread if need be.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self.count: Count | None = None
        self._began = self._said = time.monotonic()

    def __call__(self, line: str) -> None:
        """Say what is being done from here on."""
        self._began = time.monotonic()
        if isinstance(self.count, Steps):  # training that stopped early
            self.count = None
        self._say(line)

    @contextmanager
    def rows(self, total: int | None) -> Iterator[Count]:
        """Count rows, of `total` in all, None where nobody knows."""
        self.count = count = Count(total, "rows", self)
        try:
            yield count
        finally:
            self.count = None

    def step(self, step: Step) -> None:
        """Training has done a step; the first one that is heard of may have been done by an earlier run."""
        if not isinstance(self.count, Steps) or step.number < self.count.done:
            self.count = Steps(step, self)
        self.count.reach(step)
        if step.number == step.steps:
            self.count = None

    def tick(self, tasks: Tasks = NO_TASKS) -> None:
        """A line, if the last one is some time ago."""
        if time.monotonic() - self._said >= LINE_SECONDS:
            self._say(f"... {self.status(tasks)}")

    def status(self, tasks: Tasks = NO_TASKS) -> str:
        """How far the stage is."""
        seconds = time.monotonic() - self._began
        if self.count is not None:
            return self.count.line(tasks)
        if not tasks.total:
            return f"{seconds:,.0f} s"
        return f"{seconds:,.0f} s, {tasks.done:,} of {tasks.total:,} Spark tasks"

    def _say(self, line: str) -> None:
        self._said = time.monotonic()
        self._report(line)


def as_progress(report: Callable[[str], None]) -> Progress:
    """`report` itself, if it can count rows, else lines through it."""
    return report if isinstance(report, Progress) else Progress(report)
