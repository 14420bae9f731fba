"""Names of tables and columns that need quoting, and one table under several spellings."""

import re

import numpy as np
import pytest
from applying import Bench, vectors
from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType

from adaptor import AdaptorError
from adaptor.spark.columns import field_of, full_name, path_of
from adaptor.spark.names import parts_of
from adaptor.spark.tables import TableRef


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("docs", ["docs"]),
        ("search.docs", ["search", "docs"]),
        ("`prod-catalog`.search.docs", ["prod-catalog", "search", "docs"]),
        ("prod-catalog.search.docs", ["prod-catalog", "search", "docs"]),
        ("search.`docs.v2`", ["search", "docs.v2"]),
        ("`a``b`.`c d`", ["a`b", "c d"]),
    ],
)
def test_a_name_is_taken_apart_once(name, parts):
    assert list(parts_of(name)) == parts
    assert TableRef(name).identifier == ".".join(f"`{part.replace('`', '``')}`" for part in parts)


@pytest.mark.parametrize("name", ["", "a.", ".a", "a..b", "`a", "a`b", "a.`b`c"])
def test_what_is_no_name(name):
    with pytest.raises(AdaptorError, match=re.escape(f"{name!r} is no name: write catalog.schema.table")):
        parts_of(name)


@pytest.mark.parametrize(
    ("where", "beside"),
    [
        ("search.docs", "search.docs_quarantine"),
        ("`prod-catalog`.search.docs", "`prod-catalog`.search.docs_quarantine"),
        ("search.`docs.v2`", "search.`docs.v2_quarantine`"),
        ("/lake/docs", "/lake/docs_quarantine"),
        ("/lake/docs/", "/lake/docs_quarantine"),
        ("s3a://lake/docs", "s3a://lake/docs_quarantine"),
        ("delta.`/lake/docs`", "/lake/docs_quarantine"),
    ],
)
def test_a_suffix_goes_inside_the_quotes(where, beside):
    assert TableRef(where).beside("_quarantine").where == beside


def test_a_path_in_sql_spelling_is_a_path():
    assert TableRef("delta.`/lake/my docs`").path == "/lake/my docs"
    assert TableRef("delta.`/lake/my docs`").identifier == "`delta`.`/lake/my docs`"
    assert not TableRef("`a/b`.docs").is_path


@pytest.fixture
def bench(spark, tmp_path):
    bench = Bench(spark, tmp_path)
    bench.save(vectors(60))
    return bench


def test_tables_named_in_back_quotes(bench):
    spark = bench.spark
    spark.sql("CREATE SCHEMA search")
    try:
        spark.sql(f"CREATE TABLE search.docs USING delta LOCATION '{bench.docs}'")
        quoted = {
            "source": {"table": "`search`.`docs`"},
            "target": "`spark_catalog`.`search`.`nested`",
            "layout": "bands",
        }
        applied = bench.apply("named", **quoted)
        assert applied.written == 60
        assert spark.table("search.nested_quarantine").count() == 3
        assert spark.table("search.nested_prefixes").count() == 60
        assert applied.view == "spark_catalog.search.nested_prefixes"
        assert bench.apply("named", **quoted).written == 0  # nothing to do: it finds what it wrote
        assert {row.tableName for row in spark.sql("SHOW TABLES IN search").collect()} == {
            "docs", "nested", "nested_quarantine", "nested_prefixes",
        }  # fmt: skip
    finally:
        spark.sql("DROP SCHEMA search CASCADE")


def test_two_spellings_of_one_table_are_one_table(bench, monkeypatch):
    bench.spark.sql(f"CREATE TABLE named_docs USING delta LOCATION '{bench.docs}'")
    monkeypatch.chdir(bench.folder)
    (bench.folder / "link").symlink_to(bench.docs)
    try:
        for source, other in (
            ("named_docs", bench.docs),
            ("named_docs", "DEFAULT.Named_Docs"),
            ("named_docs", "spark_catalog.default.`named_docs`"),
            (bench.docs, "./docs/"),
            (bench.docs, f"file://{bench.docs}"),
            (bench.docs, f"delta.`{bench.docs}`"),
            (bench.docs, "./link"),
        ):
            with pytest.raises(AdaptorError, match=r"apply.target is the source table itself"):
                bench.apply("again", source={"table": source}, target=other)
            with pytest.raises(AdaptorError, match=r"apply.quarantine is the source table itself"):
                bench.apply("again", source={"table": source}, quarantine=other)
        with pytest.raises(AdaptorError, match=r"apply.target and apply.quarantine are both"):
            bench.apply("again", target="not_there_yet", quarantine="default.NOT_there_yet")
    finally:
        bench.spark.sql("DROP TABLE named_docs")


