"""Gates in the jobs: what a rule says of a table, exit codes, and artifacts that are refused."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from applying import ADAPTOR, vectors
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config
from typer.testing import CliRunner

import adaptor
from adaptor import Adaptor, AdaptorError, publish
from adaptor.config import ConfigError, load_config
from adaptor.console.app import console
from adaptor.console.commands import app
from adaptor.evaluation import records
from adaptor.evaluation.measurement import Variant
from adaptor.fitting import closed_forms
from adaptor.maps import Map
from adaptor.metrics import judge
from adaptor.release import Versions
from adaptor.spark import apply_table
from adaptor.spark.compare import compare_versions, gate_version
from adaptor.spark.evaluate import evaluate_table, evaluate_tables
from adaptor.spark.release import promote
from adaptor.spark.runs import SCHEMA, Figure, Run, record
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef
from benchmarks import data_sets

ONE_STEP = {"encodings": ["float32"], "shortlists": []}
DROP = "neighbours@10 drop against current <= 0.02"


def quiet(line):
    """A report that says nothing."""


def root(bench):
    return str(bench.folder / "artifact")


def with_columns_swapped(fitted: Adaptor, some: list[int], others: list[int]) -> Adaptor:
    """The same but for some columns of its map that change places: an artifact with a fingerprint of its own."""
    order = np.arange(fitted.corpus.out_width)
    order[some + others] = others + some
    residual = fitted.corpus.residual and replace(fitted.corpus.residual, out=fitted.corpus.residual.out[:, order])
    bias = None if fitted.corpus.bias is None else fitted.corpus.bias[order]
    return replace(fitted, corpus=Map(fitted.corpus.weight[:, order], bias, residual))


# what can be asked for


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gate": {"rules": ["retention@48 >= 0.9"]}}, r"rule 'retention@48 >= 0.9': dim 48 is none of dims \[4, 8"),
        ({"gate": {"rules": ["ndcg@10 >= 0.9"]}}, r"ndcg@10 is not measured .there are retention, retrieval@10, neigh"),
        ({"gate": {"rules": ["worst stratum retention >= 0.9"]}}, "needs sample.stratum"),
        ({"gate": {"rules": []}}, "gate.rules is"),
        ({"recommend": {"rules": ["retention@4 >= 0.9"]}}, "dim 4 is none of dims"),
        ({"recommend": {"rules": ["retention drop against run x <= 0.9"]}}, "recommend.rules name no dim and no run"),
        ({"evaluate": {"data_set": "x", "metrics": ["ndgc@10"]}}, "'ndgc@10' is no measure that ir-measures knows"),
        ({"evaluate": {"data_set": "x", "trec_runs": ["a.run"]}}, "trec_runs needs queries"),
    ],
)
def test_a_mistake_is_found_before_spark_starts(tmp_path, changes, message):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs") | changes)
    with pytest.raises(ConfigError, match=message):
        load_config(path)


def test_a_price_in_its_old_place_is_found(tmp_path):
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, "docs", apply={"price_per_core_hour": 0.25}))
    assert load_config(path).rates.core_hour == 0.25


# what a gate says


def test_an_artifact_with_columns_swapped_trips_its_gate_and_loses_its_comparison(bench):
    """A column of the first four now stands behind them: what the first four keep is less."""
    fitted = Adaptor(closed_forms.svd(np.array(vectors(100, bad=False))).corpus, (4, 8, 16))
    publish(fitted, root(bench))
    bench.apply("nested")
    config = bench.config("nested", gate={"rules": [DROP]}, evaluate={"data_set": "x", **ONE_STEP})
    assert evaluate_table(bench.spark, config, quiet).gate.passed
    Versions(root(bench)).add(with_columns_swapped(fitted, [1], [20]), "", promote=False)
    (verdict,) = gate_version(bench.spark, config, quiet).gate.verdicts
    assert not verdict.holds
    comparison = compare_versions(bench.spark, config, quiet)
    assert comparison.gains[4].high < 0
    assert "worse at 4" in comparison.verdict()


def test_apply_and_promote_refuse_what_has_not_passed(bench):
    strict = {"rules": ["retention >= 0.01"], "required": True}
    config = bench.config("nested", gate=strict, evaluate={"data_set": "x", **ONE_STEP})
    with pytest.raises(AdaptorError, match="has not been through the gate; run `adaptor gate"):
        apply_table(bench.spark, config, quiet)
    assert not TableRef(config.target_table).exists(bench.spark)
    assert gate_version(bench.spark, config, quiet).gate.passed  # there is no candidate: the current one is judged
    assert apply_table(bench.spark, config, quiet).written == 100
    other = with_columns_swapped(ADAPTOR, [1], [20])
    Versions(root(bench)).add(other, "", promote=False)
    with pytest.raises(AdaptorError, match=f"version {other.version} in .* has not been through the gate"):
        promote(bench.spark, config, quiet)
    assert Versions(root(bench)).current == ADAPTOR.version
    gate_version(bench.spark, config, quiet)
    assert promote(bench.spark, config, quiet).version == other.version


def test_the_commands(bench, tmp_path):
    """Exit code 3 where a rule does not hold, with the sentence on stderr, and JUnit XML."""
    bench.apply("nested")
    bench.config(
        "nested", gate={"rules": ["retention@16 >= 0.1", "retention@4 >= 1.5"]}, evaluate={"data_set": "x", **ONE_STEP}
    )
    path = str(bench.folder / "nested.yaml")

    def run(*arguments):
        with console.capture() as shown:
            ended = CliRunner().invoke(app, [*arguments, "--config", path])
        return ended.exit_code, shown.get(), ended.stderr

    code, shown, error = run("gate", "--junit", str(tmp_path / "gate.xml"))
    assert code == 3
    assert "FAILED: 1 of 2 rules do not hold" in shown
    assert error.startswith("gate: the gate has failed: retention@4 >= 1.5: fails; ")
    assert (tmp_path / "gate.xml").exists()
    assert not json.loads((bench.folder / "artifact" / "gates" / f"{ADAPTOR.version}.json").read_text())["passed"]
    code, shown, error = run("recommend")
    assert (code, error) == (0, "")
    assert "Ways to store 100 rows, by bytes" in shown
    assert "## Recommendation" in (bench.folder / "artifact" / ADAPTOR.version / "README.md").read_text()


def test_a_reference_run(bench):
    bench.apply("nested")
    rules = {"rules": ["neighbours@10 drop against run spring <= 0"]}
    config = bench.config("nested", gate=rules, evaluate={"data_set": "x", **ONE_STEP})
    with pytest.raises(AdaptorError, match="has no reference run 'spring': it has none"):
        evaluate_table(bench.spark, config, quiet)
    evaluate_tables(bench.spark, [config.model_copy(update={"gate": None})], quiet, freeze="spring")
    assert evaluate_table(bench.spark, config, quiet).gate.passed
    with pytest.raises(AdaptorError, match="has a reference run 'spring' already"):
        evaluate_tables(bench.spark, [config], quiet, freeze="spring")


# several data sets and artifacts in one run


def test_data_sets_and_artifacts_in_one_run(bench, tmp_path):
    bench.apply("nested")
    one = bench.config("nested", evaluate={"data_set": "one", **ONE_STEP})
    other_docs = save_delta(embeddings_frame(bench.spark, clustered(80, seed=5)), tmp_path / "other" / "docs")
    two = bench.config("two", source={"table": other_docs}, evaluate={"data_set": "two", **ONE_STEP})
    apply_table(bench.spark, two, quiet)
    first, second = evaluate_tables(bench.spark, [one, two], quiet)
    assert (first.measurement.rows, second.measurement.rows) == (100, 80)
    with pytest.raises(AdaptorError, match=r"two configs evaluate artifact .* on data set 'one'"):
        evaluate_tables(bench.spark, [one, one], quiet)


# judgments, runs and figures


@pytest.fixture
def judged(spark, tmp_path):
    """A table that a fitted rotation has been applied to, with 30 queries that have one or two documents each."""
    random = np.random.default_rng(3)
    corpus = clustered(200)
    docs = save_delta(embeddings_frame(spark, corpus), tmp_path / "docs")
    vectors_of_queries = corpus[:30] + 0.4 * random.standard_normal((30, 32)).astype(np.float32)
    queries = save_delta(
        embeddings_frame(spark, vectors_of_queries, [f"q{i}" for i in range(30)]), tmp_path / "queries"
    )
    lines = [f"q{i} 0 d{i:03d} 2\n" for i in range(30)] + [f"q{i} 0 d{i + 40:03d} 1\n" for i in range(0, 30, 3)]
    (tmp_path / "judged.qrels").write_text("".join(lines))
    publish(ADAPTOR, str(tmp_path / "artifact"))
    settings = {"data_set": "judged", "queries": queries, "judgments": str(tmp_path / "judged.qrels")}
    path = write_config(tmp_path / "c.yaml", small_config(tmp_path, docs, evaluate=settings))
    apply_table(spark, load_config(path), quiet)
    return path


def test_trecs_files_in_and_out(spark, judged, tmp_path):
    """The runs that are written, judged by ir-measures, give the figures; another system's run stands beside them."""
    first = evaluate_table(spark, load_config(judged), quiet, trec=str(tmp_path / "trec")).measurement
    from adaptor.evaluation.trec import read_qrels, read_run

    grades = read_qrels(str(tmp_path / "trec" / "judged.qrels"))
    assert grades == read_qrels(str(tmp_path / "judged.qrels"))
    values = judge(read_run(str(tmp_path / "trec" / "judged.adaptor-8.run")), grades, ("nDCG@10", "AP@100"))
    for metric, by_query in values.items():
        expected = [by_query[query] for query in first.queries]
        np.testing.assert_allclose(first.of(Variant("adaptor", 8), metric), expected, atol=1e-6)

    (tmp_path / "trec" / "judged.svd-4.run").rename(tmp_path / "bm25.run")
    settings = [f"evaluate.trec_runs=[{tmp_path / 'bm25.run'}]"]
    beside = evaluate_table(spark, load_config(judged, settings), quiet).measurement
    np.testing.assert_allclose(beside.of(Variant("bm25", 0)), first.of(Variant("svd", 4)), atol=1e-6)


