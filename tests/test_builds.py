"""Builds: what they commit before they are published, and what is left of those that never are."""

import pytest
from applying import vectors
from processes import committed

from adaptor import AdaptorError
from adaptor.spark.apply.builds import Build


def require_whole(bench, name="nested"):
    assert [row.id for row in bench.rows(name)] == [f"d{i:03d}" for i in range(100)]
    assert [row.id for row in bench.rows(f"{name}_quarantine")] == ["d100", "d101", "d102"]


@pytest.mark.parametrize(("chunk_bytes", "staged"), [(None, (0, 0)), (1, (1, 2))])
def test_the_last_chunk_is_committed_with_what_is_published(bench, chunk_bytes, staged):
    bench.apply("nested", chunk_bytes=chunk_bytes)
    assert committed(bench.folder / "nested") == staged
    assert bench.versions("nested") == 1
    require_whole(bench)


@pytest.mark.parametrize("chunk_bytes", [pytest.param(None, marks=pytest.mark.slow), 1])
@pytest.mark.parametrize("engine", ["direct", pytest.param("arrow", marks=pytest.mark.slow)])
def test_a_source_that_has_another_width_by_now(bench, chunk_bytes, engine):
    """The target, whose files lie beside those of the build that fails, is as it was; so is the quarantine."""
    bench.apply("nested", chunk_bytes=chunk_bytes, engine=engine)
    before = bench.versions("nested")
    bench.save([[1.0] * 48] * 20, [f"w{i}" for i in range(20)], mode="overwrite")
    for _ in range(2):
        with pytest.raises(AdaptorError, match="holds embeddings of width 48, the artifact was fitted on width 32"):
            bench.apply("nested", chunk_bytes=chunk_bytes, engine=engine)
    assert bench.versions("nested") == before
    require_whole(bench)
    bench.save(vectors(100), mode="overwrite")
    bench.apply("nested", chunk_bytes=chunk_bytes, engine=engine)
    assert not any("going on with" in line for line in bench.said)
    require_whole(bench)


@pytest.mark.parametrize("chunk_bytes", [None, 1])
def test_a_condition_that_no_row_fulfils(bench, chunk_bytes):
    nobody = {"where": "id LIKE 'e%'"}
    with pytest.raises(AdaptorError, match=r"at version 0 has no rows where id LIKE 'e%'"):
        bench.apply("nested", chunk_bytes=chunk_bytes, source=nobody)
    bench.save(vectors(5, bad=False), [f"e{i}" for i in range(5)], mode="append")
    assert bench.apply("nested", chunk_bytes=chunk_bytes, source=nobody).written == 5


@pytest.mark.parametrize("chunk_bytes", [pytest.param(None, marks=pytest.mark.slow), 1])
def test_bad_rows_of_a_build_before_that_were_vacuumed(bench, chunk_bytes):
    """They are not this build's, so it misses nothing."""
    bench.apply("nested", chunk_bytes=chunk_bytes)
    bench.save(vectors(50, bad=False), mode="overwrite")
    with bench.setting("spark.databricks.delta.retentionDurationCheck.enabled", "false"):
        bench.sql("VACUUM nested RETAIN 0 HOURS", "nested")
    assert not list(bench.folder.glob("nested/staging-*-bad/*.parquet"))
    assert bench.apply("nested", chunk_bytes=chunk_bytes).written == 50
    assert bench.rows("nested_quarantine") == []


def test_two_builds_of_one_chunk_at_once(bench, monkeypatch):
    """The second to publish finds that the first has published the same, bad rows too."""
    publish, other = Build.publish, []

    def after_another(*args):
        if not other:
            other.append(None)
            other.append(bench.apply("nested"))
        return publish(*args)

    monkeypatch.setattr(Build, "publish", after_another)
    applied = bench.apply("nested")
    assert (applied.written, applied.bad_rows) == (other[1].written, other[1].bad_rows)
    assert (applied.written, sum(applied.bad_rows.values())) == (100, 3)
    assert bench.versions("nested") == 1
    require_whole(bench)


def test_a_slow_run_leaves_alone_what_came_after_the_build_that_it_shares(bench, monkeypatch):
    """Another run has published it, and merged a bad row since: it stays in the quarantine."""
    whole, others = Build.require_whole, []

    def after_others(build):
        if not others:
            others.append(None)
            bench.apply("nested")
            bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')")
            bench.sql("UPDATE docs SET embedding = NULL WHERE id = 'd007'")
            others.append(bench.apply("nested", mode="incremental"))
        whole(build)

    monkeypatch.setattr(Build, "require_whole", after_others)
    bench.apply("nested")
    assert others[1].bad_rows == {"null": 1}
    assert [row.id for row in bench.rows("nested_quarantine")] == ["d007", "d100", "d101", "d102"]
    assert len(bench.rows("nested")) == 99


def test_a_build_of_one_chunk_whose_bad_rows_are_gone_begins_anew(bench):
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Build, "publish", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.apply("nested")
    for file in bench.folder.glob("nested/staging-*-bad/*.parquet"):
        file.unlink()
    with pytest.raises(AdaptorError, match=r"or of this build, are gone: .*it begins anew"):
        bench.apply("nested")
    bench.apply("nested")
    require_whole(bench)
