"""Tables as they are found: of two widths, views, names Delta refuses, vacuumed, append-only, conditions that fail."""

from pathlib import Path

import numpy as np
import pytest
from applying import ADAPTOR, Bench, vectors
from synthetic import clustered, embeddings_frame

from adaptor import AdaptorError
from adaptor.card import model_card
from adaptor.config import ArtifactSettings
from adaptor.spark.apply import plan_apply
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table

OTHER_JOBS = ("fit", "dry run", "evaluate")  # which open a table as apply does


@pytest.fixture
def bench(spark, tmp_path):
    bench = Bench(spark, tmp_path)
    bench.save(vectors(60))
    return bench


def quiet(line: str) -> None:
    pass


def jobs(bench, name="target", **changes):
    """Each of the jobs, ready to be run with these changes of the config."""
    config = bench.config(name, **changes)
    return {
        "fit": lambda: fit_table(bench.spark, config, quiet),
        "apply": lambda: bench.apply(name, **changes),
        "dry run": lambda: plan_apply(bench.spark, config, quiet),
        "evaluate": lambda: evaluate_table(bench.spark, config, quiet),
    }


# two widths in one table


@pytest.mark.parametrize("engine", ["direct", "arrow", "pandas_udf"])
def test_rows_of_another_model_are_bad_rows_wherever_they_lie(bench, engine):
    """Partitioned by model, the older one's 64 numbers first: what the first files hold is not what the table holds."""
    old = embeddings_frame(bench.spark, clustered(150, width=64), [f"a{i:03d}" for i in range(150)])
    new = embeddings_frame(bench.spark, clustered(350), [f"b{i:03d}" for i in range(350)])
    both = old.selectExpr("*", "'a-old' AS model").unionByName(new.selectExpr("*", "'b-new' AS model"))
    both.write.format("delta").mode("overwrite").option("overwriteSchema", True).partitionBy("model").save(bench.docs)
    applied = bench.apply("two_widths", engine=engine, chunk_bytes=1)
    assert applied.written == 350
    assert applied.bad_rows == {"width 64 instead of 32": 150}
    assert plan_apply(bench.spark, bench.config("planned", engine=engine), quiet).rows == 500


def test_an_artifact_whose_width_is_rare_is_refused(bench):
    wide = [*clustered(196, width=64), *clustered(4)]
    bench.save(wide, [f"w{i:03d}" for i in range(200)], files=2, mode="overwrite")
    with pytest.raises(
        AdaptorError, match="holds embeddings of width 64, the artifact was fitted on width 32; fit one"
    ):
        bench.apply("rare")


# views


def test_a_view_is_sampled_and_apply_says_what_to_do(bench):
    bench.spark.sql(f"CREATE TEMP VIEW some_docs AS SELECT * FROM delta.`{bench.docs}` WHERE id < 'd050'")
    try:
        view = {"source": {"table": "some_docs"}}
        fitted = jobs(bench, **view)["fit"]()
        assert (fitted.adaptor.config["rows"], fitted.source.version) == (50, None)
        assert "- source: `some_docs`, version -" in model_card(fitted.adaptor, fitted.report)
        with pytest.raises(
            AdaptorError, match=r"some_docs is a view, and apply works through the files of a Delta table"
        ):
            bench.apply("target", **view)
        bench.apply("target", source={"where": "id < 'd050'"})
        assert jobs(bench, **view)["evaluate"]().value("original", 32, "neighbours@10") == 1
        with pytest.raises(AdaptorError, match=r"some_docs is a view, which has no versions; take source.version out"):
            jobs(bench, source={"table": "some_docs", "version": 0})["fit"]()
    finally:
        bench.spark.catalog.dropTempView("some_docs")


def test_one_good_row_has_no_neighbours(bench):
    bench.apply("target")
    with pytest.raises(AdaptorError, match=r"has only one good row of width 32: there is nothing to find"):
        jobs(bench, source={"where": "id IN ('d000', 'd060')"})["evaluate"]()


