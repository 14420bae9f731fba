"""The kernel against `Adaptor.encode` and the codecs, for every way Arrow can hold a list of numbers."""

import pickle
import tracemalloc
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from comparing import assert_codes_of
from kernels import DIMS, ENCODINGS, LAYOUTS, adaptor_of, arrow, codec_and_codes, linear, numbers, residual
from synthetic import WIDTH, clustered, rotation

from adaptor import Adaptor, AdaptorError
from adaptor.codecs import Int8Codec
from adaptor.encode import arrow_lists, kernel
from adaptor.encode.kernel import Kernel, rows_per_batch
from adaptor.layout import Nested, nested_columns
from adaptor.maps import Map
from adaptor.vectors import prefix


@pytest.fixture(params=[linear, residual], ids=["linear", "residual"])
def adaptor(request) -> Adaptor:
    return adaptor_of(request.param())


@pytest.mark.parametrize(
    ("encoding", "side"),
    [("float32", "corpus"), ("float32", "query"), ("int8", "corpus"), ("binary", "corpus"), ("binary", "query")],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_equals_encode_and_the_codecs(adaptor, layout, encoding, side, small_blocks):
    adaptor = replace(adaptor, query=Map(rotation(seed=5)))
    x = clustered(40, seed=2)
    kernel = Kernel(adaptor, layout, encoding, side)
    result = kernel(arrow(x))
    assert result.reasons.null_count == len(result.reasons) == 40
    assert [column.type for column in result.columns] == kernel.schema.types
    assert kernel.schema.names == [nested.name for nested in nested_columns(layout, DIMS, WIDTH)]
    y = adaptor.map(side)(x)
    for nested, column in zip(kernel.nested, result.columns):
        raw = y[:, nested.start : nested.stop]
        if encoding != "float32":
            assert_codes_of(raw, *codec_and_codes(adaptor, encoding, nested, column))
        elif layout == "bands":
            np.testing.assert_allclose(numbers(column), raw, atol=1e-6)
        else:
            np.testing.assert_allclose(numbers(column), adaptor.encode(x, dim=nested.stop, side=side), atol=1e-6)


def test_int8_prefixes_decode_to_what_encode_gives():
    adaptor = adaptor_of(linear())
    x = clustered(200, seed=2)
    for nested, column in zip(Kernel(adaptor).nested, Kernel(adaptor, encoding="int8")(arrow(x)).columns):
        decoded = Int8Codec(adaptor.int8_scales[: nested.stop]).decode(numbers(column, np.int8))
        similar = (decoded * adaptor.encode(x, dim=nested.stop)).sum(axis=1)
        assert np.quantile(similar, 0.05) > 0.999  # the rest holds numbers that were clipped


@pytest.mark.parametrize("layout", LAYOUTS)
def test_prefixes_are_nested(adaptor, layout):
    """A shorter prefix is the start of a longer one, and bands side by side are the whole."""
    x = clustered(20, seed=2)
    columns = [numbers(column) for column in Kernel(adaptor, layout)(arrow(x)).columns]
    whole = np.hstack(columns) if layout == "bands" else columns[-1]
    for dim in DIMS:
        np.testing.assert_allclose(prefix(whole, dim), adaptor.encode(x, dim=dim), atol=1e-6)
    if layout == "columns":
        for dim, column in zip(DIMS, columns):
            np.testing.assert_allclose(column, prefix(whole, dim), atol=1e-6)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.list_(pa.float16()),
        pa.large_list(pa.float32()),
        pa.large_list(pa.float64()),
        pa.list_(pa.float32(), WIDTH),
        pa.list_(pa.float64(), WIDTH),
    ],
    ids=str,
)
@pytest.mark.parametrize("nulls", [False, True])
def test_every_kind_of_list_and_slices_of_it(adaptor, kind, nulls, small_blocks):
    x = clustered(40, seed=2).astype(np.float16).astype(np.float32)
    vectors = [
        None if nulls and i % 5 == 0 else list(row.astype(kind.value_type.to_pandas_dtype())) for i, row in enumerate(x)
    ]
    whole = pa.array(vectors, kind)
    for start, length in [(0, 40), (3, 20), (39, 1), (5, 0)]:
        part = whole.slice(start, length).slice(0)
        rows = range(start, start + length)
        vectors_of_rows = np.array([x[i] for i in rows if vectors[i] is not None], np.float32).reshape(-1, WIDTH)
        result = Kernel(adaptor)(part)
        assert [column.is_null().to_pylist() for column in result.columns] == [[vectors[i] is None for i in rows]] * 3
        assert result.reasons.to_pylist() == [None if vectors[i] is not None else "null" for i in rows]
        for dim, column in zip(DIMS, result.columns):
            np.testing.assert_allclose(
                numbers(column).reshape(-1, dim), adaptor.encode(vectors_of_rows, dim=dim), atol=1e-6
            )


def test_a_clean_slice_is_not_copied():
    x = clustered(40, seed=2)
    part = arrow_lists.Lists.of(arrow(x).slice(3, 20))
    matrix, holed = part.matrix(2, 9, np.ones(7, bool), WIDTH)
    assert holed is None
    assert np.shares_memory(matrix, np.frombuffer(part.values.buffers()[1], np.float32))
    np.testing.assert_array_equal(matrix, x[5:12])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_empty_batch(adaptor, layout, encoding):
    for empty in (arrow([]), pa.chunked_array([], pa.list_(pa.float32()))):
        result = Kernel(adaptor, layout, encoding)(empty)
        assert len(result.reasons) == 0
        assert [len(column) for column in result.columns] == [0] * len(result.columns)


