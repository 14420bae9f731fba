"""Training in the calling process, alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from adaptor.training.workers import Collective

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


class Alone:
    """The collective of one."""

    rank = 0
    size = 1

    def mean_(self, tensor: Tensor) -> None:
        """The mean over one worker is what it is."""

    def broadcast_(self, module: nn.Module) -> None:
        """There is no other worker."""


class LocalWorkers:
    """One worker: this process."""

    size = 1

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` here, once."""
        return [fn(Alone())]
