"""Columns of a Parquet file as Spark reads them under a table's schema, where Arrow reads them the same.

What a file says of itself counts for nothing: it may be another writer's, and the table's schema younger.
No Spark in here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

FLOATS = pa.list_(pa.float32())
CORRECTED = "CORRECTED"  # dates and times are as they stand in the file
FIRST_DAY = -141427  # 1582-10-15: from here on the calendars of Spark 2 and of today agree on dates
FIRST_SECOND = -2208988800  # 1900-01-01: and here on times, in every time zone
UNITS = {"milliseconds": 1000, "microseconds": 1_000_000}  # of a timestamp, in a second


class Unlike(Exception):
    """A file that Arrow might read otherwise than Spark does, and why, in half a sentence."""


@dataclass(frozen=True)
class Reading:
    """What the table says of its embeddings, and how the session reads files.

    `dates` and `int96` are Spark's rebase modes for files that don't say which calendar they follow; None where
    the session does still more to such a column.
    """

    embedding: pa.DataType = FLOATS
    case_sensitive: bool = False
    dates: str | None = CORRECTED
    int96: str | None = CORRECTED


def columns_of(file: parquet.ParquetFile, table: dict[str, pa.DataType], reading: Reading) -> dict[str, str]:
    """The table's columns that a file has, each with its name there; a file that is older than a column lacks it.

    Raises `Unlike` for what Spark might read otherwise, or refuse.
    """
    names, columns = file.schema_arrow.names, {}
    for name, kind in table.items():
        same = [other for other in names if _same(other, name, reading.case_sensitive)]
        if len(same) > 1:
            raise Unlike(f"columns {' and '.join(map(repr, same))} could both be the table's {name!r}")
        if same:
            _require_alike(file, same[0], name, kind, reading)
            columns[name] = same[0]
    if not columns:
        raise Unlike("it has none of the columns that are read")
    return columns


def _same(one: str, other: str, case_sensitive: bool) -> bool:
    return one == other or (not case_sensitive and one.lower() == other.lower())


def as_table_has_it(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """A column of a file as the table's type, to which `columns_of` has found it alike."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    # Spark takes the bytes of a string as they are.
    return column.cast(kind, safe=not pa.types.is_string(kind))


def _require_alike(file: parquet.ParquetFile, there: str, name: str, kind: pa.DataType, reading: Reading) -> None:
    longer = [other for other in file.schema_arrow.names if other.startswith(f"{there}.")]  # names may hold dots
    paths = [file.schema.column(leaf).path for leaf in range(len(file.schema))]
    leaves = [
        leaf for leaf, path in enumerate(paths) if _is_in(path, there) and not any(_is_in(path, o) for o in longer)
    ]
    if len(leaves) != 1 or not _alike(file, leaves[0], there, kind):
        kinds = " and ".join(_told(file.schema.column(leaf)) for leaf in leaves)
        raise Unlike(f"column {there!r} is {kinds} there, and {name!r} is {kind} in the table")
    if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None):
        mode = _calendar(file, file.schema.column(leaves[0]).physical_type == "INT96", reading)
        if mode != CORRECTED and not all(_is_late(*group) for group in _groups(file, leaves[0])):
            raise Unlike(f"column {there!r}, {kind} in the table, may follow the calendar of Spark 2 there")


def _is_in(path: str, column: str) -> bool:
    return path == column or path.startswith(f"{column}.")


def _told(leaf: parquet.ColumnSchema) -> str:
    logical = "" if leaf.logical_type.type == "NONE" else f" ({leaf.logical_type})"
    return f"{leaf.physical_type}{logical}" + (f" in {leaf.path}" if "." in leaf.path else "")


