"""What training minimises. An `Objective` is made inside a worker, from what that holds of the sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from adaptor.maps import Sides
from adaptor.training.shares import Share

if TYPE_CHECKING:
    from numpy.random import Generator
    from torch import Tensor, nn


class Objective(Protocol):
    """A module to train and the loss of one batch of it."""

    @property
    def module(self) -> nn.Module:
        """What is trained."""

    def loss(self, draw: Generator) -> Tensor:
        """The loss of the batch that `draw` decides; equal draws give equal batches."""

    def sides(self) -> Sides:
        """The module as it stands, in NumPy."""


MakeObjective = Callable[[Share, int], Objective]
"""From a worker's share of the sample, which may be all of it, and a seed to an objective; shipped to the workers."""
