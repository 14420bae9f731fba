"""The closed-form candidates: what they keep, and what they equal."""

import numpy as np
import pytest
from synthetic import clustered

from adaptor.fitting import closed_forms
from adaptor.vectors import normalise


def test_truncation_is_the_embedding_as_it_is():
    x = clustered(20)
    np.testing.assert_allclose(closed_forms.truncation(x).corpus(x), normalise(x), atol=1e-7)


def test_svd_is_orthogonal():
    weight = closed_forms.svd(clustered(200)).corpus.weight
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight.T @ weight, np.eye(32), atol=1e-5)


def test_svd_keeps_every_similarity_at_full_width():
    x, other = clustered(200), clustered(30, seed=1)
    y = closed_forms.svd(x).corpus(other)
    np.testing.assert_allclose(y @ y.T, normalise(other) @ normalise(other).T, atol=1e-5)


@pytest.mark.parametrize("dim", [4, 8, 16])
def test_svd_spans_what_numpy_finds(dim):
    x = clustered(200)
    expected = np.linalg.svd(normalise(x).astype(np.float64))[2][:dim].T
    weight = closed_forms.svd(x).corpus.weight[:, :dim]
    np.testing.assert_allclose(weight @ weight.T, expected @ expected.T, atol=1e-4)


def test_svd_does_not_depend_on_the_order_or_length_of_rows():
    x = clustered(200)
    shuffled = x[np.random.default_rng(0).permutation(200)] * np.float32(3)
    np.testing.assert_allclose(closed_forms.svd(shuffled).corpus.weight, closed_forms.svd(x).corpus.weight, atol=1e-4)


def test_svd_of_fewer_rows_than_numbers_is_still_a_rotation():
    weight = closed_forms.svd(clustered(5)).corpus.weight
    np.testing.assert_allclose(weight.T @ weight, np.eye(32), atol=1e-5)
