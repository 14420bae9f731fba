"""The judge without a ranking against the plain definition, and where rows tie."""

import numpy as np
import pytest
from synthetic import clustered

from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.maps import Map, Sides
from adaptor.metrics import nearest, overlap
from adaptor.vectors import prefix

DIMS = (2, 8, 32)


@pytest.mark.parametrize("make", [closed_forms.truncation, closed_forms.svd, closed_forms.pca])
def test_it_counts_the_expected_rows_among_the_ten_nearest(make):
    corpus, rows = clustered(200), clustered(30, seed=4)
    sides = make(corpus)
    judge = Judge.of(closed_forms.truncation(corpus), rows, "corpus", corpus, DIMS)
    shares = judge.overlap(sides, corpus)
    for dim in DIMS:
        ranked = nearest(prefix(sides.corpus(rows), dim), prefix(sides.corpus(corpus), dim), 10)
        assert shares[dim] == pytest.approx(overlap(ranked, judge.expected).mean(), abs=1e-6)


def test_queries_go_through_their_own_map():
    corpus, rows = clustered(200), clustered(30, seed=4)
    same = closed_forms.truncation(corpus)
    judge = Judge.of(same, rows, "query", corpus, DIMS)
    turned = Sides(same.corpus, Map(-np.eye(32, dtype=np.float32)))
    assert judge.overlap(same, corpus)[32] == 1
    assert judge.overlap(turned, corpus)[32] < 0.1


def test_rows_that_all_look_alike_share_the_places():
    """One number has two directions: agreement by chance must not count as found."""
    corpus, rows = clustered(200), clustered(30, seed=4)
    judge = Judge.of(closed_forms.truncation(corpus), rows, "corpus", corpus, (1,))
    assert judge.overlap(closed_forms.svd(corpus), corpus)[1] < 0.2


def test_rows_of_one_direction_are_level_whatever_their_last_bits():
    """In one number there are two directions: rows of the query's own share the first places."""
    corpus, rows = clustered(200), clustered(30, seed=4)
    sides = closed_forms.svd(corpus)
    judge = Judge.of(closed_forms.truncation(corpus), rows, "corpus", corpus, (1,))
    ((_, above, level),) = judge.places(sides, corpus)
    up, asked_up = sides.corpus(corpus, 1)[:, 0] > 0, sides.corpus(rows, 1) > 0
    own = up[judge.expected] == asked_up
    np.testing.assert_array_equal(above, np.where(own, 0, 10))
    np.testing.assert_array_equal(level, np.where(own, np.where(asked_up, up.sum(), (~up).sum()), 1))
