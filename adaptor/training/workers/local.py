"""Training in the calling process, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from adaptor.training.workers import Collective, OnStep, Step
from adaptor.training.workers.devices import require_gpu

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


def nobody_listens(step: Step) -> None:
    """An `OnStep` for training that nobody watches."""


class Alone:
    """The collective of one."""

    rank = 0
    size = 1

    def __init__(self, on_step: OnStep = nobody_listens) -> None:
        self._on_step = on_step

    def mean_(self, tensor: Tensor) -> None:
        """The mean over one worker is what it is."""

    def broadcast_(self, module: nn.Module) -> None:
        """There is no other worker."""

    def receive_(self, tensor: Tensor, sender: int) -> None:
        """Nobody else sends."""

    def advance(self, step: Step) -> None:
        """Say so."""
        self._on_step(step)


class LocalWorkers:
    """One worker: this process."""

    size = 1

    def __init__(self, on_step: OnStep = nobody_listens, gpus: bool = False) -> None:
        """Raises `AdaptorError` where a GPU is asked for and torch sees none."""
        if gpus:
            require_gpu("this machine")
        self._on_step = on_step

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` here, once."""
        return [fn(Alone(self._on_step))]
