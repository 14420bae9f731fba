"""Strata: the sample takes as much of each, held-out rows come from each, and each is reported apart."""

from pathlib import Path

import numpy as np
import pytest
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

import adaptor
from adaptor import AdaptorError
from adaptor.config import SampleSettings, load_config
from adaptor.console.app import console
from adaptor.console.evaluation import print_evaluated
from adaptor.console.summaries import print_fitted
from adaptor.fitting.settings import FitSettings
from adaptor.fitting.strata import hold_out, quotas
from adaptor.spark.apply import apply_table
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table
from adaptor.spark.row_checks import stratum
from adaptor.spark.sampling import balanced, materialise, place
from adaptor.spark.tables import TableRef

LANGUAGES = {"en": 250, "es": 100, "de": 40, None: 10}
LABELS = [language for language, count in LANGUAGES.items() for _ in range(count)]
X = clustered(len(LABELS))
CLOSED = FitSettings(candidates=("truncation", "svd", "tempered_svd"))


@pytest.fixture(scope="module")
def docs(spark):
    """400 rows d000, d001, ...: 250 en, 100 es, 40 de and 10 without a language."""
    languages = spark.createDataFrame([(f"d{i:03d}", name) for i, name in enumerate(LABELS)], "id string, lang string")
    return embeddings_frame(spark, X).join(languages, "id").cache()


def language(row_id: str) -> str:
    return LABELS[int(row_id[1:])] or "(null)"


def counted(ids) -> dict[str, int]:
    names = [language(row_id) for row_id in ids]
    return {name: names.count(name) for name in set(names)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (40, {"en": 10, "es": 10, "de": 10, "(null)": 10}),
        (120, {"en": 37, "es": 37, "de": 36, "(null)": 10}),
        (200, {"en": 75, "es": 75, "de": 40, "(null)": 10}),
        (500, {"en": 250, "es": 100, "de": 40, "(null)": 10}),
        (2, {"en": 1, "es": 1, "de": 0, "(null)": 0}),
    ],
)
def test_quotas(rows, expected):
    assert quotas({"en": 250, "es": 100, "de": 40, "(null)": 10}, rows) == expected


def chosen(df, rows: int) -> list[str]:
    of_language = df.select("id", stratum(df, "lang").alias("stratum"))
    return sorted(row.id for row in balanced(of_language, place("id", 0), rows).collect())


@pytest.mark.parametrize("rows", [40, 120, 200, 500])
def test_a_balanced_sample_has_its_quotas(docs, rows):
    ids = chosen(docs, rows)
    assert len(set(ids)) == len(ids)
    assert counted(ids) == quotas({"en": 250, "es": 100, "de": 40, "(null)": 10}, rows)


def test_a_balanced_sample_is_the_same_for_any_layout_and_holds_the_smaller(docs):
    ids = chosen(docs, 120)
    assert chosen(docs.orderBy("title", ascending=False).repartition(7), 120) == ids
    assert set(chosen(docs, 60)) < set(ids)


def test_folds_of_a_balanced_sample(docs, tmp_path):
    """Rows keep their label, every stratum has held-out rows, and no row meets both folds."""
    settings = SampleSettings(folder=str(tmp_path), rows=120, stratum="lang")
    sample = materialise(docs, "id", "embedding", settings, "arrow")
    train, held_out = sample.ids[: len(sample.train.rows)], sample.ids[len(sample.train.rows) :]
    assert counted(sample.ids) == {"en": 37, "es": 37, "de": 36, "(null)": 10}
    assert counted(held_out) == {"en": 3, "es": 3, "de": 3, "(null)": 1}
    assert not set(train) & set(held_out)
    assert list(sample.strata) == [language(row_id) for row_id in held_out]
    np.testing.assert_array_equal(sample.whole.rows, X[[int(row_id[1:]) for row_id in sample.ids]])


def test_judged_rows_come_in_beside_the_balanced_ones(docs, tmp_path):
    settings = SampleSettings(folder=str(tmp_path), rows=40, stratum="lang")
    judged = [f"d{i:03d}" for i in range(100)]
    plain = materialise(docs, "id", "embedding", settings, "arrow").ids
    assert counted(plain) == {"en": 10, "es": 10, "de": 10, "(null)": 10}
    with_judged = materialise(docs, "id", "embedding", settings, "arrow", judged).ids
    assert sorted(with_judged) == sorted({*plain, *judged})


