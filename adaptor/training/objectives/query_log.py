"""From a query log: each query keeps its softmax over the documents, at every prefix.

The teacher is the start's own full width, so the short prefixes learn from the long one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor, nn
from torch.nn import functional

from adaptor.fitting.settings import QueryTraining
from adaptor.maps import Map, Sides
from adaptor.training import losses
from adaptor.training.shares import Share
from adaptor.vectors import Float32, normalise


@dataclass(frozen=True)
class MakeQueryLogObjective:
    """How the workers make the objective."""

    start: Sides
    queries: Float32
    dims: tuple[int, ...]
    training: QueryTraining

    def __call__(self, share: Share, seed: int) -> QueryLogObjective:
        """The objective, inside a worker, on the rows that it holds."""
        return QueryLogObjective(share.rows, self.queries, self.start, self.dims, self.training)


class AffineSides(nn.Module):
    """`y = x @ weight + bias`, a pair for each side, or one pair for both."""

    def __init__(self, start: Sides, sides: Literal["one", "two"], temperature: float, prefixes: int) -> None:
        super().__init__()
        self.log_temperature = log_temperature(temperature, prefixes)
        self.corpus = _affine(start.corpus)
        self.query = self.corpus if sides == "one" else _affine(start.query)

    def to_sides(self) -> Sides:
        """The NumPy maps of these layers."""
        return Sides(_to_map(self.corpus), None if self.query is self.corpus else _to_map(self.query))


class QueryLogObjective:
    """Batches of real and blended queries, against their nearest documents and random ones, all of them from `rows`.

    `rows (n, D)` have length 1, and may be a worker's share: each of its batches is one of a smaller sample then.
    """

    def __init__(
        self, rows: Tensor, queries: Float32, start: Sides, dims: tuple[int, ...], training: QueryTraining
    ) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._training, self._dims, self._device = training, dims, device
        self._corpus, self.queries = rows.numpy(), normalise(queries)
        self.docs = rows.to(device)
        self.teacher = AffineSides(start, "two", training.temperature, len(dims)).to(device).requires_grad_(False)
        self._taught = functional.normalize(self.teacher.corpus(self.docs))
        self.module = AffineSides(start, training.sides or "two", training.temperature, len(dims)).to(device)

    def loss(self, draw: Generator) -> Tensor:
        """The loss of one batch of queries."""
        x = self.unlabelled(draw)
        rows = torch.unique(torch.cat([self.near(x), self.random(draw)]))
        scores = losses.prefix_cosines(self.module.query(x), self.module.corpus(self.docs[rows]), self._dims)
        return losses.divergence(self.target(x, rows), scores / self.module.log_temperature.exp())

    def unlabelled(self, draw: Generator) -> Tensor:
        """A batch of real and blended queries, `(B, D)`."""
        return torch.tensor(blended(self.queries, self._corpus, self._training.batch, draw), device=self._device)

    def near(self, x: Tensor) -> Tensor:
        """The documents nearest to each of `x` under the teacher."""
        scores = functional.normalize(self.teacher.query(x)) @ self._taught.T
        return scores.topk(min(self._training.near, len(self.docs))).indices.flatten()

    def random(self, draw: Generator) -> Tensor:
        """Some documents at random."""
        count = min(self._training.random, len(self.docs))
        return torch.from_numpy(draw.choice(len(self.docs), count, replace=False)).to(self._device)

    def target(self, x: Tensor, rows: Tensor) -> Tensor:
        """The teacher's softmax of `x (B, D)` over the documents `rows (J,)`: `(B, J)`."""
        scores = functional.normalize(self.teacher.query(x)) @ self._taught[rows].T
        return functional.softmax(scores / self._training.temperature, dim=1)

    def sides(self) -> Sides:
        """The maps as they are by now."""
        return self.module.to_sides()


def blended(queries: Float32, corpus: Float32, count: int, draw: Generator) -> Float32:
    """Half real queries, a quarter blends of two, a quarter blends of a query and a document: `(count, D)`."""
    first, second = queries[draw.integers(0, len(queries), (2, count))]
    document = corpus[draw.integers(0, len(corpus), count)]
    kind, share = draw.integers(0, 4, (count, 1)), draw.random((count, 1), dtype=np.float32)
    mixed = share * first + (1 - share) * np.where(kind == 2, second, document)
    return normalise(np.where(kind < 2, first, mixed).astype(np.float32))


def log_temperature(temperature: float, prefixes: int) -> nn.Parameter:
    """How sharp cosines are differs by width: a temperature that each prefix learns, `(P, 1, 1)`."""
    return nn.Parameter(torch.full((prefixes, 1, 1), math.log(temperature)))


def _affine(start: Map) -> nn.Linear:
    layer = nn.Linear(start.width, start.out_width)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(start.weight.T))
        layer.bias.copy_(torch.zeros(start.out_width) if start.bias is None else torch.tensor(start.bias))
    return layer


@torch.no_grad()
def _to_map(linear: nn.Linear) -> Map:
    weight = linear.weight.T.cpu().numpy()
    return Map(np.ascontiguousarray(weight, dtype=np.float32), linear.bias.cpu().numpy().astype(np.float32))
