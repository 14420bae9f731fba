"""Exact search over a table against brute force in NumPy: any k, prefixes, metric, filter, stratum and type of id."""

import numpy as np
import pandas as pd
import pytest
from synthetic import clustered, embeddings_frame, rotation

from adaptor import AdaptorError
from adaptor.bits import Cells
from adaptor.codecs import BinaryCodec, Int8Codec, PlainCodec
from adaptor.evaluation.top_k import TopK
from adaptor.evaluation.views import Hits, Numbering, View
from adaptor.maps import Map
from adaptor.metrics import nearest
from adaptor.spark import exact_search, search_task
from adaptor.spark.search import search_views
from adaptor.vectors import normalise, prefix

CORPUS, QUERIES = clustered(300), clustered(12, seed=1)


@pytest.fixture(scope="module")
def table(spark):
    """The corpus with ids that are numbers and a language, in five partitions."""
    df = embeddings_frame(spark, CORPUS).repartition(5).cache()
    return df.selectExpr(
        "cast(substr(id, 2) AS long) AS number",
        "embedding",
        "if(cast(substr(id, 2) AS long) % 3 = 0, 'de', 'en') AS language",
    )


def ids_of(hits: pd.DataFrame, **chosen: object) -> np.ndarray:
    """Ids by query and rank."""
    for name, value in chosen.items():
        hits = hits[hits[name] == value]
    wide = hits.pivot(index="query", columns="rank", values=next(n for n in ("number", "id") if n in hits))
    return wide.to_numpy()


# what users call


