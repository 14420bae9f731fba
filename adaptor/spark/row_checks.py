"""What is said of a row: why its vector can't be adapted, so that no row is dropped unnoticed, and its stratum."""

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, BinaryType, DataType, StructType

from adaptor.errors import AdaptorError
from adaptor.fitting.strata import NO_STRATUM
from adaptor.spark.columns import column, field_of
from adaptor.vectors import LARGEST, SMALLEST


def shares_of_widths(df: DataFrame, embedding: str, weight: str | None = None) -> dict[int, float]:
    """Width -> share of the vectors of `df`, the commonest first; a row counts as column `weight` says, or once.

    Raises `AdaptorError` when there is no vector.
    """
    counts = df.groupBy(F.size(embedding).alias("width")).agg(F.sum(weight or F.lit(1)).alias("rows"))
    rows = {row["width"]: float(row["rows"]) for row in counts.where("width > 0").collect()}
    if not rows:
        raise AdaptorError(f"every vector in column {embedding!r} is null or empty; there is nothing to fit")
    order = sorted(rows, key=lambda width: (-rows[width], -width))
    return {width: rows[width] / sum(rows.values()) for width in order}


def common_width(df: DataFrame, embedding: str) -> int:
    """D, the width that most vectors of `df` have; `AdaptorError` when none has any."""
    return next(iter(shares_of_widths(df, embedding)))


def reason(id_column: str, embedding: str, width: int) -> Column:
    """Why a row is bad, null where it is good, before a map is known: the kernel has the same reasons and one more."""
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


def ids_and_vectors(rows: DataFrame, id_column: str, embedding: str) -> list[Column]:
    """`id`, as text, and `embedding`, as float32, of a table whose columns have these names."""
    return [
        legible(rows, id_column).cast("string").alias("id"),
        column(rows, embedding).cast("array<float>").alias("embedding"),
    ]


def legible(rows: DataFrame, name: str) -> Column:
    """A column of `rows` as it is, but raw bytes in hex, from which `unhex` leads back: what may become text."""
    return _in_hex(column(rows, name), field_of(rows.schema, name).dataType)


def _in_hex(value: Column, kind: DataType) -> Column:
    if isinstance(kind, BinaryType):
        return F.hex(value)
    if isinstance(kind, ArrayType) and "binary" in kind.simpleString():
        return F.transform(value, lambda item: _in_hex(item, kind.elementType))
    if isinstance(kind, StructType) and "binary" in kind.simpleString():
        fields = [_in_hex(value.getField(f.name), f.dataType).alias(f.name) for f in kind]
        return F.when(value.isNotNull(), F.struct(*fields))
    return value


def stratum(rows: DataFrame, name: str | None) -> Column:
    """The stratum of a row: column `name` as a string, and rows without one, or with NaN, a stratum of their own."""
    if name is None:
        return F.lit(NO_STRATUM)
    value = legible(rows, name)
    text = value.cast("string")
    no_number = F.typeof(value).isin("float", "double") & (text == "NaN")
    return F.coalesce(F.when(~no_number, text), F.lit(NO_STRATUM))


def describe_reasons(reasons: Mapping[str, int]) -> str:
    """Reason -> rows, in words."""
    return ", ".join(f"{count} {why}" for why, count in reasons.items())


def count_reasons(bad: DataFrame) -> dict[str, int]:
    """Reason -> rows, of a DataFrame with a `reason` column."""
    return {row["reason"]: row["count"] for row in bad.groupBy("reason").count().orderBy("reason").collect()}
