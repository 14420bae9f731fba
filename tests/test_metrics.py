"""Search and measures, against brute force and hand-computed values."""

import math

import numpy as np
import pytest
import pytrec_eval
from synthetic import clustered

from adaptor import metrics
from adaptor.metrics import judge, nearest, overlap, paired_interval
from adaptor.vectors import prefix
from benchmarks import data_sets


def test_nearest_is_brute_force(monkeypatch):
    monkeypatch.setattr(metrics, "SEARCH_BLOCK", 7)  # several blocks, the last one short
    queries, corpus = clustered(20), clustered(50, seed=1)
    scores = queries @ corpus.T
    expected = np.array([sorted(range(50), key=lambda row: (-line[row], row))[:5] for line in scores])
    np.testing.assert_array_equal(nearest(queries, corpus, 5), expected)


def test_nearest_skips_the_row_that_each_query_names(monkeypatch):
    monkeypatch.setattr(metrics, "SEARCH_BLOCK", 7)
    x = clustered(20)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    itself = np.arange(20)
    np.testing.assert_array_equal(nearest(x, x, 1)[:, 0], itself)
    result = nearest(x, x, 3, skip=itself)
    assert not (result == itself[:, None]).any()
    np.testing.assert_array_equal(result, nearest(x, x, 4)[:, 1:])


def test_nearest_of_all_rows_gives_ties_to_the_lower_row():
    corpus = np.array([[1, 0], [0, 1], [1, 0]], np.float32)
    np.testing.assert_array_equal(nearest(np.array([[1, 0]], np.float32), corpus, 3), [[0, 2, 1]])


def test_overlap_ignores_order():
    result, original = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), np.array([[3, 2, 1], [4, 8, 9], [1, 2, 3]])
    np.testing.assert_allclose(overlap(result, original), [1, 1 / 3, 0])


def test_judge_with_linear_gains():
    judgments = {"q": {"a": 2, "b": 1, "c": 1}, "r": {"a": 1}}
    run = {"q": {"b": 0.9, "x": 0.8, "a": 0.7}, "r": {"x": 0.5, "a": 0.4}}
    result = judge(run, judgments)
    gained = 1 / math.log2(2) + 2 / math.log2(4)
    best = 2 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    assert result["nDCG@10"] == pytest.approx({"q": gained / best, "r": 1 / math.log2(3)})
    assert result["R@10"] == pytest.approx({"q": 2 / 3, "r": 1})
    assert result["RR@10"] == pytest.approx({"q": 1, "r": 0.5})


def test_judge_cuts_off():
    run = {"q": {f"x{i:02d}": 1 - i / 100 for i in range(10)} | {"a": 0.1}}
    result = judge(run, {"q": {"a": 1}})
    assert {name: values["q"] for name, values in result.items()} == {"nDCG@10": 0, "R@10": 0, "RR@10": 0, "R@100": 1}


@pytest.mark.parametrize("run", [{}, {"q": {}}], ids=["absent", "empty"])
def test_a_judged_query_that_found_nothing_scores_zero(run):
    result = judge(run | {"r": {"a": 1.0}}, {"q": {"a": 1}, "r": {"a": 1}})
    assert result["nDCG@10"] == {"q": 0, "r": 1}


def test_paired_interval_holds_the_mean_and_is_narrower_for_paired_values():
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    low, high = paired_interval(values + 0.1 + rng.normal(scale=0.1, size=300), values)
    assert 0.07 < low < 0.1 < high < 0.13
    assert paired_interval(values, rng.normal(size=300))[0] < 0


def test_paired_interval_is_repeatable_and_of_no_width_where_all_agree():
    values = np.random.default_rng(0).normal(size=50)
    against = np.zeros(50)
    assert paired_interval(values, against) == paired_interval(values, against)
    assert paired_interval(np.ones(50), against) == (1, 1)


@pytest.mark.parametrize("name", ["scifact", "xquad_de", "xquad_en", "xquad_es"])
def test_measures_are_those_of_trec_eval(name):
    """nDCG, recall, MRR and MAP of a real search, by the binding that trec_eval's own code is called through."""
    case = next(case for case in data_sets.load(name) if case.judgments)
    queries = list(case.judgments)
    corpus, asked = prefix(case.corpus, 64), prefix(case.test[queries], 64)
    rows = nearest(asked, corpus, 100)
    run = {
        f"q{query}": {f"d{row}": float(asked[number] @ corpus[row]) for row in rows[number]}
        for number, query in enumerate(queries)
    }
    grades = {f"q{query}": {f"d{row}": grade for row, grade in case.judgments[query].items()} for query in queries}
    names = {"nDCG@10": "ndcg_cut_10", "R@10": "recall_10", "R@100": "recall_100", "RR": "recip_rank"}
    names |= {"AP@100": "map_cut_100"}
    judged = judge(run, grades, tuple(names))
    expected = pytrec_eval.RelevanceEvaluator(grades, set(names.values())).evaluate(run)
    for measure, theirs in names.items():
        for query in grades:
            assert judged[measure][query] == pytest.approx(expected[query][theirs], abs=1e-6)
