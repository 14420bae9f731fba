"""Coded vectors back to float32 in SQL, and any prefix of a layout as an SQL expression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType

from adaptor.artifact import Adaptor
from adaptor.codecs import Codec
from adaptor.encode.arrow_lists import Lists, rows_array
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.layout import Layout, nested_columns
from adaptor.spark.udf import ArrowLists, lists_of
from adaptor.spark.vector_types import require_codes, without_type_if_null
from adaptor.vectors import Float32, check_dims

Coded = Literal["int8", "binary", "bits"]


@dataclass(frozen=True)
class Decoder:
    """From Arrow arrays of codes to lists of `dim` float32 numbers of length 1; null stays null.

    Codes may be wider: their beginning is the code of the prefix.
    """

    codec: Codec

    def __call__(self, codes: pa.Array) -> pa.Array:
        """Codes of one column as Arrow lists of float32; null where they are null."""
        decoded, there = self.numbers(codes)
        kind = pa.list_(pa.field("element", pa.float32(), nullable=False))
        return rows_array(kind, decoded, None if there.all() else there)

    def numbers(self, codes: pa.Array) -> tuple[Float32, NDArray[np.bool_]]:
        """The decoded rows `(n, codec.width)` of those codes of a column that are there, and which are: `(rows,)`."""
        lists = Lists.of(codes)
        widths = lists.widths(0, len(lists))
        there = widths >= 0
        sizes = np.unique(widths[there])
        if len(sizes) > 1 or (len(sizes) and sizes[0] < self.codec.bytes):
            raise AdaptorError(
                f"codes of {' and '.join(map(str, sizes))} bytes are in one column, {self.codec.bytes} or more are "
                "expected in each row; decode the column of this dim or of a wider one"
            )
        width = int(sizes[0]) if len(sizes) else self.codec.bytes
        matrix, _ = lists.matrix(0, len(lists), there, width)
        prefixes = np.ascontiguousarray(matrix[:, : self.codec.bytes])
        return self.codec.decode(prefixes), there


def decode_udf(artifact: Adaptor | str, encoding: Coded, dim: int) -> Any:
    """A UDF from a coded column, `int8` or `binary`, to `array<float>` of `dim` numbers and length 1.

    Of `bits`, `dim` is how many bytes of the code are decoded; the numbers are those that reach into them.

    df.select("id", decode_udf("lake/artifact", "int8", 64)("embedding_64"))
    df.select("id", decode_udf("lake/artifact", "bits", 24)("code_48"))
    """
    if encoding not in get_args(Coded):
        raise AdaptorError(f"encoding {encoding!r} has no decoder: it is one of {', '.join(get_args(Coded))}")
    adaptor = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    if encoding != "bits":
        (dim,) = check_dims([dim], adaptor.corpus.out_width)
    decoder = Decoder(adaptor.codec(encoding, dim))
    returned = ArrayType(FloatType(), containsNull=False)

    def decode_arrow(codes: pa.Array) -> pa.Array:
        codes = without_type_if_null(codes)
        require_codes(codes, encoding)
        return decoder(codes)

    def decode_pandas(codes: pd.Series) -> pd.Series:
        require_codes(codes, encoding)
        return pd.Series(ArrowLists(decoder(lists_of(codes) if encoding == "int8" else pa.array(codes, pa.binary()))))

    # The annotations above would be strings here; Spark reads the types themselves.
    if hasattr(F, "arrow_udf"):
        decode_arrow.__annotations__ = {"codes": pa.Array, "return": pa.Array}
        return F.arrow_udf(decode_arrow, returned)
    decode_pandas.__annotations__ = {"codes": pd.Series, "return": pd.Series}
    return F.pandas_udf(decode_pandas, returned)  # type: ignore[attr-defined]


def register_decoders(
    spark: SparkSession,
    artifact: Adaptor | str,
    encodings: Sequence[Coded] = ("int8", "binary"),
    dims: Sequence[int] | None = None,
) -> list[str]:
    """Make `decode_int8_64`, `decode_binary_64`, ... SQL functions of this session; their names.

    `dims` are the artifact's by default; of `bits`, which is to be asked for, lengths of codes in bytes.

        SELECT doc_id, decode_int8_64(embedding_64) FROM docs
        SELECT doc_id, decode_int8_128(concat(embedding_0_64, embedding_64_128)) FROM docs_in_bands
        SELECT doc_id, decode_bits_24(code_48) FROM docs_as_codes
    """
    adaptor = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    decoders = {
        f"decode_{encoding}_{dim}": decode_udf(adaptor, encoding, dim)
        for encoding in encodings
        for dim in dims or adaptor.lengths(encoding)
    }
    for name, udf in decoders.items():
        spark.udf.register(name, udf)
    return list(decoders)


def prefix_column(kernel: Kernel, dim: int) -> Column:
    """The prefix of `dim` numbers, of `bits` bytes, of length 1, from a table that a kernel wrote; null stays null."""
    if kernel.encoding == "float32":
        return F.expr(prefix_sql(kernel.layout, kernel.lengths, dim))
    used = [column for column in kernel.nested if column.start < dim]
    if kernel.layout == "columns":
        used = [column for column in used if column.stop == dim]
    codes = F.concat(*(column.name for column in used)) if len(used) > 1 else F.col(used[0].name)
    return decode_udf(kernel.adaptor, kernel.encoding, dim)(codes)


def prefix_sql(layout: Layout, dims: Sequence[int], dim: int) -> str:
    """The prefix of `dim` numbers, of length 1, as an SQL expression over a table in this layout, as float32.

    It names only the columns that hold these numbers, so that Parquet reads no others. In
    `columns` and `bands` any `dim` up to the widest of `dims` works, in `single` any.
    """
    dims = check_dims(dims)
    (dim,) = check_dims([dim], None if layout == "single" else dims[-1])
    nested = nested_columns(layout, dims, max(dim, *dims))
    if layout == "bands":
        used = [column for column in nested if column.start < dim]
    else:
        used = [column for column in nested if column.stop >= dim][:1]
    names = ", ".join(f"`{column.name}`" for column in used)
    vector = names if len(used) == 1 else f"concat({names})"
    if layout == "columns" and used[0].stop == dim:
        return vector  # of length 1 already
    if used[-1].stop > dim or layout == "single":
        vector = f"slice({vector}, 1, {dim})"
    # The sum is bound once, in the last function of `aggregate`: not once a number.
    return (
        f"aggregate({vector}, 0D, (sum, x) -> sum + CAST(x AS DOUBLE) * x, "
        f"sum -> IF(sum > 0, transform({vector}, x -> CAST(x / sqrt(sum) AS FLOAT)), {vector}))"
    )