def test_a_query_as_source(bench):
    with pytest.raises(AdaptorError, match=r"source.table is a query; make a view of it and name that: CREATE VIEW"):
        jobs(bench, source={"table": f"SELECT * FROM delta.`{bench.docs}`"})["fit"]()


# names that Delta refuses


@pytest.mark.slow
def test_a_target_maps_names_that_delta_would_refuse(bench):
    docs = (
        bench.spark.read.format("delta")
        .load(bench.docs)
        .selectExpr("id AS `Doc ID`", "title AS `Title (en)`", "embedding")
    )
    writer = docs.write.format("delta").mode("overwrite").option("overwriteSchema", True)
    writer.option("delta.columnMapping.mode", "name").save(str(bench.folder / "odd"))
    odd = {"source": {"table": str(bench.folder / "odd"), "id": "Doc ID"}, "carry": ["Title (en)"]}
    assert bench.apply("mapped", **odd).written == 60
    for again in ({"encoding": "int8", "rebuild": True}, {"rebuild": True}):
        assert bench.apply("mapped", **odd, **again).written == 60
        rows = bench.spark.read.format("delta").load(str(bench.folder / "mapped")).orderBy("`Doc ID`").collect()
        assert [(row["Doc ID"], row["Title (en)"]) for row in rows] == [
            (f"d{i:03d}", f"title of d{i:03d}") for i in range(60)
        ]
    np.testing.assert_allclose([row.embedding_8 for row in rows], ADAPTOR.encode(clustered(60), dim=8), atol=1e-6)
    named = bench.apply("mapped", **(odd | {"target": "mapped_docs"}))
    try:
        assert (named.written, bench.spark.table("mapped_docs").columns[:2]) == (60, ["Doc ID", "Title (en)"])
    finally:
        bench.spark.sql("DROP TABLE mapped_docs")
        bench.spark.sql("DROP TABLE mapped_docs_quarantine")


