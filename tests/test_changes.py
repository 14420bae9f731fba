"""Incremental and streaming runs: after any changes the target is what a full run would have written."""

import shutil

import numpy as np
import pytest
from applying import ADAPTOR, STREAM, Bench, vectors
from comparing import assert_same_rows
from pyspark.sql import functions as F
from synthetic import embeddings_frame, rotation, save_delta

from adaptor import Adaptor, AdaptorError
from adaptor.maps import Map
from adaptor.release import publish
from adaptor.spark.apply import merge

MODES = ["incremental", STREAM]


@pytest.fixture(scope="module")
def original(original):
    original.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)")
    return original


def change(bench: Bench) -> None:
    """Every kind of change, some of them to the same row."""
    bench.sql("UPDATE docs SET embedding = reverse(embedding), title = 'new' WHERE id BETWEEN 'd010' AND 'd014'")
    bench.sql("UPDATE docs SET embedding = NULL WHERE id = 'd020'")
    bench.sql("UPDATE docs SET embedding = ARRAY_REPEAT(CAST(1 AS FLOAT), 32) WHERE id = 'd101'")
    bench.save(vectors(5, bad=False, seed=3), [f"e{i}" for i in range(5)], 1, "append")
    bench.sql("DELETE FROM docs WHERE id IN ('d030', 'd102', 'e3')")
    bench.sql("UPDATE docs SET title = 'newer' WHERE id = 'd012'")
    bench.save(vectors(1, bad=False, seed=4), ["d030"], 1, "append")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bad_rows", ["quarantine", pytest.param("null", marks=pytest.mark.slow)])
def test_as_a_full_run(bench, mode, bad_rows):
    built = bench.apply(mode, mode=mode, bad_rows=bad_rows)
    assert bench.said[0] == f"there is no {built.target.where} yet: it is built from all rows"
    change(bench)
    applied = bench.apply(mode, mode=mode, bad_rows=bad_rows)
    bench.apply("full", bad_rows=bad_rows)
    assert_same_rows(bench.rows(mode), bench.rows("full"))
    assert (applied.quarantine is None) == (bad_rows == "null")
    if bad_rows == "quarantine":
        assert (applied.written, applied.removed) == (11, 1)
        assert bench.listed(mode) == bench.listed("full")

    again = bench.apply(mode, mode=mode, bad_rows=bad_rows)
    assert (again.written, again.source.version) == (0, 8)
    assert "already: nothing to do" in bench.said[-1]


