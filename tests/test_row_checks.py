"""Bad rows: every reason, for floats and doubles."""

import math

import pyarrow as pa
import pytest
from synthetic import embeddings_frame

from adaptor.errors import AdaptorError
from adaptor.spark.row_checks import common_width, count_reasons, reason, stratum

GOOD = [0.6, 0.0, 0.8]
BAD = {
    "null": None,
    "width 2 instead of 3": [1.0, 2.0],
    "width 4 instead of 3": [1.0, 2.0, 3.0, 4.0],
    "width 0 instead of 3": [],
    "holds null": [1.0, None, 2.0],
    "holds NaN": [1.0, math.nan, 2.0],
    "infinite": [1.0, 2.0, -math.inf],
    "zero": [0.0, -0.0, 0.0],
}


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_every_reason(spark, kind):
    df = embeddings_frame(spark, [GOOD, *BAD.values(), GOOD], ["good", *BAD, None], kind)
    reasons = {
        row["id"]: row["reason"] for row in df.select("id", reason("id", "embedding", 3).alias("reason")).collect()
    }
    assert reasons == {"good": None, None: "the id is null"} | {name: name for name in BAD}


@pytest.mark.parametrize("big", [1e300, 1e19])
def test_numbers_too_large_for_their_square_are_infinite(spark, big):
    df = embeddings_frame(spark, [[big, 0.0, 1.0], [1e-30, 0.0, 0.0]], kind=pa.float64())
    floats = df.selectExpr("id", "cast(embedding AS array<float>) AS embedding")
    for frame in (df, floats):
        assert count_reasons(frame.withColumn("reason", reason("id", "embedding", 3))) == {"infinite": 1, "zero": 1}


def test_reasons_are_counted(spark):
    df = embeddings_frame(spark, [GOOD, None, None, [0.0] * 3])
    bad = df.withColumn("reason", reason("id", "embedding", 3)).where("reason IS NOT NULL")
    assert count_reasons(bad) == {"null": 2, "zero": 1}


def test_the_common_width(spark):
    assert common_width(embeddings_frame(spark, [None, [], [1.0], [1.0, 2.0], [3.0, 4.0]]), "embedding") == 2


def test_no_vector_at_all(spark):
    with pytest.raises(AdaptorError, match="every vector in column 'embedding' is null or empty"):
        common_width(embeddings_frame(spark, [None, []]), "embedding")


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("double", "(1.5D), (double('NaN')), (NULL)", ["1.5", "(null)", "(null)"]),
        ("string", "('en'), ('NaN'), (NULL)", ["en", "NaN", "(null)"]),
        ("int", "(1), (2), (NULL)", ["1", "2", "(null)"]),
    ],
)
def test_rows_without_a_stratum(spark, kind, values, labels):
    df = spark.sql(f"SELECT CAST(lang AS {kind}) AS lang FROM VALUES {values} AS t(lang)")
    assert [row[0] for row in df.select(stratum(df, "lang")).collect()] == labels
    assert [row[0] for row in df.select(stratum(df, None)).collect()] == ["(null)"] * 3
