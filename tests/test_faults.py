"""Processes killed, disks filled, sources pulled away: every row once, or a clear sentence and the target as it was."""

import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from cluster import environment, standalone
from comparing import assert_same_rows
from processes import committed, executors, running, workers
from synthetic import clustered, embeddings_frame, rotation, save_delta, small_config, write_config

from adaptor import Adaptor, AdaptorError
from adaptor.config import load_config
from adaptor.maps import Map
from adaptor.release import publish
from adaptor.spark.apply import apply_table
from adaptor.spark.delta_log import DeltaLog

CHUNKS, ROWS = 20, 1000
BAD = [None, np.zeros(32), np.ones(3), np.full(32, np.nan)]


def quiet(line: str) -> None:
    """A report that says nothing."""


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """A table of twenty files, each of them a chunk, a few bad rows in some; two artifacts; the undisturbed targets."""
    folder = tmp_path_factory.mktemp("faults")
    docs = embeddings_frame(spark, [*clustered(ROWS), *BAD]).repartition(CHUNKS)
    tables = SimpleNamespace(spark=spark, folder=folder, docs=save_delta(docs, folder / "docs"))
    for name, seed in (("one", 0), ("two", 1)):
        publish(Adaptor(Map(rotation(seed=seed)), (4, 8, 16)), str(folder / name))

    def config(name: str, artifact: str = "one", table: str = tables.docs, **apply) -> str:
        """The path of a config that writes to a target of this name."""
        apply = {"target": str(folder / name), "carry": ["title"], "chunk_bytes": 1, **apply}
        document = small_config(folder / name, table, artifact=str(folder / artifact), apply=apply)
        return write_config(folder / f"{name}-{artifact}.yaml", document | {"runs": str(folder / f"{name}-runs")})

    def apply(path: str, report=quiet):
        return apply_table(spark, load_config(path), report)

    def docs_again(where: Path | str, mode: str = "errorifexists") -> str:
        return save_delta(spark.read.format("delta").load(tables.docs).repartition(CHUNKS), where, mode)

    tables.config, tables.apply, tables.docs_again = config, apply, docs_again
    tables.expected = {}
    for artifact in ("one", "two"):
        apply(config(f"undisturbed_{artifact}", artifact))
        tables.expected[artifact] = rows(spark, folder / f"undisturbed_{artifact}")
    return tables


def rows(spark, table: Path | str) -> list[tuple]:
    """All rows of a table in the order of their ids."""
    return sorted(map(tuple, spark.read.format("delta").load(str(table)).collect()))


def require_undisturbed(lake, name: str, artifact: str = "one") -> None:
    """Target and quarantine hold what an undisturbed run writes, every row once."""
    result = rows(lake.spark, lake.folder / name)
    assert len(result) == ROWS
    assert_same_rows(result, lake.expected[artifact])
    bad, undisturbed = (
        [row[:3] for row in rows(lake.spark, lake.folder / f"{table}_quarantine")]  # but for the time
        for table in (name, f"undisturbed_{artifact}")
    )
    assert len(bad) == len(BAD)
    assert bad == undisturbed


def kill_after(job, target: Path, chunks: int, delay: float) -> bool:
    """Kill the job `delay` seconds after it, or one before it, has committed so many chunks; whether it still ran."""
    reached = job.wait_until(lambda: committed(target) >= (1, chunks))
    time.sleep(delay)
    reached = reached and job.running
    job.kill()
    return reached


@pytest.mark.parametrize(
    ("engine", "kills"),
    [
        ("direct", 1),
        pytest.param("direct", 10, marks=pytest.mark.slow),
        pytest.param("arrow", 2, marks=pytest.mark.slow),
    ],
)
def test_a_driver_killed_at_random_moments(lake, engine, kills):
    """Each run goes on where the one before was killed; the last one finishes."""
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    draw = random.Random(seed)
    name = f"killed_{engine}_{kills}"
    path, target = lake.config(name, engine=engine), lake.folder / name
    moments = sorted(draw.sample(range(CHUNKS), kills))  # chunks; the last one is committed with what is published
    done, killed = 0, 0
    for number, chunks in enumerate(moments):
        with running(path, lake.folder / f"{name}-{number}.log") as job:
            killed += kill_after(job, target, chunks, draw.uniform(0, 0.6))
            builds, there = committed(target)
            assert builds == 1, job.out
            assert there >= max(done, chunks), job.out
            done = there
    assert killed >= kills - 1  # the last moment may come after the end
    with running(path, lake.folder / f"{name}-last.log") as job:
        assert job.wait() == 0, job.out
    assert committed(target) == (1, CHUNKS - 1)
    require_undisturbed(lake, name)


