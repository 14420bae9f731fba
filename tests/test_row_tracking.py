"""What is one table's own stays there: row ids, commit versions, and properties that tell of a table's history."""

import json

import pytest
from applying import Bench, vectors

DEFAULTS = "spark.databricks.delta.properties.defaults"
TRACKING = "delta.enableRowTracking"


@pytest.fixture
def bench(spark, tmp_path):
    source = Bench(spark, tmp_path)
    source.save(vectors(100, bad=False), files=4)
    return source


def tracked(bench, name):
    """id -> (row id, the version that it came with)."""
    table = bench.spark.read.format("delta").load(str(bench.folder / name))
    rows = table.select("id", "_metadata.row_id", "_metadata.row_commit_version").collect()
    tracks = {row.id: (row.row_id, row.row_commit_version) for row in rows}
    assert len({row_id for row_id, _ in tracks.values()}) == len(tracks) == len(rows), "row ids are unique"
    return tracks


def properties(bench, name):
    return bench.sql(f"DESCRIBE DETAIL {name}", name)[0].properties


def own(bench, name):
    """Properties that must be those of this very table."""
    return {key: value for key, value in properties(bench, name).items() if "aterialized" in key}


def preserved(bench, name):
    """What the last commit says."""
    log = sorted((bench.folder / name / "_delta_log").glob("*.json"))[-1]
    commit = next(json.loads(line) for line in log.read_text().splitlines() if "commitInfo" in line)["commitInfo"]
    return commit["tags"]["delta.rowTracking.preserved"]


@pytest.mark.parametrize("chunk_bytes", [None, 1])
def test_in_place_every_row_is_a_new_one(bench, chunk_bytes):
    bench.sql(f"ALTER TABLE docs SET TBLPROPERTIES ('{TRACKING}' = 'true')")
    names = own(bench, "docs")
    before = tracked(bench, "docs")
    bench.apply("same", target="same", carry=[], chunk_bytes=chunk_bytes)
    after = tracked(bench, "docs")
    assert set(after) == set(before)
    assert not {row_id for row_id, _ in after.values()} & {row_id for row_id, _ in before.values()}
    assert {version for _, version in after.values()} == {bench.versions("docs") - 1}
    assert preserved(bench, "docs") == "false"
    assert own(bench, "docs") == names


@pytest.mark.slow
def test_a_target_of_its_own(bench):
    """Built in chunks, rebuilt in another session, merged into: new rows get new ids, the others keep theirs."""
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
    with bench.setting(f"{DEFAULTS}.enableRowTracking", "true"):
        bench.apply("nested", chunk_bytes=1)
        built, names = tracked(bench, "nested"), own(bench, "nested")
        assert {version for _, version in built.values()} == {0}
        bench.sql("UPDATE docs SET title = 'new' WHERE id < 'd010'")
        bench.apply("nested", chunk_bytes=1)
        rebuilt, version = tracked(bench, "nested"), bench.versions("nested") - 1
    assert not {row_id for row_id, _ in built.values()} & {row_id for row_id, _ in rebuilt.values()}
    assert {commit for _, commit in rebuilt.values()} == {version}
    assert own(bench, "nested") == names
    assert preserved(bench, "nested") == "false"
    for mode in ("incremental", "stream"):
        before = tracked(bench, "nested")
        bench.sql(f"UPDATE docs SET title = '{mode}' WHERE id >= 'd095'")
        bench.save(vectors(2, bad=False, seed=1), [f"{mode}{i}" for i in range(2)], mode="append")
        bench.apply("nested", mode=mode)
        after = tracked(bench, "nested")
        new = {name for name in after if name >= "d095"}
        assert {name for name in after if before.get(name) != after[name]} == new
        assert not {after[name][0] for name in new} & {row_id for row_id, _ in before.values()}
        assert {after[name][1] for name in new} == {bench.versions("nested") - 1}
        assert preserved(bench, "nested") == "false"
    assert own(bench, "nested") == names


def test_what_a_session_gives_new_tables_is_not_for_old_ones(bench):
    bench.apply("nested", chunk_bytes=1)
    before = properties(bench, "nested"), properties(bench, "docs")
    bench.sql("UPDATE docs SET title = 'new' WHERE id < 'd010'")
    with (
        bench.setting(f"{DEFAULTS}.enableRowTracking", "true"),
        bench.setting(f"{DEFAULTS}.enableInCommitTimestamps", "true"),
    ):
        bench.apply("nested", chunk_bytes=1)
        bench.apply("same", target="same", carry=[], chunk_bytes=1)
    after = properties(bench, "nested"), properties(bench, "docs")
    for old, new in zip(before, after):
        gained = {key for key in set(new) - set(old) if not key.startswith(("matryoshka.", "delta.constraints."))}
        assert gained <= {"delta.dataSkippingStatsColumns"}


def test_a_source_with_a_history_gets_its_columns_in_place(bench):
    """Commit timestamps since a version, names that are mapped to others."""
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableInCommitTimestamps' = 'true')")
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')")
    bench.sql("ALTER TABLE docs RENAME COLUMN title TO heading")
    since = {key: value for key, value in properties(bench, "docs").items() if "inCommitTimestamp" in key}
    assert "delta.inCommitTimestampEnablementVersion" in since
    before = bench.rows("docs")
    bench.apply("same", target="same", carry=[], chunk_bytes=1)
    assert [row[:3] for row in bench.rows("docs")] == [row[:3] for row in before]
    assert all(len(row.embedding_4) == 4 for row in bench.rows("docs"))
    features = properties(bench, "docs")
    assert since.items() <= features.items()
    assert features["delta.columnMapping.maxColumnId"] == "6"
