"""Embeddings and dims: what is accepted, and the sentence for what is not."""

import re

import numpy as np
import pytest

from adaptor.errors import AdaptorError
from adaptor.vectors import as_embeddings, check_dims, normalise, prefix


def test_normalise_leaves_a_zero_row_zero():
    x = np.array([[3, 4], [0, 0]], np.float32)
    np.testing.assert_allclose(normalise(x), [[0.6, 0.8], [0, 0]], atol=1e-7)


def test_prefix_has_length_one_again():
    y = np.array([[3, 4, 12], [0, 2, 5]], np.float32)
    np.testing.assert_allclose(prefix(y, 2), [[0.6, 0.8], [0, 1]], atol=1e-7)


def test_as_embeddings_makes_float32():
    rows = as_embeddings([[1, 2], [3, 4.5]])
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, [[1, 2], [3, 4.5]])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([["a", "b"]], "corpus must be a matrix of numbers"),
        ([[1, 2], [3]], "corpus must be a matrix of numbers"),
        ([1, 2], "corpus must be a matrix (rows, width), not of shape (2,)"),
        ([[1, 2, 3]], "corpus are 3 wide, but 2 is expected"),
        ([[1, 2], [0, 0]], "1 of 2 rows are zero, NaN or infinite (the first is row 1)"),
        ([[np.nan, 2], [1, 2]], "1 of 2 rows are zero, NaN or infinite (the first is row 0)"),
        ([[1, 2], [1, 2], [np.inf, 0], [0, -np.inf]], "2 of 4 rows are zero, NaN or infinite (the first is row 2)"),
        ([[1e-30, 0]], "1 of 1 rows are zero"),
        (np.array([[1e300, 1]]), "1 of 1 rows are zero, NaN or infinite"),
    ],
)
def test_as_embeddings_refuses(given, message):
    with pytest.raises(AdaptorError, match=re.escape(message)):
        as_embeddings(given, "corpus", width=2)


def test_check_dims_sorts_and_makes_plain_ints():
    dims = check_dims([np.int64(8), 2], width=8)
    assert dims == (2, 8)
    assert all(type(dim) is int for dim in dims)


@pytest.mark.parametrize(
    ("dims", "message"),
    [
        ([], "dims is empty: name at least one prefix width, such as [64, 128]"),
        ([4, 0], "dims must be whole numbers of at least 1, not 0"),
        ([4, -2], "dims must be whole numbers of at least 1, not -2"),
        ([4.0], "dims must be whole numbers of at least 1, not 4.0"),
        ([True], "dims must be whole numbers of at least 1, not True"),
        (["4"], "dims must be whole numbers of at least 1, not '4'"),
        ([4, 8, 4], "dims [4, 8, 4] names a width twice"),
        ([4, 9], "dim 9 is above the width of the embeddings, 8"),
    ],
)
def test_check_dims_refuses(dims, message):
    with pytest.raises(AdaptorError, match=re.escape(message)):
        check_dims(dims, width=8)
