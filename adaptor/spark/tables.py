"""Delta tables by path or by name, pinned to a version, checked before they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException, PySparkException
from pyspark.sql import DataFrame, DataFrameWriterV2, SparkSession
from pyspark.sql.types import StructType

from adaptor.errors import AdaptorError
from adaptor.spark import names
from adaptor.spark.columns import path_of
from adaptor.spark.delta_log import Conflict, DeltaLog
from adaptor.spark.names import quoted
from adaptor.spark.vector_types import EMBEDDINGS, is_embeddings, type_name, way_out
from adaptor.storage import is_url


@dataclass(frozen=True)
class TableRef:
    """A table: `catalog.schema.table` in SQL's spelling, or a path or URL (anything with a slash)."""

    where: str
    version: int | None = None

    @property
    def is_path(self) -> bool:
        """Whether it was named by its folder, not by a catalog's name."""
        return self._path is not None

    @cached_property
    def _path(self) -> str | None:
        if names.is_path(self.where):
            return self.where
        parts = names.parts_of(self.where)
        return parts[1] if len(parts) == 2 and parts[0].lower() == "delta" and "/" in parts[1] else None

    @property
    def path(self) -> str:
        """The path or URL, absolute: Delta takes no other in SQL."""
        assert self._path is not None  # callers ask is_path first
        return self._path if is_url(self._path) else str(Path(self._path).absolute())

    @property
    def identifier(self) -> str:
        """The table in SQL, quoted."""
        parts = ["delta", self.path] if self.is_path else names.parts_of(self.where)
        return ".".join(map(quoted, parts))

    def __str__(self) -> str:
        return self.where if self.version is None else f"{self.where} at version {self.version}"

    def at(self, version: int) -> TableRef:
        """The same table at another version."""
        return replace(self, version=version)

    def beside(self, suffix: str) -> TableRef:
        """The table whose name is this one's and `suffix`."""
        if self._path is not None:
            return TableRef(self._path.rstrip("/") + suffix)
        *parents, last = names.parts_of(self.where)
        return TableRef(".".join(map(names.spelled, (*parents, last + suffix))))

    def is_same(self, other: TableRef, spark: SparkSession) -> bool:
        """Whether both name one table, however they are spelled."""
        return self.identity(spark) == other.identity(spark)

    def identity(self, spark: SparkSession) -> str:
        """The folder of a table that is there, or of a path; else the whole name, by which a catalog finds it."""
        if self.is_path or (self.exists(spark) and not self.is_view(spark)):
            scheme, _, path = self.location(spark).rpartition(":")
            return str(Path(path).resolve()) if scheme in ("", "file") else f"{scheme}:{path.rstrip('/')}"
        parts = names.parts_of(self.where)
        catalog = spark.catalog
        around = [catalog.currentCatalog(), catalog.currentDatabase()][: max(3 - len(parts), 0)]
        return ".".join(map(quoted, (*around, *parts))).lower()

    def exists(self, spark: SparkSession) -> bool:
        """Whether there is such a table."""
        if self.is_path:
            return bool(DeltaTable.isDeltaTable(spark, self.path))
        try:
            return spark.catalog.tableExists(self.identifier)
        except (AnalysisException, Py4JJavaError) as error:
            raise AdaptorError(f"{self.where} can't be looked up: {first_line(error)}") from error

    def is_view(self, spark: SparkSession) -> bool:
        """Whether a name that exists is a view: it has rows, but no versions and no files."""
        return not self.is_path and spark.catalog.getTable(self.identifier).tableType in ("VIEW", "TEMPORARY")

    def pinned(self, spark: SparkSession) -> TableRef:
        """The same table at its latest version, unless one is set; a view, which has none, as it is.

        Raises `AdaptorError` when there is no such Delta table, or not this version of it.
        """
        if re.match(r"\s*(SELECT|WITH)\s", self.where, re.IGNORECASE):
            raise AdaptorError(
                "source.table is a query; make a view of it and name that: CREATE VIEW ... AS SELECT ..., "
                "or a Delta table: CREATE TABLE ... USING delta AS SELECT ..."
            )
        if not self.exists(spark):
            raise AdaptorError(f"there is no Delta table at {self.where}; check source.table and the working folder")
        if self.is_view(spark):
            if self.version is not None:
                raise AdaptorError(f"{self.where} is a view, which has no versions; take source.version out")
            return self
        try:
            if self.version is None:
                return replace(self, version=DeltaLog(spark, self.location(spark)).snapshot().version)
            _ = self.read(spark).schema
        except AnalysisException as error:
            raise AdaptorError(f"{self} can't be read: {first_line(error)}") from error
        return self

    def read(self, spark: SparkSession) -> DataFrame:
        """Its rows, at the version where it is pinned to one."""
        if not self.is_path and self.version is None:
            return spark.table(self.identifier)
        reader = spark.read.format("delta")
        if self.version is not None:
            reader = reader.option("versionAsOf", self.version)
        return reader.load(self.path) if self.is_path else reader.table(self.identifier)

    def location(self, spark: SparkSession) -> str:
        """The folder of its files, a path or URL."""
        return self.path if self.is_path else str(self._delta(spark).detail().collect()[0]["location"])

    def properties(self, spark: SparkSession) -> dict[str, str]:
        """The table's properties."""
        return dict(self._delta(spark).detail().collect()[0]["properties"])

    def changed_at(self, spark: SparkSession) -> datetime:
        """When its last version was committed."""
        last: datetime = self._delta(spark).history(1).collect()[0]["timestamp"]
        return last

    def _delta(self, spark: SparkSession) -> DeltaTable:
        return DeltaTable.forPath(spark, self.path) if self.is_path else DeltaTable.forName(spark, self.identifier)


