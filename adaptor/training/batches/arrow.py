"""Batches read by pyarrow from a materialised sample, where petastorm can't be installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from adaptor.storage import open_folder
from adaptor.training.batches import BATCH, cut

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile
    from torch import Tensor

BUFFER_BYTES = 1 << 20  # that are read at once: without it a whole row group is


@dataclass(frozen=True)
class ArrowBatches:
    """The `embedding` column of the Parquet files under `urls`, in the order of their names.

    `rows` rows, from number `first` on if that is named: row groups beside them are not read.
    """

    urls: tuple[str, ...]
    rows: int
    first: int | None = None

    def __iter__(self) -> Iterator[Tensor]:
        first, end = (0, sys.maxsize) if self.first is None else (self.first, self.first + self.rows)
        start = 0
        for file in self._files():
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if start < end and start + count > first:
                    yield from cut(_tensors(file, group), first - start, end - start)
                start += count

    def part(self, first: int, end: int) -> ArrowBatches:
        """The rows from number `first` up to `end`, alone."""
        return replace(self, first=(self.first or 0) + first, rows=end - first)

    def _files(self) -> Iterator[ParquetFile]:
        import pyarrow.dataset as dataset
        from pyarrow.parquet import ParquetFile

        for url in self.urls:
            fs, folder = open_folder(url)
            for name in dataset.dataset(folder, filesystem=fs, format="parquet").files:
                with fs.open(name, "rb") as source:
                    yield ParquetFile(source, buffer_size=BUFFER_BYTES)


def _tensors(file: ParquetFile, group: int) -> Iterator[Tensor]:
    import torch

    for batch in file.iter_batches(BATCH, row_groups=[group], columns=["embedding"]):
        flat = batch.column(0).flatten().to_numpy().reshape(batch.num_rows, -1)
        yield torch.tensor(flat, dtype=torch.float32)
