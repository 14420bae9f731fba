"""Delta's own log and transactions, for what DataFrame writes can't do: chosen files, and several steps in one commit.

Everything here goes through Delta's classes in the JVM: conflicts, constraints, statistics and protocol are its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote
from uuid import uuid4

import delta.exceptions.captured  # noqa: F401  makes pyspark raise the classes of delta.exceptions
from delta import exceptions
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from adaptor.errors import AdaptorError

Conflict = tuple(getattr(exceptions, name) for name in exceptions.__all__)
"""Another commit came between: what was read is no longer what is there."""


@dataclass(frozen=True)
class DataFile:
    """One file of a table: an `add` action of its log as JSON, and what is often asked of it."""

    action: str

    @cached_property
    def _add(self) -> dict[str, Any]:
        return json.loads(self.action)

    @property
    def path(self) -> str:
        """As it stands in the log: URL-encoded, relative to the table or absolute."""
        return str(self._add["path"])

    @property
    def bytes(self) -> int:
        return int(self._add["size"])

    @property
    def rows(self) -> int | None:
        """Rows that are not deleted; None where the log does not say."""
        records = json.loads(self._add.get("stats") or "{}").get("numRecords")
        return (
            None if records is None else int(records) - int(self._add.get("deletionVector", {}).get("cardinality", 0))
        )

    @property
    def key(self) -> str:
        """What tells it from other files, and from itself with other rows deleted; how a log came to us is left out."""
        return json.dumps([self.path, self._add.get("deletionVector")], sort_keys=True)

    @property
    def has_deletions(self) -> bool:
        return "deletionVector" in self._add

    def below(self, folder: str) -> DataFile:
        """The same file, seen from the parent of the table's `folder`."""
        return DataFile(json.dumps({**self._add, "path": f"{folder}/{self.path}", "dataChange": True}))


class Snapshot:
    """A table at one version; -1 is a table that does not exist."""

    def __init__(self, spark: SparkSession, log: Any, snapshot: Any) -> None:
        self._spark, self._log, self._snapshot = spark, log, snapshot

    @property
    def version(self) -> int:
        return int(self._snapshot.version())

    @property
    def location(self) -> str:
        """The table's folder."""
        return str(self._log.dataPath().toString())

    @cached_property
    def metadata(self) -> dict[str, Any]:
        return json.loads(self._snapshot.metadata().json())["metaData"]

    @property
    def properties(self) -> dict[str, str]:
        return dict(self.metadata["configuration"])

    @property
    def schema(self) -> StructType:
        return StructType.fromJson(json.loads(self.metadata["schemaString"]))

    @cached_property
    def protocol(self) -> dict[str, Any]:
        return json.loads(self._snapshot.protocol().json())["protocol"]

    @cached_property
    def files(self) -> list[DataFile]:
        """Every file, in the order of their paths."""
        known = [] if self.version < 0 else self._beside("allFiles")
        if known is None:
            adds = DataFrame(self._snapshot.allFiles().toDF(), self._spark).selectExpr("to_json(struct(*)) AS action")
            found = [DataFile(action) for action in adds.toArrow()["action"].to_pylist()]
        else:
            found = [_data_file(add) for add in known]
        return sorted(found, key=lambda file: file.path)

    @cached_property
    def applications(self) -> dict[str, int] | None:
        """The last transaction of each application that committed; None where only Spark jobs could tell."""
        known = [] if self.version < 0 else self._beside("setTransactions")
        return None if known is None else {str(found.appId()): int(found.version()) for found in known}

    def _beside(self, what: str) -> list[Any] | None:
        """What Delta's checksum file, written with a version, says about it: it spares the jobs that read the log."""
        checksum = self._snapshot.checksumOpt()
        found = getattr(checksum.get(), what)() if checksum.isDefined() else checksum
        return _items(found.get()) if found.isDefined() else None

    @property
    def rows(self) -> int | None:
        """Rows by the log alone; None where a file has no statistics."""
        counts = [file.rows for file in self.files]
        return None if None in counts else sum(count or 0 for count in counts)

    def read(self, files: Sequence[DataFile]) -> DataFrame:
        """These files of the table as rows, without those that deletion vectors leave out."""
        jvm = self._spark.sparkContext._jvm
        adds = _seq(jvm, [_action(jvm, "add", file.action) for file in files])
        nothing = jvm.scala.Option.empty()  # type: ignore[union-attr]
        return DataFrame(self._log.createDataFrame(self._snapshot, adds, False, nothing), self._spark)