def test_an_array_of_nulls_without_a_type(adaptor):
    assert Kernel(adaptor)(pa.nulls(2)).reasons.to_pylist() == ["null"] * 2


def test_chunks_are_one_batch(adaptor, small_blocks):
    x = clustered(20, seed=2)
    chunks = pa.chunked_array([arrow(x[:9]), arrow([None]), arrow(x[9:]).slice(1)])
    result = Kernel(adaptor)(chunks)
    assert result.reasons.to_pylist() == [None] * 9 + ["null"] + [None] * 10
    expected = adaptor.encode(np.delete(x, 9, axis=0), dim=4)
    np.testing.assert_allclose(numbers(result.columns[0]), expected, atol=1e-6)


def test_lists_hold_no_nulls_and_their_items_are_called_element():
    kernel = Kernel(adaptor_of(linear()))
    assert kernel.schema.field("embedding_4") == pa.field(
        "embedding_4", pa.list_(pa.field("element", pa.float32(), nullable=False))
    )


def test_pickled_it_gives_the_same(adaptor):
    x = arrow(clustered(10))
    kernel = Kernel(adaptor, "bands")
    again = pickle.loads(pickle.dumps(kernel))
    assert [c.to_pylist() for c in again(x).columns] == [c.to_pylist() for c in kernel(x).columns]


def test_layouts():
    assert nested_columns("columns", [8, 4], 32) == (Nested("embedding_4", 0, 4), Nested("embedding_8", 0, 8))
    assert nested_columns("bands", [8, 4], 32) == (Nested("embedding_0_4", 0, 4), Nested("embedding_4_8", 4, 8))
    assert nested_columns("single", [8, 4], 32) == (Nested("embedding_nested", 0, 32),)


def test_rows_per_batch_follow_from_the_width():
    assert rows_per_batch(768, 448, budget=1216 * 4 * 1000) == 1000
    assert rows_per_batch(10**9, 1, budget=4 << 20) == 1
    small, large = Kernel(adaptor_of(linear()), dims=(4,)), Kernel(adaptor_of(linear()), dims=(32,))
    assert small.rows_per_batch() * (WIDTH + 4) == pytest.approx(large.rows_per_batch() * (WIDTH + 32), rel=0.001)


def test_int8_of_an_artifact_without_scales_is_refused():
    with pytest.raises(AdaptorError, match="no int8 scales: fit again, or ask for another encoding"):
        Kernel(adaptor_of(linear(), int8_scales=None), encoding="int8")


def test_int8_of_queries_is_refused():
    with pytest.raises(AdaptorError, match="queries stay float32"):
        Kernel(adaptor_of(linear()), encoding="int8", side="query")


def test_what_does_not_exist_is_refused():
    with pytest.raises(AdaptorError, match="layout 'rows' is unknown: it is one of columns, bands, single"):
        Kernel(adaptor_of(linear()), "rows")
    with pytest.raises(AdaptorError, match="encoding 'int4' is unknown"):
        Kernel(adaptor_of(linear()), encoding="int4")
    with pytest.raises(AdaptorError, match="dim 64 is above the width"):
        Kernel(adaptor_of(linear()), dims=(64,))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (pa.list_(pa.int32()), "must be floating-point numbers, not list<item: int32>; cast them first"),
        (pa.binary(), "must be floating-point numbers, not binary"),
        (pa.list_(pa.string()), "arrays of numbers are expected, not list<item: string>; cast them first"),
        (pa.float32(), "arrays of numbers are expected, not float"),
    ],
    ids=str,
)
def test_a_column_of_another_type_is_refused(kind, words):
    with pytest.raises(AdaptorError, match=words):
        Kernel(adaptor_of(linear()))(pa.array([None], kind))


def test_int8_scales_are_fitted_saved_and_count(tmp_path):
    import adaptor
    from adaptor.fitting.settings import FitSettings

    x = clustered(300)
    fitted = adaptor.fit(x, dims=[4, 8], settings=FitSettings(candidates=("svd",)))
    np.testing.assert_array_equal(fitted.int8_scales, Int8Codec.fit(fitted.corpus(x)).scales)
    fitted.save(str(tmp_path))
    loaded = Adaptor.load(str(tmp_path))
    np.testing.assert_array_equal(loaded.int8_scales, fitted.int8_scales)
    assert replace(fitted, int8_scales=fitted.int8_scales * 2).fingerprint != fitted.fingerprint
    decoded = Int8Codec(loaded.int8_scales[:8]).decode(
        numbers(Kernel(loaded, encoding="int8")(arrow(x)).columns[1], np.int8)
    )
    assert np.quantile((decoded * fitted.encode(x, dim=8)).sum(axis=1), 0.05) > 0.999


def test_memory_does_not_grow_with_the_batch(monkeypatch):
    """Beside what it returns it holds a block, and a few bytes a row."""
    monkeypatch.setattr(kernel, "BLOCK_BYTES", 64 << 10)
    warm = Kernel(adaptor_of(linear()))
    warm(arrow(clustered(10), pa.list_(pa.float64())))

    def peak(rows: int) -> int:
        batch = pa.array(list(clustered(rows).astype(np.float64)))  # float64: not a view, block by block
        tracemalloc.start()
        warm(batch)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result - rows * sum(DIMS) * 4

    assert peak(20_000) - peak(2_000) < 18_000 * 40
