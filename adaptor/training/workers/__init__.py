"""Where training runs. A `Workers` starts processes, a `Collective` joins them inside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


class Collective(Protocol):
    """What a worker knows of the others."""

    rank: int
    size: int

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor`, in place, by its mean over all workers."""

    def broadcast_(self, module: nn.Module) -> None:
        """Give every worker the parameters of rank 0, in place."""

    def advance(self, step: int, steps: int) -> None:
        """Step `step` of `steps` at most is done."""


class Workers(Protocol):
    """Somewhere to run a function, once a worker."""

    @property
    def size(self) -> int:
        """How many workers there are."""

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker; its results by rank."""
