"""Delta tables by path or by name, pinned to a version, checked before they are read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from delta.tables import DeltaTable
from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, StructType

from adaptor.errors import AdaptorError
from adaptor.files import is_url
from adaptor.spark.delta_log import DeltaLog


@dataclass(frozen=True)
class TableRef:
    """A Delta table: `catalog.schema.table`, or a path or URL (anything with a slash)."""

    where: str
    version: int | None = None

    @property
    def is_path(self) -> bool:
        return "/" in self.where

    @property
    def path(self) -> str:
        """The path or URL, absolute: Delta takes no other in SQL."""
        return self.where if is_url(self.where) else str(Path(self.where).absolute())

    @property
    def identifier(self) -> str:
        """The table in SQL, quoted."""
        parts = ["delta", self.path] if self.is_path else self.where.split(".")
        return ".".join(map(quoted, parts))

    def __str__(self) -> str:
        return self.where if self.version is None else f"{self.where} at version {self.version}"

    def exists(self, spark: SparkSession) -> bool:
        if self.is_path:
            return bool(DeltaTable.isDeltaTable(spark, self.path))
        return spark.catalog.tableExists(self.where)

    def pinned(self, spark: SparkSession) -> TableRef:
        """The same table at its latest version, unless one is set.

        Raises `AdaptorError` when there is no such Delta table, or not this version of it.
        """
        if not self.exists(spark):
            raise AdaptorError(f"there is no Delta table at {self.where}; check source.table and the working folder")
        try:
            if self.version is None:
                return replace(self, version=DeltaLog(spark, self.location(spark)).snapshot().version)
            _ = self.read(spark).schema
        except AnalysisException as error:
            raise AdaptorError(f"{self} can't be read: {first_line(error)}") from error
        return self

    def read(self, spark: SparkSession) -> DataFrame:
        reader = spark.read.format("delta")
        if self.version is not None:
            reader = reader.option("versionAsOf", self.version)
        return reader.load(self.path) if self.is_path else reader.table(self.where)

    def location(self, spark: SparkSession) -> str:
        """The folder of its files, a path or URL."""
        return self.path if self.is_path else str(self._delta(spark).detail().collect()[0]["location"])

    def properties(self, spark: SparkSession) -> dict[str, str]:
        """The table's properties."""
        return dict(self._delta(spark).detail().collect()[0]["properties"])

    def _delta(self, spark: SparkSession) -> DeltaTable:
        return DeltaTable.forPath(spark, self.path) if self.is_path else DeltaTable.forName(spark, self.where)


def quoted(name: str) -> str:
    """A name in SQL, whatever it holds."""
    return f"`{name.replace('`', '``')}`"


def require_columns(df: DataFrame, columns: Sequence[str], table: TableRef) -> None:
    """`AdaptorError` naming the columns that are missing and those there are."""
    missing = [column for column in columns if column not in df.columns]
    if missing:
        raise AdaptorError(
            f"{table.where} has no column {', '.join(map(repr, missing))}; it has {', '.join(df.columns)}"
        )


def require_embeddings(df: DataFrame, column: str, table: TableRef) -> None:
    """`AdaptorError` unless `column` is an array of floats or doubles."""
    found: DataType = df.schema[column].dataType
    if not (isinstance(found, ArrayType) and isinstance(found.elementType, (FloatType, DoubleType))):
        raise AdaptorError(
            f"column {column!r} of {table.where} is {found.simpleString()}; "
            "embeddings are array<float> or array<double>: cast it, or name another column"
        )


def restricted(df: DataFrame, condition: str | None) -> DataFrame:
    """`df` under an SQL `condition`, if there is one; `AdaptorError` when it is none."""
    try:
        return df if condition is None else df.where(condition)
    except AnalysisException as error:
        raise AdaptorError(f"source.where {condition!r} can't be used: {first_line(error)}") from error


def require_rows(df: DataFrame, condition: str | None, table: TableRef) -> DataFrame:
    """`df`, under an SQL `condition` if there is one; `AdaptorError` when nothing is left."""
    rows = restricted(df, condition)
    if rows.isEmpty():
        raise AdaptorError(f"{table} has no rows" + ("" if condition is None else f" where {condition}"))
    return rows


def make_table(spark: SparkSession, table: TableRef, schema: StructType, properties: Mapping[str, str]) -> None:
    """An empty `table` where there is none."""
    maker = DeltaTable.createIfNotExists(spark).addColumns(schema)
    maker = maker.location(table.path) if table.is_path else maker.tableName(table.where)
    for key, value in properties.items():
        maker = maker.property(key, value)
    maker.execute()


def write_table(df: DataFrame, table: TableRef, properties: Mapping[str, str]) -> None:
    """Create or replace `table` by `df` in one commit: readers see the old rows or all the new ones.

    `properties` go to the table and, as JSON, to the commit's userMetadata.
    """
    writer = df.writeTo(table.identifier).using("delta").option("userMetadata", json.dumps(dict(properties)))
    for key, value in properties.items():
        writer = writer.tableProperty(key, value)
    writer.createOrReplace()


def first_line(error: Exception) -> str:
    """The sentence of an error, without its trace."""
    said = error.java_exception.toString() if isinstance(error, Py4JJavaError) else str(error)
    return re.split(r"[\n;]", said.strip())[0]
