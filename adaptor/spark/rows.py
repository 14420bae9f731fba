"""What is said of a row: why its vector can't be adapted, so that no row is dropped unnoticed, and its stratum."""

from collections import Counter
from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, StructType

from adaptor.errors import AdaptorError
from adaptor.strata import NO_STRATUM
from adaptor.vectors import LARGEST, SMALLEST


def common_width(df: DataFrame, embedding: str, first: int | None = None) -> int:
    """D, the width that most vectors of `df`, or of its `first` rows, have; `AdaptorError` when none has any."""
    sizes = df.select(F.coalesce(F.size(embedding), F.lit(0)))
    widths = Counter(size for (size,) in (sizes.take(first) if first else sizes.collect()) if size > 0)
    if not widths:
        raise AdaptorError(f"every vector in column {embedding!r} is null or empty; there is nothing to fit")
    return max(widths, key=lambda width: (widths[width], width))


def reason(id_column: str, embedding: str, width: int) -> Column:
    """Why a row is bad, null where it is good."""
    vector = F.col(embedding)
    return (
        F.when(F.col(id_column).isNull(), "the id is null")
        .when(vector.isNull(), "null")
        .when(F.size(vector) != width, F.concat(F.lit("width "), F.size(vector), F.lit(f" instead of {width}")))
        .when(F.exists(vector, lambda x: x.isNull()), "holds null")
        .when(F.exists(vector, F.isnan), "holds NaN")
        .when(F.exists(vector, lambda x: F.abs(x) >= LARGEST), "infinite")
        .when(F.forall(vector, lambda x: F.abs(x) <= SMALLEST), "zero")
    )


def bad_rows(rows: DataFrame, width: int) -> DataFrame:
    """`id, reason` of the bad ones among `id, embedding`."""
    found = rows.select("id", reason("id", "embedding", width).alias("reason"))
    return found.where("reason IS NOT NULL")


def legible(rows: DataFrame, name: str) -> Column:
    """A column of `rows` as it is, but raw bytes in hex, from which `unhex` leads back: what may become text."""
    return _in_hex(F.col(name), rows.select(name).schema[0].dataType)


def _in_hex(column: Column, kind: DataType) -> Column:
    if isinstance(kind, BinaryType):
        return F.hex(column)
    if isinstance(kind, ArrayType) and "binary" in kind.simpleString():
        return F.transform(column, lambda item: _in_hex(item, kind.elementType))
    if isinstance(kind, StructType) and "binary" in kind.simpleString():
        fields = [_in_hex(column.getField(f.name), f.dataType).alias(f.name) for f in kind]
        return F.when(column.isNotNull(), F.struct(*fields))
    return column


def stratum(column: Column | str | None) -> Column:
    """The stratum of a row: `column` as a string, and rows without one a stratum of their own."""
    if column is None:
        return F.lit(NO_STRATUM)
    given = F.col(column) if isinstance(column, str) else column
    return F.coalesce(given.cast("string"), F.lit(NO_STRATUM))


def told(reasons: Mapping[str, int]) -> str:
    """Reason -> rows, in words."""
    return ", ".join(f"{count} {why}" for why, count in reasons.items())


def count_reasons(bad: DataFrame) -> dict[str, int]:
    """Reason -> rows, of a DataFrame with a `reason` column."""
    return {row["reason"]: row["count"] for row in bad.groupBy("reason").count().orderBy("reason").collect()}
