"""A table at one version: what its log says, and its rows by chosen files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from adaptor.spark.delta_log.definition import Definition, definition_of, metadata_of
from adaptor.spark.delta_log.files import DataFile, adds, data_file, rows_of
from adaptor.spark.delta_log.scala import defaults, items, module, seq


class Snapshot:
    """A table at one version; -1 is a table that does not exist."""

    def __init__(self, spark: SparkSession, log: Any, snapshot: Any) -> None:
        self._spark, self._log, self._snapshot = spark, log, snapshot

    @property
    def version(self) -> int:
        """The version's number; -1 where there is no table yet."""
        return int(self._snapshot.version())

    @property
    def location(self) -> str:
        """The table's folder."""
        return str(self._log.dataPath().toString())

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The log's metadata action."""
        return metadata_of(self._snapshot.metadata())

    @cached_property
    def definition(self) -> Definition:
        """What the table is, apart from its rows."""
        return definition_of(self.metadata)

    @property
    def properties(self) -> Mapping[str, str]:
        """The table's properties."""
        return self.definition.properties

    @property
    def schema(self) -> StructType:
        """The table's columns, with their metadata."""
        return self.definition.schema

    @cached_property
    def protocol(self) -> dict[str, Any]:
        """The log's protocol action: versions and features."""
        return json.loads(self._snapshot.protocol().json())["protocol"]

    @cached_property
    def files(self) -> list[DataFile]:
        """Every file, in the order of their paths."""
        known = [] if self.version < 0 else self._beside("allFiles")
        if known is None:
            listed = DataFrame(self._snapshot.allFiles().toDF(), self._spark).selectExpr("to_json(struct(*)) AS action")
            files = [DataFile(action) for action in listed.toArrow()["action"].to_pylist()]
        else:
            files = [data_file(add) for add in known]
        return sorted(files, key=lambda file: file.path)

    @cached_property
    def applications(self) -> dict[str, int] | None:
        """The last transaction of each application that committed; None where only Spark jobs could tell."""
        known = [] if self.version < 0 else self._beside("setTransactions")
        return (
            None if known is None else {str(application.appId()): int(application.version()) for application in known}
        )

    def _beside(self, what: str) -> list[Any] | None:
        """What Delta's checksum file, written with a version, says about it: it spares the jobs that read the log."""
        checksum = self._snapshot.checksumOpt()
        value = getattr(checksum.get(), what)() if checksum.isDefined() else checksum
        return items(value.get()) if value.isDefined() else None

    @property
    def rows(self) -> int | None:
        """Rows by the log alone; None where a file has no statistics."""
        return rows_of(self.files)

    def read(self, files: Sequence[DataFile]) -> DataFrame:
        """These files of the table as rows, without those that deletion vectors leave out."""
        jvm: Any = self._spark.sparkContext._jvm
        chosen, nothing = seq(jvm, adds(jvm, files)), jvm.scala.Option.empty()
        return DataFrame(self._log.createDataFrame(self._snapshot, chosen, False, nothing), self._spark)

    def changes(self, since: int) -> DataFrame:
        """The change feed from version `since` to this one: a table's rows, `_change_type`, `_commit_version`.

        What `readChangeFeed` gives, but by way of Spark's own scan: the other turns each number of a vector
        into a Java object and back. Raises what Delta raises where changes were not recorded.
        """
        jvm: Any = self._spark.sparkContext._jvm
        reader = module(jvm.org.apache.spark.sql.delta.commands.cdc, "CDCReader")
        further = defaults(jvm, reader, "changesToBatchDF")
        further[-3] = jvm.scala.Option.apply(self._snapshot)  # before it, releases differ; whether by files, since when
        feed = reader.changesToBatchDF(self._log, since, self.version, self._spark._jsparkSession, *further)
        return DataFrame(feed, self._spark)
