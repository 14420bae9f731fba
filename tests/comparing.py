"""Rows compared as a user would: ids, nulls, shapes and counts exactly, numbers but for float32's rounding.

The last bits of a matrix product depend on how many rows are multiplied at once, and on the processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from adaptor.codecs import BinaryCodec, Int8Codec

# Two products of a row of length 1 lie up to 2 eps apart, and a prefix is scaled to length 1 afterwards: one of four
# numbers is a twentieth of its row. Six OpenBLAS kernels and ten sizes of a batch were 7 eps apart at most.
ROUNDING = 16 * float(np.finfo(np.float32).eps)


def assert_same_rows(rows: Sequence[Sequence[Any]], expected: Sequence[Sequence[Any]]) -> None:
    """The same rows in the same order; only numbers of vectors may be a rounding apart."""
    assert [_exact(row) for row in rows] == [_exact(row) for row in expected]
    assert_same_numbers(_numbers(rows), _numbers(expected))


def assert_same_numbers(numbers: Any, expected: Any) -> None:
    """Numbers of vectors of length 1: none is more than a rounding from the other."""
    np.testing.assert_allclose(numbers, expected, rtol=0, atol=ROUNDING, equal_nan=False)


def assert_codes_of(y: np.ndarray, codec: Int8Codec | BinaryCodec, result: np.ndarray) -> None:
    """`found (n, bytes)` are the codes of `y (n, m)`; another code only within a rounding of the edge between two."""
    low, high = (codec.encode(y + np.float32(shift)) for shift in (-ROUNDING, ROUNDING))
    assert (result.shape, result.dtype) == (low.shape, low.dtype)
    if isinstance(codec, BinaryCodec):
        low, result, high = (np.unpackbits(codes, axis=1) for codes in (low, result, high))
    assert ((low <= result) & (result <= high)).all()


def _exact(row: Sequence[Any]) -> list[Any]:
    """What must be equal: every value that is no vector, and the width of those that are."""
    return [("vector", len(value)) if _is_vector(value) else value for value in row]


def _numbers(rows: Sequence[Sequence[Any]]) -> list[float]:
    return [number for row in rows for value in row if _is_vector(value) for number in value]


def _is_vector(value: object) -> bool:
    """A list of floats, as Spark gives them."""
    return isinstance(value, list) and all(isinstance(number, float) for number in value)
