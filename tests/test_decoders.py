"""Decoders and prefixes in SQL, against the codecs and `encode` in NumPy."""

import numpy as np
import pyarrow as pa
import pytest
from synthetic import WIDTH, clustered, embeddings_frame, rotation, save_delta

from adaptor import Adaptor, AdaptorError
from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.maps import Map
from adaptor.spark.decoders import Decoder, decode_udf, prefix_sql, register_decoders
from adaptor.spark.udf import adapt_udf

DIMS = (4, 11, 16)
NULL = 3  # the row without an embedding


@pytest.fixture(scope="module")
def adaptor() -> Adaptor:
    map_ = Map(rotation())
    return Adaptor(map_, DIMS, int8_scales=Int8Codec.fit(map_(clustered(300))).scales)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return clustered(12, seed=2)


@pytest.fixture
def nested(spark, adaptor, x, tmp_path):
    """`nested(layout, encoding)`: a Delta table in this layout, row `NULL` of it null."""

    def write(layout: str, encoding: str = "float32"):
        df = embeddings_frame(spark, [None if i == NULL else row for i, row in enumerate(x)])
        columns = df.select("id", adapt_udf(adaptor, layout=layout, encoding=encoding)("embedding").alias("n"))
        path = save_delta(columns.select("id", "n.*"), tmp_path / layout)
        return spark.read.format("delta").load(path)

    return write


def collected(df, expression: str) -> np.ndarray:
    rows = [row.e for row in df.selectExpr("id", f"{expression} AS e").orderBy("id").collect()]
    assert rows.pop(NULL) is None
    return np.array(rows, np.float32)


@pytest.mark.parametrize("layout", ["columns", "bands", "single"])
def test_int8_in_sql_equals_numpy(spark, adaptor, x, nested, layout):
    assert register_decoders(spark, adaptor, ["int8"]) == ["decode_int8_4", "decode_int8_11", "decode_int8_16"]
    df = nested(layout, "int8")
    columns = {
        "columns": ["embedding_4", "embedding_11", "embedding_16"],
        "bands": [
            "embedding_0_4",
            "concat(embedding_0_4, embedding_4_11)",
            "concat(embedding_0_4, embedding_4_11, embedding_11_16)",
        ],
        "single": ["embedding_nested"] * 3,  # the beginning of a code is the code of the prefix
    }[layout]
    good = np.delete(x, NULL, axis=0)
    for dim, column in zip(DIMS, columns):
        codec = Int8Codec(adaptor.int8_scales[:dim])
        decoded = collected(df, f"decode_int8_{dim}({column})")
        np.testing.assert_allclose(np.linalg.norm(decoded, axis=1), 1, atol=1e-6)
        # One code may lie a step away where the kernel and NumPy round differently.
        np.testing.assert_allclose(decoded, codec.decode(codec.encode(adaptor.corpus(good, dim))), atol=0.02)
        assert np.median((decoded * adaptor.encode(good, dim=dim)).sum(axis=1)) > 0.999


def test_binary_in_sql_equals_numpy(spark, adaptor, x, nested):
    register_decoders(spark, adaptor, ["binary"], dims=[11])
    df = nested("columns", "binary")
    codec = BinaryCodec(11)
    expected = codec.decode(codec.encode(adaptor.corpus(np.delete(x, NULL, axis=0), 11)))
    np.testing.assert_array_equal(collected(df, "decode_binary_11(embedding_11)"), expected)
    np.testing.assert_array_equal(collected(df, "decode_binary_11(embedding_16)"), expected)


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.list_(pa.uint8()), pa.large_list(pa.uint8())], ids=str
)
def test_codes_in_slices_with_nulls(kind):
    codes = [bytes([i, 255 - i]) if i % 3 else None for i in range(10)]
    array = pa.array(codes if "binary" in str(kind) else [c and list(c) for c in codes], kind).slice(2, 7)
    codec = BinaryCodec(11)
    decoded = Decoder(codec)(array)
    decoded.validate(full=True)
    assert [value is None for value in decoded.to_pylist()] == [code is None for code in codes[2:9]]
    kept = np.array([list(code) for code in codes[2:9] if code], np.uint8)
    np.testing.assert_array_equal(np.array(decoded.drop_null().to_pylist(), np.float32), codec.decode(kept))
    assert Decoder(codec)(array.slice(0, 0)).to_pylist() == []