def test_a_bad_row_takes_no_held_out_place(spark, docs, tmp_path):
    """Of two rows in a language one is held out; the zero row of that language is neither of them."""
    rare = embeddings_frame(spark, [*clustered(2, seed=8), np.zeros(32)], ["r0", "r1", "r2"])
    both = docs.unionByName(rare.withColumn("lang", F.lit("eo")))
    for seed in range(3):
        settings = SampleSettings(folder=str(tmp_path), rows=100, seed=seed, stratum="lang")
        sample = materialise(both, "id", "embedding", settings, "arrow")
        assert sample.bad_rows == {"zero": 1}
        assert list(sample.strata).count("eo") == 1


def test_too_many_strata(docs, tmp_path):
    many = docs.select("id", "embedding").crossJoin(docs.sparkSession.range(3).withColumnRenamed("id", "copy"))
    many = many.withColumn("id", F.concat("id", F.lit("-"), "copy"))
    with pytest.raises(AdaptorError, match=r"sample.stratum: more than 1000 strata; .*: name a coarser column"):
        materialise(many, "id", "embedding", SampleSettings(folder=str(tmp_path), stratum="id"), "arrow")


def test_hold_out_takes_a_share_of_each():
    labels = np.array(["a"] * 50 + ["b"] * 20 + ["c"] * 3 + ["d"], dtype=object)
    order = np.random.default_rng(0).permutation(len(labels))
    held = hold_out(labels, order, 0.1)
    assert {name: int(held[labels == name].sum()) for name in "abcd"} == {"a": 5, "b": 2, "c": 1, "d": 0}
    first = [row for row in order if labels[row] == "a"][:5]
    assert held[first].all()


def test_a_fit_in_memory_reports_each_stratum():
    """The parts of all held-out rows, weighed by their number, make the whole."""
    result = adaptor.fit(X, dims=[4, 8], settings=CLOSED, strata=LABELS)
    strata = result.metrics["strata"]
    assert {name: part["held_out_rows"] for name, part in strata.items()} == {"en": 25, "es": 10, "de": 4, "(null)": 1}
    assert result.metrics["held_out_rows"] == 40
    winner = result.config["candidate"]
    whole = {score["candidate"]: score["figures"]["retrieval@10"] for score in result.metrics["candidates"]}
    for name in {winner, "svd", "truncation"}:
        for dim in ("4", "8"):
            parts = [part["held_out_rows"] * part["kept"][name][dim] for part in strata.values()]
            assert sum(parts) / 40 == pytest.approx(whole[name][dim])
    assert adaptor.fit(X, dims=[4, 8], settings=CLOSED).metrics["strata"] == {}


def test_a_fit_with_queries_reports_strata_of_rows():
    queries = np.resize(X, (260, X.shape[1])) + 0.3 * clustered(260, seed=4)
    result = adaptor.fit(
        X, dims=[4], queries=queries, settings=FitSettings(candidates=("query_aware_svd",)), strata=LABELS
    )
    assert result.metrics["held_out_side"] == "query"
    for part in result.metrics["strata"].values():
        assert set(part["kept"]) == {"truncation", "svd", "query_aware_svd"}
    assert sum(part["held_out_rows"] for part in result.metrics["strata"].values()) == 40


def test_a_stratum_with_its_own_neighbours_is_told_apart():
    """One language fills the first numbers, the other the last: truncation keeps the one and loses the other."""
    kept, lost = np.random.default_rng(0).normal(size=(2, 200, 32)).astype(np.float32) * 0.01
    kept[:, :8] += clustered(200, 8)
    lost[:, 24:] += clustered(200, 8, seed=1)
    result = adaptor.fit(
        np.concatenate([kept, lost]), dims=[8], settings=CLOSED, strata=["kept"] * 200 + ["lost"] * 200
    )
    parts = result.metrics["strata"]
    kept_of, lost_of = (parts[label]["kept"]["truncation"]["8"] for label in ("kept", "lost"))
    assert kept_of > lost_of + 0.3


@pytest.mark.parametrize(
    ("strata", "message"),
    [
        (["en"], r"strata must be one label a row: 400 rows, but strata of shape \(1,\)"),
        (np.zeros((400, 2)), r"strata of shape \(400, 2\)"),
    ],
)
def test_strata_that_do_not_fit(strata, message):
    with pytest.raises(AdaptorError, match=message):
        adaptor.fit(X, dims=[4], settings=CLOSED, strata=strata)


@pytest.fixture(scope="module")
def lake(spark, docs, tmp_path_factory):
    """The three jobs on a table with a stratum column, without judgments."""
    folder = tmp_path_factory.mktemp("strata")
    table = save_delta(docs, folder / "docs")
    document = small_config(folder, table, fit={"candidates": ["truncation", "svd", "tempered_svd"]})
    document["sample"] |= {"rows": 200, "stratum": "lang"}
    document["evaluate"] |= {"held_out": 100}
    path = write_config(folder / "config.yaml", document)
    config = load_config(path)
    fitted = fit_table(spark, config, print)
    apply_table(spark, config, print)
    return folder, path, config, fitted, evaluate_table(spark, config, print)