def test_readers_see_the_old_rows_or_all_new_ones(lake):
    """While a build by another artifact is killed, goes on and is published."""
    draw = random.Random(1)
    target = lake.folder / "read"
    lake.apply(lake.config("read", "one"))
    fingerprints = {name: Adaptor.load(str(lake.folder / name)).fingerprint for name in ("one", "two")}
    log, seen = DeltaLog(lake.spark, str(target)), []

    def look() -> None:
        now = log.snapshot()
        artifact = "one" if now.properties["matryoshka.fingerprint"] == fingerprints["one"] else "two"
        assert_same_rows(sorted(map(tuple, now.read(now.files).collect())), lake.expected[artifact])
        result = rows(lake.spark, target)
        assert_same_rows(result, lake.expected[_artifact_of(result, lake.expected)])
        seen.append(artifact)

    path = lake.config("read", "two", rebuild=True)
    new = [folder.name for folder in target.glob("staging-*")]
    for chunks in (8, None):
        with running(path, lake.folder / f"read-{chunks}.log") as job:
            while job.running and not (chunks and _chunks_but(target, new) >= chunks):
                look()
            if chunks:
                time.sleep(draw.uniform(0, 0.5))
                job.kill()
                look()
                assert seen[-1] == "one"
            else:
                assert job.wait() == 0, job.out
    look()
    assert seen[-1] == "two"
    assert seen == sorted(seen)  # never back to the old rows
    require_undisturbed(lake, "read", "two")


def _artifact_of(result: list[tuple], expected: dict[str, list[tuple]]) -> str:
    """Whose rows these are, if they are anyone's: by the first vector of the first."""
    return min(expected, key=lambda name: np.abs(np.subtract(result[0][2], expected[name][0][2])).max())


def _chunks_but(target: Path, old: list[str]) -> int:
    """Commits of staging tables that were not there before."""
    fresh = [folder for folder in target.glob("staging-*") if folder.name not in old and "-bad" not in folder.name]
    return sum(len(list(folder.glob("_delta_log/*.json"))) - 1 for folder in fresh)


@pytest.mark.slow
def test_two_applies_at_once(lake):
    """They share the build, or one of them says that it lost; no row comes twice."""
    path, target = lake.config("both"), lake.folder / "both"
    with running(path, lake.folder / "both-1.log") as first, running(path, lake.folder / "both-2.log") as second:
        codes = [first.wait(), second.wait()]
    assert 0 in codes, first.out + second.out
    for job, code in zip((first, second), codes):
        assert "Traceback" not in job.out
        assert len(job.said) == (0 if code == 0 else 1), job.out
    assert committed(target)[1] == CHUNKS - 1
    require_undisturbed(lake, "both")
    runs = rows(lake.spark, lake.folder / "both-runs")
    assert len({row[0] for row in runs}) == codes.count(0)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, so large."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a file system can't be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "arrow"])
def test_a_full_disk(lake, engine):
    """One sentence, the table as it was; with more room the same run goes on and finishes."""
    name = f"full_{engine}"
    table = save_delta(embeddings_frame(lake.spark, clustered(200)), lake.folder / f"{name}_docs")
    with small_disk(lake.folder / f"{name}_disk", "2m") as disk:
        path = lake.config(name, table=table, target=str(disk / "nested"), engine=engine)
        lake.apply(path)
        before = rows(lake.spark, disk / "nested")
        vectors = clustered(24_000, seed=3)
        more = embeddings_frame(lake.spark, vectors, [f"n{i:05d}" for i in range(len(vectors))])
        save_delta(more.repartition(6), table, "append")
        with running(path, lake.folder / f"{name}.log") as job:
            assert job.wait() == 1, job.out
        assert len(job.said) == 1, job.out
        assert f"no space left on device while {disk / 'nested'} was written: make room there" in job.said[0]
        assert "Traceback" not in job.out
        assert rows(lake.spark, disk / "nested") == before
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        builds = committed(disk / "nested")[0]
        lake.apply(path)
        assert committed(disk / "nested")[0] == builds  # it went on with the same build
        result = rows(lake.spark, disk / "nested")
        assert [row[0] for row in result] == sorted(
            [f"d{i:03d}" for i in range(200)] + [row.id for row in more.collect()]
        )