@pytest.mark.parametrize("mode", MODES)
def test_a_merge_that_was_cut_off_before_its_commit(bench, mode, monkeypatch):
    bench.apply("nested", mode=mode)
    before = bench.rows("nested")
    change(bench)
    with monkeypatch.context() as patched:
        patched.setattr("adaptor.spark.delta_log.Transaction.commit", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.apply("nested", mode=mode)
    assert bench.rows("nested") == before
    bench.apply("nested", mode=mode)
    bench.apply("full")
    assert_same_rows(bench.rows("nested"), bench.rows("full"))
    assert bench.listed("nested") == bench.listed("full")


def test_two_merges_at_once(bench, monkeypatch):
    """The one to an earlier version is told, also where it comes to the quarantine last."""
    bench.apply("nested", mode="incremental")
    bench.sql("UPDATE docs SET embedding = NULL WHERE id IN ('d012', 'd013')")
    bench.sql("UPDATE docs SET embedding = ARRAY_REPEAT(CAST(1 AS FLOAT), 32) WHERE id = 'd012'")
    places, others = merge._places, []

    def overtaken(*arguments):
        if not others:
            others.append("is at work")
            others.append(bench.apply("nested", mode="incremental"))
        return places(*arguments)

    monkeypatch.setattr(merge, "_places", overtaken)
    with pytest.raises(AdaptorError, match="another run merges changes into"):
        bench.apply("nested", mode="incremental", source={"version": 2})
    assert (others[1].source.version, others[1].bad_rows) == (3, {"null": 1})
    bench.apply("full")
    assert_same_rows(bench.rows("nested"), bench.rows("full"))
    assert bench.listed("nested") == bench.listed("full")


def test_a_merge_marks_rows_and_writes_only_new_ones(bench):
    """One commit; the files that hold old rows stay, also where rows of theirs were marked before."""
    bench.apply("nested", mode="incremental")
    built = bench.files("nested")
    for night, title in enumerate(("first", "second"), 1):
        bench.sql(f"UPDATE docs SET title = '{title}' WHERE id BETWEEN 'd050' AND 'd05{4 + night}'")
        commits = bench.versions("nested")
        applied = bench.apply("nested", mode="incremental")
        assert bench.versions("nested") == commits + 1
        assert (applied.written, applied.removed) == (5 + night, 0)
        assert built <= bench.files("nested")
    assert [row.id for row in bench.rows("nested") if row.title == "second"] == [f"d05{i}" for i in range(7)]
    assert len(bench.rows("nested")) == 100


@pytest.mark.slow
def test_a_target_with_rules_of_its_own_has_them_kept(bench):
    bench.apply("nested", mode="incremental")
    bench.sql("ALTER TABLE nested ADD CONSTRAINT polite CHECK (title <> 'rude')", "nested")
    before = bench.rows("nested")
    bench.sql("UPDATE docs SET title = 'rude' WHERE id = 'd001'")
    with pytest.raises(Exception, match="polite"):
        bench.apply("nested", mode="incremental")
    assert bench.rows("nested") == before
    bench.sql("UPDATE docs SET title = 'kind' WHERE id = 'd001'")
    bench.sql("ALTER TABLE nested ADD COLUMN mine STRING", "nested")
    bench.apply("nested", mode="incremental")
    assert [row.id for row in bench.rows("nested") if row.title == "kind"] == ["d001"]
    assert [row[:2] for row in bench.rows("nested")[2:]] == [row[:2] for row in before[2:]]


def test_a_target_without_statistics_is_left_alone(bench):
    bench.apply("nested", mode="incremental")
    with bench.setting("spark.databricks.delta.stats.collect", "false"):
        bench.sql("UPDATE nested SET title = 'mine' WHERE id = 'd002'", "nested")
    before = bench.rows("nested")
    bench.sql("UPDATE docs SET title = 'new' WHERE id = 'd001'")
    with pytest.raises(AdaptorError, match=r"files without statistics.*apply.rebuild=true"):
        bench.apply("nested", mode="incremental")
    assert bench.rows("nested") == before
    bench.apply("nested", rebuild=True)
    assert [row.id for row in bench.rows("nested") if row.title == "new"] == ["d001"]


@pytest.mark.parametrize("mode", MODES)
def test_a_target_that_a_full_run_built(bench, mode):
    bench.apply("nested")
    bench.sql("UPDATE docs SET title = 'new' WHERE id = 'd000'")
    bench.apply("nested", mode=mode)
    assert [row.id for row in bench.rows("nested") if row.title == "new"] == ["d000"]
    assert len(bench.rows("nested")) == 100


@pytest.mark.slow
def test_a_stream_that_lost_its_checkpoint_does_not_merge_twice(bench):
    bench.apply("nested", mode="stream")
    change(bench)
    bench.apply("nested", mode="stream")
    before, commits = bench.rows("nested"), bench.versions("nested")
    shutil.rmtree(bench.folder / "nested" / "_matryoshka")
    bench.apply("nested", mode="stream")
    assert (bench.rows("nested"), bench.versions("nested")) == (before, commits)
    bench.sql("UPDATE docs SET title = 'last' WHERE id = 'd040'")
    bench.apply("nested", mode="stream")
    assert [row.id for row in bench.rows("nested") if row.title == "last"] == ["d040"]


@pytest.mark.slow
def test_a_target_that_was_restored_gets_the_changes_again(bench):
    bench.apply("nested", mode="incremental")
    bench.sql("UPDATE docs SET title = 'new'")
    bench.apply("nested", mode="incremental")
    bench.sql("RESTORE TABLE nested TO VERSION AS OF 0", "nested")
    assert {row.title for row in bench.rows("nested")} != {"new"}
    bench.apply("nested", mode="incremental")
    assert {row.title for row in bench.rows("nested")} == {"new"}


def test_stream_and_incremental_take_turns(bench):
    for mode in ("stream", "incremental", "stream"):
        bench.sql("UPDATE docs SET embedding = reverse(embedding), title = concat(title, '!') WHERE id < 'd010'")
        bench.apply("nested", mode=mode)
    bench.apply("full")
    assert_same_rows(bench.rows("nested"), bench.rows("full"))


def test_rows_that_leave_and_enter_a_condition(bench):
    where = {"source": {"where": "title <> 'hidden'"}}
    bench.sql("UPDATE docs SET title = 'hidden' WHERE id < 'd010'")
    bench.apply("nested", mode="incremental", **where)
    bench.sql("UPDATE docs SET title = IF(id < 'd005', 'shown', 'hidden') WHERE id < 'd015'")
    bench.apply("nested", mode="incremental", **where)
    assert [row.id for row in bench.rows("nested")] == [f"d{i:03d}" for i in [*range(5), *range(15, 100)]]


def test_columns_that_the_source_gained_are_named(bench):
    bench.apply("nested", mode="incremental")
    bench.sql("ALTER TABLE docs ADD COLUMN language STRING")
    bench.sql("UPDATE docs SET language = 'en' WHERE id = 'd001'")
    bench.apply("nested", mode="incremental")
    assert f"new columns of {bench.docs} are not carried: language" in bench.said
    assert "language" not in bench.rows("nested")[0].asDict()


@pytest.mark.parametrize("mode", MODES)
def test_an_id_that_was_changed_leaves_no_row_behind(bench, mode):
    bench.apply("nested", mode=mode)
    bench.sql("UPDATE docs SET id = 'x1' WHERE id = 'd001'")
    bench.sql("DELETE FROM docs WHERE id = 'd002'")
    bench.sql("UPDATE docs SET id = 'd002', title = 'was d003' WHERE id = 'd003'")
    applied = bench.apply("nested", mode=mode)
    bench.apply("full")
    assert_same_rows(bench.rows("nested"), bench.rows("full"))
    assert [row.id for row in bench.rows("nested") if row.title == "was d003"] == ["d002"]
    assert (applied.written, applied.removed) == (2, 2)


@pytest.mark.parametrize("mode", MODES)
def test_counts_that_do_not_add_up_are_said_every_night_until_they_do(bench, mode):
    """A second row of an id comes; the feed alone can't tell."""
    bench.apply("nested", mode=mode)
    before = bench.rows("nested")
    bench.save(vectors(1, bad=False, seed=3), ["d001"], 1, "append")
    for _ in range(2):
        with pytest.raises(AdaptorError, match=r"has 104 rows, but .*nested would have 100 and its quarantine 3;"):
            bench.apply("nested", mode=mode)
        assert bench.rows("nested") == before
    bench.apply("nested", rebuild=True)
    assert [row.id for row in bench.rows("nested")] == sorted(["d001", *(row.id for row in before)])


def test_a_source_that_another_embedder_wrote_anew(bench):
    bench.apply("nested", mode="incremental")
    before = bench.rows("nested")
    bench.sql("UPDATE docs SET embedding = ARRAY_REPEAT(CAST(1 AS FLOAT), 48)")
    with pytest.raises(AdaptorError, match="holds embeddings of width 48, the artifact was fitted on width 32"):
        bench.apply("nested", mode="incremental")
    assert bench.rows("nested") == before


def test_a_carried_column_of_another_type(bench):
    bench.apply("nested", mode="incremental")
    before = bench.rows("nested")
    docs = bench.spark.read.format("delta").load(bench.docs).withColumn("title", F.lit(1))
    docs.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(bench.docs)
    with pytest.raises(AdaptorError, match=r"as they were, and title is int now; set apply.rebuild=true"):
        bench.apply("nested", mode="incremental")
    assert bench.rows("nested") == before
    bench.apply("nested", mode="incremental", rebuild=True)
    assert {row.title for row in bench.rows("nested")} == {1}


@pytest.mark.slow
def test_an_unfinished_build_that_changes_have_overtaken(bench, monkeypatch):
    bench.apply("nested", mode="incremental")
    with monkeypatch.context() as patched:
        patched.setattr("adaptor.spark.apply.builds.Build.publish", lambda *_: 1 / 0)
        bench.sql("UPDATE docs SET title = 'older' WHERE id = 'd001'")
        with pytest.raises(ZeroDivisionError):
            bench.apply("nested", chunk_bytes=1)
    bench.sql("UPDATE docs SET title = 'newer' WHERE id = 'd001'")
    bench.apply("nested", mode="incremental")
    bench.sql("DELETE FROM docs WHERE id = 'd002'")
    applied = bench.apply("nested", chunk_bytes=1)
    assert not any("going on with" in line for line in bench.said)
    assert applied.source.version == 4
    assert [row.id for row in bench.rows("nested") if row.title == "newer"] == ["d001"]


def test_a_target_whose_names_are_mapped_by_now(bench):
    bench.apply("nested", mode="incremental")
    bench.sql("ALTER TABLE nested SET TBLPROPERTIES ('delta.columnMapping.mode' = 'name')", "nested")
    before = bench.rows("nested")
    bench.sql("DELETE FROM docs WHERE id = 'd002'")
    for mode in ("full", "incremental"):
        with pytest.raises(AdaptorError, match=r"maps its columns' names by now; name another apply.target"):
            bench.apply("nested", mode=mode)
    assert bench.rows("nested") == before


def test_changes_that_can_not_be_followed(bench):
    bench.apply("nested", mode="incremental")
    before = bench.rows("nested")

    def refused(message: str, **apply) -> None:
        with pytest.raises(AdaptorError, match=message):
            bench.apply("nested", mode="incremental", **apply)
        assert bench.rows("nested") == before

    save_delta(embeddings_frame(bench.spark, vectors(2, bad=False), ["twice", "twice"]), bench.docs, "append")
    refused("an id of .* stands for several rows.*or run with apply.mode=full")
    refused("other carried columns.*apply.rebuild=true", carry=[])
    bench.sql("DELETE FROM docs WHERE id = 'twice'")
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = false)")
    refused(r"keeps no change feed; switch it on by ALTER TABLE .*enableChangeDataFeed.*apply.mode=full")
    bench.sql("DELETE FROM docs WHERE id = 'd003'")
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)")
    refused(r"the change feed of .* can't be followed from version 2 .*apply.mode=full")
    bench.apply("nested")
    assert [row.id for row in bench.rows("nested")] == [row.id for row in before if row.id != "d003"]


