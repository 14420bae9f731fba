"""A source partitioned by day, the commonest layout of a lake: its target is partitioned the same, by any engine."""

import numpy as np
import pytest
from applying import ADAPTOR, STREAM, Bench
from comparing import assert_same_rows
from synthetic import clustered, embeddings_frame

from adaptor import AdaptorError
from adaptor.errors import ConfigError

DAYS = 4
ROWS = 80
DAY = "IF(pmod(hash(id), 5) = 4, NULL, DATE'2024-03-01' + CAST(pmod(hash(id), 5) AS INT)) AS day"  # some have none
BAD = [None, np.zeros(32), np.ones(3)]


@pytest.fixture(scope="module")
def original(spark, tmp_path_factory):
    bench = Bench(spark, tmp_path_factory.mktemp("partitions"))
    docs = embeddings_frame(spark, [*clustered(ROWS), *BAD]).selectExpr("*", DAY, "concat('a b/', id > 'd040') AS half")
    writer = docs.write.format("delta").partitionBy("day", "half").option("delta.enableChangeDataFeed", "true")
    writer.save(bench.docs)
    return bench


def partitions(bench, name):
    return bench.sql(f"DESCRIBE DETAIL {name}", name)[0].partitionColumns


def by_day(bench, name):
    return bench.sql(f"SELECT day, half, count(*) AS rows FROM {name} GROUP BY ALL ORDER BY ALL", name)


CARRY = ["title", "day", "half"]


@pytest.mark.parametrize("layout", ["columns", "bands"])
@pytest.mark.parametrize("chunk_bytes", [None, pytest.param(1, marks=pytest.mark.slow)])
def test_direct_writes_what_spark_writes(bench, layout, chunk_bytes):
    applied = bench.apply("direct", engine="direct", carry=CARRY, layout=layout, chunk_bytes=chunk_bytes)
    bench.apply("spark", engine="pandas_udf", carry=CARRY, layout=layout)
    assert partitions(bench, "direct") == partitions(bench, "spark") == ["day", "half"]
    assert_same_rows(bench.rows("direct"), bench.rows("spark"))
    assert by_day(bench, "direct") == by_day(bench, "spark")
    assert bench.listed("direct") == bench.listed("spark") == [
        ("d080", "null"), ("d081", "zero"), ("d082", "width 3 instead of 32"),
    ]  # fmt: skip
    assert applied.written + sum(applied.bad_rows.values()) == ROWS + len(BAD)


def test_auto_is_direct(bench):
    bench.apply("nested", carry=CARRY)
    assert "engine direct" in bench.said[0]


def test_readers_open_the_files_of_one_day_alone(bench):
    bench.apply("nested", carry=CARRY, chunk_bytes=1)
    files = bench.log("nested").snapshot().files
    day = [file for file in files if file.partition["day"] == "2024-03-02"]
    assert 0 < len(day) < len(files)
    rows = bench.spark.read.format("delta").load(str(bench.folder / "nested")).where("day = '2024-03-02'")
    read = {row.file for row in rows.selectExpr("_metadata.file_name AS file").distinct().collect()}
    assert read == {file.path.rpartition("/")[2] for file in day}
    plan = rows._jdf.queryExecution().executedPlan().toString()
    assert "PartitionFilters: [isnotnull(day" in plan
    low, high = rows.selectExpr("min(id)", "max(id)").first()
    assert low < high


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["incremental", STREAM])
def test_changes_are_merged_into_their_partitions(bench, mode):
    bench.apply(mode, mode=mode, carry=CARRY)
    bench.sql("UPDATE docs SET embedding = reverse(embedding) WHERE id < 'd010'")
    bench.sql("UPDATE docs SET day = DATE'2024-04-01' WHERE id = 'd020'")  # to a partition that is new
    bench.sql("DELETE FROM docs WHERE id = 'd030'")
    bench.sql("UPDATE docs SET embedding = NULL WHERE id = 'd040'")
    applied = bench.apply(mode, mode=mode, carry=CARRY)
    assert (applied.written, applied.updated, applied.removed) == (11, 11, 2)
    bench.apply("full", carry=CARRY)
    assert partitions(bench, mode) == ["day", "half"]
    assert_same_rows(bench.rows(mode), bench.rows("full"))
    assert by_day(bench, mode) == by_day(bench, "full")
    assert bench.listed(mode) == bench.listed("full")


def test_files_with_deleted_rows_go_through_spark_beside_the_others(bench):
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    bench.sql("DELETE FROM docs WHERE id = 'd007'")
    bench.apply("direct", engine="direct", carry=CARRY)
    assert {row.id for row in bench.rows("direct")} == {f"d{i:03d}" for i in range(ROWS)} - {"d007"}
    bench.apply("spark", engine="pandas_udf", carry=CARRY)
    assert_same_rows(bench.rows("direct"), bench.rows("spark"))


def test_in_place_its_partitions_stay(bench):
    before = by_day(bench, "docs")
    bench.apply("same", target="same", carry=[])
    assert partitions(bench, "docs") == ["day", "half"]
    assert by_day(bench, "docs") == before
    expected = {f"d{i:03d}": row for i, row in enumerate(ADAPTOR.encode(clustered(ROWS), dim=8))}
    for row in bench.rows("docs")[:ROWS]:
        np.testing.assert_allclose(row.embedding_8, expected[row.id], atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "columns", "engine"),
    [
        ({"carry": ["title"]}, [], "direct"),  # a partition column that is not carried is not missed
        ({"carry": ["title", "day"]}, [], "arrow, not direct: day stands in the folders' names, not in the files"),
        ({"carry": CARRY, "partition_by": []}, [], "arrow, not direct: day, half stands in the folders' names"),
        ({"carry": CARRY, "partition_by": ["day"]}, ["day"], "arrow, not direct: the target is partitioned by day"),
        ({"carry": ["title"], "partition_by": ["title"]}, ["title"], "arrow, not direct: the target is partitioned by"),
    ],
)
def test_other_partitions_can_be_asked_for(bench, settings, columns, engine):
    bench.apply("nested", **settings)
    assert partitions(bench, "nested") == columns
    assert any(f"engine {engine}" in line for line in bench.said), bench.said
    assert len(bench.rows("nested")) == ROWS


def test_another_full_run_may_partition_otherwise(bench):
    bench.apply("nested", carry=CARRY)
    bench.apply("nested", carry=CARRY, partition_by=["half"])
    assert partitions(bench, "nested") == ["half"]
    assert len(bench.rows("nested")) == ROWS


def test_a_merge_into_other_partitions_is_refused(bench):
    bench.apply("nested", carry=CARRY, mode="incremental")
    with pytest.raises(AdaptorError, match=r"was written with other carried columns, partitions, another source.where"):
        bench.apply("nested", carry=CARRY, mode="incremental", partition_by=["half"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"partition_by": ["day"]}, "partition_by names day; add it to carry"),
        ({"target": "same", "carry": [], "partition_by": []}, "target: same keeps the partitions of the source"),
    ],
)
def test_mistakes(bench, settings, message):
    with pytest.raises(ConfigError, match=message):
        bench.config("nested", **settings)
