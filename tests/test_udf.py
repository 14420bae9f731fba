"""The UDF gives what `encode` gives, in DataFrames and in SQL."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from comparing import assert_codes_of, assert_same_rows
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, rotation

from adaptor import Adaptor, AdaptorError
from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.encode.kernel import Kernel
from adaptor.maps import Map
from adaptor.spark.udf import ArrowLists, adapt_udf, lists_of
from adaptor.training.residual_module import AdaptorModule
from adaptor.vectors import normalise


@pytest.fixture(scope="module")
def module() -> AdaptorModule:
    adaptor_module = AdaptorModule(Map(rotation()), hidden=24, seed=0)
    with torch.no_grad():
        adaptor_module.out.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    return adaptor_module


@pytest.fixture(scope="module")
def adaptor(module) -> Adaptor:
    return Adaptor(module.to_map(), (4, 8), query=Map(np.eye(32, dtype=np.float32)))


def collected(df, column: str) -> np.ndarray:
    return np.array([row[column] for row in df.orderBy("id").collect()], np.float32)


@pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
def test_it_equals_encode_and_torch(spark, adaptor, module, kind):
    x = clustered(30, seed=2)
    df = embeddings_frame(spark, x, kind=kind).repartition(3)
    nested = df.select("id", adapt_udf(adaptor)("embedding").alias("nested")).select("id", "nested.*").cache()
    assert nested.dtypes == [("id", "string"), ("embedding_4", "array<float>"), ("embedding_8", "array<float>")]
    with torch.no_grad():
        y = module(torch.tensor(normalise(x)))
    for dim in (4, 8):
        result = collected(nested, f"embedding_{dim}")
        np.testing.assert_allclose(result, adaptor.encode(x, dim=dim), atol=1e-5)
        np.testing.assert_allclose(result, torch.nn.functional.normalize(y[:, :dim]).numpy(), atol=1e-5)


def test_dims_and_side_can_be_chosen(spark, adaptor):
    x = clustered(10, seed=2)
    df = embeddings_frame(spark, x).select("id", adapt_udf(adaptor, [16], side="query")("embedding").alias("nested"))
    result = collected(df.select("id", "nested.embedding_16"), "embedding_16")
    np.testing.assert_allclose(result, adaptor.encode(x, dim=16, side="query"), atol=1e-5)
    np.testing.assert_allclose(result, normalise(np.ascontiguousarray(x[:, :16])), atol=1e-5)


def test_it_works_in_sql_from_an_artifact_folder(spark, adaptor, tmp_path):
    adaptor.save(str(tmp_path))
    x = clustered(10, seed=2)
    embeddings_frame(spark, x).createOrReplaceTempView("docs_to_adapt")
    spark.udf.register("adapt", adapt_udf(str(tmp_path)))
    result = spark.sql("SELECT id, adapt(embedding).embedding_8 AS e FROM docs_to_adapt")
    np.testing.assert_allclose(collected(result, "e"), adaptor.encode(x, dim=8), atol=1e-5)
    spark.catalog.dropTempView("docs_to_adapt")


def test_bad_vectors_give_nulls_and_good_ones_are_not_shifted(spark, adaptor):
    x = clustered(4, seed=2).tolist()
    holed = [None, *x[0][1:]]
    bad = [
        None,
        [],
        [1.0],
        [0.0] * 32,
        [float("nan")] * 32,
        [float("inf"), *x[0][1:]],
        holed,
        [1e-30] * 32,
        [1e30] * 32,
    ]
    vectors = [value for pair in zip(bad, x * 3) for value in pair]
    df = embeddings_frame(spark, vectors).coalesce(1)
    rows = df.select("id", adapt_udf(adaptor)("embedding").alias("n")).select("id", "n.*").orderBy("id").collect()
    assert [row.embedding_4 is None for row in rows] == [True, False] * len(bad)
    expected = adaptor.encode(np.array((x * 3)[: len(bad)]), dim=8)
    np.testing.assert_allclose([row.embedding_8 for row in rows[1::2]], expected, atol=1e-5)


def test_a_partition_of_bad_vectors_alone(spark, adaptor):
    df = embeddings_frame(spark, [None, None]).select(adapt_udf(adaptor)("embedding").embedding_4.alias("e"))
    assert [row.e for row in df.collect()] == [None, None]


@pytest.mark.parametrize(
    ("layout", "encoding", "types"),
    [
        ("bands", "float32", {"embedding_0_4": "array<float>", "embedding_4_8": "array<float>"}),
        ("single", "float32", {"embedding_nested": "array<float>"}),
        ("columns", "int8", {"embedding_4": "array<tinyint>", "embedding_8": "array<tinyint>"}),
        ("columns", "binary", {"embedding_4": "binary", "embedding_8": "binary"}),
    ],
)
def test_layouts_and_encodings(spark, adaptor, layout, encoding, types):
    adaptor = replace(adaptor, int8_scales=np.full(32, 0.01, np.float32))
    x = clustered(10, seed=2)
    udf = adapt_udf(adaptor, layout=layout, encoding=encoding)
    nested = embeddings_frame(spark, x).select("id", udf("embedding").alias("n")).select("id", "n.*")
    assert dict(nested.dtypes) == {"id": "string"} | types
    rows = nested.orderBy("id").drop("id").collect()
    if encoding == "float32":
        columns = Kernel(adaptor, layout)(pa.array(list(x))).columns
        assert_same_rows(rows, list(zip(*(column.to_pylist() for column in columns))))
    else:
        for dim in (4, 8):
            codec = BinaryCodec(dim) if encoding == "binary" else Int8Codec(adaptor.int8_scales[:dim])
            kind = np.uint8 if encoding == "binary" else np.int8
            codes = np.array([list(row[f"embedding_{dim}"]) for row in rows], kind)
            assert_codes_of(adaptor.corpus(x, dim), codec, codes)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_a_series_becomes_arrow_lists(kind):
    rows = [None, np.array([1, 2], kind), np.array([], kind), None, np.array([3], kind)]
    result = lists_of(pd.Series(rows))
    assert result.type.value_type == pa.from_numpy_dtype(kind)
    assert result.to_pylist() == [None, [1, 2], [], None, [3]]
    assert lists_of(pd.Series([None, None])).null_count == 2
    assert len(lists_of(pd.Series([], dtype=object))) == 0


@pytest.mark.skipif(hasattr(F, "arrow_udf"), reason="from Spark 4.1 on the UDF gives Arrow arrays, no pandas columns")
def test_spark_takes_the_lists_as_they_are(adaptor):
    """Its own conversion makes a Python list of every row, which this class leaves out."""
    from pyspark.sql.pandas.serializers import ArrowStreamPandasSerializer

    (column, _) = Kernel(adaptor)(pa.array(list(clustered(5)))).columns
    frame = pd.DataFrame({"embedding_4": ArrowLists(column)})
    taken = ArrowStreamPandasSerializer("UTC", True)._create_array(frame["embedding_4"], column.type)
    assert taken.equals(column)
    assert taken.values.buffers()[1].address == column.values.buffers()[1].address
    assert ArrowLists(column)[2:4].__arrow_array__().to_pylist() == column.to_pylist()[2:4]


def test_a_dim_above_the_width_is_refused_at_once(adaptor):
    with pytest.raises(AdaptorError, match="dim 64 is above the width of the embeddings, 32"):
        adapt_udf(adaptor, [64])


def test_a_missing_artifact_is_refused_at_once(tmp_path):
    with pytest.raises(AdaptorError, match="no artifact at"):
        adapt_udf(str(tmp_path / "none"))
