"""Which files of the source are written together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from adaptor.spark.delta_log import DataFile, rows_of


@dataclass(frozen=True)
class Chunk:
    """Source files that are written and committed together."""

    number: int
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int | None:
        """Rows by the log; None where a file has no statistics."""
        return rows_of(self.files)


def cut(files: Sequence[DataFile], chunk_bytes: int) -> list[Chunk]:
    """Files in their order, a chunk as soon as it has `chunk_bytes`; the same for equal input."""
    chunks: list[Chunk] = []
    gathered: list[DataFile] = []
    size = 0
    for file in files:
        gathered.append(file)
        size += file.bytes
        if size >= chunk_bytes:
            chunks.append(Chunk(len(chunks), tuple(gathered)))
            gathered, size = [], 0
    return [*chunks, Chunk(len(chunks), tuple(gathered))] if gathered else chunks