def recorded(spark, config, job: str) -> dict[tuple[str, str, int], float]:
    rows = TableRef(config.runs).read(spark).where(F.col("job") == job).where("metric = 'retrieval@10'").collect()
    return {(row.data_set, row.candidate, row.dim): row.value for row in rows}


def shown(what, summary) -> str:
    with console.capture() as capture:
        summary(what)
    return capture.get()


def test_the_fit_job_reports_each_stratum(spark, lake):
    _, _, config, fitted, _ = lake
    strata = fitted.adaptor.metrics["strata"]
    assert fitted.adaptor.metrics["stratum"] == "lang"
    assert set(strata) == {"en", "es", "de", "(null)"}
    assert fitted.adaptor.config["rows"] == 200
    card, said = (Path(fitted.path) / "README.md").read_text(), shown(fitted, print_fitted)
    runs = recorded(spark, config, "fit")
    for label, part in strata.items():
        best = sorted(fitted.report.candidates, key=lambda score: -score.agreement)[:2]  # the runner-up too
        assert set(part["kept"]) == {"svd", "truncation", *(score.candidate for score in best)}
        for name, kept in part["kept"].items():
            cells = [f"{kept[str(dim)]:.4f}" for dim in (4, 8, 16)]
            assert f"| {label} | {part['held_out_rows']} | {name} | {' | '.join(cells)} |" in card
            assert any(
                [label, name, *cells] == [w for w in _words(line) if w != str(part["held_out_rows"])]
                for line in said.splitlines()
            )
            for dim in (4, 8, 16):
                assert runs[f"synthetic/{label}", name, dim] == kept[str(dim)]


def _words(line: str) -> list[str]:
    return [word.strip() for word in line.strip("│").split("│")]


def test_evaluate_reports_held_out_rows_of_each_stratum(spark, lake):
    """25 of each language are asked for, and the 10 without one; the others fill up."""
    _, _, config, _, evaluated = lake
    counts = {"en": 30, "es": 30, "de": 30, "(null)": 10}
    assert set(evaluated.strata) == set(counts)
    runs = recorded(spark, config, "evaluate")
    for name in ("truncation", "svd", "adaptor"):
        for dim in (4, 8, 16):
            parts = {label: evaluated.value(name, dim, stratum=label) for label in counts}
            mean = sum(counts[label] * value for label, value in parts.items()) / 100
            assert mean == pytest.approx(evaluated.value(name, dim))
            assert runs["synthetic", name, dim] == pytest.approx(mean)
            assert {label: runs[f"synthetic/{label}", name, dim] for label in counts} == parts
    for label in counts:
        low, high = evaluated.intervals[label, 4]
        gain = evaluated.value("adaptor", 4, stratum=label) - evaluated.value("svd", 4, stratum=label)
        assert low - 1e-9 <= gain <= high + 1e-9
        full = evaluated.value("original", 32, stratum=label)
        assert f"retrieval@10 of stratum {label}: {full:.4f} at full width 32" in shown([evaluated], print_evaluated)


def test_evaluate_reports_strata_of_queries_where_their_table_has_them(spark, lake):
    folder, path, *_ = lake
    questions = embeddings_frame(spark, X[240:260], [f"q{i}" for i in range(240, 260)])
    rows = [(f"q{i}", f"d{i:03d}", 1) for i in range(240, 260)]
    grades = spark.createDataFrame(rows, "query_id string, corpus_id string, grade int")
    judgments = save_delta(grades, folder / "judgments")
    with_language = questions.withColumn("lang", F.when(F.substring("id", 2, 3) < "250", "en").otherwise("es"))
    for name, queries, strata in (("plain", questions, ()), ("apart", with_language, ("en", "es"))):
        table = save_delta(queries, folder / name)
        overrides = [f"evaluate.queries={table}", f"evaluate.judgments={judgments}"]
        evaluated = evaluate_table(spark, load_config(path, overrides), print)
        assert evaluated.strata == strata
        for label in (None, *strata):
            assert evaluated.value("original", 32, "nDCG@10", label) == 1.0
    parts = [evaluated.value("truncation", 4, "nDCG@10", label) for label in ("en", "es")]
    assert np.mean(parts) == pytest.approx(evaluated.value("truncation", 4, "nDCG@10"))


def test_a_stratum_column_that_is_not_there(spark, lake):
    _, path, *_ = lake
    config = load_config(path, ["sample.stratum=language"])
    for job in (fit_table, evaluate_table):
        with pytest.raises(AdaptorError, match="has no column 'language'; it has id, title, embedding, lang"):
            job(spark, config, print)
