"""Label-free nDCG: what it is on a case worked out by hand, and that near neighbours matter most."""

import numpy as np
import pytest
from synthetic import clustered

from adaptor.fitting import closed_forms
from adaptor.fitting.judge import GradedJudge
from adaptor.metrics import TEMPERATURE, agreement
from adaptor.metrics import judge as labelled
from adaptor.vectors import normalise


def places(nearest: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How many of `found (h, k)` stand before each of `expected (h, k)`; k where it was not found."""
    matches = nearest[:, None, :] == expected[:, :, None]
    return np.where(matches.any(axis=2), matches.argmax(axis=2), nearest.shape[1])


def test_it_is_the_ndcg_of_a_kept_library():
    """ir-measures takes whole grades; the same ranking must score the same."""
    nearest = np.array([[3, 9, 1, 0], [5, 6, 7, 8]])
    expected = np.array([[1, 2, 3, 4], [8, 7, 6, 5]])
    grades = np.array([[8, 4, 2, 1], [9, 3, 3, 1]], dtype=np.float32)
    run = {str(q): {str(doc): -float(rank) for rank, doc in enumerate(row)} for q, row in enumerate(nearest)}
    judged = {str(q): {str(d): int(g) for d, g in zip(*pair)} for q, pair in enumerate(zip(expected, grades))}
    values = labelled(run, judged, ("nDCG@4",))["nDCG@4"]
    assert agreement(places(nearest, expected), np.ones_like(expected), grades).mean() == pytest.approx(
        np.mean(list(values.values())), abs=1e-6
    )


def test_grades_are_how_near_a_row_is_under_the_reference():
    x, queries = clustered(200), clustered(20, seed=3)
    judge = GradedJudge.of(closed_forms.truncation(x), queries, "corpus", x, (8,))
    cosines = np.sort(normalise(queries) @ normalise(x).T, axis=1)[:, :-11:-1]
    np.testing.assert_allclose(judge.grades, np.exp((cosines - cosines[:, :1]) / TEMPERATURE), rtol=1e-3)


def test_the_reference_agrees_with_itself_and_a_prefix_less():
    x, queries = clustered(200), clustered(20, seed=3)
    itself = closed_forms.truncation(x)
    agreements = GradedJudge.of(itself, queries, "corpus", x, (4, 8, 32)).kept(itself, x)
    assert agreements[4] < agreements[8] < agreements[32] == pytest.approx(1, abs=1e-6)


def test_the_nearest_counts_more_than_the_tenth():
    expected = np.arange(10)[None]
    grades = np.exp(-np.arange(10, dtype=np.float32))[None]
    without_first, without_tenth = (np.where(expected == lost, 99, expected) for lost in (0, 9))
    agreements = [
        agreement(places(top, expected), np.ones_like(expected), grades).mean()
        for top in (without_first, without_tenth)
    ]
    assert agreements[0] < 0.5 < 0.99 < agreements[1]


def test_documents_that_are_level_share_what_their_places_are_worth():
    """Three documents nobody can tell apart, one of them wanted: as if its place were drawn."""
    grades = np.array([[1.0]], dtype=np.float32)
    drawn = [agreement(np.array([[place]]), np.array([[1]]), grades).item() for place in range(3)]
    assert agreement(np.array([[0]]), np.array([[3]]), grades).item() == pytest.approx(np.mean(drawn))