class DeltaLog:
    """The log of the table at a path or URL, whether there is one yet or not."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self._spark, self.path = spark, path
        self._jvm: Any = spark.sparkContext._jvm
        if self._jvm is None:
            raise AdaptorError("apply needs a classic Spark session; Spark Connect has no Delta transactions")
        self._log = self._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, path)
        self._last: Snapshot | None = None

    def snapshot(self, version: int | None = None) -> Snapshot:
        """The table as it is now, or was. Raises what Delta raises for a version that is gone."""
        nothing = self._jvm.scala.Option.empty()
        if version is None:
            found = self._log.update(False, nothing, nothing)
        else:
            found = self._log.getSnapshotAt(version, nothing, nothing)
        return self._wrapped(found)

    def _wrapped(self, found: Any) -> Snapshot:
        """The snapshot that was asked for last, with all that was read of it, where this is the same."""
        if self._last is None or self._last._snapshot != found:
            self._last = Snapshot(self._spark, self._log, found)
        return self._last

    def start(self) -> Transaction:
        """A transaction on the table as it is now."""
        self.snapshot()
        transaction = self._log.startTransaction()
        return Transaction(self._spark, transaction, self._wrapped(transaction.snapshot()))

    def siblings(self) -> list[tuple[str, float]]:
        """What lies beside the table's folder: names, and when its log was last written to, in s since 1970."""
        parent = self._log.dataPath().getParent()
        found = []
        for name in (status.getPath().getName() for status in self._files(parent).listStatus(parent)):
            log = self._jvm.org.apache.hadoop.fs.Path(parent, f"{name}/_delta_log")
            if self._files(log).exists(log):
                found.append((name, self._files(log).getFileStatus(log).getModificationTime() / 1000))
        return found

    def missing(self, files: Sequence[DataFile]) -> list[str]:
        """Paths of those files of the table that are not there."""
        paths = [unquote(file.path) for file in files]
        there: set[str] = set()
        for parent in {path.rpartition("/")[0] for path in paths}:
            folder = self._log.dataPath()
            folder = self._jvm.org.apache.hadoop.fs.Path(folder, parent) if parent else folder
            if self._files(folder).exists(folder):
                # One call for all names: they may be many. A file system's own kind of status fits no typed array.
                found = self._jvm.scala.Predef.genericWrapArray(self._files(folder).listStatus(folder))
                listed = re.findall(r"path=(.*?); isDirectory", str(found.mkString("\n")))
                names = [path.rpartition("/")[2] for path in listed]
                there |= {f"{parent}/{name}".lstrip("/") for name in names}
        return [path for path in paths if path not in there]

    def delete_folder(self) -> None:
        """Delete everything in the folder: only where no table refers to it."""
        self._files(self._log.dataPath()).delete(self._log.dataPath(), True)

    def delete_log(self) -> None:
        """Forget the table; its files stay."""
        self._files(self._log.logPath()).delete(self._log.logPath(), True)

    def _files(self, path: Any) -> Any:
        return path.getFileSystem(self._log.newDeltaHadoopConf())


