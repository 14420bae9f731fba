"""Batches read by petastorm from a materialised sample."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adaptor.errors import AdaptorError
from adaptor.files import open_folder

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PetastormBatches:
    """The `embedding` column of the Parquet files under `urls`, in the order of their names."""

    urls: tuple[str, ...]
    rows: int

    def __iter__(self) -> Iterator[Tensor]:
        import torch

        with warnings.catch_warnings():
            # petastorm 0.13 calls pyarrow functions that pyarrow 14 deprecates
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                from petastorm import make_batch_reader
            except ImportError as error:
                raise AdaptorError(
                    f"batches: petastorm is not installed ({error}); "
                    "pip install 'matryoshka-adaptor[petastorm]', or set batches=arrow"
                ) from error
            for url in self.urls:
                # The thread pool sometimes returns no rows and no error; the dummy pool reads in
                # this thread, in order.
                with (
                    contextlib.redirect_stdout(None),
                    _local(url) as local,
                    make_batch_reader(
                        local,
                        schema_fields=["embedding"],
                        reader_pool_type="dummy",
                        shuffle_row_groups=False,
                        num_epochs=1,
                    ) as reader,
                ):
                    for batch in reader:
                        yield torch.tensor(batch.embedding, dtype=torch.float32)


@contextlib.contextmanager
def _local(url: str) -> Iterator[str]:
    """`url` itself where it is local, else a copy that lives as long as it is read.

    petastorm hands file systems of fsspec to a reader in pyarrow 14 that no longer takes its arguments.
    """
    if url.startswith("file:"):
        yield url
        return
    fs, folder = open_folder(url)
    with tempfile.TemporaryDirectory(prefix="sample-") as copy:
        fs.get(f"{folder}/", f"{copy}/", recursive=True)
        yield Path(copy).as_uri()
