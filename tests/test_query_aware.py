"""The closed forms that correct for hubs and for queries: what they change and what they leave."""

import numpy as np
from synthetic import clustered, rotation

from adaptor.fitting import closed_forms
from adaptor.maps import Sides
from adaptor.vectors import normalise, prefix


def hubby(rows: int) -> np.ndarray:
    """Rows around one common direction; a few lie near it, and so near everyone."""
    x = np.random.default_rng(0).normal(size=(rows, 32)).astype(np.float32)
    x[: rows // 20] *= 0.1
    x[:, 0] += 6
    return x @ rotation()


def test_without_hubs_tempering_changes_little():
    x = np.random.default_rng(0).normal(size=(400, 8)).astype(np.float32)
    x = np.concatenate([x, -x])  # no common direction
    assert closed_forms.mean_made_hubs(normalise(x), normalise(x), itself=True) < 0.1
    plain, tempered = closed_forms.svd(x), closed_forms.tempered_svd(x)
    ratio = tempered.corpus.weight / plain.corpus.weight
    assert ratio.max() / ratio.min() < 1.1


def test_hubs_are_found_and_their_direction_is_damped_most():
    x = normalise(hubby(600))
    assert closed_forms.hub_skew(x, x, itself=True) > 2
    assert closed_forms.mean_made_hubs(x, x, itself=True) > 0.4
    plain, tempered = closed_forms.svd(x), closed_forms.tempered_svd(x)
    gain = np.linalg.norm(tempered.corpus.weight, axis=0) / np.linalg.norm(plain.corpus.weight, axis=0)
    assert gain[0] < 0.7
    assert gain[0] == gain.min()
    assert (gain[1:] > 0.8).all()


def test_a_mean_that_queries_do_not_share_is_taken_off_where_it_makes_hubs():
    """Queries lean to one side; the few rows that lean there too answer everything until both sides lose their mean."""
    draw = np.random.default_rng(0)
    lean = np.eye(32)[0]
    corpus = draw.normal(size=(600, 32)) + np.outer(draw.normal(size=600) * 3, lean)
    questions = corpus[:200] + draw.normal(size=(200, 32)) * 0.3 + 8 * lean
    corpus, questions = normalise(corpus.astype(np.float32)), normalise(questions.astype(np.float32))
    assert closed_forms.mean_made_hubs(corpus, questions) > 0.5
    near = questions - questions.mean(axis=0)
    assert closed_forms.mean_made_hubs(corpus, normalise(near)) < 0.2


def test_pca_takes_the_mean_off():
    x = hubby(300)
    y = closed_forms.pca(x).corpus(x)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-5)
    assert abs(np.corrcoef(y[:, 0], y[:, 1])[0, 1]) < 1e-3


def sides_scores(sides: Sides, queries: np.ndarray, corpus: np.ndarray, dim: int) -> np.ndarray:
    return prefix(sides.query(queries), dim) @ prefix(sides.corpus(corpus), dim).T


def test_with_many_queries_it_keeps_what_queries_ask_for():
    """Queries vary in 4 directions in which documents vary little: SVD drops these, query-aware keeps them."""
    draw = np.random.default_rng(0)
    documents = draw.normal(size=(2000, 32)) * np.r_[np.full(4, 0.5), np.full(28, 1.0)]
    queries = draw.normal(size=(2000, 32)) * np.r_[np.full(4, 1.0), np.full(28, 0.05)]
    turn = rotation()
    corpus, questions = normalise((documents @ turn).astype(np.float32)), normalise((queries @ turn).astype(np.float32))
    truth = questions[:100] @ corpus.T
    aware = sides_scores(closed_forms.query_aware_svd(corpus, questions), questions[:100], corpus, 4)
    plain = sides_scores(closed_forms.svd(corpus), questions[:100], corpus, 4)
    agreement = [np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(scores, truth)]) for scores in (aware, plain)]
    assert agreement[0] > 0.8
    assert agreement[1] < 0.4


def test_each_side_gets_its_own_map_and_few_queries_change_little():
    x, questions = clustered(500), clustered(10, seed=3)
    sides = closed_forms.query_aware_svd(x, questions)
    assert sides.own_query is not None
    original = normalise(questions) @ normalise(x).T
    scores = sides_scores(sides, questions, x, 32)
    assert np.corrcoef(scores.ravel(), original.ravel())[0, 1] > 0.95


def test_equal_samples_give_equal_maps_on_both_sides():
    x, questions = clustered(300), clustered(60, seed=3)
    first, second = closed_forms.query_aware_svd(x, questions), closed_forms.query_aware_svd(x.copy(), questions.copy())
    for a, b in ((first.corpus, second.corpus), (first.query, second.query)):
        for one, other in zip(a.tensors().values(), b.tensors().values(), strict=True):
            np.testing.assert_array_equal(one, other)
