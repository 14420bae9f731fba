"""Ids of raw bytes, such as UUIDs: hex wherever an id becomes text, and bytes in the target."""

import hashlib

import numpy as np
import pytest
from applying import ADAPTOR
from pyspark.sql import functions as F
from synthetic import clustered, embeddings_frame, save_delta, small_config, write_config

from adaptor.config import load_config
from adaptor.release import publish
from adaptor.spark.apply import apply_table
from adaptor.spark.evaluate import evaluate_table
from adaptor.spark.fit import fit_table
from adaptor.spark.queries import read_judgments
from adaptor.spark.row_checks import legible

QUERIES = 60


def uuid(text: str) -> bytes:
    return hashlib.md5(text.encode()).digest()


def as_bytes(column):
    return F.unhex(F.md5(column))


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """300 rows of two tenants and two bad ones, 60 queries near some, a judgment for each; all ids are bytes."""
    folder = tmp_path_factory.mktemp("lake")
    corpus = clustered(300)
    ids = [f"d{i:03d}" for i in range(300)]
    docs = embeddings_frame(spark, [*corpus, None, np.zeros(32)], [*ids, "null", "zero"])
    tenant = as_bytes(F.when(F.col("id") < "d200", "one").otherwise("two"))
    docs = docs.withColumn("tenant", tenant).withColumn("id", as_bytes("id"))
    docs.write.format("delta").option("delta.enableChangeDataFeed", "true").save(str(folder / "docs"))
    queries = embeddings_frame(spark, corpus[:QUERIES] + 0.3 * clustered(QUERIES, seed=4), ids[:QUERIES])
    save_delta(queries.withColumn("id", as_bytes("id")), folder / "queries")
    grades = [(uuid(name), uuid(name), 1) for name in ids[:QUERIES]]
    save_delta(spark.createDataFrame(grades, "query_id binary, corpus_id binary, grade int"), folder / "judgments")
    return folder


def config(folder, name, **changes):
    document = small_config(folder / name, str(folder / "docs"), **changes)
    return load_config(write_config(folder / name / "config.yaml", document))


def quarantined(spark, folder):
    rows = spark.read.format("delta").load(str(folder / "nested_quarantine"))
    return {(bytes(row.id), row.reason) for row in rows.collect()}


@pytest.mark.slow
def test_the_three_jobs(spark, lake):
    tables = {"queries": str(lake / "queries"), "judgments": str(lake / "judgments")}
    log = {"table": tables["queries"], "judgments": tables["judgments"]}
    settings = config(
        lake,
        "judged",
        sample={"stratum": "tenant"},
        query_log=log,
        fit={"candidates": ["svd", "query_aware_svd"]},
        evaluate={"data_set": "uuids", **tables},
    )
    fitted = fit_table(spark, settings, quiet)
    assert fitted.adaptor.config["judged_queries"] == QUERIES
    assert fitted.bad_rows == {"null": 1, "zero": 1}
    assert set(fitted.adaptor.metrics["strata"]) == {uuid("one").hex().upper(), uuid("two").hex().upper()}
    applied = apply_table(spark, settings, quiet)
    assert applied.written == 300
    assert quarantined(spark, lake / "judged") == {(uuid("null"), "null"), (uuid("zero"), "zero")}
    rows = spark.read.format("delta").load(str(lake / "judged" / "nested")).collect()
    assert {bytes(row.id) for row in rows} == {uuid(f"d{i:03d}") for i in range(300)}
    evaluated = evaluate_table(spark, settings, quiet)
    assert (evaluated.metric, evaluated.value("original", 32) > 0.9) == ("nDCG@10", True)
    assert evaluated.value("adaptor", 16) > 0.8


def test_neighbours_of_each_stratum(spark, lake):
    settings = config(lake, "neighbours", sample={"stratum": "tenant"}, evaluate={"data_set": "uuids", "held_out": 40})
    publish(ADAPTOR, settings.artifact.folder)
    apply_table(spark, settings, quiet)
    evaluated = evaluate_table(spark, settings, quiet)
    assert evaluated.value("original", 32, "neighbours@10") == 1.0
    assert evaluated.strata == tuple(sorted(uuid(name).hex().upper() for name in ("one", "two")))


def test_a_row_that_changes_leaves_the_quarantine(spark, lake):
    settings = config(lake, "changing", apply={"mode": "incremental", "carry": []})
    publish(ADAPTOR, settings.artifact.folder)
    apply_table(spark, settings, quiet)
    docs = f"delta.`{lake / 'docs'}`"
    spark.sql(f"UPDATE {docs} SET embedding = array_repeat(CAST(1 AS FLOAT), 32) WHERE id = X'{uuid('null').hex()}'")
    spark.sql(f"UPDATE {docs} SET embedding = NULL WHERE id = X'{uuid('d007').hex()}'")
    apply_table(spark, settings, quiet)
    assert quarantined(spark, lake / "changing") == {(uuid("d007"), "null"), (uuid("zero"), "zero")}


def test_what_ids_of_other_types_are_as_text(spark, tmp_path):
    """Bytes inside of other values too; all else is as Spark casts it."""
    rows = spark.sql(
        "SELECT X'00FF' AS bytes, NAMED_STRUCT('a', X'FE', 'b', 1) AS struct, ARRAY(X'FD', NULL) AS array, true AS flag"
        ", CAST(NULL AS STRUCT<a: BINARY>) AS nothing, 1.50BD AS price, DATE'2024-02-01' AS day, 7L AS number,"
        " TIMESTAMP'2024-02-01 10:00:00' AS at"
    )
    text = rows.select(*(legible(rows, name).cast("string").alias(name) for name in rows.columns)).collect()[0]
    assert text.asDict() == {
        "bytes": "00FF",
        "struct": "{FE, 1}",
        "array": "[FD, null]",
        "flag": "true",
        "nothing": None,
        "price": "1.50",
        "day": "2024-02-01",
        "number": "7",
        "at": "2024-02-01 10:00:00",
    }
    judged = rows.selectExpr("struct AS query_id", "bytes AS corpus_id", "2 AS grade")
    assert read_judgments(spark, save_delta(judged, tmp_path / "judged")) == {"{FE, 1}": {"00FF": 2}}
