"""How far workers in other processes are: the first of them says it in a file, and the driver looks at it.

A file where every worker reaches it anyway, with the sample, works on one machine and on object storage, and needs no
port. Progress is for people: whatever goes wrong with it, training goes on.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from adaptor.storage import read_whole, remove_folder, write_whole
from adaptor.training.workers import Collective, OnStep, Step, Workers

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")

TELL_SECONDS = 1.0
FILE = "step.json"


class Watched:
    """`workers`, of whose steps this process hears: by files in the folder `url`, which is removed at the end."""

    def __init__(self, workers: Workers, url: str, hear: OnStep) -> None:
        self.size = workers.size
        self._workers, self._url, self._hear = workers, url, hear

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker; its results by rank."""
        with self._looking():
            return self._workers.run(partial(_tell, fn, self._url))

    @contextlib.contextmanager
    def _looking(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._look, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            with contextlib.suppress(Exception):
                remove_folder(self._url)

    def _look(self, ended: threading.Event) -> None:
        seen = None
        while not ended.wait(TELL_SECONDS / 2):
            with contextlib.suppress(Exception):
                said = read_whole(self._url, FILE)
                if said is not None and said != seen:
                    seen = said
                    self._hear(Step(**json.loads(said)))


class _Telling:
    """A collective whose first worker says once a second how far it is."""

    def __init__(self, collective: Collective, url: str) -> None:
        self.rank, self.size = collective.rank, collective.size
        self._collective, self._url, self._said = collective, url, float("-inf")

    def mean_(self, tensor: Tensor) -> None:
        self._collective.mean_(tensor)

    def broadcast_(self, module: nn.Module) -> None:
        self._collective.broadcast_(module)

    def receive_(self, tensor: Tensor, sender: int) -> None:
        self._collective.receive_(tensor, sender)

    def advance(self, step: Step) -> None:
        if self.rank == 0 and time.monotonic() - self._said >= TELL_SECONDS:
            self._said = time.monotonic()
            with contextlib.suppress(Exception):
                write_whole(self._url, FILE, json.dumps(asdict(step)).encode())


def _tell(fn: Callable[[Collective], T], url: str, collective: Collective) -> T:
    return fn(_Telling(collective, url))
