"""The pandas UDF that turns a column of embeddings into nested ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

from adaptor.artifact import Adaptor, Side
from adaptor.layout import column_of as column_of
from adaptor.vectors import LARGEST, SMALLEST, check_dims, prefix


def nested_type(dims: Sequence[int]) -> StructType:
    """What the UDF returns: `struct<embedding_64: array<float>, ...>`."""
    return StructType([StructField(column_of(dim), ArrayType(FloatType(), containsNull=False)) for dim in dims])


def adapt_udf(artifact: Adaptor | str, dims: Sequence[int] | None = None, side: Side = "corpus") -> Any:
    """A pandas UDF from `array<float>` or `array<double>` to a struct of nested embeddings.

    `artifact` is an `Adaptor` or the folder of one, read here, once; `dims` are the artifact's
    by default. A vector that is null, of another width, zero or not finite gives a struct of nulls.

        df.select("id", adapt_udf("lake/artifact")("embedding").alias("nested"))
        spark.udf.register("adapt", adapt_udf("lake/artifact"))
        spark.sql("SELECT id, adapt(embedding).embedding_64 FROM docs")
    """
    loaded = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    wanted = check_dims(dims or loaded.dims, loaded.corpus.out_width)
    side_map, width = loaded.map(side), loaded.width

    def adapt(vectors: pd.Series) -> pd.DataFrame:
        good = np.array([value is not None and len(value) == width for value in vectors], dtype=bool)
        matrix = np.zeros((len(vectors), width), dtype=np.float32)
        if good.any():
            matrix[good] = np.stack(vectors[good].to_numpy()).astype(np.float32)
        largest = np.abs(matrix).max(axis=1, initial=0)
        good &= (largest > SMALLEST) & (largest < LARGEST)
        y = side_map(matrix[good], wanted[-1])
        columns = {}
        for dim in wanted:
            rows = iter(prefix(y, dim))
            columns[column_of(dim)] = [next(rows) if is_good else None for is_good in good]
        return pd.DataFrame(columns)

    # The annotations above would be strings here; Spark reads the types themselves.
    adapt.__annotations__ = {"vectors": pd.Series, "return": pd.DataFrame}
    return F.pandas_udf(adapt, nested_type(wanted))  # type: ignore[attr-defined]
