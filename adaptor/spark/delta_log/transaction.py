"""Several steps that become one commit of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import delta.exceptions.captured  # noqa: F401  makes pyspark raise the classes of delta.exceptions
from delta import exceptions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.spark.delta_log.definition import Definition, definition_of, metadata_of
from adaptor.spark.delta_log.files import DataFile, adds, data_file, rows_of
from adaptor.spark.delta_log.operation import FileChanges, Operation, Write
from adaptor.spark.delta_log.scala import action, items, module, scala_map, seq
from adaptor.spark.delta_log.snapshot import Snapshot

TRACKING = "delta.enableRowTracking"
USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
Conflict = tuple(getattr(exceptions, name) for name in exceptions.__all__)
"""Another commit came between: what was read is no longer what is there."""


class Transaction:
    """Steps that become one commit, or none: `Conflict` where another commit came between."""

    def __init__(self, spark: SparkSession, transaction: Any, before: Snapshot) -> None:
        self._spark, self._jvm = spark, spark.sparkContext._jvm
        self._transaction, self.before = transaction, before
        self._actions: list[Any] = []
        self._replaces_all = self._marks = False
        self._removed: list[DataFile] = []
        self.added: list[DataFile] = []

    @property
    def definition(self) -> Definition:
        """What the table is once this is committed, with what the session gives new tables."""
        return definition_of(metadata_of(self._transaction.metadata()))

    def last(self, application: str) -> int:
        """The number of the application's last commit, -1 where there is none; one more meanwhile is a conflict."""
        known = self.before.applications
        if known is None:
            return int(self._transaction.txnVersion(application))
        self._transaction.readTxn().addOne(application)  # what txnVersion does too
        return known.get(application, -1)

    def seen(self, application: str, number: int = 0) -> bool:
        """Whether the application's commit of this number is there already; if not, this one gets it, and only one."""
        if self.last(application) >= number:
            return True
        self._actions.append(action(self._jvm, "txn", json.dumps({"appId": application, "version": number})))
        return False

    def define(self, definition: Definition) -> None:
        """Make the table what `definition` says, whatever it was."""
        if self.before.version >= 0:
            metadata = {**self.before.metadata}
        else:
            metadata = {"id": str(uuid4()), "format": {"provider": "parquet", "options": {}}}
        metadata |= {
            "schemaString": definition.schema.json(),
            "configuration": dict(definition.properties),
            "partitionColumns": list(definition.partitioned_by),
        }
        metadata_action = action(self._jvm, "metaData", json.dumps(metadata))
        if self.before.version < 0:
            self._transaction.updateMetadataForNewTable(metadata_action)
        elif metadata_action.json() != self._transaction.metadata().json():
            self._transaction.updateMetadata(metadata_action, False)

    def write(self, rows: DataFrame) -> list[DataFile]:
        """Write `rows` as files of the table; they count once the transaction is committed."""
        written = items(self._transaction.writeFiles(rows._jdf))
        self._actions += written
        files = [data_file(file) for file in written]
        self.added += files
        return files

    def remove_rows(self, places: DataFrame, among: Sequence[DataFile]) -> None:
        """Mark rows of some files as deleted: `file, row` of each, as the table's `_metadata` has them.

        No file is written anew: Delta's own deletion vectors say which rows count no more. The files must
        have statistics. Any commit meanwhile is a conflict.
        """
        self._transaction.readWholeTable()
        sql: Any = self._jvm.org.apache.spark.sql  # type: ignore[union-attr]
        helper = module(sql.delta.commands, "DMLWithDeletionVectorsHelper")
        spark, some = self._spark._jsparkSession, self._jvm.scala.Option.apply  # type: ignore[union-attr]
        files = seq(self._jvm, adds(self._jvm, among))
        marked = module(sql.delta.commands, "DeletionVectorBitmapGenerator").buildRowIndexSetsForFilesMatchingCondition(
            spark,
            self._transaction,
            True,
            places._jdf,
            files,
            module(sql.catalyst.expressions, "Literal").TrueLiteral(),
            some(F.col("file")._jc),
            some(F.col("row")._jc),
        )
        by_name = helper.generateCandidateFileMap(self._transaction.deltaLog().dataPath(), files)
        touched = helper.findFilesWithMatchingRows(self._transaction, by_name, marked)
        for file in items(touched):
            self._marks = True
            add = file.fileLogEntry()
            if file.isFullyReplaced():
                self._removed.append(data_file(add))
                self._actions.append(add.remove())
            else:
                marks = add.removeRows(file.newDeletionVector(), True, True)
                self._actions += [marks._1(), marks._2()]

    def add(self, files: Sequence[DataFile]) -> None:
        """Take in files that lie in the table's folder already."""
        self._actions += adds(self._jvm, files)
        self.added += files

    def remove_all(self) -> None:
        """Take out every file; a commit that adds one meanwhile is a conflict."""
        self._transaction.readWholeTable()
        self._replaces_all = True
        self._removed = list(self.before.files)
        self._actions += [add.remove() for add in adds(self._jvm, self.before.files)]

    def commit(self, note: Mapping[str, str], operation: Operation | None = None) -> None:
        """Commit; `note` becomes the commit's userMetadata, as JSON, and `operation` what its history says.

        Without one that is `WRITE`. Where rows take the place of others, a table that tracks rows says that they
        are new ones.
        """
        jvm, text = self._jvm, json.dumps(dict(note))
        operation = operation or Write(rows_of(self.added) or 0)
        changes = FileChanges(*_files_and_bytes(self.added), *_files_and_bytes(self._removed))
        metrics = {name: self._metric(name, value) for name, value in operation.metrics(changes).items()}
        self._transaction.registerSQLMetrics(self._spark._jsparkSession, scala_map(jvm, metrics))
        removes = self._removed or self._marks
        tracked = removes and self.added and self.definition.properties.get(TRACKING) == "true"
        tags = scala_map(jvm, {"delta.rowTracking.preserved": "false"} if tracked else {})
        with _user_metadata(jvm, text):
            of_delta = operation.of_delta(jvm, self._replaces_all)
            self._transaction.commit(seq(jvm, self._actions), of_delta, tags)

    def _metric(self, name: str, value: int) -> Any:
        """A number as Delta takes it for a commit's history."""
        metrics = module(self._jvm.org.apache.spark.sql.execution.metric, "SQLMetrics")  # type: ignore[union-attr]
        metric = metrics.createMetric(self._spark.sparkContext._jsc.sc(), name)
        metric.set(value)
        return metric


def _files_and_bytes(files: Sequence[DataFile]) -> tuple[int, int]:
    return len(files), sum(file.bytes for file in files)


@contextmanager
def _user_metadata(jvm: Any, note: str) -> Iterator[None]:
    """Commits say `note`, whatever their operation.

    Delta asks the session that is active in this thread: in a stream's batch that is a copy of the one it began in.
    """
    conf = jvm.org.apache.spark.sql.SparkSession.active().conf()
    before = conf.getOption(USER_METADATA)
    conf.set(USER_METADATA, note)
    try:
        yield
    finally:
        conf.set(USER_METADATA, before.get()) if before.isDefined() else conf.unset(USER_METADATA)