def test_changes_are_followed_under_another_spelling(bench, monkeypatch):
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    bench.apply("night")
    bench.sql("DELETE FROM docs WHERE id = 'd000'")
    monkeypatch.chdir(bench.folder)
    target = f"delta.`{bench.folder}/night`"
    applied = bench.apply("night", source={"table": "./docs/"}, target=target, mode="incremental")
    assert applied.removed == 1


SCHEMA = StructType(
    [
        StructField("doc.id", StringType()),
        StructField("Title", StringType()),
        StructField("chunk", StructType().add("embedding", ArrayType(FloatType())).add("a.b", StringType())),
        StructField("twin", StringType()),
        StructField("TWIN", StringType()),
    ]
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("doc.id", ["doc.id"]),
        ("`doc.id`", ["doc.id"]),
        ("title", ["Title"]),
        ("chunk.embedding", ["chunk", "embedding"]),
        ("Chunk.EMBEDDING", ["chunk", "embedding"]),
        ("chunk.a.b", ["chunk", "a.b"]),
        ("chunk.`a.b`", ["chunk", "a.b"]),
        ("twin", ["twin"]),
        ("Twin", None),
        ("chunk.nothing", None),
        ("doc", None),
        ("", None),
    ],
)
def test_columns_are_found_as_spark_finds_them(name, path):
    fields = path_of(SCHEMA, name)
    assert (None if fields is None else [field.name for field in fields]) == path


def test_a_field_of_a_struct_keeps_the_name_it_was_asked_by():
    assert full_name(SCHEMA, "title") == "Title"
    assert full_name(SCHEMA, "chunk.embedding") == "chunk.embedding"
    assert field_of(SCHEMA, "chunk.embedding") == StructField("chunk.embedding", ArrayType(FloatType()))


def test_dotted_columns_fields_and_another_case_in_every_job(bench):
    from adaptor.spark.evaluate import evaluate_table
    from adaptor.spark.fit import fit_table

    rows = bench.spark.read.format("delta").load(bench.docs)
    struct = "named_struct('embedding', embedding) AS chunk"
    rows = rows.selectExpr("id AS `doc.id`", "title AS `Title`", struct, "substr(id, 4) AS `lang.code`")
    rows.write.format("delta").mode("overwrite").option("overwriteSchema", True).save(bench.docs)
    source = {"id": "DOC.ID", "embedding": "chunk.embedding"}
    config = bench.config("dotted", source=source, carry=["title", "chunk.embedding"])
    sample = config.sample.model_copy(update={"stratum": "lang.code"})
    artifact = config.artifact.model_copy(update={"promote": "always"})
    config = config.model_copy(update={"sample": sample, "artifact": artifact})
    fitted = fit_table(bench.spark, config, lambda line: None)
    for engine in ("auto", "pandas_udf"):
        applied = bench.apply("dotted", source=source, carry=["title", "chunk.embedding"], engine=engine, rebuild=True)
        assert applied.written == 60
        target = bench.spark.read.format("delta").load(str(bench.folder / "dotted"))
        assert target.columns[:3] == ["doc.id", "Title", "chunk.embedding"]
        for row in target.collect():
            np.testing.assert_allclose(
                row.embedding_8, fitted.adaptor.encode([row["chunk.embedding"]], dim=8)[0], atol=1e-6
            )
    evaluated = evaluate_table(bench.spark, config, lambda line: None)
    assert evaluated.value("original", 32, "neighbours@10") == 1
    assert set(evaluated.strata) == {str(digit) for digit in range(10)}
