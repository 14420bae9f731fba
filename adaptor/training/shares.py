"""What a worker holds of the sample: all of it, or a share, the rest of which it reaches block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from adaptor.errors import AdaptorError
from adaptor.training.batches import BATCH, Batches, gather
from adaptor.training.workers import Collective
from adaptor.training.workers.local import Alone
from adaptor.vectors import Float32, normalise

BLOCK_BYTES = 4 << 20  # that pass from one worker to all others at once


@dataclass(frozen=True)
class Share:
    """The sample's rows from number `first` on, as many as `rows (n, D) float32` has, each of length 1, in memory.

    The workers in `holders` have the others, in the order of their ranks. Where each worker holds the whole sample,
    `holders` is this one alone.
    """

    rows: Tensor
    first: int
    total: int
    holders: Collective

    @classmethod
    def of(cls, sample: Batches, holders: Collective) -> Share:
        """Read this worker's share; `AdaptorError` where rows are missing, or there are fewer rows than workers."""
        if sample.rows < holders.size:
            raise AdaptorError(
                f"{sample.rows} rows can't be shared by {holders.size} workers; set workers.processes lower"
            )
        first, end = _bounds(sample.rows, holders.rank, holders.size)
        rows = gather(sample if holders.size == 1 else sample.part(first, end))
        for block in torch.split(rows, BATCH):  # in place: a normalised copy would be as large again
            block.copy_(torch.from_numpy(normalise(block.numpy())))
        return cls(rows, first, sample.rows, holders)

    @classmethod
    def whole(cls, rows: Float32) -> Share:
        """All of a sample `(n, D)` in memory."""
        return cls(torch.from_numpy(normalise(rows)), 0, len(rows), Alone())

    @property
    def is_whole(self) -> bool:
        """Whether no row is anywhere else."""
        return len(self.rows) == self.total

    @property
    def end(self) -> int:
        """The number after that of the last row."""
        return self.first + len(self.rows)

    def holds(self, numbers: Tensor) -> Tensor:
        """Which of the sample's row numbers are those of rows here."""
        return (numbers >= self.first) & (numbers < self.end)

    def blocks(self, values: Tensor) -> Iterator[tuple[int, Tensor]]:
        """All workers' `values (n, ...)`, one for each row, in blocks, each with the number of its first row.

        All workers must go through them, to the end and at the same time. A block is gone when the next one comes.
        """
        row_bytes = values[:1].numel() * values.element_size()
        size = max(1, BLOCK_BYTES // row_bytes)
        buffer = values.new_empty(min(size, self.total), *values.shape[1:])
        for sender in range(self.holders.size):
            first, end = _bounds(self.total, sender, self.holders.size)
            for start in range(first, end, size):
                stop = min(start + size, end)
                own = sender == self.holders.rank
                block = values[start - first : stop - first] if own else buffer[: stop - start]
                self.holders.receive_(block, sender)
                yield start, block

    def fetch(self, values: Tensor, numbers: Tensor) -> Tensor:
        """Those of all workers' `values (n, ...)` that belong to the rows `numbers (m,)`: `(m, ...)`.

        All workers must ask at the same time.
        """
        fetched = values.new_empty(len(numbers), *values.shape[1:])
        for start, block in self.blocks(values):
            here = (numbers >= start) & (numbers < start + len(block))
            fetched[here] = block[numbers[here] - start]
        return fetched

    def gathered(self, tensor: Tensor) -> list[Tensor]:
        """Every worker's `tensor`, by rank; all have the same shape, and none is large."""
        parts = [tensor.clone() for _ in range(self.holders.size)]
        for sender, part in enumerate(parts):
            self.holders.receive_(part, sender)
        return parts


def _bounds(total: int, rank: int, size: int) -> tuple[int, int]:
    """The first row of a share, and the one after its last: shares differ by a row at most."""
    return total * rank // size, total * (rank + 1) // size
