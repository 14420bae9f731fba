"""Where training runs. A `Workers` starts processes, a `Collective` joins them inside one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """How far training is: step `number` of `steps` at most is done."""

    number: int
    steps: int
    loss: float | None = None  # of this worker's batches in this step
    score: float | None = None  # the last held-out figure, where rows judge
    rows: int = 0  # that all workers together compare in a step
    device: str = "cpu"


OnStep = Callable[[Step], None]
"""Hears of each step of training that is done."""


class Collective(Protocol):
    """What a worker knows of the others."""

    rank: int
    size: int

    def mean_(self, tensor: Tensor) -> None:
        """Replace `tensor`, in place, by its mean over all workers."""

    def broadcast_(self, module: nn.Module) -> None:
        """Give every worker the parameters of rank 0, in place."""

    def receive_(self, tensor: Tensor, sender: int) -> None:
        """Replace `tensor`, in place, by that of the worker `sender`; all workers call it, with equal shapes."""

    def advance(self, step: Step) -> None:
        """A step is done."""


class Workers(Protocol):
    """Somewhere to run a function, once a worker."""

    @property
    def size(self) -> int:
        """How many workers there are."""

    def run(self, fn: Callable[[Collective], T]) -> list[T]:
        """Call `fn` in every worker; its results by rank."""
