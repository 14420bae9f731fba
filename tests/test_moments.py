"""Mean and second moment of all rows of a table, and the closed forms that are made of them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

from adaptor import AdaptorError
from adaptor.config import load_config
from adaptor.config.jobs import Source
from adaptor.fitting import closed_forms
from adaptor.fitting.moments import Moments
from adaptor.fitting.pipeline import fit_sample
from adaptor.fitting.sample import Sample, in_memory
from adaptor.fitting.settings import FitSettings, Training
from adaptor.maps import Map
from adaptor.spark import moments as of_tables
from adaptor.spark.fit import fit_table
from adaptor.spark.moments import moments_of_table, strips_of
from adaptor.spark.row_checks import reason
from adaptor.spark.sampling import place
from adaptor.spark.tables import TableRef
from adaptor.vectors import normalise

WIDTH = 8
X = np.random.default_rng(0).normal(size=(700, WIDTH)) * np.linspace(3, 0.2, WIDTH) + 1
BAD = [None, [], [1.0] * 3, [0.0] * WIDTH, [np.nan] + [1.0] * 7, [1e19] + [0.0] * 7, [None] + [1.0] * 7]
COLUMNS = Source(table="docs")


def by_numpy(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and second moment of rows of length 1."""
    unit = x.astype(np.float32).astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return unit.mean(axis=0), np.einsum("ni,nj->ij", unit, unit) / len(unit)


def assert_moments(found: Moments, x: np.ndarray, atol: float = 1e-12) -> None:
    assert found.count == len(x)
    mean, second = by_numpy(x)
    np.testing.assert_allclose(found.mean, mean, rtol=0, atol=atol)
    np.testing.assert_allclose(found.second, second, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def docs(spark, tmp_path_factory):
    """700 good rows, seven bad ones and one without an id in six files, and 60 that deletion vectors mark."""
    docs = tmp_path_factory.mktemp("lake") / "docs"
    ids = [*(f"d{row:03d}" for row in range(len(X) + len(BAD))), None, *(f"gone{row}" for row in range(60))]
    df = embeddings_frame(spark, [*X, *BAD, X[0], *-X[:60]], ids).repartition(6)
    df.write.format("delta").option("delta.enableDeletionVectors", "true").save(str(docs))
    spark.sql(f"DELETE FROM delta.`{docs}` WHERE id LIKE 'gone%'")
    assert "deletionVector" in (docs / "_delta_log" / "00000000000000000001.json").read_text()
    return str(docs)


def test_all_good_rows_of_several_files_count_and_no_deleted_ones(spark, docs):
    rows = TableRef(docs).read(spark)
    assert len(rows.inputFiles()) == 6
    found, bad = moments_of_table(rows, COLUMNS, WIDTH)
    assert_moments(found, X)
    assert bad == len(BAD) + 1 == rows.where(reason("id", "embedding", WIDTH).isNotNull()).count()


@pytest.mark.parametrize("partitions", [1, 3, 40])
def test_partitions_change_rounding_alone(spark, docs, partitions, monkeypatch):
    monkeypatch.setattr(of_tables, "MERGED_BYTES", 1024)  # several strips
    assert strips_of(WIDTH, 8) > 4
    assert_moments(moments_of_table(TableRef(docs).read(spark).repartition(partitions), COLUMNS, WIDTH)[0], X)


def test_equal_tables_give_equal_moments(spark, docs):
    first, second = (moments_of_table(TableRef(docs).read(spark), COLUMNS, WIDTH)[0] for _ in range(2))
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.second, second.second)


def test_conditions_and_versions_are_honoured(spark, docs):
    rows = TableRef(docs).read(spark).where("id < 'd300'")
    assert_moments(moments_of_table(rows, COLUMNS, WIDTH)[0], X[:300])
    before = TableRef(docs, version=0).read(spark)
    assert_moments(moments_of_table(before, COLUMNS, WIDTH)[0], np.concatenate([X, -X[:60]]))


def test_doubles_and_numbers_far_from_one(spark):
    x = X[:50] * np.logspace(-15, 15, 50)[:, None]
    rows = embeddings_frame(spark, list(x), kind=pa.float64()).withColumnRenamed("embedding", "vector.of it")
    columns = Source(table="docs", embedding="vector.of it")
    # Rows far from length 1 are float32 once they are brought there.
    assert_moments(moments_of_table(rows, columns, WIDTH)[0], x, atol=1e-7)


