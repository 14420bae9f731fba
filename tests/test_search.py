"""Exact search over a table against brute force in NumPy."""

import numpy as np
import pytest
from synthetic import clustered, embeddings_frame, rotation

from adaptor.maps import Map
from adaptor.metrics import nearest
from adaptor.spark import search
from adaptor.spark.search import View, exact_search
from adaptor.vectors import normalise, prefix


def found_rows(runs: list[dict[str, float]]) -> np.ndarray:
    return np.array([[int(i[1:]) for i in sorted(run, key=run.get, reverse=True)] for run in runs])


@pytest.mark.parametrize("partitions", [1, 5])
def test_it_is_brute_force(spark, partitions):
    corpus, queries = clustered(300), clustered(12, seed=1)
    map_ = Map(rotation())
    df = embeddings_frame(spark, corpus).repartition(partitions)
    views = [
        View("original", "embedding", 32, normalise(queries)),
        View("truncation", "embedding", 8, prefix(queries, 8)),
        View("rotated", "embedding", 4, prefix(map_(queries), 4), map_),
    ]
    hits = exact_search(df, "id", views, 7)
    assert set(hits) == {("original", 32), ("truncation", 8), ("rotated", 4)}
    for view in views:
        runs, rows = hits[view.name, view.dim], view.rows(corpus)
        np.testing.assert_array_equal(found_rows(runs), nearest(view.queries, rows, 7))
        for query, run in zip(view.queries, runs):
            for name, score in run.items():
                assert score == pytest.approx(float(query @ rows[int(name[1:])]), abs=1e-5)


def test_several_slices_of_a_batch(spark, monkeypatch):
    monkeypatch.setattr(search, "SLICE_ROWS", 16)  # shipped to the workers with the function by value
    corpus, queries = clustered(100), normalise(clustered(5, seed=1))
    hits = exact_search(embeddings_frame(spark, corpus), "id", [View("v", "embedding", 32, queries)], 10)
    np.testing.assert_array_equal(found_rows(hits["v", 32]), nearest(queries, normalise(corpus), 10))


def test_fewer_rows_than_wanted(spark):
    corpus, queries = clustered(3), normalise(clustered(2, seed=1))
    hits = exact_search(embeddings_frame(spark, corpus), "id", [View("v", "embedding", 32, queries)], 10)
    assert [set(run) for run in hits["v", 32]] == [{"d000", "d001", "d002"}] * 2


def test_two_columns_and_ids_that_are_numbers(spark):
    corpus, queries = clustered(40), clustered(3, seed=1)
    df = embeddings_frame(spark, corpus).selectExpr(
        "cast(substr(id, 2) AS long) AS number", "embedding", "slice(embedding, 1, 8) AS short"
    )
    views = [
        View("whole", "embedding", 32, normalise(queries)),
        View("short", "short", 8, prefix(queries, 8)),
    ]
    hits = exact_search(df, "number", views, 1)
    for view in views:
        best = nearest(view.queries, view.rows(corpus), 1)[:, 0]
        assert [list(run) for run in hits[view.name, view.dim]] == [[str(row)] for row in best]
