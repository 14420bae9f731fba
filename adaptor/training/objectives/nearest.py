"""The nearest rows of each row, wherever they are: here, or in the shares of other workers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from adaptor.training.shares import Share

NEIGHBOUR_BLOCK = 50_000  # rows of a whole sample among which neighbours are searched, as in the paper
ASKING = 1024  # rows that ask at once


@dataclass(frozen=True)
class Neighbours:
    """Rows with the numbers of their nearest ones, `nearest (n + m, k)`: `own (n, D)`, then `others (m, D)`.

    Those are other workers' rows that own ones have as neighbours. Where one of their own is not here it is -1.
    """

    own: Tensor
    others: Tensor
    nearest: Tensor

    @classmethod
    def of(cls, share: Share, k: int, device: torch.device) -> Neighbours:
        """Search the whole sample, all workers at once, and fetch what was found elsewhere."""
        own = share.rows.to(device)
        if share.is_whole:
            return cls(own, own[:0], nearest_rows(own, k))
        numbers = mine(share, own, k)
        wanted = torch.unique(numbers[~share.holds(numbers)])
        others = share.fetch(share.rows, wanted).to(device)
        lists = torch.cat([numbers, share.fetch(numbers, wanted)])
        return cls(own, others, _here(lists, share, wanted).to(device))

    def rows(self, places: Tensor) -> Tensor:
        """The rows at `places (b,)`, ascending: `(b, D)`."""
        if not len(self.others):
            return self.own[places]
        n = len(self.own)
        return torch.cat([self.own[places[places < n]], self.others[places[places >= n] - n]])


def nearest_rows(x: Tensor, k: int) -> Tensor:
    """The k nearest other rows of each row of `x (n, D)`, as row numbers `(n, k)`.

    Searched within equal blocks of at most 50,000 rows, as in the paper: quadratic cost stays
    bounded.
    """
    parts, start = [], 0
    for block in x.tensor_split(-(-len(x) // NEIGHBOUR_BLOCK)):
        memory = x.new_empty((min(ASKING, len(block)), len(block)))  # taken once: 200 MB anew each time cost a tenth
        for first in range(0, len(block), ASKING):
            parts.append(_best(block[first : first + ASKING], block, k, first, memory).indices + start)
        start += len(block)
    return torch.cat(parts)


def mine(share: Share, own: Tensor, k: int) -> Tensor:
    """The k nearest other rows, in the whole sample, of each row of a share: numbers in the sample `(n, k)`, in memory.

    `own` are its rows on the device that multiplies. Every worker's blocks pass every worker, so cost is rows times
    rows of the sample, shared by the workers.
    """
    scores = torch.full((len(own), k), -torch.inf, device=own.device)
    numbers = torch.full((len(own), k), -1, device=own.device)
    for start, block in share.blocks(share.rows):
        there = block.to(own.device)
        for first in range(0, len(own), ASKING):
            asking = slice(first, first + ASKING)
            found = _best(own[asking], there, min(k, len(there)), share.first + first - start)
            best = torch.cat([scores[asking], found.values], 1).topk(k)
            scores[asking] = best.values
            numbers[asking] = torch.cat([numbers[asking], found.indices + start], 1).gather(1, best.indices)
    return numbers.cpu()


def _best(x: Tensor, others: Tensor, k: int, itself: int, memory: Tensor | None = None) -> torch.return_types.topk:
    """The k highest cosines of `x (a, D)` to `others (b, D)`, but those of rows to themselves: row 0 is `itself` there.

    A function, so that its scores are gone before there are more; or they are kept in `memory (a or more, b)`.
    """
    scores = torch.mm(x, others.T, out=None if memory is None else memory[: len(x)])
    scores.diagonal(itself).fill_(-torch.inf)
    return scores.topk(k)


def _here(numbers: Tensor, share: Share, others: Tensor) -> Tensor:
    """Where rows, by their numbers in the sample, are among the share's and then `others`, ascending; -1: nowhere."""
    if not len(others):
        return torch.where(share.holds(numbers), numbers - share.first, -1)
    place = torch.searchsorted(others, numbers).clamp_max(len(others) - 1)
    elsewhere = torch.where(others[place] == numbers, len(share.rows) + place, -1)
    return torch.where(share.holds(numbers), numbers - share.first, elsewhere)