def test_no_good_row(spark):
    with pytest.raises(AdaptorError, match="no row has a vector of 8 numbers with a direction"):
        moments_of_table(embeddings_frame(spark, BAD), COLUMNS, WIDTH)


CORPUS, QUERIES = clustered(400), clustered(300, seed=3)


def prefixes(side: Map, dim: int) -> np.ndarray:
    """The projection onto what the first numbers of a map see."""
    q = np.linalg.qr(side.weight[:, :dim].astype(np.float64))[0]
    return q @ q.T


@pytest.mark.parametrize("form", [closed_forms.svd, closed_forms.pca])
def test_closed_forms_of_rows_and_of_their_moments_are_the_same(form):
    by_rows, by_moments = form(CORPUS).corpus, form(Moments.of(CORPUS * 3)).corpus
    np.testing.assert_allclose(by_moments(CORPUS), by_rows(CORPUS), atol=1e-4)
    assert by_moments.weight.dtype == np.float32
    assert by_moments.bias is None or by_moments.bias.dtype == np.float32


def test_moments_tell_the_energies_of_a_rotation():
    start = closed_forms.svd(CORPUS)
    by_rows, by_moments = (closed_forms.temper(start, x, 0.3).corpus for x in (CORPUS, Moments.of(CORPUS)))
    np.testing.assert_allclose(by_moments.weight, by_rows.weight, rtol=1e-4, atol=1e-6)


def test_moments_follow_a_linear_map_and_an_offset():
    side = Map(np.random.default_rng(0).normal(size=(32, 5)).astype(np.float32), np.arange(5, dtype=np.float32))
    offset = np.linspace(0, 1, 5)
    y = side(CORPUS).astype(np.float64) - offset
    found = Moments.of(CORPUS).through(side).less(offset)
    np.testing.assert_allclose(found.mean, y.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.second, y.T @ y / len(y), atol=1e-4)
    assert np.trace(found.unit().second) == pytest.approx(1)


def test_query_aware_maps_of_moments_find_what_those_of_rows_find():
    base = closed_forms.tempered_svd(CORPUS).corpus
    moments = Moments.of(CORPUS)
    pairs = [
        (closed_forms.query_aware_svd(CORPUS, QUERIES), closed_forms.query_aware_svd(CORPUS, QUERIES, moments)),
        (closed_forms.query_aware(base, CORPUS, QUERIES), closed_forms.query_aware(base, CORPUS, QUERIES, moments)),
    ]
    for by_rows, by_moments in pairs:
        scores = [normalise(s.query(QUERIES)) @ normalise(s.corpus(CORPUS)).T for s in (by_rows, by_moments)]
        assert np.corrcoef(scores[0].ravel(), scores[1].ravel())[0, 1] > 0.999


EVERYTHING = np.random.default_rng(5).normal(size=(2000, 32)).astype(np.float32) * np.linspace(0.1, 2, 32, dtype="f4")
FAST = Training(steps=4, evaluate_every=2)


def of_sample(name: str, asked: list[str], everything: np.ndarray | None, queries: np.ndarray | None = QUERIES):
    """A fit of one candidate on 400 rows, that may ask for the moments of other rows."""

    def find() -> Moments:
        asked.append(name)
        return Moments.of(everything)

    sample = Sample(in_memory(CORPUS[40:]), in_memory(CORPUS[:40]), in_memory(CORPUS), queries)
    sample = sample if everything is None else replace(sample, moments=find)
    return fit_sample(sample, [4, 8], FitSettings(candidates=(name,), training=FAST), 0)


@pytest.mark.parametrize("name", ["svd", "pca", "tempered_svd", "query_aware_svd", "query_aware_tempered"])
def test_the_winner_is_made_of_them_and_the_contest_is_not(name):
    asked: list[str] = []
    plain, scored = of_sample(name, asked, None)
    made, scored_too = of_sample(name, asked, EVERYTHING)
    assert asked
    assert [s.figures for s in scored.candidates] == [s.figures for s in scored_too.candidates]
    assert plain.fingerprint != made.fingerprint
    if name in ("svd", "pca", "tempered_svd"):
        expected = getattr(closed_forms, name)(EVERYTHING).corpus
        np.testing.assert_allclose(prefixes(made.corpus, 8), prefixes(expected, 8), atol=1e-3)
    assert np.abs(prefixes(made.corpus, 8) - prefixes(plain.corpus, 8)).max() > 0.3