def test_codes_too_short_and_mixed_are_refused():
    decoder = Decoder(BinaryCodec(16))
    with pytest.raises(AdaptorError, match="codes of 1 bytes are in one column, 2 or more are expected"):
        decoder(pa.array([b"a", None]))
    with pytest.raises(AdaptorError, match="codes of 2 and 3 bytes are in one column"):
        decoder(pa.array([b"ab", b"abc"]))


def test_what_the_artifact_can_not_decode_is_refused_at_once(adaptor):
    with pytest.raises(AdaptorError, match="no int8 scales: fit again"):
        decode_udf(Adaptor(adaptor.corpus, DIMS), "int8", 4)
    with pytest.raises(AdaptorError, match="dim 64 is above the width"):
        decode_udf(adaptor, "binary", 64)
    with pytest.raises(AdaptorError, match="encoding 'float32' has no decoder: it is one of int8, binary"):
        decode_udf(adaptor, "float32", 4)


@pytest.mark.parametrize("layout", ["columns", "bands", "single"])
def test_any_prefix_of_a_layout_in_sql(adaptor, x, nested, layout):
    df = nested(layout)
    good = np.delete(x, NULL, axis=0)
    for dim in (1, 4, 7, 11, 16, *([WIDTH] if layout == "single" else [])):
        decoded = collected(df, prefix_sql(layout, DIMS, dim))
        np.testing.assert_allclose(decoded, adaptor.encode(good, dim=dim), atol=1e-6)
        assert dict(df.selectExpr(f"{prefix_sql(layout, DIMS, dim)} AS e").dtypes) == {"e": "array<float>"}


def test_a_prefix_of_zeros_stays_zero_in_sql(spark):
    df = spark.sql("SELECT array(0f, 0f) AS embedding_0_2, array(3f) AS embedding_2_3")
    assert df.selectExpr(f"{prefix_sql('bands', [2, 3], 2)} AS e").first().e == [0, 0]
    assert df.selectExpr(f"{prefix_sql('bands', [2, 3], 3)} AS e").first().e == [0, 0, 1]


@pytest.mark.parametrize(
    ("dim", "read"), [(4, ["embedding_0_4"]), (3, ["embedding_0_4"]), (5, ["embedding_0_4", "embedding_4_11"])]
)
def test_a_view_reads_only_the_bands_of_the_prefix(spark, nested, dim, read):
    nested("bands").createOrReplaceTempView("in_bands")
    views = ", ".join(f"{prefix_sql('bands', DIMS, d)} AS embedding_{d}" for d in (3, 4, 5, 16))
    spark.sql(f"CREATE OR REPLACE TEMPORARY VIEW prefixes AS SELECT id, {views} FROM in_bands")
    plan = spark.sql(f"SELECT embedding_{dim} FROM prefixes")._jdf.queryExecution().executedPlan().toString()
    (schema,) = [line for line in plan.splitlines() if "ReadSchema" in line]
    assert [name for name in ("id", "embedding_0_4", "embedding_4_11", "embedding_11_16") if name in schema] == read
    spark.catalog.dropTempView("prefixes")
    spark.catalog.dropTempView("in_bands")


def test_a_prefix_that_is_not_there_is_refused():
    for layout in ("columns", "bands"):
        with pytest.raises(AdaptorError, match="dim 32 is above the width of the embeddings, 16"):
            prefix_sql(layout, DIMS, 32)