def require_columns(df: DataFrame, columns: Sequence[str], table: TableRef | None = None) -> None:
    """`AdaptorError` naming the columns that are missing and those there are; without a table, of a DataFrame."""
    missing = [column for column in columns if path_of(df.schema, column) is None]
    if missing:
        raise AdaptorError(
            f"{_called(table)} has no column {', '.join(map(repr, missing))}; it has {', '.join(df.columns)}"
        )


def _called(table: TableRef | None) -> str:
    return "the DataFrame" if table is None else table.where


def require_embeddings(df: DataFrame, column: str, table: TableRef | None = None) -> None:
    """`AdaptorError` unless `column` is an array of floats or doubles."""
    path = path_of(df.schema, column)
    assert path is not None  # require_columns has seen to it
    kind = path[-1].dataType
    if not is_embeddings(kind):
        name = ".".join(names.spelled(field.name) for field in path)
        raise AdaptorError(
            f"column {column!r} of {_called(table)} is {type_name(kind)}; "
            f"embeddings are {EMBEDDINGS}: {way_out(kind, name)}; write that to a table, or name another column"
        )


def restricted(df: DataFrame, condition: str | None) -> DataFrame:
    """`df` under an SQL `condition`, if there is one.

    Raises `AdaptorError` when it is none, and when it would choose other rows each time it is asked:
    a table's rows are asked for more than once.
    """
    if condition is None:
        return df
    try:
        rows = df.where(condition)
    except AnalysisException as error:
        raise AdaptorError(f"source.where {condition!r} can't be used: {first_line(error)}") from error
    chosen_by = rows._jdf.queryExecution().analyzed().condition()
    patterns: Any = df.sparkSession._jvm.org.apache.spark.sql.catalyst.trees.TreePattern  # type: ignore[union-attr]
    if not chosen_by.deterministic() or chosen_by.containsPattern(patterns.CURRENT_LIKE()):
        raise AdaptorError(
            f"source.where {condition!r} can't be used: it chooses other rows each time it is asked; "
            "take out what is random or depends on the clock, and write a date as a literal"
        )
    return rows


def require_rows(df: DataFrame, condition: str | None, table: TableRef) -> DataFrame:
    """`df`, under an SQL `condition` if there is one; `AdaptorError` when nothing is left."""
    rows = restricted(df, condition)
    if rows.isEmpty():
        raise AdaptorError(f"{table} has no rows" + ("" if condition is None else f" where {condition}"))
    return rows


def make_table(spark: SparkSession, table: TableRef, schema: StructType, properties: Mapping[str, str]) -> None:
    """An empty `table` where there is none."""
    if table.is_path:
        maker = DeltaTable.createIfNotExists(spark).addColumns(schema).location(table.path)
        for key, value in properties.items():
            maker = maker.property(key, value)
        maker.execute()
        return
    # Delta's builder knows names of two parts only.
    try:
        _writer(spark.createDataFrame([], schema), table, properties).create()
    except AnalysisException as error:
        if error.getCondition() != "TABLE_OR_VIEW_ALREADY_EXISTS":
            raise


def write_table(df: DataFrame, table: TableRef, properties: Mapping[str, str]) -> None:
    """Create or replace `table` by `df` in one commit: readers see the old rows or all the new ones.

    `properties` go to the table and, as JSON, to the commit's userMetadata.
    """
    _writer(df, table, properties).option("userMetadata", json.dumps(dict(properties))).createOrReplace()


def append_rows(df: DataFrame, table: TableRef, properties: Mapping[str, str] | None = None) -> None:
    """Append to `table`, made with `properties` if it is not there; one of an earlier release gets new columns."""
    writer = df.coalesce(1).write.format("delta").mode("append").option("mergeSchema", "true")
    writer = writer.options(**(properties or {}))

    def append() -> None:
        writer.save(table.path) if table.is_path else writer.saveAsTable(table.identifier)

    try:
        append()
    except Conflict:  # another job has just made the table
        append()


def _writer(df: DataFrame, table: TableRef, properties: Mapping[str, str]) -> DataFrameWriterV2:
    writer = df.writeTo(table.identifier).using("delta")
    for key, value in properties.items():
        writer = writer.tableProperty(key, value)
    return writer


@contextmanager
def refusal(what: str) -> Iterator[None]:
    """Say `what`, and why in one line, where Spark or Delta refuses."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise AdaptorError(f"{what}: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The sentence of an error, without its trace."""
    said = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
    return re.split(r"[\n;]", said.strip())[0]
