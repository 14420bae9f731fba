"""What feeds training: a `Batches` can be shipped to a worker and iterated there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol

from adaptor.errors import AdaptorError
from adaptor.vectors import Float32

if TYPE_CHECKING:
    from torch import Tensor


BATCH = 512  # rows: what passes on the way to where they stay is small beside it


class Batches(Protocol):
    """Embeddings, a batch at a time, always in the same order."""

    @property
    def rows(self) -> int:
        """How many rows were written, and must arrive."""

    def __iter__(self) -> Iterator[Tensor]:
        """Tensors `(B, D) float32`, `rows` rows in all."""

    def part(self, first: int, end: int) -> Batches:
        """The rows from number `first` up to `end`, alone."""


def usual_batches(report: Callable[[str], None]) -> Literal["petastorm", "arrow"]:
    """Petastorm where it is installed, else Arrow, which reads the same rows, and a line that says so."""
    if find_spec("petastorm") is not None:
        return "petastorm"
    report("petastorm is not installed: Arrow reads the sample for training")
    return "arrow"


def gather(batches: Batches) -> Tensor:
    """All of `batches` as one `(rows, D) float32` tensor.

    Raises `AdaptorError` when fewer or more rows arrive than were written: readers are known to
    end early without an error.
    """
    import torch

    rows, count = torch.empty(0, 0), 0
    for batch in batches:
        if not count:
            rows = torch.empty(batches.rows, batch.shape[1])  # once: a list of batches would be a second copy
        end = count + len(batch)
        if end <= batches.rows:
            rows[count:end] = batch
        count = end
    if count != batches.rows:
        raise AdaptorError(
            f"{type(batches).__name__}: {batches.rows} rows were written, {count} arrived; run the fit again"
        )
    return rows


def cut(batches: Iterable[Tensor], first: int, end: int) -> Iterator[Tensor]:
    """Of all rows of `batches` those from number `first` up to `end`; nothing is read beyond."""
    start = 0
    for batch in batches:
        kept = batch[max(first - start, 0) : max(end - start, 0)]
        if len(kept):
            yield kept
        start += len(batch)
        if start >= end:
            return


class ArrayBatches:
    """A matrix in memory, `(n, D) float32`."""

    def __init__(self, array: Float32) -> None:
        self._array = array
        self.rows = len(array)

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        for start in range(0, self.rows, BATCH):
            yield torch.tensor(self._array[start : start + BATCH], dtype=torch.float32)

    def part(self, first: int, end: int) -> ArrayBatches:
        """The rows from number `first` up to `end`, alone."""
        return ArrayBatches(self._array[first:end])
