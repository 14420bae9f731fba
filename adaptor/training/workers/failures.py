"""How workers fail: what one of them brings back instead of a result, and what the caller hears of it."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from adaptor.errors import AdaptorError


class WorkerError(Exception):
    """An unforeseen error in a worker, by its last line; the worker's traceback is its note."""


class WorkerDied(AdaptorError):
    """A worker was killed or crashed: nothing is wrong with what it was asked to do, so it may be asked again."""

    @classmethod
    def by(cls, exit_code: str) -> WorkerDied:
        """What is said of a process that ended by a signal."""
        return cls(
            f"a training worker was killed or crashed (exit code {exit_code}), most often for want of memory; "
            "its executor's log may say more; set sample.rows lower or spark.executor.memoryOverhead higher"
        )


@dataclass(frozen=True)
class Failure:
    """What a worker brings back instead of a result."""

    rank: int
    sentence: str
    trace: str
    foreseen: bool  # an AdaptorError, written for the reader
    follows: bool  # from another worker's end, so it is not the cause

    @classmethod
    def of(cls, error: Exception, rank: int, follows: bool) -> Failure:
        """An error that was just caught in worker `rank`."""
        foreseen = isinstance(error, AdaptorError)
        sentence = str(error) if foreseen else f"{type(error).__name__}: {' '.join(str(error).split())}"
        return cls(rank, sentence, traceback.format_exc(), foreseen, follows)


def raise_first(outcomes: Sequence[object]) -> None:
    """Raise the failure that the others follow from, if there is one."""
    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    if not failures:
        return
    first = min(failures, key=lambda failure: (failure.follows, failure.rank))
    error: Exception = AdaptorError(first.sentence)
    if not first.foreseen:
        error = WorkerError(f"training worker {first.rank}: {first.sentence}")
    error.add_note(f"In training worker {first.rank}:\n{first.trace}")
    raise error
