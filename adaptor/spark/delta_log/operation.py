"""What a commit is called in a table's history, and the figures that `DESCRIBE HISTORY` shows beside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from adaptor.spark.delta_log.scala import defaults, module, scala_map, seq


@dataclass(frozen=True)
class FileChanges:
    """Files, and their bytes, that a commit adds and takes out."""

    added: int
    bytes_added: int
    removed: int
    bytes_removed: int


class Operation(ABC):
    """One of Delta's operations, with the metrics that Delta's own statements of that name have."""

    @abstractmethod
    def of_delta(self, jvm: Any, replaces_all: bool) -> Any:
        """The operation as Delta's class."""

    @abstractmethod
    def metrics(self, files: FileChanges) -> dict[str, int]:
        """The `operationMetrics`."""


@dataclass(frozen=True)
class Write(Operation):
    """Rows that come, beside those that are there or in place of them all."""

    rows: int

    def of_delta(self, jvm: Any, replaces_all: bool) -> Any:
        """`WRITE`, in mode `Append` or `Overwrite`."""
        modes = jvm.org.apache.spark.sql.SaveMode
        write = module(jvm.org.apache.spark.sql.delta, "DeltaOperations$Write")
        return write.apply(modes.Overwrite if replaces_all else modes.Append, *defaults(jvm, write, "apply"))

    def metrics(self, files: FileChanges) -> dict[str, int]:
        """Rows, files and bytes."""
        return {"numOutputRows": self.rows, "numFiles": files.added, "numOutputBytes": files.bytes_added}


@dataclass(frozen=True)
class Update(Operation):
    """Rows that all stay, with other values."""

    rows: int

    def of_delta(self, jvm: Any, replaces_all: bool) -> Any:
        """`UPDATE`."""
        return getattr(jvm.org.apache.spark.sql.delta, "DeltaOperations$Update")(jvm.scala.Option.empty())

    def metrics(self, files: FileChanges) -> dict[str, int]:
        """Rows, files and bytes."""
        return {
            "numUpdatedRows": self.rows,
            "numCopiedRows": 0,
            "numAddedFiles": files.added,
            "numAddedBytes": files.bytes_added,
            "numRemovedFiles": files.removed,
            "numRemovedBytes": files.bytes_removed,
        }


@dataclass(frozen=True)
class Merge(Operation):
    """Rows that come, rows that take the place of others, and rows that go."""

    inserted: int
    updated: int
    deleted: int

    def of_delta(self, jvm: Any, replaces_all: bool) -> Any:
        """`MERGE`."""
        nothing, none = jvm.scala.Option.empty(), seq(jvm, [])
        always = jvm.scala.Option.apply(module(jvm.org.apache.spark.sql.catalyst.expressions, "Literal").TrueLiteral())
        return getattr(jvm.org.apache.spark.sql.delta, "DeltaOperations$Merge")(
            always, nothing, nothing, nothing, none, none, none
        )

    def metrics(self, files: FileChanges) -> dict[str, int]:
        """Rows, files and bytes."""
        return {
            "operationNumSourceRows": self.inserted + self.updated + self.deleted,
            "numOutputRows": self.inserted + self.updated,
            "numTargetRowsInserted": self.inserted,
            "numTargetRowsUpdated": self.updated,
            "numTargetRowsMatchedUpdated": self.updated,
            "numTargetRowsDeleted": self.deleted,
            "numTargetRowsMatchedDeleted": self.deleted,
            "numTargetRowsCopied": 0,
            "numTargetFilesAdded": files.added,
            "numTargetBytesAdded": files.bytes_added,
            "numTargetFilesRemoved": files.removed,
            "numTargetBytesRemoved": files.bytes_removed,
        }


@dataclass(frozen=True)
class SetProperties(Operation):
    """No row changes, only what the table says of itself."""

    properties: Mapping[str, str]

    def of_delta(self, jvm: Any, replaces_all: bool) -> Any:
        """`SET TBLPROPERTIES`."""
        return getattr(jvm.org.apache.spark.sql.delta, "DeltaOperations$SetTableProperties")(
            scala_map(jvm, self.properties)
        )

    def metrics(self, files: FileChanges) -> dict[str, int]:
        """None: it has none in Delta either."""
        return {}