def test_several_prefixes_in_one_pass_are_brute_force(table):
    hits = exact_search(table, QUERIES, 7, id="number", dims=[4, 8, 32]).toPandas()
    assert list(hits.columns) == ["query", "dim", "rank", "number", "score"]
    for dim in (4, 8, 32):
        np.testing.assert_array_equal(
            ids_of(hits, dim=dim), nearest(prefix(QUERIES, dim), prefix(CORPUS, dim), 7), str(dim)
        )


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_scores_are_those_of_the_metric(table, metric):
    q, x = QUERIES.astype(float), CORPUS.astype(float)
    by_metric = {
        "dot": q @ x.T,
        "cosine": (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (x / np.linalg.norm(x, axis=1, keepdims=True)).T,
        "l2": np.linalg.norm(q[:, None] - x[None], axis=2),
    }[metric]
    order = np.argsort(by_metric if metric == "l2" else -by_metric, axis=1)[:, :5]
    hits = exact_search(table, QUERIES, 5, id="number", metric=metric).toPandas()
    np.testing.assert_array_equal(ids_of(hits), order)
    hits = hits.sort_values(["query", "rank"])
    np.testing.assert_allclose(
        hits["score"].to_numpy().reshape(12, 5), np.take_along_axis(by_metric, order, 1), rtol=1e-4
    )


def test_ids_keep_their_type_and_a_filter_its_rows(table):
    hits = exact_search(table.where("language = 'de'"), QUERIES, 4, id="number")
    assert hits.schema["number"].dataType.simpleString() == "bigint"
    german = np.arange(0, 300, 3)
    np.testing.assert_array_equal(
        ids_of(hits.toPandas()), german[nearest(normalise(QUERIES), normalise(CORPUS[german]), 4)]
    )


@pytest.mark.parametrize("kind", ["string", "binary", "decimal(20,0)", "date"])
def test_ids_of_any_type(spark, table, kind):
    convert = "date_add(date'2020-01-01', cast(number AS int))" if kind == "date" else f"cast(number AS {kind})"
    if kind == "binary":
        convert = "cast(cast(number AS string) AS binary)"
    rows = table.selectExpr("embedding", f"{convert} AS number", "number AS row")
    hits = exact_search(rows, QUERIES[:2], 3, id="number")
    assert hits.schema["number"].dataType == rows.schema["number"].dataType
    found = hits.join(rows.drop("embedding"), "number").toPandas().drop(columns="number").rename(columns={"row": "id"})
    np.testing.assert_array_equal(ids_of(found), nearest(normalise(QUERIES[:2]), normalise(CORPUS), 3))


def test_the_nearest_of_each_stratum(table):
    hits = exact_search(table, QUERIES, 3, id="number", stratum="language").toPandas()
    for language, rows in (("de", np.arange(0, 300, 3)), ("en", np.flatnonzero(np.arange(300) % 3))):
        expected = rows[nearest(normalise(QUERIES), normalise(CORPUS[rows]), 3)]
        np.testing.assert_array_equal(ids_of(hits, language=language), expected)


def test_rows_without_a_stratum_are_one_of_their_own(table):
    some = table.selectExpr("number", "embedding", "if(language = 'de', 'de', NULL) AS language")
    hits = exact_search(some, QUERIES, 3, id="number", stratum="language").toPandas()
    without = np.flatnonzero(np.arange(300) % 3)
    expected = without[nearest(normalise(QUERIES), normalise(CORPUS[without]), 3)]
    np.testing.assert_array_equal(ids_of(hits, language="(null)"), expected)


def test_fewer_rows_than_asked_for(table):
    hits = exact_search(table.where("number < 3"), QUERIES[:2], 10, id="number").toPandas()
    assert [set(part["number"]) for _, part in hits.groupby("query")] == [{0, 1, 2}] * 2


def test_rows_that_are_null_or_without_direction_are_no_hits(spark):
    df = spark.createDataFrame(
        [(1, None), (2, [0.0, 0.0, 1.0]), (3, [float("nan"), 1.0, 0.0]), (4, [1.0, 0.0, 0.0]), (5, [0.0, 1.0, 0.0])],
        "id int, embedding array<float>",
    )
    hits = exact_search(df, [[1.0, 0.2, 0.0]], 9, dims=[2]).toPandas()
    assert list(hits["id"]) == [4, 5]


def test_of_equal_scores_the_lower_id_comes_first(spark):
    df = spark.createDataFrame([(n, [1.0, 0.0]) for n in range(20)], "id long, embedding array<float>").repartition(4)
    hits = exact_search(df, [[2.0, 1.0]], 20).toPandas().sort_values("rank")
    assert list(hits["id"]) == list(range(20))


def test_an_empty_table_gives_no_hits(table):
    assert exact_search(table.where("number < 0"), QUERIES, 3, id="number").count() == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 0}, "k is 0: at least one row"),
        ({"metric": "cosin"}, "metric 'cosin' is unknown: it is one of cosine, dot, l2"),
        ({"dims": [64]}, "dim 64 is above the width of the embeddings, 32"),
        ({"dims": []}, "dims is empty"),
        ({"id": "name"}, "the DataFrame has no column 'name'; it has number, embedding, language"),
        ({"embedding": "language"}, "column 'language' of the DataFrame is string"),
        ({"queries": [[0.0] * 32]}, "queries: 1 of 1 rows are zero"),
    ],
)
def test_what_cannot_be_searched(table, changes, message):
    with pytest.raises(AdaptorError, match=message):
        exact_search(table, **{"queries": QUERIES, "id": "number", **changes})


def test_rows_of_another_width(spark):
    df = spark.createDataFrame([(1, [1.0, 2.0]), (2, [1.0])], "id int, embedding array<float>").coalesce(1)
    with pytest.raises(Exception, match="column embedding has rows of 2 and of 1 numbers, the queries have 2"):
        exact_search(df, [[1.0, 2.0]]).collect()
    with pytest.raises(Exception, match="column embedding has rows of 2 and of 2 numbers, the queries have 1"):
        exact_search(df.where("id = 1"), [[1.0]]).collect()


# what evaluations call


def found(hits, numbering, **asked):
    """Ids as numbers, in the order of the hits."""
    return [[int(name[1:]) for name in run] for run in numbering.runs(hits, **asked)]


