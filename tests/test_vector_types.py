"""Columns that are no arrays of floats: refused before a row is adapted, with expressions that convert them."""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.errors import PythonException
from pyspark.ml import functions as ml
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

from adaptor import Adaptor, AdaptorError
from adaptor.codecs import BinaryCodec
from adaptor.maps import Map
from adaptor.spark.decoders import decode_udf
from adaptor.spark.tables import TableRef, require_embeddings
from adaptor.spark.udf import adapt_udf
from adaptor.spark.vector_types import VECTOR_FIELDS, conversions, require_codes, require_vectors, way_out

PYTHON = {
    "numpy": np,
    "udf": F.udf,
    "when": F.when,
    "col": F.col,
    "vector_to_array": ml.vector_to_array,
}  # what expressions in Python use
ADAPTOR = Adaptor(Map(np.eye(3, dtype=np.float32)), (2,), int8_scales=np.full(3, 0.01, np.float32))
X = np.array([[1, 2, 3], [4, 5, 6]], np.float32)


def packed(row: np.ndarray) -> str:
    return f"X'{row.tobytes().hex()}'"


def listed(row: np.ndarray, each: str = "CAST({} AS float)") -> str:
    return ", ".join(each.format(int(value)) for value in row)


COLUMNS = {  # a type, how a row of it is written in SQL, and a word of how it is named
    "JSON text": (lambda row: f"'[{listed(row, '{}')}]'", "string"),
    "text": (lambda row: f"'{listed(row, '{}')}'", "string"),
    "binary": (packed, "binary"),
    "array<int>": (lambda row: f"array({listed(row, '{}')})", "array<int>"),
    "array<tinyint>": (lambda row: f"array({listed(row, '{}Y')})", "array<tinyint>"),
    "array<bigint>": (lambda row: f"array({listed(row, '{}L')})", "array<bigint>"),
    "array<decimal>": (lambda row: f"array({listed(row, '{}.0')})", "array<decimal("),
    "array<string>": (lambda row: f"array({listed(row, chr(39) + '{}' + chr(39))})", "array<string>"),
    "array<array<float>>": (
        lambda row: f"array(array({listed(row[:1])}), array({listed(row[1:])}))",
        "array<array<float>>",
    ),
    "array<array<int>>": (
        lambda row: f"array(array({listed(row[:1], '{}')}), array({listed(row[1:], '{}')}))",
        "array<array<int>>",
    ),
    "struct": (lambda row: f"named_struct('a', {row[0]}f, 'b', {row[1]}f, 'c', {row[2]}f)", "struct<a:"),
    "struct of numbers": (
        lambda row: f"named_struct('a', {row[0]}f, 'b c', {int(row[1])}, 'd', {row[2]}D)",
        "struct<a:",
    ),
    "struct with a vector": (
        lambda row: f"named_struct('size', 3, 'the values', array({listed(row)}))",
        "struct<size:",
    ),
    "map": (lambda row: f"map('10', {row[2]}f, '9', {row[1]}f, '0', {row[0]}f)", "map<string,"),
    "map of ints": (lambda row: f"map(10, {row[2]}D, 9, {row[1]}D, 0, {row[0]}D)", "map<"),
    "variant": (lambda row: f"parse_json('[{listed(row, '{}')}]')", "variant"),
}


def frame(spark, name: str):
    """Rows `id, c`, one of them null."""
    if name == "vector":
        rows = [(0, Vectors.dense(X[0])), (1, Vectors.sparse(3, [0, 1, 2], X[1])), (2, None)]
        df = spark.createDataFrame(rows[:2], ["id", "c"])
        return df.union(spark.range(2, 3).select("id", F.lit(None).cast(df.schema["c"].dataType).alias("c")))
    sql = COLUMNS[name][0]
    rows = " UNION ALL ".join(f"SELECT {i} AS id, {sql(row)} AS c" for i, row in enumerate(X))
    return spark.sql(f"{rows} UNION ALL SELECT 2, NULL")


def said_by(df) -> str:
    with pytest.raises(PythonException) as caught:
        df.collect()
    match = re.search(r"adaptor\.errors\.AdaptorError: (.*)", str(caught.value))
    assert match, str(caught.value)
    return match[1]


@pytest.mark.parametrize("name", [*COLUMNS, "vector"])
def test_every_expression_that_a_message_names_converts_the_column(spark, name):
    df = frame(spark, name).cache()
    kind = df.schema["c"].dataType
    known = conversions(kind)
    assert known
    with pytest.raises(
        AdaptorError, match=r"column 'c' of t is .*; embeddings are array<float> or array<double>: "
    ) as job:
        require_embeddings(df, "c", TableRef("t"))
    worker = said_by(df.orderBy("id").coalesce(1).select(adapt_udf(ADAPTOR)("c")))
    assert worker.startswith("adapt_udf takes array<float> or array<double>, not ")
    named = COLUMNS[name][1] if name in COLUMNS else "vector"
    for message in (str(job.value), worker):
        assert named in message
        for expression in known:
            assert expression in message
    right = 0
    for expression in known:
        python = expression.startswith(("udf(", "when("))
        converted = df.withColumn("e", eval(expression, PYTHON) if python else F.expr(expression))
        require_embeddings(converted, "e", TableRef("t"))
        if name == "JSON text" and "split" in expression:
            continue  # of the two for strings this is the one for the other
        rows = [row.e for row in converted.orderBy("id").collect()]
        if rows[:2] == X.tolist():
            assert rows[2] in (None, [None] * 3)  # a struct's fields are null one by one
            right += 1
            nested = converted.orderBy("id").select(adapt_udf(ADAPTOR)("e").embedding_2.alias("n")).collect()
            np.testing.assert_allclose([row.n for row in nested[:2]], ADAPTOR.encode(X, dim=2), atol=1e-6)
            assert nested[2].n is None
    assert right == 1


