"""Rows that a map leaves without a direction at the shortest dim: bad rows to a fit, to every engine, to evaluate."""

import re

import numpy as np
import pytest
from applying import ADAPTOR, STREAM, Bench
from synthetic import clustered, embeddings_frame, rotation

import adaptor
from adaptor import AdaptorError
from adaptor.card import model_card
from adaptor.fitting.pipeline import fit_sample
from adaptor.fitting.report import FitReport
from adaptor.fitting.sample import Sample, in_memory
from adaptor.fitting.settings import FitSettings
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.udf import adapt_udf

ZERO = rotation().T[16:]  # `ADAPTOR` maps them to unit vectors beyond its dims
VECTORS = [*clustered(30), None, np.zeros(32), ZERO[0], np.ones(3), ZERO[1], ZERO[2]]
IDS = [*(f"d{i:03d}" for i in range(35)), None]
BAD = {
    "d030": "null",
    "d031": "zero",
    "d032": "zero at dim 4",
    "d033": "width 3 instead of 32",
    "d034": "zero at dim 4",
    None: "the id is null",
}
COUNTS = {"null": 1, "the id is null": 1, "width 3 instead of 32": 1, "zero": 1, "zero at dim 4": 2}
ENGINES = ("direct", "arrow", "pandas_udf")


@pytest.fixture(scope="module")
def bench(spark, tmp_path_factory) -> Bench:
    source = Bench(spark, tmp_path_factory.mktemp("zero"))
    source.save(VECTORS, IDS)
    return source


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_sets_the_same_rows_aside(bench, engine):
    applied = bench.apply(engine, engine=engine)
    assert (applied.written, dict(applied.bad_rows)) == (30, COUNTS)
    assert {row.id: row.reason for row in bench.rows(f"{engine}_quarantine")} == BAD
    assert [row.id for row in bench.rows(engine)] == IDS[:30]


@pytest.mark.parametrize("engine", ENGINES)
def test_or_keeps_them_with_nulls(bench, engine):
    applied = bench.apply(f"{engine}_nulls", engine=engine, bad_rows="null", encoding="int8", layout="bands")
    assert (applied.written, dict(applied.bad_rows)) == (36, COUNTS)
    rows = bench.rows(f"{engine}_nulls")
    assert {row.id for row in rows if row.embedding_0_4 is None} == set(BAD)
    assert {row.id for row in rows if row.embedding_8_16 is None} == set(BAD)


@pytest.mark.parametrize("engine", ENGINES)
def test_codes_of_zeros_alone_are_no_direction_either(spark, tmp_path, engine):
    """The scales are .01: four numbers of .004 are a prefix of length .008 to float32, and of zeros to int8."""
    bench = Bench(spark, tmp_path)
    faint = ZERO[0] + np.float32(0.004) * rotation().T[:4].sum(axis=0)
    bench.save([*clustered(30), faint])
    assert bench.apply("floats", engine=engine).written == 31
    applied = bench.apply("codes", engine=engine, encoding="int8")
    assert (applied.written, dict(applied.bad_rows)) == (30, {"zero at dim 4": 1})


@pytest.mark.parametrize("engine", ENGINES)
def test_or_fails(bench, engine):
    with pytest.raises(AdaptorError, match=r"holds bad rows \(.*2 zero at dim 4\); mend them"):
        bench.apply(f"{engine}_failing", engine=engine, bad_rows="fail")


def test_the_udf_gives_a_struct_of_nulls(bench):
    df = embeddings_frame(bench.spark, [ZERO[0], *clustered(1)])
    for layout in ("columns", "bands", "single"):
        rows = df.select("id", adapt_udf(ADAPTOR, layout=layout)("embedding").alias("n")).select("id", "n.*")
        first, second = rows.orderBy("id").drop("id").collect()
        assert set(first) == {None}
        assert None not in second


@pytest.mark.parametrize("mode", ["incremental", STREAM])
def test_changes_are_quarantined_alike(spark, tmp_path, mode):
    bench = Bench(spark, tmp_path)
    with bench.setting("spark.databricks.delta.properties.defaults.enableChangeDataFeed", "true"):
        bench.save([*clustered(30), ZERO[0], None])
    assert dict(bench.apply("n", mode=mode).bad_rows) == {"null": 1, "zero at dim 4": 1}
    # A good row comes to be zero, a zero one good, and new ones come of both kinds.
    bench.sql("DELETE FROM docs WHERE id IN ('d000', 'd030')")
    bench.save([*clustered(2), ZERO[1], ZERO[2], None], ["d030", "d100", "d000", "d101", "d102"], 1, mode="append")
    applied = bench.apply("n", mode=mode)
    assert dict(applied.bad_rows) == {"null": 1, "zero at dim 4": 2}
    assert {row.id: row.reason for row in bench.rows("n_quarantine")} == {
        "d000": "zero at dim 4",
        "d031": "null",
        "d101": "zero at dim 4",
        "d102": "null",
    }
    assert [row.id for row in bench.rows("n")] == [*(f"d{i:03d}" for i in range(1, 31)), "d100"]


def test_evaluate_counts_them_as_not_found(bench):
    bench.apply("judged")
    evaluated = evaluate_table(bench.spark, bench.config("judged"), lambda line: None)
    assert evaluated.value("original", 32, "neighbours@10") == 1.0
    assert 0 < evaluated.value("adaptor", 16) < 1


ONE_HOT = (
    np.eye(32, dtype=np.float32)[np.arange(320) % 32]
    + np.float32(0.01) * np.eye(32, dtype=np.float32)[0] * ((np.arange(320) % 32 < 16)[:, None])
)
TRUNCATION = FitSettings(candidates=("truncation",))


def test_a_fit_warns_of_them():
    said = "160 of 320 sample rows are zero at dim 8 once they are mapped"
    with pytest.warns(UserWarning, match=f"{said}.*; leave 8 out of dims, or truncation out of fit.candidates"):
        fitted = adaptor.fit(ONE_HOT, dims=[16, 8], settings=TRUNCATION)
    assert (fitted.metrics["zero_prefixes"]["rows"], fitted.metrics["zero_prefixes"]["dim"]) == (160, 8)
    assert f"Beware: {said}" in model_card(fitted, FitReport.from_json(fitted.metrics))
    with pytest.raises(AdaptorError, match=re.escape("160 of 320 rows are zero at dim 8 (the first is row 16)")):
        fitted.encode(ONE_HOT, dim=8)


def test_a_fit_reports_them_in_a_line():
    said: list[str] = []
    sample = Sample(in_memory(ONE_HOT[40:]), in_memory(ONE_HOT[:40]), in_memory(ONE_HOT))
    fit_sample(sample, [8], TRUNCATION, 0, report=said.append)
    assert said[-1].startswith("beware: 160 of 320 sample rows are zero at dim 8")


def test_a_fit_that_leaves_none_says_nothing():
    fitted = adaptor.fit(clustered(100), dims=[8], settings=FitSettings(candidates=("svd",)))
    assert fitted.metrics["zero_prefixes"] is None
    assert "Beware" not in model_card(fitted, FitReport.from_json(fitted.metrics))
