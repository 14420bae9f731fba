"""A whole fit in memory: what it gives back, which candidate it picks, what it refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest
from synthetic import clustered, nested

import adaptor
from adaptor import AdaptorError
from adaptor.fitting.settings import FitSettings, Training
from adaptor.metrics import nearest
from adaptor.metrics import overlap as overlap_of

FAST = FitSettings(training=Training(steps=20))


@pytest.fixture(scope="module")
def fitted() -> adaptor.Adaptor:
    return adaptor.fit(clustered(300), dims=[8, 4, 16], settings=FAST)


def test_output_has_length_one(fitted):
    assert fitted.dims == (4, 8, 16)
    for dim in fitted.dims:
        rows = fitted.encode(clustered(20, seed=5), dim=dim)
        assert rows.shape == (20, dim)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)


def test_it_beats_truncation_on_rows_it_has_not_seen(fitted):
    """20 clusters in rotated space: the first numbers say little, the adapted prefix much."""
    x, unseen = clustered(300), clustered(100, seed=9)

    def overlap(rows: np.ndarray, corpus: np.ndarray) -> float:
        original = nearest(as_unit(unseen), as_unit(x), 10)
        return float(overlap_of(nearest(rows, corpus, 10), original).mean())

    adapted = overlap(fitted.encode(unseen, dim=8), fitted.encode(x, dim=8))
    truncated = overlap(as_unit(unseen[:, :8]), as_unit(x[:, :8]))
    assert adapted > truncated + 0.1


def as_unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_same_fit_has_the_same_fingerprint(fitted):
    again = adaptor.fit(clustered(300), dims=[4, 8, 16], settings=FAST)
    assert again.fingerprint == fitted.fingerprint
    assert adaptor.fit(clustered(300), dims=[4, 8, 16], seed=1, settings=FAST).fingerprint != fitted.fingerprint


def test_every_candidate_is_scored(fitted):
    scores = {score["candidate"]: score["figures"] for score in fitted.metrics["candidates"]}
    assert set(scores) | set(fitted.metrics["left_out"]) == set(FAST.candidates)
    assert set(fitted.metrics["left_out"]) == {"query_aware_svd", "query_aware_tempered", "query_aware_trained"}
    agreements = {score["candidate"]: score["agreement"] for score in fitted.metrics["candidates"]}
    assert agreements[fitted.config["candidate"]] == max(agreements.values())
    for figures in scores.values():
        assert list(figures) == ["retrieval@10", "neighbours@10"]
        assert all(0 <= value <= 1 for by_dim in figures.values() for value in by_dim.values())
    assert fitted.metrics["held_out_rows"] == 30


def test_a_nested_embedder_is_left_as_it_is():
    x = nested(300)
    result = adaptor.fit(x, dims=[8], settings=FAST)
    scores = {score["candidate"]: score["figures"]["neighbours@10"]["8"] for score in result.metrics["candidates"]}
    assert result.metrics["already_nested"]
    assert scores["truncation"] == 1.0
    assert scores["svd"] < 1.0
    assert result.config["candidate"] == "truncation"
    np.testing.assert_allclose(result.encode(x, dim=8), as_unit(x[:, :8]), atol=1e-6)


def test_rotated_embeddings_are_not_truncated(fitted):
    assert fitted.config["candidate"] != "truncation"


def test_training_leaves_its_start_and_stays_the_same_by_seed():
    settings = FitSettings(candidates=("trained",), training=Training(steps=20, evaluate_every=5))
    first, again = (adaptor.fit(clustered(300), dims=[4], settings=settings) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert first.config["candidate"] == "trained"


def test_the_paper_form_can_be_fitted():
    result = adaptor.fit(clustered(300), dims=[4], settings=FitSettings(candidates=("paper",)))
    assert result.config["candidate"] == "paper"
    assert result.encode(clustered(3), dim=4).shape == (3, 4)


@pytest.mark.parametrize(
    ("corpus", "dims", "message"),
    [
        (np.zeros((100, 8)), [4], "corpus: 100 of 100 rows are zero, NaN or infinite"),
        (clustered(100), [64], "dim 64 is above the width of the embeddings, 32"),
        (clustered(100), [], "dims is empty"),
        (
            clustered(9),
            [4],
            "the sample has 9 good rows; a fit compares neighbours and needs at least 11 besides the held-out tenth",
        ),
        (
            clustered(11),
            [4],
            "the sample has 11 good rows; a fit compares neighbours and needs at least 11 besides the held-out tenth",
        ),
        (np.zeros((0, 8)), [4], "the sample has 0 good rows"),
    ],
)
def test_fit_refuses(corpus, dims, message):
    with pytest.raises(AdaptorError, match=re.escape(message)):
        adaptor.fit(corpus, dims=dims)


def test_the_smallest_sample_that_is_enough():
    settings = FitSettings(candidates=("truncation", "svd"))
    assert adaptor.fit(clustered(13), dims=[4], settings=settings).width == 32


def test_quick_makes_closed_forms_alone_and_best_trains_longer():
    x = clustered(300)
    quick = adaptor.fit(x, dims=[4, 8], settings=replace(FAST, effort="quick"))
    scored = {score["candidate"] for score in quick.metrics["candidates"]}
    assert scored == {"truncation", "pca", "svd", "tempered_svd"} & set(FAST.candidates)
    assert FAST.with_effort() == FAST
    best = replace(FAST, effort="best").with_effort()
    assert (best.training.steps, best.training.patience) == (6 * FAST.training.steps, 6 * FAST.training.patience)
    assert best.query_training.steps == 6 * FAST.query_training.steps


def test_quick_makes_what_is_asked_for_where_nothing_else_is():
    assert replace(FAST, candidates=("trained",), effort="quick").to_compete == ("trained",)
