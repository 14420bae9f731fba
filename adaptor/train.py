"""The training loop: one process's view. It knows a `Collective` and `Batches`, nothing of Spark.

Every worker holds the whole sample and draws the same batches; each works on its share of them
and the gradients are averaged. So a step of many workers is exactly the step of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from adaptor import losses
from adaptor.batches import Batches, gather
from adaptor.errors import AdaptorError
from adaptor.maps import Map
from adaptor.model import AdaptorModule
from adaptor.settings import Training
from adaptor.workers import Collective

NEIGHBOUR_BLOCK = 50_000  # rows among which neighbours are searched, as in the paper


@dataclass(frozen=True)
class Trained:
    """What a worker brings back: the map, the step it comes from, its held-out overlap and loss, if judged."""

    map: Map
    step: int
    overlap: float
    loss: float


def train(
    start: Map,
    sample: Batches,
    held_out: Batches | None,
    dims: tuple[int, ...],
    training: Training,
    seed: int,
    steps: int | None,
    collective: Collective,
) -> Trained:
    """Train from `start` and return the best map on `held_out`, or without it the last one.

    Stops after `training.patience` evaluations without a better held-out overlap, or at `steps`.
    Raises `AdaptorError` when the batches of a step can't be shared equally by the workers.
    """
    per_step = training.batches_per_step or collective.size
    if per_step % collective.size:
        raise AdaptorError(
            f"training.batches_per_step is {per_step}; it must be a multiple of the {collective.size} workers"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = functional.normalize(gather(sample).to(device))  # (n, D)
    draw = Draw(nearest_rows(x, training.neighbours), training.batch, seed)
    judge = HeldOut(functional.normalize(gather(held_out).to(device)), x, dims, training) if held_out else None

    model = AdaptorModule(start, training.hidden or x.shape[1], seed).to(device)
    collective.broadcast_(model)
    optimiser = torch.optim.Adam(model.parameters(), lr=training.learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, training.learning_rate, total_steps=training.steps + 1, pct_start=0.07
    )
    best = Trained(start, 0, *judge.scores(model, collective)) if judge else None
    stale = 0

    for step in range(1, (steps or training.steps) + 1):
        batches = [draw.rows() for _ in range(per_step)]
        mine = batches[collective.rank :: collective.size]
        optimiser.zero_grad()
        for rows in mine:
            loss = batch_loss(model, x[rows], draw.neighbour(rows), dims, training) / len(mine)
            loss.backward()  # type: ignore[no-untyped-call]
        for parameter in model.parameters():
            if parameter.grad is not None:
                collective.mean_(parameter.grad)
        optimiser.step()
        schedule.step()

        if judge and best and step % training.evaluate_every == 0:
            overlap, held_out_loss = judge.scores(model, collective)
            if overlap > best.overlap:
                best, stale = Trained(model.to_map(), step, overlap, held_out_loss), 0
            else:
                stale += 1
                if stale == training.patience:
                    break
    return best or Trained(model.to_map(), step, math.nan, math.nan)


def batch_loss(model: AdaptorModule, x: Tensor, neighbour: Tensor, dims: tuple[int, ...], training: Training) -> Tensor:
    """The weighted sum of the losses that `training` asks for, over the pairs of one batch `x (B, D)`."""
    y = model(x)
    original, nested = x @ x.T, losses.prefix_similarities(y, dims)
    total = x.new_zeros(())
    if training.listwise:
        total = total + training.listwise * losses.listwise(original, nested, training.temperature)
    if training.top_k:
        total = total + training.top_k * losses.top_k(original, nested, neighbour)
    if training.pairwise:
        total = total + training.pairwise * losses.pairwise(original, nested)
    if training.reconstruction:
        total = total + training.reconstruction * losses.reconstruction(x, y)
    return total


class Draw:
    """Draws batches: random rows, each with its nearest ones; the same sequence for a seed."""

    def __init__(self, nearest: Tensor, batch: int, seed: int) -> None:
        self._nearest = nearest  # (n, k)
        self._seeds = max(1, batch // (1 + nearest.shape[1]))
        self._generator = torch.Generator().manual_seed(seed)

    def rows(self) -> Tensor:
        """Row numbers of one batch, each once."""
        drawn = torch.randint(len(self._nearest), (self._seeds,), generator=self._generator)
        drawn = drawn.to(self._nearest.device)
        return torch.unique(torch.cat([drawn, self._nearest[drawn].flatten()]))

    def neighbour(self, rows: Tensor) -> Tensor:
        """Which pairs of `rows (B,)` are neighbours, one of the other: `(B, B) bool`."""
        return (self._nearest[rows][:, :, None] == rows).any(1)


class HeldOut:
    """Judges a model on rows it never trains on: overlap@10 with the full width, and the loss."""

    def __init__(self, rows: Tensor, corpus: Tensor, dims: tuple[int, ...], training: Training) -> None:
        self.rows, self.corpus, self.dims, self.training = rows, corpus, dims, training
        self.original = (rows @ corpus.T).topk(min(10, len(corpus))).indices
        self.neighbour = torch.zeros(len(rows), len(rows), dtype=torch.bool, device=rows.device)
        nearest = nearest_rows(rows, min(training.neighbours, len(rows) - 1))
        self.neighbour.scatter_(1, nearest, True)

    @torch.no_grad()
    def scores(self, model: AdaptorModule, collective: Collective) -> tuple[float, float]:
        """Overlap, the mean over rows and dims, and loss; averaged over workers, so all agree."""
        y, corpus = model(self.rows), model(self.corpus)
        overlaps = []
        for dim in self.dims:
            scores = functional.normalize(y[:, :dim]) @ functional.normalize(corpus[:, :dim]).T
            found = scores.topk(self.original.shape[1]).indices
            overlaps.append((found[:, :, None] == self.original[:, None, :]).any(2).float().mean())
        loss = batch_loss(model, self.rows, self.neighbour, self.dims, self.training)
        both = torch.stack([torch.stack(overlaps).mean(), loss])
        collective.mean_(both)
        return float(both[0]), float(both[1])


def nearest_rows(x: Tensor, k: int) -> Tensor:
    """The k nearest other rows of each row of `x (n, D)`, as row numbers `(n, k)`.

    Searched within equal blocks of at most 50,000 rows, as in the paper: quadratic cost stays
    bounded.
    """
    found, start = [], 0
    for block in x.tensor_split(-(-len(x) // NEIGHBOUR_BLOCK)):
        for first in range(0, len(block), 1024):
            scores = block[first : first + 1024] @ block.T
            scores.diagonal(first).fill_(-torch.inf)
            found.append(scores.topk(k).indices + start)
        start += len(block)
    return torch.cat(found)
