"""Batches read by pyarrow from a materialised sample, where petastorm can't be installed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adaptor.storage import open_folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ArrowBatches:
    """The `embedding` column of the Parquet files under `urls`, in the order of their names."""

    urls: tuple[str, ...]
    rows: int

    def __iter__(self) -> Iterator[Tensor]:
        import pyarrow.dataset as dataset
        import torch

        for url in self.urls:
            fs, folder = open_folder(url)
            for batch in dataset.dataset(folder, filesystem=fs, format="parquet").to_batches(columns=["embedding"]):
                if batch.num_rows:
                    flat = batch.column(0).flatten().to_numpy().reshape(batch.num_rows, -1)
                    yield torch.tensor(flat, dtype=torch.float32)
