"""What feeds training: a `Batches` can be shipped to a worker and iterated there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol

from adaptor.errors import AdaptorError
from adaptor.vectors import Float32

if TYPE_CHECKING:
    from torch import Tensor


class Batches(Protocol):
    """Embeddings, a batch at a time, always in the same order."""

    @property
    def rows(self) -> int:
        """How many rows were written, and must arrive."""

    def __iter__(self) -> Iterator[Tensor]:
        """Tensors `(B, D) float32`, `rows` rows in all."""


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

    arrived = list(batches)
    count = sum(len(batch) for batch in arrived)
    if count != batches.rows:
        raise AdaptorError(
            f"{type(batches).__name__}: {batches.rows} rows were written, {count} arrived; run the fit again"
        )
    return torch.cat(arrived)


class ArrayBatches:
    """A matrix in memory, `(n, D) float32`, as one batch."""

    def __init__(self, array: Float32) -> None:
        self._array = array
        self.rows = len(array)

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        yield torch.tensor(self._array, dtype=torch.float32)
