"""Artifacts of small maps, and nested columns as matrices, for the tests of the kernel."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from synthetic import WIDTH, clustered, rotation

from adaptor import Adaptor
from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.encode import kernel
from adaptor.layout import Nested
from adaptor.maps import Map, Residual

DIMS = (4, 11, 16)
LAYOUTS = ("columns", "bands", "single")
ENCODINGS = ("float32", "int8", "binary")


def linear() -> Map:
    return Map(rotation())


def residual() -> Map:
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape, scale=0.3).astype(np.float32)

    return Map(rotation(), draw(WIDTH), Residual(draw(WIDTH, 24), draw(24), draw(24, WIDTH)))


def adaptor_of(side_map: Map, **changes) -> Adaptor:
    scales = Int8Codec.fit(side_map(clustered(300))).scales
    return replace(Adaptor(side_map, DIMS, int8_scales=scales), **changes)


def arrow(vectors, kind: pa.DataType = pa.list_(pa.float32())) -> pa.Array:
    return pa.array([None if v is None else list(v) for v in vectors], kind)


def numbers(column: pa.Array, dtype=np.float32) -> np.ndarray:
    """The rows that are not null, as a matrix."""
    column.validate(full=True)
    rows = [list(row) for row in column.to_pylist() if row is not None]  # bytes give numbers too
    return np.array(rows, dtype=dtype)


def codec_and_codes(adaptor: Adaptor, encoding: str, nested: Nested, column: pa.Array):
    """How a nested column is encoded, and its codes as a matrix."""
    if encoding == "binary":
        assert column.type == pa.binary()
        return BinaryCodec(nested.width), numbers(column, np.uint8)
    return Int8Codec(adaptor.int8_scales[nested.start : nested.stop]), numbers(column, np.int8)


@pytest.fixture
def small_blocks(monkeypatch):
    """Seven rows a block of a linear map: a batch of a few dozen rows has many, and a shorter last one."""
    monkeypatch.setattr(kernel, "BLOCK_BYTES", 7 * 4 * (WIDTH + max(DIMS)))
