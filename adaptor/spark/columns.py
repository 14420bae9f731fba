"""Columns by the names that a config gives them: as Spark finds them, whatever they hold, and fields of structs too."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType

from adaptor.errors import AdaptorError
from adaptor.spark.names import parts_of, quoted

Path = tuple[StructField, ...]
"""A column, or a column and the fields that lead to a number inside it."""


def path_of(schema: StructType, name: str) -> Path | None:
    """The column called `name`, dots and all; where there is none, the field of a struct that it leads to.

    Upper and lower case count only where two columns differ by nothing else, as in Spark.
    """
    whole = _called(schema, name)
    if whole is not None:
        return (whole,)
    return next(_paths(schema, name), None) or _quoted_path(schema, name)


def _called(schema: StructType, name: str) -> StructField | None:
    if name in schema.names:
        return schema[name]
    alike = [field for field in schema if field.name.lower() == name.lower()]
    return alike[0] if len(alike) == 1 else None


def _paths(schema: StructType, name: str) -> Iterator[Path]:
    """Each way to read `name` as a struct's name, a dot, and a field of it, however many dots the names hold."""
    for place in (place for place, letter in enumerate(name) if letter == "."):
        struct = _called(schema, name[:place])
        if struct is not None and isinstance(struct.dataType, StructType):
            inside = path_of(struct.dataType, name[place + 1 :])
            if inside is not None:
                yield struct, *inside


def _quoted_path(schema: StructType, name: str) -> Path | None:
    """`name` in SQL's spelling, with parts in back-quotes."""
    if "`" not in name:
        return None
    try:
        parts = parts_of(name)
    except AdaptorError:
        return None
    path: list[StructField] = []
    kind: DataType = schema
    for part in parts:
        field = _called(kind, part) if isinstance(kind, StructType) else None
        if field is None:
            return None
        path.append(field)
        kind = field.dataType
    return tuple(path)


def full_name(schema: StructType, name: str) -> str:
    """The column's own spelling of its name; for a field of a struct `name` as it is."""
    path = path_of(schema, name)
    return path[0].name if path and len(path) == 1 else name


def field_of(schema: StructType, name: str) -> StructField:
    """The column or field that a config calls `name`, which must be there, under its `full_name`."""
    path = path_of(schema, name)
    assert path is not None  # require_columns has seen to it
    if len(path) == 1:
        return path[0]
    return StructField(name, path[-1].dataType, True, path[-1].metadata)


def column(rows: DataFrame, name: str) -> Column:
    """The column or field of `rows` that a config calls `name`, which must be there."""
    path = path_of(rows.schema, name)
    assert path is not None  # require_columns has seen to it
    return F.col(".".join(quoted(field.name) for field in path))
