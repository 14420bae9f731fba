"""Delta's log: the same from the checksum files that Delta writes beside it and from the log itself."""

import json
import shutil

import pytest
from synthetic import clustered, embeddings_frame, save_delta

from adaptor.spark.delta_log import Conflict, DataFile, DeltaLog


@pytest.fixture
def tables(spark, tmp_path):
    """A table of several commits, one row marked as deleted, and its copy without checksum files."""
    path = save_delta(embeddings_frame(spark, clustered(60)).repartition(3), tmp_path / "docs")
    spark.sql(f"ALTER TABLE delta.`{path}` SET TBLPROPERTIES ('delta.enableDeletionVectors' = true)")
    spark.sql(f"DELETE FROM delta.`{path}` WHERE id = 'd007'")
    transaction = DeltaLog(spark, path).start()
    assert not transaction.seen("a chunk", 3)
    transaction.commit({})
    shutil.copytree(path, tmp_path / "copy", ignore=shutil.ignore_patterns("*.crc"))
    return DeltaLog(spark, path), DeltaLog(spark, str(tmp_path / "copy"))


def test_files_and_transactions_with_and_without_checksums(tables):
    with_checksums, without = tables
    snapshot, read = with_checksums.snapshot(), without.snapshot()
    assert snapshot.applications == {"a chunk": 3}
    assert read.applications is None
    assert [file.key for file in snapshot.files] == [file.key for file in read.files]
    assert snapshot.rows == read.rows == 59
    for log in tables:
        assert log.start().seen("a chunk", 3)
        assert not log.start().seen("a chunk", 4)


def test_two_that_commit_the_same_transaction(tables):
    for log in tables:
        one, other = log.start(), log.start()
        assert not one.seen("same")
        assert not other.seen("same")
        one.commit({})
        with pytest.raises(Conflict):
            other.commit({})


def test_files_that_may_hold_values():
    def file(low, high):
        return DataFile(json.dumps({"stats": json.dumps({"minValues": {"id": low}, "maxValues": {"id": high}})}))

    assert [file(10, 20).may_hold("id", *bounds) for bounds in [(1, 9), (1, 10), (20, 30), (21, 30), (12, 13)]] == [
        False, True, True, False, True,
    ]  # fmt: skip
    assert not file("b", "c").may_hold("id", "d", "e")
    assert file("b", "c").may_hold("id", 1, 2)  # another kind: nobody knows
    assert file(10, 20).may_hold("other", 1, 2)
    assert DataFile("{}").may_hold("id", 1, 2)
