"""Coded rows scored in SQL by a query as its embedder made it: `score_bits_24(code_48, query)`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import FloatType

from adaptor.artifact import Adaptor
from adaptor.spark.decoders import Coded, Decoder
from adaptor.spark.udf import lists_of
from adaptor.spark.vector_types import require_codes
from adaptor.vectors import check_dims, prefix


def score_udf(artifact: Adaptor | str, encoding: Coded, dim: int) -> Any:
    """A UDF from a coded column and a column of queries, `array<float>` or `array<double>`, to their cosine, a float.

    Queries are as their embedder made them: the query map is applied here, once where all rows have the same query. Of
    `bits`, `dim` is how many bytes of the code count. Null where the code or the query is null; raises `AdaptorError`,
    which ends the job, for queries of another width or without a direction, and for codes that are too short.

        df.select("id", score_udf("lake/artifact", "bits", 24)("code_48", F.array(*map(F.lit, query))))
    """
    adaptor = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    if encoding != "bits":
        (dim,) = check_dims([dim], adaptor.corpus.out_width)
    codec = adaptor.codec(encoding, dim)
    decoder = Decoder(codec)

    def score(codes: pd.Series, queries: pd.Series) -> pd.Series:
        require_codes(codes, encoding)
        there = (codes.notna() & queries.notna()).to_numpy()
        scores = np.full(len(codes), np.nan, np.float32)
        if there.any():
            stored = codes[there]
            rows, _ = decoder.numbers(lists_of(stored) if encoding == "int8" else pa.array(stored, pa.binary()))
            asked = np.stack(queries[there].to_list())
            alike = bool((asked == asked[:1]).all())
            encoded = adaptor.encode(asked[:1] if alike else asked, side="query")
            scores[there] = np.einsum("ij,ij->i", rows, np.broadcast_to(prefix(encoded, codec.width), rows.shape))
        return pd.Series(pd.array(scores, dtype=pd.ArrowDtype(pa.float32()))).where(there, None)

    # The annotations above would be strings here; Spark reads the types themselves.
    score.__annotations__ = {"codes": pd.Series, "queries": pd.Series, "return": pd.Series}
    return F.pandas_udf(score, FloatType())  # type: ignore[attr-defined]


def register_scores(
    spark: SparkSession, artifact: Adaptor | str, encoding: Coded = "bits", dims: Sequence[int] | None = None
) -> list[str]:
    """Make `score_bits_24(code, query)`, ... SQL functions of this session; their names.

    `dims` are the artifact's by default, of `bits` its lengths in bytes.

        SELECT doc_id, score_bits_24(code_48, query) AS score FROM docs CROSS JOIN question ORDER BY score DESC LIMIT 10
    """
    adaptor = Adaptor.load(artifact) if isinstance(artifact, str) else artifact
    names = []
    for dim in dims or adaptor.lengths(encoding):
        names.append(f"score_{encoding}_{dim}")
        spark.udf.register(names[-1], score_udf(adaptor, encoding, dim))
    return names