def _alike(  # noqa: C901 - a branch a type
    file: parquet.ParquetFile, number: int, there: str, kind: pa.DataType
) -> bool:
    """Whether Arrow's reading of column `there`, cast to `kind`, is Spark's reading of it as `kind`."""
    leaf, arrow, types = file.schema.column(number), file.schema_arrow.field(there).type, pa.types
    if types.is_list(kind):
        levels = leaf.path.removeprefix(f"{there}.").split(".")
        # To Spark a list of these names in the middle has structs for items.
        plain = len(levels) == 2 and levels[0] not in ("array", f"{there}_tuple") and leaf.max_repetition_level == 1
        return plain and _list_alike(file, number, arrow, kind)
    if leaf.max_repetition_level:
        return False
    logical = json.loads(leaf.logical_type.to_json())
    physical, said = leaf.physical_type, logical["Type"]
    if types.is_dictionary(arrow):
        arrow = arrow.value_type
    if types.is_boolean(kind):
        return physical == "BOOLEAN" and types.is_boolean(arrow)
    if types.is_integer(kind):
        bits = {"INT32": 32, "INT64": 64}.get(physical, 65) if said == "None" else logical.get("bitWidth", 65)
        return bits <= kind.bit_width and logical.get("isSigned", True) and types.is_signed_integer(arrow)
    if types.is_floating(kind):
        return (physical, arrow) in (
            ("FLOAT", pa.float32()),
            ("DOUBLE", pa.float64()),
        ) and arrow.bit_width <= kind.bit_width
    if types.is_string(kind):
        texts = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
        return physical == "BYTE_ARRAY" and said in ("None", "String") and arrow in texts
    if types.is_decimal(kind):
        return said == "Decimal" and arrow == kind
    if types.is_date(kind):
        return (physical, said) == ("INT32", "Date") and arrow == kind
    if types.is_timestamp(kind) and types.is_timestamp(arrow):
        if physical == "INT96":
            return kind.tz is not None and arrow.unit == "us"
        zoned = kind.tz is not None
        return said == "Timestamp" and logical["timeUnit"] in UNITS and logical["isAdjustedToUTC"] == zoned
    return False


def _list_alike(file: parquet.ParquetFile, number: int, arrow: pa.DataType, kind: pa.DataType) -> bool:
    types = pa.types
    if types.is_fixed_size_list(arrow):
        if not _is_full(file, number, arrow.list_size):
            return False
    elif not (types.is_list(arrow) or types.is_large_list(arrow)):
        return False
    numbers = {"FLOAT": pa.float32(), "DOUBLE": pa.float64()}.get(file.schema.column(number).physical_type)
    return arrow.value_type == numbers and numbers.bit_width <= kind.value_type.bit_width


def _is_full(file: parquet.ParquetFile, number: int, size: int) -> bool:
    """Whether no list of a column is null: of lists of a fixed size Arrow reads no others."""
    groups = [file.metadata.row_group(group) for group in range(file.num_row_groups)]
    return size > 1 and all(group.column(number).num_values == group.num_rows * size for group in groups)


def _calendar(file: parquet.ParquetFile, is_int96: bool, reading: Reading) -> str | None:
    """Spark's rebase mode for a column of dates or times, by what it wrote into the file, else by the session."""
    metadata: dict[bytes, bytes] = file.metadata.metadata or {}
    session = reading.int96 if is_int96 else reading.dates
    version = metadata.get(b"org.apache.spark.version")
    if version is None or session is None:
        return session
    legacy = b"org.apache.spark.legacyINT96" if is_int96 else b"org.apache.spark.legacyDateTime"
    first = b"3.1.0" if is_int96 else b"3.0.0"
    return "LEGACY" if version < first or legacy in metadata else CORRECTED


def _groups(file: parquet.ParquetFile, number: int) -> Iterator[tuple[parquet.ColumnSchema, Any]]:
    for group in range(file.num_row_groups):
        yield file.schema.column(number), file.metadata.row_group(group).column(number).statistics


def _is_late(leaf: parquet.ColumnSchema, statistics: Any) -> bool:
    """Whether a row group's dates or times are all so late that the calendars agree."""
    if statistics is None or not statistics.has_min_max:
        return False
    if leaf.physical_type == "INT32":
        return bool(statistics.min_raw >= FIRST_DAY)
    unit = json.loads(leaf.logical_type.to_json()).get("timeUnit")
    return unit in UNITS and bool(statistics.min_raw >= FIRST_SECOND * UNITS[unit])
