"""Workers that start again when one of them dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from adaptor.training.workers import Collective, Workers
from adaptor.training.workers.failures import WorkerDied

T = TypeVar("T")


class Restarting:
    """`workers`, started again up to `restarts` times when one is killed or crashes; then its end is the job's.

    What they are asked to do must be the same however often they begin: training goes on from its checkpoint.
    """

    def __init__(self, workers: Workers, restarts: int, report: Callable[[str], None]) -> None:
        self.size = workers.size
        self._workers, self._restarts, self._report = workers, restarts, report

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker; its results by rank."""
        for restart in range(1, self._restarts + 1):
            try:
                return self._workers.run(fn)
            except WorkerDied as died:
                self._report(f"{died}; restart {restart} of {self._restarts}, from the last checkpoint if there is one")
        return self._workers.run(fn)
