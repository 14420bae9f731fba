"""Rows that the kernel can't adapt: null in every nested column, with a reason, and no other row is moved by them."""

import numpy as np
import pyarrow as pa
import pytest
from comparing import assert_codes_of
from kernels import DIMS, ENCODINGS, LAYOUTS, adaptor_of, arrow, codec_and_codes, linear, numbers, residual
from synthetic import WIDTH, clustered, rotation

from adaptor import Adaptor, AdaptorError
from adaptor.encode.kernel import Kernel
from adaptor.maps import Map
from adaptor.vectors import normalise

NAN, INF = float("nan"), float("inf")
BAD = {
    "null": None,
    "width 0 instead of 32": [],
    "width 2 instead of 32": [1.0, NAN],
    "width 33 instead of 32": [1.0] * 33,
    "holds null": [None, NAN, *[INF] * 30],
    "holds NaN": [INF, NAN, *[1.0] * 30],
    "infinite": [1e19, *[0.0] * 31],
    "zero": [0.0, -0.0, *[1e-30] * 30],
}


@pytest.fixture(params=[linear, residual], ids=["linear", "residual"])
def adaptor(request) -> Adaptor:
    return adaptor_of(request.param())


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64())], ids=str)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bad_rows_are_null_with_a_reason_and_good_ones_are_not_shifted(adaptor, kind, encoding, small_blocks):
    x = clustered(len(BAD) * 3, seed=2)
    vectors = [vector for bad, good in zip([*BAD.values()] * 3, x) for vector in (bad, good.tolist())]
    kernel = Kernel(adaptor, encoding=encoding)
    result = kernel(arrow(vectors, kind))
    assert result.reasons.to_pylist() == [why for name in [*BAD] * 3 for why in (name, None)]
    for nested, column, expected in zip(kernel.nested, result.columns, kernel(arrow(x)).columns):
        assert column.is_null().to_pylist() == [True, False] * len(x)
        if encoding == "float32":
            np.testing.assert_allclose(numbers(column), numbers(expected), atol=1e-6)
        else:
            assert_codes_of(
                adaptor.corpus(x, nested.stop), *codec_and_codes(adaptor, encoding, nested, column.drop_null())
            )


@pytest.mark.parametrize("name", BAD)
def test_a_batch_of_bad_rows_alone(adaptor, name):
    result = Kernel(adaptor)(arrow([BAD[name]] * 3))
    assert result.reasons.to_pylist() == [name] * 3
    assert [column.null_count for column in result.columns] == [3, 3, 3]


def test_bad_rows_of_fixed_size(adaptor):
    vectors = [BAD[name] for name in ("null", "holds null", "holds NaN", "infinite", "zero")]
    result = Kernel(adaptor)(arrow([*vectors, *clustered(2)], pa.list_(pa.float32(), WIDTH)).slice(1))
    assert result.reasons.to_pylist() == ["holds null", "holds NaN", "infinite", "zero", None, None]
    other = Kernel(adaptor)(arrow([[1.0] * 8] * 2, pa.list_(pa.float32(), 8)))
    assert other.reasons.to_pylist() == ["width 8 instead of 32"] * 2


@pytest.mark.parametrize("scale", [1e-17, 1e-13, 1e13, 1e16])
def test_length_does_not_matter_even_near_the_bounds(adaptor, scale):
    x = clustered(20, seed=2)
    mixed = np.vstack([x, x * np.float32(scale)])
    columns = Kernel(adaptor)(arrow(mixed)).columns
    for dim, column in zip(DIMS, columns):
        expected = adaptor.encode(x, dim=dim)
        np.testing.assert_allclose(numbers(column), np.vstack([expected, expected]), atol=1e-6)