class Transaction:
    """Steps that become one commit, or none: `Conflict` where another commit came between."""

    def __init__(self, spark: SparkSession, transaction: Any, before: Snapshot) -> None:
        self._spark, self._jvm = spark, spark.sparkContext._jvm
        self._transaction, self.before = transaction, before
        self._actions: list[Any] = []

    def seen(self, application: str, number: int = 0) -> bool:
        """Whether the application's commit of this number is there already; if not, this one gets it, and only one."""
        known = self.before.applications
        if known is None:
            last = int(self._transaction.txnVersion(application))
        else:
            self._transaction.readTxn().addOne(application)  # what txnVersion does too, so that another is a conflict
            last = known.get(application, -1)
        if last >= number:
            return True
        self._actions.append(_action(self._jvm, "txn", json.dumps({"appId": application, "version": number})))
        return False

    def define(self, schema: StructType, properties: Mapping[str, str], partitioned_by: Sequence[str] = ()) -> None:
        """Give the table this schema and these properties, whatever it had."""
        if self.before.version >= 0:
            metadata = {**self.before.metadata}
        else:
            metadata = {"id": str(uuid4()), "format": {"provider": "parquet", "options": {}}}
        metadata |= {
            "schemaString": schema.json(),
            "configuration": dict(properties),
            "partitionColumns": list(partitioned_by),
        }
        made = _action(self._jvm, "metaData", json.dumps(metadata))
        if self.before.version < 0:
            self._transaction.updateMetadataForNewTable(made)
        elif made.json() != self._transaction.metadata().json():
            self._transaction.updateMetadata(made, False)

    def write(self, rows: DataFrame) -> list[DataFile]:
        """Write `rows` as files of the table; they count once the transaction is committed."""
        written = _items(self._transaction.writeFiles(rows._jdf))
        self._actions += written
        return [_data_file(file) for file in written]

    def remove_rows(self, places: DataFrame) -> None:
        """Mark rows as deleted: `file, row` of each, as the table's `_metadata` has them.

        No file is written anew: Delta's own deletion vectors say which rows count no more. Any commit
        meanwhile is a conflict.
        """
        self._transaction.readWholeTable()
        sql: Any = self._jvm.org.apache.spark.sql  # type: ignore[union-attr]
        helper = _module(sql.delta.commands, "DMLWithDeletionVectorsHelper")
        spark, some = self._spark._jsparkSession, self._jvm.scala.Option.apply  # type: ignore[union-attr]
        files = _seq(self._jvm, [_action(self._jvm, "add", file.action) for file in self.before.files])
        marked = _module(
            sql.delta.commands, "DeletionVectorBitmapGenerator"
        ).buildRowIndexSetsForFilesMatchingCondition(
            spark,
            self._transaction,
            True,
            places._jdf,
            files,
            _module(sql.catalyst.expressions, "Literal").TrueLiteral(),
            some(F.col("file")._jc),
            some(F.col("row")._jc),
        )
        by_name = helper.generateCandidateFileMap(self._transaction.deltaLog().dataPath(), files)
        touched = helper.findFilesWithMatchingRows(self._transaction, by_name, marked)
        self._actions += _items(helper.processUnmodifiedData(spark, touched, self._transaction.snapshot())._1())

    def add(self, files: Sequence[DataFile]) -> None:
        """Take in files that lie in the table's folder already."""
        self._actions += [_action(self._jvm, "add", file.action) for file in files]

    def remove_all(self) -> None:
        """Take out every file; a commit that adds one meanwhile is a conflict."""
        self._transaction.readWholeTable()
        self._actions += [_action(self._jvm, "add", file.action).remove() for file in self.before.files]

    def commit(self, note: Mapping[str, str]) -> None:
        """Commit; `note` becomes the commit's userMetadata, as JSON."""
        jvm = self._jvm
        option = jvm.scala.Option  # type: ignore[union-attr]
        mode = jvm.org.apache.spark.sql.SaveMode.Append  # type: ignore[union-attr]
        write = getattr(jvm.org.apache.spark.sql.delta, "DeltaOperations$Write")  # type: ignore[union-attr]
        operation = write(mode, option.empty(), option.empty(), option.apply(json.dumps(dict(note))))
        self._transaction.commit(_seq(jvm, self._actions), operation)


def _data_file(add: Any) -> DataFile:
    return DataFile(json.dumps(json.loads(add.json())["add"]))


def _module(package: Any, name: str) -> Any:
    """A Scala object."""
    return getattr(getattr(package, f"{name}$"), "MODULE$")


def _action(jvm: Any, kind: str, action: str) -> Any:
    return jvm.org.apache.spark.sql.delta.actions.Action.fromJson(f'{{"{kind}": {action}}}')


def _seq(jvm: Any, items: Sequence[Any]) -> Any:
    gathered = jvm.java.util.ArrayList()
    for item in items:
        gathered.add(item)
    return jvm.scala.jdk.javaapi.CollectionConverters.asScala(gathered).toSeq()


def _items(seq: Any) -> list[Any]:
    return [seq.apply(number) for number in range(seq.length())]