def test_views_through_maps_and_encodings(spark, monkeypatch):
    monkeypatch.setattr(search_task, "BLOCK_SCORES", 600)  # several blocks of 64 rows a batch
    map_ = Map(rotation())
    mapped, queries, numbering = map_(CORPUS), map_(QUERIES), Numbering()
    int8, binary = Int8Codec.fit(prefix(mapped, 16)), BinaryCodec(16)
    bits = Cells.fit(mapped).codec(8)
    views = [
        View("rotated", "embedding", (4, 16), queries, map_, k=9),
        View("int8", "embedding", (16,), queries, map_, encoding="int8", codecs={16: int8}, k=9),
        View("binary", "embedding", (16,), queries, map_, encoding="binary", codecs={16: binary}, k=9),
        View("bits", "embedding", (8,), queries, map_, encoding="bits", codecs={8: bits}, k=9),
    ]
    hits = search_views(embeddings_frame(spark, CORPUS).repartition(3), views, numbering)
    for view in views:
        for dim in view.dims:
            codec = view.codecs.get(dim, PlainCodec(dim))
            rows = codec.decode(codec.encode(prefix(mapped, codec.width)))
            expected = nearest(prefix(queries, codec.width), rows, 9)
            products = np.take_along_axis(prefix(queries, codec.width) @ rows.T, expected, 1)
            np.testing.assert_allclose(hits[view.name, dim].scores, products, atol=1e-5)
            if view.encoding != "binary":  # whose scores are often equal
                np.testing.assert_array_equal(found(hits[view.name, dim], numbering, depth=9), expected)


def test_a_short_list_in_the_order_of_the_full_width(spark):
    views = [
        View("short", "embedding", (4,), QUERIES, k=50, rescored_by=("original", 32)),
        View("original", "embedding", (32,), QUERIES, k=50),
    ]
    numbering = Numbering()
    hits = search_views(embeddings_frame(spark, CORPUS).repartition(3), views, numbering)
    cosines = normalise(QUERIES) @ normalise(CORPUS).T
    listed = nearest(prefix(QUERIES, 4), prefix(CORPUS, 4), 50)
    for query, ids in enumerate(found(hits["short", 4].shortlist(50), numbering, depth=50)):
        assert ids == sorted(listed[query], key=lambda row: -cosines[query, row])


def test_hits_without_the_query_itself():
    hits = Hits(np.array([[3, 1, 2], [2, 0, -1]]), np.array([[0.9, 0.8, 0.7], [0.9, 0.5, -np.inf]], np.float32))
    others = hits.without(np.array([1, 7]))
    np.testing.assert_array_equal(others.rows, [[3, 2, -1], [2, 0, -1]])
    np.testing.assert_allclose(others.scores, [[0.9, 0.7, -np.inf], [0.9, 0.5, -np.inf]])


def test_a_query_without_direction_finds_nothing(spark):
    queries, numbering = np.array([[0, 0, 1, 0], [1, 0, 0, 0]], np.float32), Numbering()
    view = View("v", "embedding", (2,), queries, k=3)
    hits = search_views(embeddings_frame(spark, clustered(5)), [view], numbering)
    assert [len(run) for run in numbering.runs(hits["v", 2], 3)] == [0, 3]


def test_the_best_are_kept_however_blocks_are_cut():
    random = np.random.default_rng(0)
    scores = random.standard_normal((6, 500)).astype(np.float32)
    for sizes in ([500], [100] * 5, [3] * 150 + [50], [490, 10]):
        top, first = TopK(6, 10, carried=1), 0
        for size in sizes:
            block = scores[:, first : first + size]
            top.add(block, np.arange(first, first + size), -block[None])
            first += size
        order = np.argsort(-top.scores, axis=1)
        np.testing.assert_array_equal(np.take_along_axis(top.rows, order, 1), np.argsort(-scores, axis=1)[:, :10])
        np.testing.assert_array_equal(top.carried[0], -top.scores)
