"""Batches read by petastorm from a materialised sample."""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from adaptor.errors import AdaptorError
from adaptor.storage import is_local, open_folder
from adaptor.training.batches import cut

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class PetastormBatches:
    """The `embedding` column of the Parquet files under `urls`, in the order of their names.

    `rows` rows, from number `first` on if that is named: those before them are read, and let go. petastorm's own
    shards would be row groups, of which there may be fewer than workers.
    """

    urls: tuple[str, ...]
    rows: int
    first: int | None = None

    def __iter__(self) -> Iterator[Tensor]:
        if self.first is None:
            return self._all()
        return cut(self._all(), self.first, self.first + self.rows)

    def part(self, first: int, end: int) -> PetastormBatches:
        """The rows from number `first` up to `end`, alone."""
        return replace(self, first=(self.first or 0) + first, rows=end - first)

    def _all(self) -> Iterator[Tensor]:
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
    """A plain name for a local folder, as long as it is read, or a copy of another.

    petastorm takes a name for a URI, so that a space or # in it would be another folder's. And it hands file
    systems of fsspec to a reader in pyarrow 14 that no longer takes its arguments.
    """
    fs, folder = open_folder(url)
    with tempfile.TemporaryDirectory(prefix="sample-") as place:
        rows = Path(place, "rows")
        if is_local(fs):
            rows.symlink_to(folder)
        else:
            rows.mkdir()
            for file in fs.find(folder):
                fs.get_file(file, str(rows / file.rpartition("/")[2]))
        yield rows.as_uri()
