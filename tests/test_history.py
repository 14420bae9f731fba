"""What `DESCRIBE HISTORY` says of a target: the operation, rows inserted, updated and deleted, files and bytes."""

import pytest
from applying import STREAM, vectors

FEED = "ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)"


@pytest.fixture(scope="module")
def original(original):
    original.sql(FEED)
    return original


def history(bench, name):
    """Operation, parameters and metrics of each commit, the first one first."""
    return [
        (row.operation, row.operationParameters, {key: int(value) for key, value in row.operationMetrics.items()})
        for row in reversed(bench.sql(f"DESCRIBE HISTORY {name}", name))
    ]


def added_bytes(bench, name):
    return sum(file.bytes for file in bench.log(name).snapshot().files)


def change(bench):
    """Three rows get other vectors, two go, and two come."""
    bench.sql("UPDATE docs SET embedding = reverse(embedding) WHERE id IN ('d010', 'd011', 'd012')")
    bench.sql("DELETE FROM docs WHERE id IN ('d020', 'd021')")
    bench.save(vectors(2, bad=False, seed=1), ["e0", "e1"], 1, "append")


def test_a_full_run_and_a_rebuild(bench):
    bench.apply("nested")
    bench.apply("nested", layout="bands", rebuild=True)
    for operation, parameters, metrics in history(bench, "nested"):
        assert (operation, parameters["mode"]) == ("WRITE", "Overwrite")
        assert metrics["numOutputRows"] == 100
        assert metrics["numFiles"] >= 1
    assert metrics["numOutputBytes"] == added_bytes(bench, "nested")


def test_many_chunks_are_one_operation(bench):
    bench.apply("nested", chunk_bytes=1)
    [(operation, _, metrics)] = history(bench, "nested")
    assert (operation, metrics["numOutputRows"], metrics["numFiles"]) == ("WRITE", 100, 3)
    assert metrics["numOutputBytes"] == added_bytes(bench, "nested")


@pytest.mark.parametrize("mode", ["incremental", STREAM])
def test_a_merge(bench, mode):
    bench.apply("nested", mode=mode)
    change(bench)
    applied = bench.apply("nested", mode=mode)
    assert (applied.written, applied.updated, applied.removed) == (5, 3, 2)
    operation, _, metrics = history(bench, "nested")[-1]
    assert operation == "MERGE"
    assert metrics["numTargetRowsInserted"] == 2
    assert metrics["numTargetRowsUpdated"] == 3
    assert metrics["numTargetRowsDeleted"] == 2
    assert metrics["numTargetFilesAdded"] >= 1
    assert metrics["numTargetBytesAdded"] > 0


def test_a_merge_into_what_a_full_run_built_names_what_it_switches_on(bench):
    bench.apply("nested")
    change(bench)
    bench.apply("nested", mode="incremental")
    operations = [operation for operation, _, _ in history(bench, "nested")]
    assert operations == ["WRITE", "SET TBLPROPERTIES", "MERGE"]


def test_in_place(bench):
    bench.apply("same", target="same", carry=[])
    operation, _, metrics = history(bench, "docs")[-1]
    assert (operation, metrics["numUpdatedRows"]) == ("UPDATE", 103)
    assert metrics["numAddedFiles"] >= 1
    assert metrics["numRemovedFiles"] == 3


@pytest.mark.parametrize("mode", ["incremental", STREAM])
def test_each_commit_says_where_its_rows_come_from(bench, mode):
    bench.apply("nested", mode=mode)
    change(bench)
    bench.apply("nested", mode=mode)
    for row in bench.sql("DESCRIBE HISTORY nested", "nested"):
        assert "matryoshka.fingerprint" in row.userMetadata