def test_queries_without_judgments_ask_for_what_the_original_finds(spark, judged):
    evaluated = evaluate_table(spark, load_config(judged, ["evaluate.judgments=null"]), quiet)
    assert (evaluated.metric, len(evaluated.measurement.queries)) == ("retrieval@10", 30)
    assert evaluated.value("original", 32, "neighbours@10") == 1.0


def test_every_variant_and_tail_is_in_the_runs_table(spark, judged):
    settings = load_config(judged, ["rates.core_hour=3600", "evaluate.shortlists=[20]"])
    evaluated = evaluate_table(spark, settings, quiet)
    rows = TableRef(settings.runs).read(spark).where("job = 'evaluate'").collect()
    figures = {(row.candidate, row.dim, row.metric): row for row in rows}
    for name, size in (("adaptor", 32), ("adaptor/int8", 8), ("adaptor/binary", 1), ("adaptor/int8+20 rescored", 8)):
        assert figures[name, 8, "nDCG@10"].bytes == size
    assert figures["adaptor", 8, "nDCG@10 5th percentile"].value == evaluated.measurement.tail(Variant("adaptor", 8))
    assert figures["svd", 8, "anti-hubs@10"].value <= 1
    assert rows[0].price == pytest.approx(rows[0].core_seconds)
    (kept,) = records.last_of(settings.artifact.folder, ADAPTOR.version)
    assert kept.mean(Variant("adaptor", 8)) == evaluated.value("adaptor", 8)


