"""The int8 and one-bit codecs: what comes back, in how many bytes."""

import numpy as np
from synthetic import clustered

from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.vectors import normalise


def test_int8_comes_back_within_half_a_step():
    y = normalise(clustered(500))
    codec = Int8Codec.fit(y)
    codes = codec.encode(y)
    assert codes.dtype == np.int8
    assert codes.nbytes == len(y) * codec.bytes
    inside = np.abs(y) <= 127 * codec.scales  # the rest is clipped
    assert inside.mean() > 0.99
    error = np.abs(codes * codec.scales - y)
    assert (error[inside] <= (codec.scales / 2 * 1.001 + np.zeros_like(y))[inside]).all()
    np.testing.assert_allclose(np.linalg.norm(codec.decode(codes), axis=1), 1, atol=1e-6)


def test_int8_clips_what_the_sample_did_not_hold():
    codec = Int8Codec.fit(np.full((10, 2), 0.5, np.float32))
    assert codec.encode(np.array([[9.0, -9.0]], np.float32)).tolist() == [[127, -127]]


def test_int8_of_a_constant_zero_column_stays_zero():
    y = np.zeros((5, 2), np.float32)
    y[:, 0] = 1
    codec = Int8Codec.fit(y)
    np.testing.assert_array_equal(codec.decode(codec.encode(y)), y)


def test_binary_packs_signs_first_in_the_highest_bit():
    codec = BinaryCodec(10)
    y = np.array([[1, -1, -1, -1, -1, -1, -1, -1, 1, -1]], np.float32)
    codes = codec.encode(y)
    assert codes.tolist() == [[0b10000000, 0b10000000]]
    assert codec.bytes == 2
    np.testing.assert_allclose(codec.decode(codes), y / np.sqrt(10), rtol=1e-6)
