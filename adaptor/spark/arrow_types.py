"""Arrow's types of Spark's columns, by whatever name this release of Spark calls its options."""

from inspect import signature
from typing import Any

import pyarrow as pa
from pyspark.sql.pandas import types
from pyspark.sql.types import DataType

# Spark 4.1 and later ask for the zone of instants, 4.0 takes UTC unless told otherwise.
_IN_UTC: dict[str, Any] = {"timezone": "UTC"} if "timezone" in signature(types.to_arrow_type).parameters else {}


def arrow_type(kind: DataType) -> pa.DataType:
    """What a column of this type is in Arrow, instants in UTC; Spark's own error for a type that Arrow lacks."""
    return types.to_arrow_type(kind, **_IN_UTC)