def test_changes_are_merged_into_a_target_that_maps_names(bench):
    docs = bench.spark.read.format("delta").load(bench.docs).selectExpr("id AS `Doc ID`", "embedding")
    odd = str(bench.folder / "odd")
    docs.write.format("delta").option("delta.columnMapping.mode", "name").save(odd)
    bench.spark.sql(f"ALTER TABLE delta.`{odd}` SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    source = {"source": {"table": odd, "id": "Doc ID"}, "carry": [], "mode": "incremental"}
    bench.apply("mapped", **source)
    bench.spark.sql(f"DELETE FROM delta.`{odd}` WHERE `Doc ID` < 'd010'")
    bench.spark.sql(f"UPDATE delta.`{odd}` SET embedding = array_repeat(1F, 32) WHERE `Doc ID` = 'd020'")
    applied = bench.apply("mapped", **source)
    assert (applied.written, applied.removed) == (1, 10)
    rows = bench.spark.read.format("delta").load(str(bench.folder / "mapped")).orderBy("`Doc ID`").collect()
    assert [row["Doc ID"] for row in rows] == [f"d{i:03d}" for i in range(10, 60)]
    np.testing.assert_allclose(rows[10].embedding_8, ADAPTOR.encode(np.ones((1, 32)), dim=8)[0], atol=1e-6)


# versions whose files are gone


@pytest.mark.parametrize("job", ["apply", *(pytest.param(job, marks=pytest.mark.slow) for job in OTHER_JOBS)])
def test_a_version_that_was_vacuumed(bench, job):
    bench.apply("target")
    for seed in (1, 2):
        bench.save(vectors(40, seed=seed), mode="overwrite")
    bench.sql("DELETE FROM docs WHERE id = 'd000'")
    with bench.setting("spark.databricks.delta.retentionDurationCheck.enabled", "false"):
        bench.sql("VACUUM docs RETAIN 0 HOURS")
    said = (
        r"files of version 0 of .*docs are gone, such as by a VACUUM; take source.version out, or name one of {}$"
    ).format(", ".join(map(str, whole_versions(bench))))
    with pytest.raises(AdaptorError, match=said):
        jobs(bench, source={"version": 0}, rebuild=True)[job]()


def whole_versions(bench):
    """Versions of which every file is there, as Spark names them."""
    whole = []
    for version in range(bench.versions("docs")):
        table = bench.spark.read.format("delta").option("versionAsOf", version).load(bench.docs)
        if all(Path(path.removeprefix("file:")).exists() for path in table.inputFiles()):
            whole.append(version)
    assert whole == [3, 4, 5]  # the delete, and what VACUUM itself commits
    return whole


# what a commit will ask for


def test_append_only_tables_are_refused_before_the_first_row(bench):
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.appendOnly' = 'true')")
    with pytest.raises(
        AdaptorError, match=r"apply.target is .*docs, which is append-only.* ALTER TABLE `delta`.`.*docs` UNSET"
    ):
        bench.apply("docs", target="same", carry=[])
    assert bench.said == []
    bench.apply("own")
    for name in ("own", "own_quarantine"):
        table = f"delta.`{bench.folder / name}`"
        bench.spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.appendOnly' = 'true')")
        key = "apply.target" if name == "own" else "apply.quarantine"
        with pytest.raises(AdaptorError, match=rf"{key} is .*{name}, which is append-only"):
            bench.apply("own", encoding="int8", rebuild=True)
        assert bench.said == []
        bench.spark.sql(f"ALTER TABLE {table} UNSET TBLPROPERTIES ('delta.appendOnly')")


def test_a_folder_that_lets_no_file_in(bench):
    (bench.folder / "file").write_text("")
    inside = str(bench.folder / "file" / "nested")
    with pytest.raises(AdaptorError, match=rf"apply.target is {inside}, but .*file is a file; name another folder"):
        bench.apply("blocked", target=inside)
    with pytest.raises(AdaptorError, match=rf"apply.quarantine is {inside}, but .*file is a file"):
        bench.apply("blocked", quarantine=inside)
    assert bench.said == []
    for key in ("runs", "artifact"):
        value = ArtifactSettings(folder=inside) if key == "artifact" else inside
        config = bench.config("blocked").model_copy(update={key: value})
        with pytest.raises(AdaptorError, match=rf"{key} is {inside}, but .*file is a file"):
            fit_table(bench.spark, config, quiet)


# conditions


@pytest.mark.parametrize("job", ["apply", *(pytest.param(job, marks=pytest.mark.slow) for job in OTHER_JOBS)])
def test_a_condition_that_fails_on_a_row(bench, job):
    bench.apply("target", source={"where": "id < 'd1'"})
    bench.sql("UPDATE docs SET title = 'n/a' WHERE id <> 'd001'")
    with pytest.raises(
        AdaptorError, match=r"source.where 'CAST\(title AS INT\) > 5' fails on a row of .*CAST_INVALID_INPUT.*TRY_CAST"
    ):
        jobs(bench, source={"where": "CAST(title AS INT) > 5"}, rebuild=True)[job]()


@pytest.mark.parametrize(
    "where", ["rand() < 0.5", "uuid() < 'a'", "current_date() > '2020-01-01'", "now() > '2020-01-01'"]
)
def test_a_condition_that_chooses_other_rows_each_time(bench, where):
    bench.apply("target")
    for job, run in jobs(bench, source={"where": where}, rebuild=True).items():
        with pytest.raises(AdaptorError, match=r"source.where .* can't be used: it chooses other rows each time"):
            run()
        assert job


def test_a_mistake_that_spark_finds_is_said_once(bench, capfd):
    for run in jobs(bench, source={"where": "lnag = 'en'"}).values():
        with pytest.raises(AdaptorError, match=r"source.where .*lnag"):
            run()
    output = capfd.readouterr()
    assert output.out + output.err == ""