@pytest.mark.slow
def test_a_source_rewritten_under_a_killed_run(lake):
    """The build goes on with the version that it began with, and says so; the run after takes the new rows."""
    table = lake.docs_again(lake.folder / "rewritten_docs")
    path, target = lake.config("rewritten", table=table), lake.folder / "rewritten"
    with running(path, lake.folder / "rewritten.log") as job:
        assert kill_after(job, target, 5, 0.1), job.out
    save_delta(embeddings_frame(lake.spark, clustered(50, seed=5)), table, "overwrite")
    lines: list[str] = []
    assert lake.apply(path, lines.append).source.version == 0
    assert "going on with the build of version 0; the source is at 1 by now" in lines
    require_undisturbed(lake, "rewritten")
    assert lake.apply(path).source.version == 1
    assert [row[0] for row in rows(lake.spark, target)] == [f"d{i:03d}" for i in range(50)]
    assert rows(lake.spark, lake.folder / "rewritten_quarantine") == []


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["direct", "arrow"])
def test_a_source_vacuumed_under_a_running_job(lake, engine):
    """A sentence says what happened, the target is as it was; the run after begins anew with what there is."""
    name = f"vacuumed_{engine}"
    old = save_delta(embeddings_frame(lake.spark, clustered(30, seed=6)), lake.folder / f"{name}_docs")
    path, target = lake.config(name, table=old, engine=engine), lake.folder / name
    lake.apply(path)
    before = rows(lake.spark, target)
    lake.docs_again(old, "overwrite")
    with running(path, lake.folder / f"{name}.log") as job:
        assert job.wait_until(lambda: committed(target)[0] == 2 and committed(target)[1] >= 3), job.out
        job.send(signal.SIGSTOP)
        save_delta(embeddings_frame(lake.spark, clustered(40, seed=7)), old, "overwrite")
        lake.spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
        lake.spark.sql(f"VACUUM delta.`{old}` RETAIN 0 HOURS")
        lake.spark.conf.unset("spark.databricks.delta.retentionDurationCheck.enabled")
        job.send(signal.SIGCONT)
        assert job.wait() == 1, job.out
    assert len(job.said) == 1, job.out
    assert f"files of {old} at version 1, or of this build, are gone: a table was vacuumed" in job.said[0]
    assert rows(lake.spark, target) == before
    lake.apply(path)
    assert [row[0] for row in rows(lake.spark, target)] == [f"d{i:03d}" for i in range(40)]


@pytest.mark.slow
def test_a_build_whose_files_were_vacuumed_begins_anew(lake):
    """A build that was left lying until VACUUM of the target took its files is not published without them."""
    path, target = lake.config("stale"), lake.folder / "stale"
    with running(path, lake.folder / "stale.log") as job:
        assert kill_after(job, target, 5, 0.1), job.out
    # One that the log names: a chunk that was cut off leaves files too.
    staging = next(folder for folder in target.glob("staging-*") if not folder.name.endswith("-bad"))
    (staging / DeltaLog(lake.spark, str(staging)).snapshot().files[0].path).unlink()
    with pytest.raises(AdaptorError, match=r"1 files that this build wrote are gone, such as part-.*run apply again"):
        lake.apply(path)
    assert not (target / "_delta_log").exists()
    lake.apply(path)
    require_undisturbed(lake, "stale")


@pytest.mark.slow
def test_workers_and_executors_killed_on_a_cluster(lake, tmp_path):
    """Python workers, then an executor, then the other one: Spark tries again, and every row is there once."""
    vectors = clustered(120_000, seed=8)
    docs = embeddings_frame(lake.spark, vectors, [f"d{i:06d}" for i in range(len(vectors))]).repartition(12)
    table = save_delta(docs, lake.folder / "large_docs")
    lake.apply(lake.config("large", table=table))
    path, target = lake.config("cluster", table=table, engine="direct"), lake.folder / "cluster"
    killed: list[str] = []
    itself = psutil.Process()
    with (
        standalone(tmp_path) as master,
        running(path, lake.folder / "cluster.log", master=master, environment=environment()) as job,
    ):
        for kind, find, chunks in (("worker", workers, 2), ("executor", executors, 4), ("executor", executors, 7)):
            assert job.wait_until(lambda: committed(target)[1] >= chunks and bool(find(itself))), job.out  # noqa: B023
            for process in find(itself)[: 1 if kind == "executor" else None]:
                process.kill()
                killed.append(kind)
        assert job.wait() == 0, job.out
    assert killed.count("worker") >= 1
    assert killed.count("executor") == 2
    result = rows(lake.spark, target)
    assert len(result) == len(vectors)
    assert_same_rows(result, rows(lake.spark, lake.folder / "large"))
