"""From a corpus alone: rows keep their similarities to their neighbours, at every prefix."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from numpy.random import Generator
from torch import Tensor

from adaptor.fitting.settings import Training
from adaptor.maps import Map, Sides
from adaptor.training import losses
from adaptor.training.objectives.nearest import Neighbours
from adaptor.training.residual_module import AdaptorModule
from adaptor.training.shares import Share


@dataclass(frozen=True)
class MakeNeighbourhoodObjective:
    """How the workers make the objective: from a start, for prefixes of these widths."""

    start: Map
    dims: tuple[int, ...]
    training: Training

    def __call__(self, share: Share, seed: int) -> NeighbourhoodObjective:
        """The objective, inside a worker, on the rows that it holds."""
        return NeighbourhoodObjective(share, self.start, self.dims, self.training, seed)


class NeighbourhoodObjective:
    """Batches of random rows of a share, each with its nearest ones in the sample; all their pairs are compared."""

    def __init__(self, share: Share, start: Map, dims: tuple[int, ...], training: Training, seed: int) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._held = Neighbours.of(share, training.neighbours, device)
        self._dims, self._training = dims, training
        self.module = AdaptorModule(start, training.hidden or start.width, seed).to(device)

    def loss(self, draw: Generator) -> Tensor:
        """The loss of one batch of rows, each with its nearest ones."""
        nearest = self._held.nearest
        drawn = draw.integers(0, len(self._held.own), max(1, self._training.batch // (1 + nearest.shape[1])))
        seeds = torch.from_numpy(drawn).to(nearest.device)
        rows = torch.unique(torch.cat([seeds, nearest[seeds].flatten()]))
        neighbour = (nearest[rows][:, :, None] == rows).any(1)  # (B, B)
        anchors = torch.searchsorted(rows, torch.unique(seeds))
        return batch_loss(self.module, self._held.rows(rows), anchors, neighbour, self._dims, self._training)

    def sides(self) -> Sides:
        """The map as it is by now."""
        return Sides(self.module.to_map())


def batch_loss(
    module: AdaptorModule, x: Tensor, anchors: Tensor, neighbour: Tensor, dims: tuple[int, ...], training: Training
) -> Tensor:
    """The weighted sum of the losses that `training` asks for, over a batch `x (B, D)`.

    The listwise one compares `anchors (A,)`, whose neighbours are all in the batch, with every
    row; the paper's compare all pairs, and `neighbour (B, B) bool` marks those its top-k loss
    speaks of.
    """
    z = module.start(x)
    y = z + module.residual(z)
    total = x.new_zeros(())
    if training.listwise:
        original, nested = x[anchors] @ x.T, losses.prefix_cosines(y[anchors], y, dims)
        itself = anchors[:, None] == torch.arange(len(x), device=x.device)
        total = total + training.listwise * losses.listwise(original, nested, itself, training.temperature)
    if training.top_k or training.pairwise:
        original, nested = x @ x.T, losses.prefix_similarities(y, dims)
        if training.top_k:
            total = total + training.top_k * losses.top_k(original, nested, neighbour)
        if training.pairwise:
            total = total + training.pairwise * losses.pairwise(original, nested)
    if training.reconstruction:
        total = total + training.reconstruction * losses.reconstruction(x, y)
    if training.pull:
        total = total + training.pull * (y - z).square().sum(1).mean()
    return total
