"""A fit job that learns from queries and judgments in Delta tables, and quarantines that were there before."""

from pathlib import Path

import numpy as np
import pytest
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

from adaptor import AdaptorError
from adaptor.config import load_config
from adaptor.spark.apply import apply_table
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table, learn_from
from adaptor.spark.sampling import materialise

QUERIES = 60


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def tables(spark, tmp_path_factory):
    """A corpus of 300 rows, 60 queries near some of them, and a judgment for each."""
    folder = tmp_path_factory.mktemp("query_log")
    corpus = clustered(300)
    noise = 0.3 * clustered(QUERIES, seed=4)
    save_delta(embeddings_frame(spark, corpus), folder / "docs")
    ids = [f"q{i:02d}" for i in range(QUERIES)]
    save_delta(embeddings_frame(spark, corpus[:QUERIES] + noise, ids), folder / "queries")
    rows = [(f"q{i:02d}", f"d{i:03d}", 1) for i in range(QUERIES)]
    save_delta(spark.createDataFrame(rows, "query_id string, corpus_id string, grade int"), folder / "judgments")
    return folder


def config(folder: Path, name: str, **changes):
    candidates = ["truncation", "svd", "query_aware_svd", "trained"]
    document = small_config(folder / name, str(folder / "docs"), fit={"candidates": candidates}, **changes)
    return load_config(write_config(folder / name / "config.yaml", document))


def test_queries_and_judgments_reach_the_fit(spark, tables):
    log = {"table": str(tables / "queries"), "judgments": str(tables / "judgments")}
    judged = {"queries": log["table"], "judgments": log["judgments"]}
    settings = config(tables, "log", query_log=log, evaluate={"data_set": "log", **judged})
    fitted = fit_table(spark, settings, quiet).adaptor
    assert (fitted.config["queries"], fitted.config["judged_queries"]) == (QUERIES, QUERIES)
    assert fitted.metrics["held_out_side"] == "corpus"  # so few queries choose nothing, they move what wins
    assert "fewer move whatever wins" in fitted.metrics["left_out"]["query_aware_svd"]
    assert "judgments change a linear map" in fitted.metrics["left_out"]["trained"]
    assert fitted.query is not None
    assert fitted.metrics["supervised"]["labelled"] == QUERIES
    apply_table(spark, settings, quiet)
    evaluated = evaluate_table(spark, settings, quiet)
    assert evaluated.value("adaptor", 16) >= evaluated.value("svd", 16) - 0.02


def test_judgments_find_their_rows(spark, tables):
    """Tables hold them by id, the sample lies in the order of a hash: each must meet its own vector."""
    log = {"table": str(tables / "queries"), "judgments": str(tables / "judgments")}
    settings = config(tables, "rows", query_log=log)
    docs = spark.read.format("delta").load(settings.source.table)
    sample = materialise(docs, "id", "embedding", settings.sample, "arrow")
    learnt = learn_from(spark, settings.query_log, sample, sample.whole)
    sample.delete()
    corpus = clustered(300)
    noise = 0.3 * clustered(QUERIES, seed=4)
    assert sorted(learnt.judgments) == list(range(QUERIES))
    for query, graded in learnt.judgments.items():
        (document,) = graded
        np.testing.assert_array_equal(learnt.whole.rows[document], corpus[query])
        np.testing.assert_array_equal(learnt.queries[query], corpus[query] + noise[query])


def test_judged_documents_are_in_however_small_the_sample(spark, tables):
    log = {"table": str(tables / "queries"), "judgments": str(tables / "judgments")}
    sample = {"folder": str(tables / "small" / "sample"), "rows": 100}
    settings = config(tables, "small", query_log=log, sample=sample)
    fitted = fit_table(spark, settings, quiet).adaptor
    assert fitted.config["judged_queries"] == QUERIES
    assert 100 < fitted.config["rows"] < 200


def test_a_judged_query_that_is_not_there(spark, tables):
    rows = [("nobody", "d000", 1)]
    judgments = save_delta(
        spark.createDataFrame(rows, "query_id string, corpus_id string, grade int"), tables / "wrong_judgments"
    )
    settings = config(tables, "wrong", query_log={"table": str(tables / "queries"), "judgments": judgments})
    with pytest.raises(AdaptorError, match="1 judged queries, such as 'nobody', are not in"):
        fit_table(spark, settings, quiet)


def test_an_old_quarantine_is_emptied_and_a_foreign_table_left_alone(spark, tables):
    vectors = [*clustered(100), np.zeros(32)]
    docs = save_delta(embeddings_frame(spark, vectors), tables / "bad" / "docs")
    changes = {"source": {"table": docs}, "fit": {"candidates": ["svd"]}}
    apply = {"target": str(tables / "bad" / "nested")}
    settings = config(tables, "bad", apply=apply)
    settings = settings.model_copy(update={"source": settings.source.model_copy(update=changes["source"])})
    fit_table(spark, settings, quiet)
    quarantine = apply_table(spark, settings, quiet).quarantine
    assert quarantine is not None
    assert [row.id for row in quarantine.read(spark).collect()] == ["d100"]
    spark.sql(f"DELETE FROM delta.`{docs}` WHERE id = 'd100'")
    assert apply_table(spark, settings, quiet).quarantine is None
    assert quarantine.read(spark).count() == 0

    foreign = settings.apply.model_copy(update={"quarantine": str(tables / "queries")})
    with pytest.raises(AdaptorError, match="is no quarantine that apply wrote"):
        apply_table(spark, settings.model_copy(update={"apply": foreign}), quiet)
    assert spark.read.format("delta").load(str(tables / "queries")).count() == QUERIES
