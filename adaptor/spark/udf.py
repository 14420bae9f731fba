"""The UDF that turns a column of embeddings into nested ones, for DataFrames and SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema
from pyspark.sql.types import StructType

from adaptor.artifact import Adaptor, Side
from adaptor.encode.kernel import Kernel
from adaptor.layout import Encoding, Layout
from adaptor.spark.task_gpu import task_device
from adaptor.spark.vector_types import require_vectors, without_type_if_null


def nested_type(kernel: Kernel) -> StructType:
    """What the UDF returns: `struct<embedding_64: array<float>, ...>`."""
    return from_arrow_schema(kernel.schema)


def adapt_udf(
    artifact: Adaptor | str,
    dims: Sequence[int] | None = None,
    side: Side = "corpus",
    layout: Layout = "columns",
    encoding: Encoding = "float32",
) -> Any:
    """A UDF from `array<float>` or `array<double>` to a struct of nested embeddings.

    `artifact` is an `Adaptor` or the folder of one, read here, once; `dims` are the artifact's
    by default. A vector that is null, of another width, zero or not finite, or that is
    zero at the shortest dim once it is mapped, gives a struct of nulls.
    A column of another type is refused, with the expression that converts it. It is an Arrow UDF
    where Spark has them (4.1), else a pandas UDF.

        df.select("id", adapt_udf("lake/artifact")("embedding").alias("nested"))
        spark.udf.register("adapt", adapt_udf("lake/artifact"))
        spark.sql("SELECT id, adapt(embedding).embedding_64 FROM docs")
    """
    loaded = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    kernel = Kernel(loaded, layout, encoding, side, tuple(dims) if dims else None)

    def adapt_arrow(vectors: pa.Array) -> pa.Array:
        vectors = without_type_if_null(vectors)
        require_vectors(vectors, "adapt_udf")
        return pa.StructArray.from_arrays(kernel(vectors, task_device()).columns, fields=list(kernel.schema))

    def adapt_pandas(vectors: pd.Series) -> pd.DataFrame:
        require_vectors(vectors, "adapt_udf")
        columns = kernel(lists_of(vectors), task_device()).columns
        return pd.DataFrame({name: ArrowLists(column) for name, column in zip(kernel.schema.names, columns)})

    # The annotations above would be strings here; Spark reads the types themselves.
    if hasattr(F, "arrow_udf"):
        adapt_arrow.__annotations__ = {"vectors": pa.Array, "return": pa.Array}
        return F.arrow_udf(adapt_arrow, nested_type(kernel))
    adapt_pandas.__annotations__ = {"vectors": pd.Series, "return": pd.DataFrame}
    return F.pandas_udf(adapt_pandas, nested_type(kernel))  # type: ignore[attr-defined]


def lists_of(vectors: pd.Series) -> pa.Array:
    """A series of arrays and None as an Arrow array of lists; pyarrow would look at one row at a time."""
    rows = vectors.to_numpy()
    good = vectors.notna().to_numpy()
    if not good.any():
        return pa.nulls(len(rows))
    values = pa.array(np.concatenate(rows[good]))
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    offsets[1:][good] = np.fromiter(map(len, rows[good]), np.int64)
    np.cumsum(offsets, out=offsets)
    return pa.LargeListArray.from_arrays(offsets, values, mask=pa.array(~good))


class ArrowLists(pd.arrays.ArrowExtensionArray):  # type: ignore[misc]
    """A pandas column that is an Arrow array, and reaches Spark as that.

    Spark calls `list` on every value of an array column before it hands the column to Arrow. The
    values here are lists, so that there is nothing to do.
    """

    def map(self, mapper: Any, na_action: Any = None) -> ArrowLists:
        """Nothing is left to do to the values."""
        return self

    def __arrow_array__(self, type: pa.DataType | None = None) -> pa.Array:
        chunks = self._pa_array
        whole = chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks()
        return whole if type is None else whole.cast(type)
