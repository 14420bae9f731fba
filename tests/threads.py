"""Workers that are threads of this process: what they do together goes through a barrier."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

import torch
from torch import Tensor, nn

from adaptor.training.workers import Collective, Step

T = TypeVar("T")


class ThreadWorkers:
    """As many threads, each of which believes that it is a process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every thread; its results by rank. An error in one of them ends the others."""
        barrier, board = Barrier(self.size, timeout=60), [torch.empty(0)] * self.size

        def work(rank: int) -> T:
            try:
                return fn(_Thread(rank, self.size, barrier, board))
            except BaseException:
                barrier.abort()
                raise

        with ThreadPoolExecutor(self.size) as pool:
            futures = [pool.submit(work, rank) for rank in range(self.size)]
        errors = [error for future in futures if (error := future.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, BrokenBarrierError)):
            raise error
        return [future.result() for future in futures]


class _Thread:
    def __init__(self, rank: int, size: int, barrier: Barrier, board: list[Tensor]) -> None:
        self.rank, self.size = rank, size
        self._barrier, self._board = barrier, board

    def mean_(self, tensor: Tensor) -> None:
        mean = torch.stack(self._shown(tensor)).mean(0)
        self._barrier.wait()
        tensor.copy_(mean)

    def broadcast_(self, module: nn.Module) -> None:
        for value in module.state_dict().values():
            self.receive_(value, 0)

    def receive_(self, tensor: Tensor, sender: int) -> None:
        sent = self._shown(tensor)[sender]
        assert sent.shape == tensor.shape  # as Horovod has it
        if self.rank != sender:
            tensor.copy_(sent)
        self._barrier.wait()

    def advance(self, step: Step) -> None:
        """Nobody hears of it."""

    def _shown(self, tensor: Tensor) -> list[Tensor]:
        """What each thread shows the others, until all have passed the barrier once more."""
        self._board[self.rank] = tensor.detach()
        self._barrier.wait()
        return list(self._board)
