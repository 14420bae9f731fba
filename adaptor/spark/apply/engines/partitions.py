"""Partitions of a table: files that share their partition columns' values, which stand in the log, not in the files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adaptor.spark.delta_log import DataFile
from adaptor.storage import is_url


@dataclass(frozen=True)
class Partition:
    """Values of the partition columns, as text, and the folder below the table's in which its files lie.

    The folder is as the log spells it, URL-encoded; what a table of no partitions has is empty.
    """

    folder: str = ""
    values: tuple[tuple[str, str | None], ...] = ()

    def below(self, name: str) -> str:
        """The path of a file of this partition below the table's folder."""
        return f"{self.folder}/{name}" if self.folder else name


WHOLE = Partition()
"""Of a table without partitions."""


def by_partition(files: Iterable[DataFile]) -> dict[Partition, list[DataFile]]:
    """Files of a table, those of each partition together."""
    partitions: dict[Partition, list[DataFile]] = {}
    for file in files:
        elsewhere = not file.partition or is_url(file.path) or file.path.startswith("/")
        folder = "" if elsewhere else file.path.rpartition("/")[0]
        partitions.setdefault(Partition(folder, tuple(file.partition.items())), []).append(file)
    return partitions
