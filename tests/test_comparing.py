"""What the tests take for the same: the last bits of a product may differ, nothing else."""

import numpy as np
import pytest
from comparing import ROUNDING, assert_codes_of, assert_same_rows

from adaptor.codecs import BinaryCodec, Int8Codec

ROWS = [("a", 1, [0.6, 0.8]), ("b", None, None), ("c", 3, [1.0, 0.0])]


def changed(row: int, place: int, value: object) -> list[tuple]:
    rows = [list(each) for each in ROWS]
    rows[row][place] = value
    return [tuple(each) for each in rows]


@pytest.mark.parametrize("factor", [-0.9, 0.0, 0.9])
def test_a_rounding_makes_no_difference(factor):
    assert_same_rows(changed(0, 2, [0.6 + factor * ROUNDING, 0.8]), ROWS)


@pytest.mark.parametrize(
    "other",
    [
        changed(0, 2, [0.6 + 1.1 * ROUNDING, 0.8]),
        changed(0, 2, [0.6, float("nan")]),
        changed(0, 2, [0.6]),
        changed(0, 2, None),
        changed(1, 2, [0.6, 0.8]),
        changed(0, 0, "z"),
        changed(0, 1, 2),
        changed(1, 1, 0),
        ROWS[:2],
        [ROWS[1], ROWS[0], ROWS[2]],
        [*ROWS, ROWS[2]],
    ],
)
def test_everything_else_does(other):
    for pair in ((other, ROWS), (ROWS, other)):
        with pytest.raises(AssertionError):
            assert_same_rows(*pair)


def test_codes_are_exact_but_at_the_edge_of_a_cell():
    y = np.array([[0.5, 0.3, -0.3, 2.0]], np.float32)  # 0.5 is halfway between the codes 0 and 1, 2.0 is clipped
    codec = Int8Codec(np.array([1, 0.1, 0.1, 0.01], np.float32))
    for codes in ([0, 3, -3, 127], [1, 3, -3, 127]):
        assert_codes_of(y, codec, np.array([codes], np.int8))
    for codes in ([2, 3, -3, 127], [0, 4, -3, 127], [0, 3, -2, 127], [0, 3, -3, 126]):
        with pytest.raises(AssertionError):
            assert_codes_of(y, codec, np.array([codes], np.int8))


def test_bits_are_exact_but_at_zero():
    y = np.array([[0.0, 0.3, -0.3]], np.float32)
    for byte in (0b01000000, 0b11000000):
        assert_codes_of(y, BinaryCodec(3), np.array([[byte]], np.uint8))
    for byte in (0b00000000, 0b01100000, 0b01010000):
        with pytest.raises(AssertionError):
            assert_codes_of(y, BinaryCodec(3), np.array([[byte]], np.uint8))