def test_a_run_under_the_name_of_a_candidate_is_refused(spark, judged, tmp_path):
    (tmp_path / "svd.run").write_text("q0 Q0 d000 1 1.0 t\n")
    with pytest.raises(AdaptorError, match=r"svd.run is called svd, as another candidate; rename it"):
        evaluate_table(spark, load_config(judged, [f"evaluate.trec_runs=[{tmp_path / 'svd.run'}]"]), quiet)


# the runs table


def test_runs_of_several_jobs_at_once_and_of_an_earlier_release(spark, judged):
    """A table that lacks the columns that came since gets them, and its rows are still there."""
    settings = load_config(judged)
    run = Run.finish(Clock(spark), "apply", "x", "f", TableRef("docs", 0), 5, settings.rates)
    record(spark, settings.runs, run, [Figure("adaptor", 4, "rows_written", 5.0)])
    old = TableRef(settings.runs).read(spark).drop("price", "error")
    other = f"{settings.runs}_old"
    save_delta(old, other)
    before = old.count()
    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(record, spark, other, run, [Figure("adaptor", n, "x", 1.0)]) for n in range(3)]
        for job in jobs:
            job.result()
    rows = TableRef(other).read(spark)
    assert rows.columns == SCHEMA.names
    assert (rows.count(), rows.where("price IS NULL").count()) == (before + 3, before + 3)


# faults put in


@pytest.mark.slow
def test_refits_with_other_seeds_trip_nothing_and_faults_do(tmp_path, spark):
    """SciFact: twenty refits hold a rule that each of three faults breaks."""
    corpus = data_sets.load("scifact")[0].corpus
    ids = [f"d{number:04d}" for number in range(len(corpus))]
    docs = save_delta(embeddings_frame(spark, corpus, ids), tmp_path / "docs")
    evaluate = {"data_set": "scifact", "held_out": 500, **ONE_STEP}
    changes = {"gate": {"rules": ["retrieval@10 drop against current <= 0.01"]}, "evaluate": evaluate, "dims": [32, 64]}
    config = load_config(write_config(tmp_path / "c.yaml", small_config(tmp_path, docs, **changes)))
    versions = Versions(config.artifact.folder)

    def passes(candidate: Adaptor) -> bool:
        versions.add(candidate, "", promote=False)
        return gate_version(spark, config, quiet, candidate.version).gate.passed

    first = adaptor.fit(corpus, dims=[32, 64])
    assert passes(first)
    for seed in range(1, 21):
        assert passes(adaptor.fit(corpus, dims=[32, 64], seed=seed)), seed
    swapped = with_columns_swapped(first, [10, 11, 12, 13], [200, 201, 202, 203])
    assert not passes(swapped)
    assert "worse at 32" in compare_versions(spark, config, quiet).verdict()
    assert not passes(adaptor.fit(corpus[::10], dims=[32, 64]))
    weight = first.corpus.weight.copy()
    weight[:, 48:64] = 0
    residual = first.corpus.residual
    if residual is not None:
        out = residual.out.copy()
        out[:, 48:64] = 0
        residual = replace(residual, out=out)
    assert not passes(replace(first, corpus=replace(first.corpus, weight=weight, residual=residual)))
