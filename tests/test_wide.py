"""Fewer rows than numbers: the maps of the D x D problems without these, and each found once in a fit."""

import numpy as np
import pytest
from synthetic import clustered

import adaptor
from adaptor.fitting import candidates, closed_forms
from adaptor.fitting.pipeline import fit_sample
from adaptor.fitting.sample import Sample, in_memory
from adaptor.fitting.settings import FitSettings, QueryTraining, Training
from adaptor.vectors import normalise, prefix

WIDTH = 96


def eigenvectors(unit: np.ndarray) -> np.ndarray:
    """Of the D x D second moment of rows, strongest first, the largest number of each above 0."""
    exact = unit.astype(np.float64)
    vectors = np.linalg.eigh(exact.T @ exact / len(exact))[1][:, ::-1]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])]
    return np.ascontiguousarray(vectors * np.sign(largest), dtype=np.float32)


@pytest.mark.parametrize(
    "rows",
    [
        clustered(1, WIDTH),
        clustered(40, WIDTH),
        clustered(WIDTH - 1, WIDTH),
        np.repeat(clustered(10, WIDTH), 3, axis=0),  # of rank 10
        np.eye(WIDTH, dtype=np.float32)[[3, 3, 3, 50, 50, 7]],
    ],
    ids=["one", "few", "nearly", "again", "one-hot"],
)
@pytest.mark.parametrize("centred", [False, True], ids=["svd", "pca"])
def test_prefixes_up_to_the_rank_are_those_of_the_moment_and_the_rest_completes_a_rotation(rows, centred):
    unit = normalise(rows)
    used = unit - unit.mean(axis=0) if centred else unit
    rank = np.linalg.matrix_rank(used.astype(np.float64), tol=1e-6)
    map_ = (closed_forms.pca if centred else closed_forms.svd)(rows).corpus
    assert map_.weight.dtype == np.float32
    assert map_.weight.flags.c_contiguous
    np.testing.assert_allclose(map_.weight[:, :rank], eigenvectors(used)[:, :rank], atol=2e-5)
    np.testing.assert_allclose(map_.weight.T @ map_.weight, np.eye(WIDTH), atol=1e-5)
    largest = map_.weight[np.abs(map_.weight).argmax(axis=0), np.arange(WIDTH)]
    assert (largest > 0).all()
    if not centred:
        y, other = map_(clustered(30, WIDTH, seed=1)), normalise(clustered(30, WIDTH, seed=1))
        np.testing.assert_allclose(y @ y.T, other @ other.T, atol=1e-5)


@pytest.mark.parametrize("rows", [WIDTH, 200])
def test_with_as_many_rows_as_numbers_it_is_the_moment_to_the_bit(rows):
    x = clustered(rows, WIDTH)
    unit = normalise(x)
    np.testing.assert_array_equal(closed_forms.svd(x).corpus.weight, eigenvectors(unit))
    np.testing.assert_array_equal(closed_forms.pca(x).corpus.weight, eigenvectors(unit - unit.mean(axis=0)))


@pytest.mark.parametrize(("rows", "questions"), [(40, 20), (60, 30), (20, 75)])
def test_query_aware_svd_in_the_span_of_both_sides(rows, questions, monkeypatch):
    corpus, queries = clustered(rows, WIDTH), clustered(questions, WIDTH, seed=3)
    few = closed_forms.query_aware_svd(corpus, queries)
    monkeypatch.setattr(closed_forms, "_span", lambda *sides: None)  # by D x D moments
    whole = closed_forms.query_aware_svd(corpus, queries)
    assert few.own_query is not None
    for ours, theirs in ((few.corpus, whole.corpus), (few.query, whole.query)):
        assert ours.weight.shape == (WIDTH, WIDTH)
        assert not ours.weight[:, rows + questions :].any()
        np.testing.assert_allclose(ours.bias, theirs.bias, atol=1e-3)
    for dim in (4, 8, 16, WIDTH):
        scores = [prefix(s.query(queries), dim) @ prefix(s.corpus(corpus), dim).T for s in (few, whole)]
        np.testing.assert_allclose(*scores, atol=1e-3)


FAST = FitSettings(training=Training(steps=4), query_training=QueryTraining(steps=4))


def test_a_fit_finds_each_closed_form_once_from_the_rows_to_learn_from_and_the_winner_from_all(monkeypatch):
    calls: list[tuple[str, int]] = []

    def counted(name: str) -> None:
        find = getattr(closed_forms, name)
        monkeypatch.setattr(
            closed_forms, name, lambda rows, *more: calls.append((name, len(rows))) or find(rows, *more)
        )

    for name in ("truncation", "svd", "pca", "query_aware_svd"):
        counted(name)
    strata = np.array(["en", "de"])[np.arange(300) % 2]
    fitted = adaptor.fit(clustered(300), dims=[4, 8], queries=clustered(300, seed=3), settings=FAST, strata=strata)
    first = [name for name, rows in calls if rows == 270]
    assert sorted(first) == ["pca", "query_aware_svd", "svd", "truncation"]
    assert len(calls) - len(first) <= 1, fitted.config["candidate"]


def test_what_takes_long_is_announced_by_its_size(monkeypatch):
    monkeypatch.setattr(candidates, "LONG", 31)
    said: list[str] = []
    settings = FitSettings(candidates=("svd", "tempered_svd", "query_aware_svd"))
    rows = clustered(300)
    sample = Sample(in_memory(rows[30:]), in_memory(rows[:30]), in_memory(rows), queries=clustered(300, seed=3))
    fit_sample(sample, [4, 8], settings, 0, report=said.append)
    first, second, *_ = (line for line in said if line.startswith("finding"))  # then the winner's, of all rows
    assert [first, second] == [
        "finding svd of 270 rows of width 32: an eigenproblem of 32 x 32 numbers, which takes a while",
        "finding query_aware_svd of 510 rows of width 32: an eigenproblem of 32 x 32 numbers, which takes a while",
    ]
    said.clear()
    monkeypatch.setattr(candidates, "LONG", 32)
    adaptor.fit(rows, dims=[4, 8], settings=settings, report=said.append)
    assert said
    assert not any("finding" in line for line in said)
