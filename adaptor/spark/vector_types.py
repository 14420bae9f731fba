"""Of which type a column of vectors is, and what converts one that is stored in another way.

A job reads the type from the table's schema, a UDF from the batch that it gets; both say the same words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.errors import PySparkException
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    BooleanType,
    DataType,
    DoubleType,
    FloatType,
    IntegralType,
    MapType,
    NumericType,
    StringType,
    StructField,
    StructType,
    UserDefinedType,
    VariantType,
    VariantVal,
)

from adaptor.errors import AdaptorError

EMBEDDINGS = "array<float> or array<double>"
VECTOR_FIELDS = ["type", "size", "indices", "values"]  # of Spark ML's vectors, as they reach a worker
LONGEST = 100  # characters of a type in a sentence


def is_embeddings(kind: DataType) -> bool:
    """Whether a column of this type holds vectors as they are."""
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, (FloatType, DoubleType))


def require_vectors(column: pd.Series | pd.DataFrame | pa.Array, taker: str) -> None:
    """`AdaptorError`, in the name of `taker`, unless a worker's batch holds arrays of floats, or nothing but nulls."""
    kind = column_type(column)
    if kind is not None and not is_embeddings(kind):
        raise AdaptorError(f"{taker} takes {EMBEDDINGS}, not {type_name(kind)}: {way_out(kind)}, c being the column")


def type_name(kind: DataType) -> str:
    """The type's name, as SQL has it."""
    name = kind.simpleString()
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 3]}..."


def way_out(kind: DataType, column: str = "c") -> str:
    """What makes vectors of a column of another type, in half a sentence."""
    ways = [f"{expression} {what}" for expression, what in conversions(kind, column).items()]
    return ", or ".join(ways) if ways else f"make {EMBEDDINGS} of it"


def conversions(kind: DataType, column: str = "c") -> dict[str, str]:
    """Expressions that make vectors of a column of another type, and what each converts; empty where none is known.

    They are SQL but for two, which are Python.
    """
    if isinstance(kind, StringType):
        return {
            f"from_json({column}, 'array<float>')": "converts JSON text",
            f"CAST(split({column}, ',') AS array<float>)": "numbers between commas",
        }
    if isinstance(kind, BinaryType):
        unpack = "udf(lambda b: b and numpy.frombuffer(b, 'float32').tolist(), 'array<float>')"
        return {f"{unpack}('{column}')": "in Python converts packed floats"}
    if isinstance(kind, UserDefinedType) and type(kind).__name__ == "VectorUDT":
        # On a null it fails, so it may not see one.
        array = f"when(col('{column}').isNotNull(), vector_to_array('{column}', 'float32'))"
        return {array: "in Python, with pyspark.ml.functions, converts it"}
    if isinstance(kind, VariantType) or (isinstance(kind, ArrayType) and _is_scalar(kind.elementType)):
        return {f"CAST({column} AS array<float>)": "converts it"}
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, ArrayType):
        inner, flat = kind.elementType, f"flatten({column})"
        if is_embeddings(inner):
            return {flat: "converts it"}
        return {f"CAST({flat} AS array<float>)": "converts it"} if _is_scalar(inner.elementType) else {}
    if isinstance(kind, StructType):
        return _of_struct(kind, column)
    if isinstance(kind, MapType) and _is_scalar(kind.keyType) and _is_scalar(kind.valueType):
        entries = "e -> struct(CAST(e.key AS int) AS key, CAST(e.value AS float) AS value)"
        expression = f"transform(array_sort(transform(map_entries({column}), {entries})), e -> e.value)"
        return {expression: "converts one whose keys number the values"}
    return {}


def _of_struct(kind: StructType, column: str) -> dict[str, str]:
    whole = [field.name for field in kind if is_embeddings(field.dataType)]
    if whole:
        return {f"{column}.`{name}`": "is one" for name in whole}
    if all(_is_scalar(field.dataType) for field in kind):
        return {f"CAST(array({column}.*) AS array<float>)": "converts it"}
    return {}


def _is_scalar(kind: DataType) -> bool:
    return isinstance(kind, (NumericType, StringType, BooleanType))


def column_type(column: pd.Series | pd.DataFrame | pa.Array) -> DataType | None:
    """The type of the Spark column that a worker sees as this; None where nothing but nulls is seen.

    A series tells by the first of its values that does; Spark makes no difference there between some numbers.
    """
    if isinstance(column, pd.DataFrame):  # a struct
        if list(column.columns) == VECTOR_FIELDS:
            return _vector()
        seen = [(str(name), column_type(values)) for name, values in column.items()]
        return StructType([StructField(name, kind or StringType()) for name, kind in seen])
    if isinstance(column, pa.Array):
        return _of_arrow(column.type)
    return _first(column)


def _first(values: Iterable[Any]) -> DataType | None:
    return next((kind for value in values if (kind := _of_value(value)) is not None), None)


def _of_value(value: Any) -> DataType | None:
    """The type of a value; None where it is null, or an array that does not tell."""
    if value is None:
        return None
    if isinstance(value, np.ndarray):
        plain = value.dtype != object
        item = _of_arrow(pa.from_numpy_dtype(value.dtype)) if plain else _first(value)
        return None if item is None else ArrayType(item)
    if isinstance(value, dict):
        return MapType(_first(value) or StringType(), _first(value.values()) or DoubleType())
    if isinstance(value, VariantVal):
        return VariantType()
    try:
        return _of_arrow(pa.scalar(value).type)
    except pa.ArrowException:
        return _Unknown(type(value).__name__)


class _Unknown(DataType):
    """A type that has no vectors in it, by the name of its values in Python."""

    def __init__(self, name: str) -> None:
        self._name = name

    def simpleString(self) -> str:
        return self._name


def _of_arrow(kind: pa.DataType) -> DataType | None:
    if pa.types.is_null(kind):
        return None
    if pa.types.is_struct(kind):
        names = [field.name for field in kind]
        if names == VECTOR_FIELDS:
            return _vector()
        if sorted(names) == ["metadata", "value"]:
            return VariantType()
    if is_list(kind) and pa.types.is_floating(kind.value_type):
        return ArrayType(FloatType())  # half precision, too, and lists that Spark does not know
    try:
        return from_arrow_type(kind)
    except PySparkException:
        return _Unknown(str(kind))


def without_type_if_null(column: pa.Array) -> pa.Array:
    """A worker's batch, as Arrow's nulls where it holds nothing else: nulls of any type say nothing."""
    return pa.nulls(len(column)) if column.null_count == len(column) else column


def is_list(kind: pa.DataType) -> bool:
    """Whether Arrow has rows of this type as lists."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _vector() -> DataType:
    from pyspark.ml.linalg import VectorUDT

    return VectorUDT()


def require_codes(column: pd.Series | pd.DataFrame | pa.Array, encoding: str) -> None:
    """`AdaptorError` unless a worker's batch holds codes of this encoding, or nothing but nulls."""
    kind = column_type(column)
    if kind is None or (isinstance(kind, BinaryType) if encoding != "int8" else _is_integers(kind)):
        return
    taken = "binary" if encoding != "int8" else "array<tinyint>"
    raise AdaptorError(
        f"{encoding} codes are {taken}, not {type_name(kind)}; name a column that was written with encoding {encoding}"
    )


def _is_integers(kind: DataType) -> bool:
    return isinstance(kind, ArrayType) and isinstance(kind.elementType, IntegralType)