@pytest.mark.parametrize("sql", ["1.5D", "date'2020-01-01'", "array(date'2020-01-01')", "array(named_struct('a', 1))"])
def test_what_has_no_vectors_is_refused_too(spark, sql):
    df = spark.sql(f"SELECT {sql} AS c")
    kind = df.schema["c"].dataType
    assert not conversions(kind)
    assert "make array<float> or array<double> of it" in way_out(kind)
    assert said_by(df.select(adapt_udf(ADAPTOR)("c"))).startswith("adapt_udf takes array<float> or array<double>, not ")


def test_nulls_and_empty_batches_say_nothing(spark):
    for kind in ("string", "array<int>", "array<float>"):
        df = spark.sql(f"SELECT CAST(NULL AS {kind}) AS c")
        assert [row.n for row in df.select(adapt_udf(ADAPTOR)("c").embedding_2.alias("n")).collect()] == [None]
        assert df.where("false").select(adapt_udf(ADAPTOR)("c")).collect() == []


def test_a_name_that_sql_must_quote_is_quoted(spark):
    df = spark.sql("SELECT '[1]' AS `the vector`")
    with pytest.raises(AdaptorError, match=re.escape("from_json(`the vector`, 'array<float>') converts JSON text")):
        require_embeddings(df, "the vector", TableRef("t"))


@pytest.mark.parametrize(
    ("column", "words"),
    [
        (pa.array([None, "[1]"]), "not string: from_json(c, 'array<float>') converts JSON text"),
        (pa.array([b"1234"]), "not binary: udf("),
        (pa.array([[1]], pa.list_(pa.int8())), "not array<tinyint>: CAST(c AS array<float>)"),
        (pa.array([[[1.0]]]), "not array<array<double>>: flatten(c)"),
        (pa.array([{"a": 1.0, "b": 2}]), "not struct<a:double,b:bigint>: CAST(array(c.*) AS array<float>)"),
        (pa.array([[("1", 1.0)]], pa.map_(pa.string(), pa.float32())), "not map<string,float>: transform("),
        (
            pa.StructArray.from_arrays([pa.array([1]), *[pa.nulls(1)] * 2, pa.array([[1.0]])], VECTOR_FIELDS),
            "not vector: when(col('c').isNotNull(), vector_to_array('c', 'float32'))",
        ),
        (pa.array([{"value": b"", "metadata": b""}]), "not variant: CAST(c AS array<float>)"),
    ],
)
def test_arrow_udfs_say_the_same(column, words):
    """Spark 4.1 hands Arrow arrays over."""
    with pytest.raises(AdaptorError, match=re.escape(f"adapt_udf takes array<float> or array<double>, {words}")):
        require_vectors(column, "adapt_udf")


@pytest.mark.parametrize(
    "column",
    [
        pa.nulls(2),
        pa.array([[1.0], None]),
        pa.array([[None]], pa.list_(pa.float32())),
        pa.array([[1.0]], pa.list_(pa.float64(), 1)),
        pd.Series([None, None]),
        pd.Series([], dtype=object),
        pd.Series([None, np.zeros(2, np.float32)]),
        pd.Series([np.array([np.nan])]),
    ],
)
def test_what_may_hold_vectors_passes(column):
    require_vectors(column, "adapt_udf")


def test_decoders_refuse_what_is_no_code(spark):
    df = spark.sql(
        "SELECT 'abc' AS text, array(1.5f, 2f) AS floats, array(1Y, 2Y) AS codes, array(1, 2) AS ints, X'C0' AS bits"
    )
    integers, bits = (decode_udf(ADAPTOR, encoding, 2) for encoding in ("int8", "binary"))
    for name in ("text", "floats", "bits"):
        assert said_by(df.select(integers(name))).startswith("int8 codes are array<tinyint>, not ")
    for name in ("text", "floats", "codes"):
        assert said_by(df.select(bits(name))).startswith("binary codes are binary, not ")
    row = df.select(integers("codes").alias("a"), integers("ints").alias("b"), bits("bits").alias("c")).collect()[0]
    np.testing.assert_allclose(row.a, X[0, :2] / np.linalg.norm(X[0, :2]), atol=1e-6)
    assert row.a == row.b
    np.testing.assert_allclose(row.c, BinaryCodec(2).decode(np.array([[0xC0]], np.uint8))[0], atol=1e-6)
    for encoding, column in (("int8", pa.array([b"1"])), ("binary", pa.array([[1]], pa.list_(pa.int8())))):
        with pytest.raises(AdaptorError, match=f"{encoding} codes are "):
            require_codes(column, encoding)
