"""What is promoted is followed between batches, never inside one: by services of queries, and by runs of apply."""

import numpy as np
import pytest
from applying import ADAPTOR, STREAM, vectors
from synthetic import rotation

from adaptor import Adaptor, AdaptorError, Follower, publish
from adaptor.maps import Map
from adaptor.release import Versions
from adaptor.spark.apply import merge, stream
from adaptor.spark.apply.builds import Build
from adaptor.spark.release import promote

OTHER = Adaptor(Map(rotation(seed=3)), (4, 8, 16), int8_scales=np.full(32, 1e-2, np.float32))
SOURCE = np.stack(vectors(100, bad=False))


@pytest.fixture(scope="module")
def original(original):
    original.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)")
    return original


def quiet(line):
    """A report that says nothing."""


def folder(bench):
    return str(bench.folder / "artifact")


def require_all_by(bench, adaptor):
    """Every row of the target is what `adaptor` makes of the source's, as it is now."""
    docs = bench.spark.read.format("delta").load(bench.docs)
    source = {row.id: row.embedding for row in docs.collect()}
    rows = bench.rows("nested")
    found = np.array([row.embedding_8 for row in rows])
    np.testing.assert_allclose(found, adaptor.encode([source[row.id] for row in rows], dim=8), atol=1e-5)


# services of queries


@pytest.mark.parametrize("root", ["{tmp_path}/versions", "memory://following"])
def test_a_service_has_the_version_that_is_current_when_a_batch_begins(tmp_path, root):
    root = root.format(tmp_path=tmp_path)
    publish(ADAPTOR, root)
    follower = Follower(root)
    first = follower.current()
    Versions(root).add(OTHER, "", promote=False)
    assert follower.current() is first  # a candidate is nobody's business, and nothing is loaded twice
    publish(OTHER, root)
    np.testing.assert_array_equal(first.encode(SOURCE, dim=8), ADAPTOR.encode(SOURCE, dim=8))  # the batch it began with
    assert follower.current().fingerprint == OTHER.fingerprint
    Versions(root).go_back()
    assert follower.current().fingerprint == ADAPTOR.fingerprint


def test_a_service_stays_with_a_version_that_was_named(tmp_path):
    versions = Versions(str(tmp_path))
    publish(ADAPTOR, versions.root)
    follower = Follower(versions.folder(ADAPTOR.version))
    first = follower.current()
    publish(OTHER, versions.root)
    assert follower.current() is first


def test_a_service_that_can_not_read_asks_again(tmp_path):
    publish(ADAPTOR, str(tmp_path))
    follower, pointer = Follower(str(tmp_path)), tmp_path / "current.json"
    first, said = follower.current(), pointer.read_bytes()
    pointer.write_text("{")
    with pytest.raises(AdaptorError, match=r"current.json in .* is damaged"):
        follower.current()
    pointer.write_bytes(said)
    assert follower.current() is first


def test_a_service_of_a_table_follows_the_table(bench):
    bench.apply("nested")
    follower = Follower(folder(bench), for_table=str(bench.folder / "nested"))
    publish(OTHER, folder(bench))
    assert follower.current().fingerprint == ADAPTOR.fingerprint
    bench.apply("nested", rebuild=True)
    assert follower.current().fingerprint == OTHER.fingerprint


# runs of apply


def test_a_stream_ends_between_batches_when_a_version_is_promoted(bench, monkeypatch):
    """Its first batch was planned by a run that was cut off; the version is promoted while that batch is merged."""
    bench.apply("nested", mode="stream")
    bench.sql("UPDATE docs SET title = 'first' WHERE id = 'd001'")
    with monkeypatch.context() as patched:
        patched.setattr(stream, "merge_changes", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.apply("nested", mode="stream")
    bench.sql("UPDATE docs SET title = 'second', embedding = reverse(embedding) WHERE id = 'd002'")
    with monkeypatch.context() as patched:
        summarise, batches = merge.summarise, []

        def promoting(last):
            batches.append(last)
            publish(OTHER, folder(bench))
            return summarise(last)

        patched.setattr(merge, "summarise", promoting)
        with pytest.raises(AdaptorError, match=r"rows of both must not mix.*apply.rebuild=true") as error:
            bench.apply("nested", mode="stream")
    assert len(batches) == 1
    assert str(error.value).startswith(
        f"version {OTHER.version} was promoted while this stream ran, and {bench.folder / 'nested'} holds rows of "
        f"version {ADAPTOR.version}; rows of both must not mix, so the changes after version 2 of "
        f"{bench.docs} were not merged"
    )
    assert {row.title for row in bench.rows("nested")} & {"first", "second"} == {"first"}
    bench.apply("nested", mode="stream", rebuild=True)  # the way out that it names
    assert {row.title for row in bench.rows("nested")} >= {"first", "second"}
    require_all_by(bench, OTHER)


@pytest.mark.parametrize("mode", ["incremental", STREAM])
def test_a_target_that_a_promotion_writes_meanwhile_gets_no_rows_of_the_old_version(bench, monkeypatch, mode):
    """The promotion comes after the run has looked at the target, and a change of the source after that."""
    bench.apply("nested", mode=mode)
    Versions(folder(bench)).add(OTHER, "", promote=False)
    bench.sql("UPDATE docs SET title = 'first', embedding = reverse(embedding) WHERE id = 'd001'")
    switch_on_marks, done = merge._switch_on_marks, []
    held_version = stream.held_version

    def promoted_meanwhile():
        if not done:
            done.append(promote(bench.spark, bench.config("nested"), quiet))
            bench.sql("UPDATE docs SET title = 'second', embedding = reverse(embedding) WHERE id = 'd002'")

    def before_the_stream_begins(*arguments):
        held = held_version(*arguments)
        promoted_meanwhile()
        return held

    def before_the_merge(*arguments):
        promoted_meanwhile()
        switch_on_marks(*arguments)

    if mode == "stream":
        monkeypatch.setattr(stream, "held_version", before_the_stream_begins)
    else:
        monkeypatch.setattr(merge, "_switch_on_marks", before_the_merge)
    with pytest.raises(
        AdaptorError, match=f"was written by artifact {OTHER.version} while this run, .*run apply again"
    ):
        bench.apply("nested", mode=mode)
    monkeypatch.undo()
    bench.apply("nested", mode=mode)
    assert {row.title for row in bench.rows("nested")} >= {"first", "second"}
    require_all_by(bench, OTHER)


def test_a_full_run_ends_by_the_version_it_began_with_and_says_so(bench, monkeypatch):
    """Each but the last of its chunks has a commit of its own; all are of one version, whatever is promoted."""
    whole = Build.require_whole

    def promoting(build):
        publish(OTHER, folder(bench))
        whole(build)

    monkeypatch.setattr(Build, "require_whole", promoting)
    bench.apply("nested", chunk_bytes=1)
    assert bench.said[-1] == (
        f"version {OTHER.version} was promoted while this ran; {bench.folder / 'nested'} is all of version "
        f"{ADAPTOR.version}, with which it began: set apply.rebuild=true to have it by the new one"
    )
    require_all_by(bench, ADAPTOR)