@pytest.mark.parametrize("device", [None, "cpu"], ids=["numpy", "torch"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("side_map", [Map(np.eye(WIDTH, dtype=np.float32)), linear()], ids=["truncation", "rotation"])
def test_a_row_that_is_mapped_to_a_prefix_of_zeros_is_bad(side_map, encoding, layout, device, small_blocks):
    """Of a rotation's prefix only rounding is left. One that is short but no rounding stays, but for int8."""
    adaptor = adaptor_of(side_map)
    axes = side_map.weight.T  # row i is mapped to the unit vector i
    x = clustered(9, seed=2)
    short = 1e-4 * axes[3] + axes[4]
    vectors = [
        1e15 * axes[4],
        x[0],
        1e-15 * axes[31],
        None,
        axes[20],
        short,
        *x[1:],
        np.zeros(WIDTH),
        axes[15] + axes[16],
    ]
    result = Kernel(adaptor, layout, encoding)(arrow(vectors), device)
    zero = "zero at dim 4"
    of_short = zero if encoding == "int8" else None
    assert result.reasons.to_pylist() == [zero, None, zero, "null", zero, of_short, *[None] * 8, "zero", zero]
    good = np.array([x[0], *([] if of_short else [short]), *x[1:]])
    nested, column = Kernel(adaptor, layout).nested[-1], result.columns[-1]
    assert all(some.is_valid().equals(result.reasons.is_null()) for some in result.columns)
    mapped = adaptor.corpus(normalise(good), nested.stop)[:, nested.start :]
    if encoding != "float32":
        assert_codes_of(mapped, *codec_and_codes(adaptor, encoding, nested, column))
    elif layout == "bands":
        np.testing.assert_allclose(numbers(column), mapped, atol=1e-6)
    else:
        np.testing.assert_allclose(numbers(column), normalise(mapped), atol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_shortest_of_the_dims_that_are_written_decides(layout):
    adaptor = adaptor_of(linear())
    x = arrow([rotation()[:, 6]])  # mapped to the seventh unit vector
    assert Kernel(adaptor, layout)(x).reasons.to_pylist() == ["zero at dim 4"]
    assert Kernel(adaptor, layout, dims=(5, 6, 16))(x).reasons.to_pylist() == ["zero at dim 5"]
    assert Kernel(adaptor, layout, dims=(7, 16))(x).reasons.to_pylist() == [None]


def test_encode_refuses_a_prefix_of_zeros():
    adaptor = adaptor_of(linear())
    x = np.vstack([clustered(3), rotation()[:, [20, 6]].T])
    with pytest.raises(
        AdaptorError, match=r"2 of 5 rows are zero at dim 4 \(the first is row 3\).*ask for a wider dim"
    ):
        adaptor.encode(x, dim=4)
    with pytest.raises(AdaptorError, match=r"1 of 5 rows are zero at dim 11 \(the first is row 3\)"):
        adaptor.encode(x, dim=11)
    np.testing.assert_allclose(np.linalg.norm(adaptor.encode(x, dim=21), axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64())], ids=str)
def test_reasons_are_those_of_the_jobs(spark, kind):
    from synthetic import embeddings_frame

    from adaptor.spark.row_checks import reason

    edges = [
        [np.float32(1e18), *[0.0] * 31],
        [np.nextafter(np.float32(1e18), np.float32(2e18)), *[0.0] * 31],
        [-1e18, None, *[0.0] * 30],
        [1e-18, *[0.0] * 31],
        [np.nextafter(np.float32(1e-18), np.float32(0)), *[0.0] * 31],
        [9e17] * 32,
        [2e-18] * 32,
        [-INF, *[0.0] * 31],
    ]
    vectors = [None if v is None else [None if x is None else float(x) for x in v] for v in [*BAD.values(), *edges]]
    df = embeddings_frame(spark, vectors, kind=kind.value_type)
    df = df.withColumn("embedding", df.embedding.cast("array<float>"))  # as apply reads it
    rows = df.select("id", reason("id", "embedding", WIDTH).alias("reason")).orderBy("id").collect()
    result = Kernel(adaptor_of(linear()))(arrow(vectors, kind)).reasons.to_pylist()
    assert result == [row["reason"] for row in rows]
    assert set(BAD) | {None} == set(result)
