"""fit_table, apply_table and evaluate_table, end to end on one small table with a few bad rows."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import assert_same_rows
from optional import PETASTORM
from pyspark.sql import SparkSession
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

from adaptor import Adaptor, AdaptorError
from adaptor.config import Config, load_config
from adaptor.metrics import nearest, overlap
from adaptor.spark.apply import Applied, apply_table
from adaptor.spark.evaluate import Evaluated, evaluate_table
from adaptor.spark.fit import Fitted, fit_table
from adaptor.spark.runs import SCHEMA
from adaptor.spark.tables import TableRef
from adaptor.vectors import normalise, prefix

ROWS = 300
X = clustered(ROWS)
BAD = {"d300": "null", "d301": "zero", "d302": "width 3 instead of 32"}
BAD_COUNTS = {"null": 1, "zero": 1, "width 3 instead of 32": 1}
DIMS = (4, 8, 16)


def quiet(line: str) -> None:
    """A report that says nothing."""


@dataclass
class Lake:
    """A table of 303 rows, its config, and what the three jobs said."""

    spark: SparkSession
    folder: Path
    config: Config
    fitted: Fitted
    applied: Applied
    evaluated: Evaluated
    lines: list[str]

    def again(self, name: str, **changes: Any) -> Config:
        """The same config, but whatever `name` writes is a new folder."""
        apply = {"target": str(self.folder / name / "nested"), **changes.pop("apply", {})}
        document = small_config(self.folder, self.config.source.table, apply=apply, **changes)
        return load_config(write_config(self.folder / name / "config.yaml", document))

    def runs(self, job: str) -> list[Any]:
        return [row for row in TableRef(self.config.runs).read(self.spark).collect() if row.job == job]


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    folder = tmp_path_factory.mktemp("lake")
    vectors = [*X, None, np.zeros(32), np.ones(3)]
    table = save_delta(embeddings_frame(spark, vectors).repartition(3), folder / "docs")
    config = load_config(write_config(folder / "config.yaml", small_config(folder, table)))
    lines: list[str] = []
    fitted = fit_table(spark, config, lines.append)
    applied = apply_table(spark, config, lines.append)
    evaluated = evaluate_table(spark, config, lines.append)
    return Lake(spark, folder, config, fitted, applied, evaluated, lines)


def test_fit_publishes_what_it_fitted(lake):
    loaded = Adaptor.load(lake.config.artifact.folder)
    assert loaded.fingerprint == lake.fitted.adaptor.fingerprint
    assert Path(lake.fitted.path).name == loaded.fingerprint[:12]
    assert (loaded.width, loaded.dims) == (32, DIMS)
    assert loaded.config["rows"] == ROWS
    assert loaded.metrics["source_version"] == 0
    assert loaded.metrics["bad_rows"] == BAD_COUNTS == dict(lake.fitted.bad_rows)


def test_the_model_card_names_source_and_candidates(lake):
    card = (Path(lake.fitted.path) / "README.md").read_text()
    assert f"`{lake.config.source.table}`, version 0" in card
    for score in lake.fitted.adaptor.metrics["candidates"]:
        assert f"| {score['candidate']} | {score['figures']['retrieval@10']['4']:.4f} |" in card


def test_fit_leaves_no_sample_behind(lake):
    assert [path.name for path in Path(lake.config.sample.folder).iterdir()] == ["set_aside"]


def test_progress_lines(lake):
    source = f"{lake.config.source.table} at version 0"
    assert lake.lines[0] == f"sampling 100,000 rows, or all, of {source}"
    assert "set aside: 1 rows, zero" in lake.lines
    assert any(line.startswith(f"sample: {ROWS} rows of {source}, ") for line in lake.lines)
    written = f"writing {ROWS + 3} rows of {lake.config.source.table} at version 0 to {lake.config.apply.target}"
    assert f"{written}, engine direct, 1 chunks" in lake.lines


@PETASTORM
def test_the_same_fit_again_has_the_same_fingerprint(lake):
    """Read by petastorm this time: what feeds training makes no difference."""
    again = fit_table(lake.spark, lake.again("again", workers={"batches": "petastorm"}), quiet)
    assert again.adaptor.fingerprint == lake.fitted.adaptor.fingerprint
    assert again.path == lake.fitted.path


def test_apply_writes_every_good_row(lake):
    assert (lake.applied.written, dict(lake.applied.bad_rows)) == (ROWS, BAD_COUNTS)
    rows = lake.applied.target.read(lake.spark).orderBy("id")
    assert rows.dtypes == [("id", "string"), ("title", "string")] + [(f"embedding_{d}", "array<float>") for d in DIMS]
    collected = rows.collect()
    assert [row.id for row in collected] == [f"d{i:03d}" for i in range(ROWS)]
    assert collected[7].title == "title of d007"
    for dim in DIMS:
        values = np.array([row[f"embedding_{dim}"] for row in collected])
        np.testing.assert_allclose(values, lake.fitted.adaptor.encode(X, dim=dim), atol=1e-5)


def test_bad_rows_are_quarantined_with_their_reason(lake):
    assert lake.applied.quarantine == TableRef(f"{lake.config.apply.target}_quarantine")
    reasons = {row.id: row.reason for row in lake.applied.quarantine.read(lake.spark).collect()}
    assert reasons == BAD


def test_table_and_commit_carry_the_fingerprint(lake):
    expected = {
        "matryoshka.fingerprint": lake.fitted.adaptor.fingerprint,
        "matryoshka.source": lake.config.source.table,
        "matryoshka.source_version": "0",
        "matryoshka.dims": "[4, 8, 16]",
        "matryoshka.layout": "columns",
        "matryoshka.encoding": "float32",
    }
    for table in (lake.applied.target, lake.applied.quarantine):
        assert expected.items() <= table.properties(lake.spark).items()
        history = lake.spark.sql(f"DESCRIBE HISTORY {table.identifier}").collect()
        assert [json.loads(row.userMetadata) for row in history] == [expected]


def test_no_statistics_are_gathered_on_vectors(lake):
    log = sorted(Path(lake.config.apply.target, "_delta_log").glob("*.json"))[0].read_text().splitlines()
    stats = [json.loads(action["add"]["stats"]) for action in map(json.loads, log) if "add" in action]
    assert sum(stat["numRecords"] for stat in stats) == ROWS
    assert {name for stat in stats for name in stat.get("nullCount", {})} == {"id", "title"}


def test_a_target_that_holds_this_version_is_left_alone(lake):
    lines: list[str] = []
    assert apply_table(lake.spark, lake.config, lines.append).written == 0
    assert lines == [f"{lake.config.apply.target} holds {lake.applied.source} by this artifact already: nothing to do"]
    assert len(lake.spark.sql(f"DESCRIBE HISTORY {lake.applied.target.identifier}").collect()) == 1


def test_a_rebuild_is_one_commit_and_gives_the_same_rows(lake):
    config = lake.again("replaced", apply={"rebuild": True})
    first, second = (apply_table(lake.spark, config, quiet) for _ in range(2))
    assert second.written == first.written == ROWS
    history = lake.spark.sql(f"DESCRIBE HISTORY {second.target.identifier}").collect()
    assert [row.version for row in history] == [1, 0]
    versions = [TableRef(second.target.where, version).read(lake.spark).orderBy("id").collect() for version in (0, 1)]
    assert_same_rows(*versions)


def test_bad_rows_can_fail_the_job(lake):
    config = lake.again("failing", apply={"bad_rows": "fail"})
    with pytest.raises(AdaptorError, match=r"holds bad rows \(1 null, 1 width 3 instead of 32, 1 zero\); mend them"):
        apply_table(lake.spark, config, quiet)
    assert not TableRef(config.apply.target).exists(lake.spark)


def test_bad_rows_can_become_nulls(lake):
    applied = apply_table(lake.spark, lake.again("nulls", apply={"bad_rows": "null"}), quiet)
    assert (applied.written, applied.quarantine, dict(applied.bad_rows)) == (ROWS + 3, None, BAD_COUNTS)
    rows = applied.target.read(lake.spark)
    assert {row.id for row in rows.where("embedding_8 IS NULL").collect()} == set(BAD)
    assert rows.where("embedding_4 IS NULL AND embedding_16 IS NULL").count() == 3


def test_any_column_can_be_carried(lake):
    """Also those that are named like what the job works with."""
    docs = TableRef(lake.config.source.table).read(lake.spark).limit(20).where("size(embedding) = 32")
    docs = docs.selectExpr("id AS key", "'other' AS id", "embedding", "'kept' AS reason", "true AS nested")
    table = save_delta(docs, lake.folder / "awkward" / "docs")
    config = lake.again(
        "awkward", source={"table": table, "id": "key"}, apply={"carry": ["id", "embedding", "reason", "nested"]}
    )
    applied = apply_table(lake.spark, config, quiet)
    rows = applied.target.read(lake.spark).collect()
    assert {(row.id, row.reason, row.nested) for row in rows} == {("other", "kept", True)}
    for row in rows:
        np.testing.assert_array_equal(np.float32(row.embedding), X[int(row.key[1:])])


@pytest.mark.parametrize("bad_rows", ["quarantine", "null"])
def test_the_engines_write_the_same(lake, bad_rows):
    written = []
    for engine in ("direct", "arrow", "pandas_udf"):
        config = lake.again(f"{engine}_{bad_rows}", apply={"engine": engine, "bad_rows": bad_rows})
        applied = apply_table(lake.spark, config, quiet)
        rows = applied.target.read(lake.spark)
        written.append((applied.written, rows.dtypes, rows.orderBy("id").collect()))
    for count, types, rows in written:
        assert (count, types) == (ROWS if bad_rows == "quarantine" else ROWS + len(BAD), written[0][1])
        assert_same_rows(rows, written[0][2])


@pytest.mark.parametrize("engine", ["arrow", "pandas_udf"])
def test_columns_of_any_type_are_carried(lake, engine):
    docs = TableRef(lake.config.source.table).read(lake.spark).limit(20).where("size(embedding) = 32")
    folder = lake.folder / f"types_{engine}"
    columns = {
        "json": "parse_json('[1]')",
        "at": "timestamp'2026-01-02 03:04:05'",
        "price": "CAST(1.5 AS DECIMAL(20, 3))",
        "tags": "map('a', array(1, null))",
        "nothing": "CAST(null AS struct<x: date>)",
    }
    selected = [f"{value} AS {name}" for name, value in columns.items()]
    table = save_delta(docs.selectExpr("id", "embedding", *selected), folder / "docs")
    config = lake.again(folder.name, source={"table": table}, apply={"engine": engine, "carry": list(columns)})
    applied = apply_table(lake.spark, config, quiet)
    same = "to_json(json) = '[1]' AND at = timestamp'2026-01-02 03:04:05' AND price = 1.5 AND nothing IS NULL"
    rows = applied.target.read(lake.spark)
    assert rows.where(f"{same} AND tags['a'][0] = 1 AND tags['a'][1] IS NULL").count() == applied.written > 0


@pytest.mark.parametrize(
    ("layout", "encoding", "columns"),
    [
        ("columns", "int8", {f"embedding_{dim}": "array<tinyint>" for dim in DIMS}),
        ("columns", "binary", {f"embedding_{dim}": "binary" for dim in DIMS}),
        ("bands", "float32", {"embedding_0_4": "array<float>", "embedding_4_8": "array<float>"}),
        pytest.param(
            *("bands", "int8", {"embedding_0_4": "array<tinyint>", "embedding_4_8": "array<tinyint>"}),
            marks=pytest.mark.slow,
        ),
        ("single", "float32", {"embedding_nested": "array<float>"}),
    ],
)
def test_every_layout_is_written_and_evaluated(lake, layout, encoding, columns):
    """What is read back finds the neighbours that the float32 columns find, as far as its code allows."""
    config = lake.again(f"{layout}_{encoding}", apply={"layout": layout, "encoding": encoding})
    applied = apply_table(lake.spark, config, quiet)
    assert columns.items() <= dict(applied.target.read(lake.spark).dtypes).items()
    evaluated = evaluate_table(lake.spark, config, quiet)
    loss = {"float32": 0.001, "int8": 0.05, "binary": 0.6}[encoding]
    for dim in DIMS:
        assert evaluated.value("adaptor", dim) == pytest.approx(lake.evaluated.value("adaptor", dim), abs=loss)
        assert evaluated.stored_bytes(dim) == {"float32": 4 * dim, "int8": dim, "binary": (dim + 7) // 8}[encoding]


def test_a_column_that_the_target_would_have_twice(lake):
    with pytest.raises(AdaptorError, match=r"the target would have column id twice; take it out of apply.carry"):
        apply_table(lake.spark, lake.again("twice", apply={"carry": ["id"]}), quiet)


@pytest.mark.parametrize("what", ["target", "quarantine"])
def test_the_source_is_never_overwritten(lake, what):
    config = lake.again("onto_itself", apply={what: lake.config.source.table, "rebuild": True})
    with pytest.raises(AdaptorError, match=f"apply.{what} is the source table itself"):
        apply_table(lake.spark, config, quiet)
    assert TableRef(lake.config.source.table).pinned(lake.spark).version == 0


def test_doubles_and_a_condition(lake):
    docs = TableRef(lake.config.source.table).read(lake.spark)
    table = save_delta(
        docs.selectExpr("id", "title", "cast(embedding AS array<double>) AS embedding"),
        lake.folder / "doubles" / "docs",
    )
    config = lake.again("doubles", source={"table": table, "where": "id < 'd100'"})
    applied = apply_table(lake.spark, config, quiet)
    assert applied.written == 100
    prefixes = np.array([row.embedding_8 for row in applied.target.read(lake.spark).orderBy("id").collect()])
    np.testing.assert_allclose(prefixes, lake.fitted.adaptor.encode(X[:100], dim=8), atol=1e-5)


def test_a_pinned_version_gives_the_same_artifact_and_rows_after_an_update(lake):
    table = save_delta(TableRef(lake.config.source.table).read(lake.spark), lake.folder / "moving" / "docs")
    save_delta(embeddings_frame(lake.spark, clustered(50, seed=4), [f"new{i}" for i in range(50)]), table, "append")
    changes = {"source": {"table": table, "version": 0}, "artifact": str(lake.folder / "moving" / "artifact")}
    config = lake.again("moving", **changes)
    assert fit_table(lake.spark, config, quiet).adaptor.fingerprint == lake.fitted.adaptor.fingerprint
    applied = apply_table(lake.spark, config, quiet)
    assert applied.source == TableRef(table, 0)
    assert_same_rows(*(sorted(job.target.read(lake.spark).collect()) for job in (applied, lake.applied)))


def test_evaluate_measures_neighbours_that_are_found_again(lake):
    """All 300 good rows are asked for: the figures can be worked out in NumPy."""
    evaluated = lake.evaluated
    assert (evaluated.metric, evaluated.beside) == ("retrieval@10", "neighbours@10")
    assert (evaluated.width, evaluated.dims) == (32, DIMS)
    assert evaluated.value("original", 32, "neighbours@10") == 1.0
    itself, unit = np.arange(ROWS), normalise(X)
    original = nearest(unit, unit, 10, skip=itself)
    for dim in DIMS:
        adapted, cut = lake.fitted.adaptor.encode(X, dim=dim), prefix(X, dim)
        expected = [overlap(nearest(y, y, 10, skip=itself), original).mean() for y in (adapted, cut)]
        assert evaluated.value("adaptor", dim, "neighbours@10") == pytest.approx(expected[0], abs=1e-3)
        assert evaluated.value("truncation", dim, "neighbours@10") == pytest.approx(expected[1], abs=1e-3)
        low, high = evaluated.intervals[None, dim]
        assert low <= evaluated.value("adaptor", dim) - evaluated.value("svd", dim) <= high


def test_evaluate_with_queries_and_judgments(lake):
    """The judged document of each query is its copy: at full width every query finds it first."""
    queries = save_delta(embeddings_frame(lake.spark, X[:40], [f"q{i}" for i in range(40)]), lake.folder / "queries")
    rows = [(f"q{i}", f"d{i:03d}", 1) for i in range(40)]
    grades = lake.spark.createDataFrame(rows, "query_id string, corpus_id string, grade int")
    judgments = save_delta(grades, lake.folder / "judgments")
    settings = {"data_set": "judged", "queries": queries, "judgments": judgments}
    document = small_config(lake.folder, lake.config.source.table, evaluate=settings)
    path = write_config(lake.folder / "judged.yaml", document)
    evaluated = evaluate_table(lake.spark, load_config(path), quiet)
    assert evaluated.metric == "nDCG@10"
    for metric in ("nDCG@10", "R@10", "R@100", "RR@10"):
        assert evaluated.value("original", 32, metric) == 1.0
        assert 0 < evaluated.value("truncation", 4, metric) <= 1
    assert evaluated.value("adaptor", 16) == pytest.approx(1.0, abs=0.05)
    judged = [row for row in lake.runs("evaluate") if row.data_set == "judged"]
    figures = {(row.candidate, row.dim, row.metric): row.value for row in judged}
    assert figures["truncation", 4, "R@10"] == evaluated.value("truncation", 4, "R@10")
    with pytest.raises(AdaptorError, match=r"evaluate.*: judgments needs queries"):
        load_config(path, ["evaluate.queries=null"])
    few = save_delta(embeddings_frame(lake.spark, X[:1], ["q0"]), lake.folder / "few_queries")
    with pytest.raises(AdaptorError, match="39 judged queries, such as 'q1', are not in"):
        evaluate_table(lake.spark, load_config(path, [f"evaluate.queries={few}"]), quiet)


def test_evaluate_refuses_the_columns_of_another_artifact(lake):
    config = lake.again("stale", artifact=str(lake.folder / "stale" / "artifact"), sample={"seed": 5})
    fit_table(lake.spark, config, quiet)
    mixed = lake.again("stale", artifact=config.artifact.folder, apply={"target": lake.config.apply.target})
    with pytest.raises(
        AdaptorError, match=r"was written by artifact .* now holds .*; run jobs/apply.py with --set apply.rebuild=true"
    ):
        evaluate_table(lake.spark, mixed, quiet)


def test_evaluate_without_a_target(lake):
    with pytest.raises(AdaptorError, match=r"there is no table at .*; run jobs/apply.py first"):
        evaluate_table(lake.spark, lake.again("nothing"), quiet)


def test_one_held_out_row_is_enough(lake):
    config = lake.again("few", apply={"target": lake.config.apply.target}, evaluate={"held_out": 1})
    assert evaluate_table(lake.spark, config, quiet).value("original", 32, "neighbours@10") == 1.0


def test_every_figure_is_in_the_runs_table(lake):
    table = TableRef(lake.config.runs).read(lake.spark)
    assert [(field.name, field.dataType) for field in table.schema] == [(f.name, f.dataType) for f in SCHEMA]
    fits = lake.runs("fit")
    scores = {score["candidate"]: score["figures"] for score in lake.fitted.adaptor.metrics["candidates"]}
    first = min(fits, key=lambda row: row.started_at).run_id
    values = {(row.candidate, row.metric, row.dim): row.value for row in fits if row.run_id == first}
    assert values == {
        (name, metric, int(dim)): value
        for name, figures in scores.items()
        for metric, by_dim in figures.items()
        for dim, value in by_dim.items()
    }
    applied = min(lake.runs("apply"), key=lambda row: row.started_at).run_id
    figures = {(row.dim, row.metric): row.value for row in lake.runs("apply") if row.run_id == applied}
    assert figures == {(dim, "rows_written"): ROWS for dim in DIMS} | {(32, "rows_set_aside"): 3}
    for row in lake.runs("evaluate"):
        if row.metric == "failed":  # of the tests that are refused
            continue
        assert row.fingerprint == lake.fitted.adaptor.fingerprint
        assert (row.source, row.source_version, row.rows) == (lake.config.source.table, 0, ROWS)
        assert row.bytes in {4 * row.dim} | (
            {row.dim, (row.dim + 7) // 8} if row.candidate.startswith("adaptor") else set()
        )
        assert min(row.seconds, row.core_seconds) > 0