def test_a_trained_winner_starts_from_the_form_of_all_rows():
    asked: list[str] = []
    made, scored = of_sample("trained", asked, EVERYTHING, queries=None)
    assert asked
    assert made.corpus.residual is not None
    assert scored.training.runs[-1].step > 0
    np.testing.assert_allclose(prefixes(made.corpus, 8), prefixes(closed_forms.svd(EVERYTHING).corpus, 8), atol=1e-3)


def test_few_queries_move_a_winner_of_all_rows():
    asked: list[str] = []
    made, _ = of_sample("svd", asked, EVERYTHING, QUERIES[:20])
    assert len(asked) > 1
    expected = closed_forms.query_aware(closed_forms.svd(EVERYTHING).corpus, EVERYTHING, QUERIES[:20]).corpus
    np.testing.assert_allclose(prefixes(made.corpus, 8), prefixes(expected, 8), atol=0.1)


def test_nobody_asks_for_them_where_truncation_wins():
    asked: list[str] = []
    of_sample("truncation", asked, CORPUS)
    assert not asked


@pytest.fixture(scope="module")
def odd(spark, tmp_path_factory):
    """A table of which the rows that a sample takes vary in eight directions, and all others in eight more."""
    folder = tmp_path_factory.mktemp("odd")
    ids = spark.range(2000).select(F.format_string("d%04d", "id").alias("id")).withColumn("place", place("id", 0))
    places = np.array([row.place for row in ids.orderBy("id").collect()])
    draws = np.random.default_rng(0).normal(size=(2000, 32)).astype(np.float32) * 0.05
    sampled = places < 300 / 2001
    draws[sampled, :8] *= np.linspace(20, 10, 8, dtype=np.float32)
    draws[~sampled, 8:16] *= np.linspace(40, 20, 8, dtype=np.float32)
    frame = embeddings_frame(spark, [*draws, None], [*(f"d{row:04d}" for row in range(2000)), "bad"])
    return folder, save_delta(frame.repartition(4), folder / "docs"), draws, sampled


def fitted(spark, odd, said: list[str], **sample):
    folder, table, _, _ = odd
    fit = {"candidates": ["svd"], "effort": "quick"}
    name = sample.get("moments", "default")
    sample = {"folder": str(folder / "sample"), "rows": 300} | sample
    document = small_config(folder / name, table, sample=sample, fit=fit, dims=[4, 8])
    return fit_table(spark, load_config(write_config(folder / f"{name}.yaml", document)), said.append)


def test_a_fit_by_the_moments_of_all_rows(spark, odd):
    *_, x, sampled = odd
    said: list[str] = []
    ours, theirs = fitted(spark, odd, said, moments="all"), fitted(spark, odd, [])
    all_rows, sample = closed_forms.svd(x).corpus, closed_forms.svd(x[sampled]).corpus
    np.testing.assert_allclose(prefixes(ours.adaptor.corpus, 8), prefixes(all_rows, 8), atol=1e-4)
    np.testing.assert_allclose(prefixes(theirs.adaptor.corpus, 8), prefixes(sample, 8), atol=1e-4)
    assert np.abs(prefixes(all_rows, 8) - prefixes(sample, 8)).max() > 0.5
    assert any(line.startswith("moments: of 2,000 rows, 1 bad rows left out, ") for line in said)
    metrics, card = (Path(ours.path, name).read_text() for name in ("metrics.json", "README.md"))
    assert json.loads(metrics)["moments"] == ours.report.origin.moments == 2000
    assert "- moments: of all 2000 good rows of the source" in card
    assert ours.adaptor.fingerprint != theirs.adaptor.fingerprint
    assert theirs.report.origin.moments is None
    assert "moments" not in Path(theirs.path, "README.md").read_text()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"sample": {"moments": "all", "stratum": "language"}}, "weighs each stratum by its rows"),
        ({"sample": {"moments": "all"}, "fit": {"paired": {"table": "t"}}}, "is for fits of one model"),
        ({"sample": {"moments": "some"}}, "moments"),
    ],
)
def test_what_does_not_go_with_the_moments_of_all_rows(config, changes, sentence):
    with pytest.raises(AdaptorError, match=sentence):
        config("docs", **changes)
