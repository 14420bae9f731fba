"""What a fit is to keep, `fit.keep`, is what it chooses by and what an evaluation without labels leads with."""

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import SparkSession
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

import adaptor
from adaptor import FitSettings
from adaptor.config import Config, load_config
from adaptor.evaluation.label_free import retrieval
from adaptor.evaluation.views import Hits
from adaptor.spark import apply_table, evaluate_table, fit_table
from adaptor.spark.evaluate import Evaluated
from adaptor.spark.fit import Fitted
from benchmarks import data_sets

CLOSED = FitSettings(candidates=("truncation", "pca", "svd", "tempered_svd"))
ROWS = 1500
LEVEL = 0.005  # nearer than that the few hundred held-out rows of a fit tell nothing apart


def with_hubs(rows: int, seed: int = 0) -> np.ndarray:
    """Clusters that all lean to one side: what they share makes hubs, which a correction takes away."""
    x = clustered(rows, seed=seed)
    return (x / np.linalg.norm(x, axis=1, keepdims=True) + np.linspace(0.3, 0, 32)).astype(np.float32)


def quiet(line: str) -> None:
    """A report that says nothing."""


def test_neighbours_allow_no_correction_and_nothing_that_keeps_fewer_than_svd():
    corpus = with_hubs(ROWS)
    fitted = adaptor.fit(corpus, dims=[4, 8, 16], settings=replace(CLOSED, keep="neighbours"))
    assert "fit.keep=neighbours asks for the neighbours as they are" in fitted.metrics["left_out"]["tempered_svd"]
    kept = {score["candidate"]: score["figures"]["neighbours@10"] for score in fitted.metrics["candidates"]}
    assert fitted.metrics["keep"] == "neighbours"
    winner = kept[fitted.config["candidate"]]
    assert all(winner[dim] >= kept["svd"][dim] for dim in winner)


def test_a_trained_map_is_not_tempered_for_neighbours():
    corpus = with_hubs(400)
    settings = FitSettings(candidates=("svd", "trained"), training=replace(FitSettings().training, steps=20))
    by_keep = {
        keep: adaptor.fit(corpus, dims=[4, 8], settings=replace(settings, keep=keep))
        for keep in ("retrieval", "neighbours")
    }
    kept = {
        keep: next(s for s in fitted.metrics["candidates"] if s["candidate"] == "trained")["figures"]["neighbours@10"]
        for keep, fitted in by_keep.items()
    }
    assert kept["neighbours"]["8"] > kept["retrieval"]["8"]


def test_a_query_log_is_no_witness_of_neighbours():
    lines = []
    corpus = with_hubs(400)
    fitted = adaptor.fit(
        corpus, dims=[4], queries=corpus[:60], settings=replace(CLOSED, keep="neighbours"), report=lines.append
    )
    assert "query log: left out, fit.keep=neighbours asks with rows alone" in lines
    assert (fitted.metrics["held_out_side"], fitted.config["queries"]) == ("corpus", 0)


def agree(fitted: Fitted, evaluated: Evaluated) -> None:
    """At each dim the one that the fit saw ahead of the other is so, or the interval holds zero."""
    assert evaluated.metric == fitted.report.metric
    kept = {score.candidate: score.figures[fitted.report.metric] for score in fitted.report.candidates}
    winner = fitted.adaptor.config["candidate"]
    for dim in evaluated.dims:
        low, high = evaluated.intervals[None, dim]
        if low > 0:
            assert kept[winner][dim] >= kept["svd"][dim] - LEVEL
        elif high < 0:
            assert kept[winner][dim] <= kept["svd"][dim] + LEVEL


def jobs(spark: SparkSession, config: Config) -> tuple[Fitted, Evaluated]:
    fitted = fit_table(spark, config, quiet)
    apply_table(spark, config, quiet)
    return fitted, evaluate_table(spark, config, quiet)


@pytest.mark.parametrize("keep", ["retrieval", "neighbours"])
def test_fit_and_evaluate_agree_on_who_is_ahead(spark, tmp_path, keep):
    """On rows that the fit has not seen."""
    docs = save_delta(embeddings_frame(spark, with_hubs(ROWS), [f"d{i:04d}" for i in range(ROWS)]), tmp_path / "docs")
    changes = {"fit": {"keep": keep, "candidates": list(CLOSED.candidates)}, "evaluate": {"held_out": 300}}
    config = load_config(write_config(tmp_path / "config.yaml", small_config(tmp_path, docs, **changes)))
    fitted, evaluated = jobs(spark, config)
    agree(fitted, evaluated)
    if keep == "retrieval":
        assert fitted.adaptor.config["candidate"] in ("pca", "tempered_svd")  # both take the hubs away
        assert evaluated.intervals[None, 4][0] > 0
        assert "ahead of SVD at 4" in evaluated.verdict()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["retrieval", "neighbours"])
@pytest.mark.parametrize("name", ["scifact", "xquad_de", "xquad_en", "xquad_es"])
def test_they_agree_on_real_sets(spark, tmp_path, name, keep):
    corpus = data_sets.load(name)[0].corpus
    docs = save_delta(embeddings_frame(spark, corpus, [f"d{i:05d}" for i in range(len(corpus))]), tmp_path / "docs")
    changes = {"fit": {"keep": keep, "training": {"steps": 200}}, "dims": [32, 64, 128]}
    config = load_config(write_config(tmp_path / "config.yaml", small_config(tmp_path, docs, **changes)))
    agree(*jobs(spark, config))


def hits(*scores: dict[int, float]) -> Hits:
    """Of each query, by row."""
    rows = np.full((len(scores), 10), -1)
    values = np.full((len(scores), 10), -np.inf, np.float32)
    for query, run in enumerate(scores):
        rows[query, : len(run)], values[query, : len(run)] = list(run), list(run.values())
    return Hits(rows, values)


def test_retrieval_of_one_query_is_ndcg_by_graded_neighbours():
    reference = {0: 0.9, 1: 0.88, 2: 0.8}
    assert retrieval(hits(reference), hits(reference)) == pytest.approx(1.0)
    grades = {name: np.exp((score - 0.9) / 0.02) for name, score in reference.items()}
    gained = grades[1] / np.log2(2) + grades[0] / np.log2(3)
    ideal = grades[0] / np.log2(2) + grades[1] / np.log2(3) + grades[2] / np.log2(4)
    values = retrieval(hits({1: 3.0, 0: 2.0, 9: 1.0}, {}, {4: 1.0}), hits(reference, reference, {}))
    np.testing.assert_allclose(values, [gained / ideal, 0, 0], atol=1e-6)
