"""The quarantine: the id under its own name and type, why the row is bad, in which version it was read, and when."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from applying import Bench
from pyspark.sql import functions as F

from adaptor import AdaptorError

GOOD = "ARRAY_REPEAT(CAST(1 AS FLOAT), 32)"
IDS = {
    "STRING": ("'d7'", "d7"),
    "BIGINT": ("7L", 7),
    "SMALLINT": ("7S", 7),
    "BINARY": ("X'00FF'", b"\x00\xff"),
    "DOUBLE": ("7.5D", 7.5),
    "DECIMAL(5,2)": ("7.50BD", Decimal("7.50")),
    "DATE": ("DATE'2024-03-01'", date(2024, 3, 1)),
}


@pytest.fixture
def bench(spark, tmp_path):
    return Bench(spark, tmp_path)


def save(bench, value, name="doc_id", embedding="NULL", mode="errorifexists"):
    rows = bench.spark.sql(f"SELECT {value} AS {name}, CAST({embedding} AS ARRAY<FLOAT>) AS embedding")
    rows.write.format("delta").mode(mode).option("delta.enableChangeDataFeed", "true").save(bench.docs)


def listed(bench, name="nested"):
    return bench.spark.read.format("delta").load(str(bench.folder / f"{name}_quarantine"))


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("engine", ["auto", "arrow"])
def test_the_id_keeps_its_name_and_type(bench, kind, engine):
    value, expected = IDS[kind]
    typed = f"CAST({value} AS {kind})"
    save(bench, typed, embedding=GOOD)
    save(bench, typed, mode="append")
    save(bench, f"CAST(NULL AS {kind})", embedding=GOOD, mode="append")
    began = datetime.now(UTC)
    bench.apply("nested", source={"id": "doc_id"}, carry=[], engine=engine)
    rows = listed(bench)
    assert rows.schema["doc_id"].dataType.simpleString() == kind.lower()
    assert {row.reason: row.doc_id for row in rows.collect()} == {"null": expected, "the id is null": None}
    assert rows.where(F.col("set_aside_at").between(began, datetime.now(UTC))).count() == 2
    assert {row.source_version for row in rows.collect()} == {2}


def test_a_merge_says_in_which_version_a_row_went_bad(bench):
    save(bench, "7", embedding=GOOD)
    save(bench, "8", mode="append")
    settings = {"source": {"id": "doc_id"}, "carry": [], "mode": "incremental"}
    bench.apply("nested", **settings)
    bench.sql("UPDATE docs SET embedding = ARRAY(CAST(1 AS FLOAT)) WHERE doc_id = 7")
    save(bench, "9", embedding=GOOD, mode="append")
    bench.apply("nested", **settings)
    assert {(row.doc_id, row.reason, row.source_version) for row in listed(bench).collect()} == {
        (7, "width 1 instead of 32", 3),
        (8, "null", 1),
    }


def test_a_quarantine_of_an_earlier_release_is_understood(bench):
    """It had ids as text, bytes in hex, and no version."""
    save(bench, "X'0A'", embedding=GOOD)
    save(bench, "X'0B'", mode="append")
    save(bench, "X'0C'", embedding=GOOD, mode="append")
    settings = {"source": {"id": "doc_id"}, "carry": [], "mode": "incremental"}
    bench.apply("nested", **settings)
    old = listed(bench).selectExpr("hex(doc_id) AS id", "reason")
    old.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(
        str(bench.folder / "nested_quarantine")
    )
    bench.sql("UPDATE docs SET embedding = NULL WHERE doc_id = X'0A'")
    bench.apply("nested", **settings)
    rows = {bytes(row.doc_id): (row.reason, row.source_version) for row in listed(bench).collect()}
    assert rows == {b"\x0b": ("null", None), b"\x0a": ("null", 3)}


def test_an_id_that_the_quarantine_has_another_use_for(bench):
    save(bench, "7", name="reason")
    with pytest.raises(AdaptorError, match="the quarantine has a column reason of its own"):
        bench.apply("nested", source={"id": "reason"}, carry=[])


def test_an_id_whose_name_delta_refuses(bench):
    rows = bench.spark.sql(f"SELECT 1 AS `doc id`, {GOOD} AS embedding UNION ALL SELECT 2, NULL")
    rows.write.format("delta").option("delta.columnMapping.mode", "name").save(bench.docs)
    bench.apply("nested", source={"id": "doc id"}, carry=[])
    assert [(row.doc_id, row.reason) for row in listed(bench).collect()] == [(2, "null")]
