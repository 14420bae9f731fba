"""From a corpus alone: rows keep their similarities to their neighbours, at every prefix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from adaptor.fitting.settings import Training
from adaptor.maps import Map, Sides
from adaptor.training import losses
from adaptor.training.residual_module import AdaptorModule
from adaptor.vectors import Float32, normalise

NEIGHBOUR_BLOCK = 50_000  # rows among which neighbours are searched, as in the paper


@dataclass(frozen=True)
class MakeNeighbourhoodObjective:
    """How the workers make the objective: from a start, for prefixes of these widths."""

    start: Map
    dims: tuple[int, ...]
    training: Training

    def __call__(self, corpus: Float32, seed: int) -> NeighbourhoodObjective:
        """The objective, inside a worker, on the rows that arrived there."""
        return NeighbourhoodObjective(corpus, self.start, self.dims, self.training, seed)


class NeighbourhoodObjective:
    """Batches of random rows, each with its nearest ones; all their pairs are compared."""

    def __init__(self, corpus: Float32, start: Map, dims: tuple[int, ...], training: Training, seed: int) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._x = torch.tensor(normalise(corpus), device=device)  # (n, D)
        self._nearest = nearest_rows(self._x, training.neighbours)  # (n, k)
        self._dims, self._training = dims, training
        self.module = AdaptorModule(start, training.hidden or corpus.shape[1], seed).to(device)

    def loss(self, draw: Generator) -> Tensor:
        """The loss of one batch of rows, each with its nearest ones."""
        n, k = self._nearest.shape
        drawn = draw.integers(0, n, max(1, self._training.batch // (1 + k)))
        seeds = torch.from_numpy(drawn).to(self._x.device)
        rows = torch.unique(torch.cat([seeds, self._nearest[seeds].flatten()]))
        neighbour = (self._nearest[rows][:, :, None] == rows).any(1)  # (B, B)
        anchors = torch.searchsorted(rows, torch.unique(seeds))
        return batch_loss(self.module, self._x[rows], anchors, neighbour, self._dims, self._training)

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


def nearest_rows(x: Tensor, k: int) -> Tensor:
    """The k nearest other rows of each row of `x (n, D)`, as row numbers `(n, k)`.

    Searched within equal blocks of at most 50,000 rows, as in the paper: quadratic cost stays
    bounded.
    """
    parts, start = [], 0
    for block in x.tensor_split(-(-len(x) // NEIGHBOUR_BLOCK)):
        memory = x.new_empty((min(1024, len(block)), len(block)))  # taken once: 200 MB anew each time cost a tenth
        for first in range(0, len(block), 1024):
            rows = block[first : first + 1024]
            scores = torch.mm(rows, block.T, out=memory[: len(rows)])
            scores.diagonal(first).fill_(-np.inf)
            parts.append(scores.topk(k).indices + start)
        start += len(block)
    return torch.cat(parts)
