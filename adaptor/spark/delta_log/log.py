"""The log of a table, and the folder it lies in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from pyspark.sql import SparkSession

from adaptor.spark.delta_log.files import DataFile
from adaptor.spark.delta_log.scala import defaults
from adaptor.spark.delta_log.snapshot import Snapshot
from adaptor.spark.delta_log.transaction import Transaction
from adaptor.spark.session import require_classic


class DeltaLog:
    """The log of the table at a path or URL, whether there is one yet or not."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        require_classic(spark)
        self._spark, self.path = spark, path
        jvm: Any = spark.sparkContext._jvm
        self._jvm = jvm
        self._log = jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
        self._last: Snapshot | None = None

    def snapshot(self, version: int | None = None) -> Snapshot:
        """The table as it is now, or was. Raises what Delta raises for a version that is gone."""
        if version is None:
            nothing = self._jvm.scala.Option.empty()
            snapshot = self._log.update(False, nothing, nothing)
        else:
            snapshot = self._log.getSnapshotAt(version, *defaults(self._jvm, self._log, "getSnapshotAt"))
        return self._wrapped(snapshot)

    def _wrapped(self, snapshot: Any) -> Snapshot:
        """The snapshot that was asked for last, with all that was read of it, where this is the same."""
        if self._last is None or self._last._snapshot != snapshot:
            self._last = Snapshot(self._spark, self._log, snapshot)
        return self._last

    def start(self) -> Transaction:
        """A transaction on the table as it is now."""
        self.snapshot()
        transaction = self._log.startTransaction()
        return Transaction(self._spark, transaction, self._wrapped(transaction.snapshot()))

    def require_protocol(self) -> None:
        """Raise what Delta raises where the table asks for more than this Delta can write."""
        self._log.protocolWrite(self.snapshot()._snapshot.protocol())

    def missing(self, files: Sequence[DataFile]) -> list[str]:
        """Paths of those files of the table that are not there."""
        paths = [unquote(file.path) for file in files]
        there: set[str] = set()
        for parent in {path.rpartition("/")[0] for path in paths}:
            folder = self._log.dataPath()
            folder = self._jvm.org.apache.hadoop.fs.Path(folder, parent) if parent else folder
            if self._files(folder).exists(folder):
                # One call for all names: they may be many. A file system's own kind of status fits no typed array.
                listing = self._jvm.scala.Predef.genericWrapArray(self._files(folder).listStatus(folder))
                listed = re.findall(r"path=(.*?); isDirectory", str(listing.mkString("\n")))
                names = [path.rpartition("/")[2] for path in listed]
                there |= {f"{parent}/{name}".lstrip("/") for name in names}
        return [path for path in paths if path not in there]

    def delete_folder(self) -> None:
        """Delete everything in the folder: only where no table refers to it."""
        self._files(self._log.dataPath()).delete(self._log.dataPath(), True)

    def _files(self, path: Any) -> Any:
        return path.getFileSystem(self._log.newDeltaHadoopConf())
