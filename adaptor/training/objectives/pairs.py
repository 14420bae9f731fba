"""From rows by two models: what the new model's rows find among old ones, as they find it among new ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor
from torch.nn import functional

from adaptor.fitting.settings import Training
from adaptor.maps import Map, Sides
from adaptor.training import losses
from adaptor.training.objectives.nearest import nearest_rows
from adaptor.training.residual_module import AdaptorModule
from adaptor.training.shares import Share
from adaptor.vectors import Float32, normalise


@dataclass(frozen=True)
class MakePairObjective:
    """How the workers make the objective: `new (n, E)` are the rows of the sample by the new model, in its order.

    They travel whole, so each worker holds the whole sample.
    """

    start: Sides
    new: Float32
    dims: tuple[int, ...]
    training: Training

    def __call__(self, share: Share, seed: int) -> PairObjective:
        """The objective, inside a worker, on the old model's rows, all of which are there."""
        return PairObjective(share, self, seed)


class PairObjective:
    """Batches of random rows, each with its nearest ones by the new model.

    The new rows ask, through the query map, which stays; the old ones answer, through the corpus map, which learns.
    The target is each new row's softmax over the new rows, itself among them.
    """

    def __init__(self, share: Share, make: MakePairObjective, seed: int) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._training, self._dims, self._query = make.training, make.dims, make.start.query
        self._old = share.rows.to(device)
        new = normalise(make.new)
        self._new = torch.tensor(new, device=device)
        self._asked = torch.tensor(self._query(new), device=device)
        self._nearest = nearest_rows(self._new, make.training.neighbours)
        self.module = AdaptorModule(make.start.corpus, make.training.hidden or self._old.shape[1], seed).to(device)

    def loss(self, draw: Generator) -> Tensor:
        """The loss of one batch of rows, each with its nearest ones."""
        n, k = self._nearest.shape
        drawn = torch.from_numpy(draw.integers(0, n, max(1, self._training.batch // (1 + k)))).to(self._new.device)
        rows = torch.unique(torch.cat([drawn, self._nearest[drawn].flatten()]))
        z = self.module.start(self._old[rows])
        y = z + self.module.residual(z)
        asking = torch.unique(drawn)
        nested = losses.prefix_cosines(self._asked[asking], y, self._dims)
        target = functional.softmax(self._new[asking] @ self._new[rows].T / self._training.temperature, dim=1)
        pull = self._training.pull * (y - z).square().sum(1).mean()
        return losses.divergence(target, nested / self._training.temperature) + pull

    def sides(self) -> Sides:
        """The maps as they are by now."""
        return Sides(self.module.to_map(), Map(np.ascontiguousarray(self._query.weight), self._query.bias))