def test_another_artifact_is_refused_and_a_rebuild_replaces_all_rows_at_once(bench):
    bench.apply("nested", mode="incremental")
    before, commits = bench.rows("nested"), bench.versions("nested")
    other = Adaptor(Map(rotation(seed=5)), (4, 8, 16))
    publish(other, str(bench.folder / "artifact"))
    bench.sql("DELETE FROM docs WHERE id = 'd000'")
    for mode in ("full", "incremental"):
        with pytest.raises(AdaptorError, match=f"was written by artifact {ADAPTOR.fingerprint[:12]}.*rebuild=true"):
            bench.apply("nested", mode=mode)
    assert bench.rows("nested") == before
    bench.apply("nested", mode="incremental", rebuild=True)
    assert bench.versions("nested") == commits + 1
    rows = bench.rows("nested")
    assert len(rows) == 99
    x = bench.spark.read.format("delta").load(bench.docs).where("id = 'd007'").first().embedding
    np.testing.assert_allclose(rows[6].embedding_8, other.encode([x], dim=8)[0], atol=1e-6)


def test_another_table_in_the_place_of_the_source(bench):
    """Its versions begin anew: equal numbers are not equal rows."""
    bench.apply("nested")
    shutil.rmtree(bench.docs)
    bench.save(vectors(7, bad=False))
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)")
    assert bench.apply("nested").written == 7
    assert len(bench.rows("nested")) == 7


def test_commits_that_change_no_row(bench):
    bench.apply("nested", mode="incremental")
    before = bench.rows("nested")
    bench.sql("OPTIMIZE docs")
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('note' = 'nothing new')")
    applied = bench.apply("nested", mode="incremental")
    assert (applied.written, applied.removed) == (0, 0)
    assert bench.rows("nested") == before
