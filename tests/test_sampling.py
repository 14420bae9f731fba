"""The sample: the same rows whatever the layout, and no row both held out and trained on."""

import numpy as np
import pytest
from synthetic import clustered, embeddings_frame

from adaptor.config import SampleSettings
from adaptor.spark.sampling import materialise, place, sample

ROWS = 400


@pytest.fixture(scope="module")
def docs(spark):
    return embeddings_frame(spark, clustered(ROWS)).cache()


def rows_of(materialised):
    return materialised.train.rows, materialised.held_out.rows


def as_set(x: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in x}


def test_both_folds_hold_every_row_once(docs, tmp_path):
    sample = materialise(docs, "id", "embedding", SampleSettings(folder=str(tmp_path)), "arrow")
    train, held_out = rows_of(sample)
    assert len(train) + len(held_out) == ROWS
    assert ROWS * 0.05 < len(held_out) < ROWS * 0.16
    assert not as_set(train) & as_set(held_out)
    assert as_set(train) | as_set(held_out) == as_set(clustered(ROWS))
    assert sample.bad_rows == {}
    np.testing.assert_array_equal(sample.whole.rows, np.concatenate([train, held_out]))
    assert sample.whole.batches.rows == ROWS


def test_the_layout_does_not_matter(docs, tmp_path):
    settings = SampleSettings(folder=str(tmp_path), rows=150, seed=3)
    once = rows_of(materialise(docs.coalesce(1), "id", "embedding", settings, "arrow"))
    again = rows_of(
        materialise(docs.orderBy("title", ascending=False).repartition(7), "id", "embedding", settings, "arrow")
    )
    for first, second in zip(once, again):
        np.testing.assert_array_equal(first, second)
    assert 100 < len(once[0]) + len(once[1]) < 200


def test_the_seed_decides(docs):
    def ids(seed: int) -> set[str]:
        return {row.id for row in sample(docs, "id", 150, seed, ROWS).collect()}

    assert ids(0) == ids(0)
    assert len(ids(0) & ids(1)) < 100


def test_a_larger_sample_holds_the_smaller(docs):
    def ids(rows: int) -> set[str]:
        return {row.id for row in sample(docs, "id", rows, 0, ROWS).collect()}

    assert ids(50) < ids(200) < ids(ROWS)
    assert len(ids(ROWS)) == ROWS


def test_places_are_even(docs):
    places = np.sort([row.p for row in docs.select(place("id", 0).alias("p")).collect()])
    assert places[0] >= 0
    assert places[-1] < 1
    assert np.abs(places - (np.arange(ROWS) + 0.5) / ROWS).max() < 0.1


def test_bad_rows_are_set_aside_with_their_reason(spark, tmp_path):
    vectors = [*clustered(60), None, np.zeros(32), np.full(32, np.nan), np.ones(3)]
    df = embeddings_frame(spark, vectors)
    sample = materialise(df, "id", "embedding", SampleSettings(folder=str(tmp_path)), "arrow")
    assert sample.bad_rows == {"holds NaN": 1, "null": 1, "width 3 instead of 32": 1, "zero": 1}
    assert len(sample.whole.rows) == 60
    aside = {row.id: row.reason for row in spark.read.parquet(str(tmp_path / "set_aside")).collect()}
    assert aside == {"d060": "null", "d061": "zero", "d062": "holds NaN", "d063": "width 3 instead of 32"}


def test_delete_leaves_only_what_was_set_aside(spark, docs, tmp_path):
    bad = docs.unionByName(embeddings_frame(spark, [None], ["odd"]))
    sample = materialise(bad, "id", "embedding", SampleSettings(folder=str(tmp_path)), "arrow")
    assert len(list(tmp_path.iterdir())) == 2
    sample.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["set_aside"]
    materialise(docs, "id", "embedding", SampleSettings(folder=str(tmp_path)), "arrow").delete()
    assert list(tmp_path.iterdir()) == []  # no row of this one was set aside
