"""A version's life after the fit: candidate, compared, promoted, gone back from; readers never meet two artifacts."""

import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fsspec
import numpy as np
import pytest
from applying import ADAPTOR, Bench, vectors
from synthetic import clustered, rotation
from typer.testing import CliRunner

from adaptor import Adaptor, AdaptorError, publish
from adaptor.console.app import console
from adaptor.console.commands import app
from adaptor.maps import Map
from adaptor.release import Versions
from adaptor.release.table_stamp import fingerprint_of_table
from adaptor.spark import fit_table
from adaptor.spark.compare import compare_versions
from adaptor.spark.release import promote, roll_back

OTHER = Adaptor(Map(rotation(seed=3)), (4, 8, 16), int8_scales=np.full(32, 1e-2, np.float32))
ONE, TWO = (adaptor.fingerprint[:12] for adaptor in (ADAPTOR, OTHER))


def quiet(line):
    """A report that says nothing."""


def folder(bench):
    return str(bench.folder / "artifact")


# the folder of versions


@pytest.fixture(params=["local", "memory"])
def root(request, tmp_path):
    """A folder of versions, on a disk and on a file system without folders or renames."""
    if request.param == "local":
        yield str(tmp_path / "versions")
        return
    yield "memory://versions"
    fsspec.filesystem("memory").rm("/versions", recursive=True)


def test_two_fits_at_once_never_mix(root):
    """Whatever their order, a reader has one artifact or the other, whole; and the same fit twice is one version."""
    stop, met = threading.Event(), set()

    def read():
        while not stop.is_set():
            if Versions(root).current is not None:
                met.add(Adaptor.load(root).fingerprint)  # raises where weights are not those of the config

    def publish_again_and_again(adaptor):
        for _ in range(20):
            Versions(root).add(adaptor, f"# {adaptor.version}", promote=True)

    with ThreadPoolExecutor(4) as pool:
        reading = pool.submit(read)
        try:
            for fit in [pool.submit(publish_again_and_again, adaptor) for adaptor in (ADAPTOR, OTHER, OTHER)]:
                fit.result()
        finally:
            stop.set()
        reading.result()
    versions = Versions(root)
    assert met <= {ADAPTOR.fingerprint, OTHER.fingerprint}
    assert versions.current in (ONE, TWO)
    assert {version.name for version in versions.all()} == {ONE, TWO}
    for name, adaptor in ((ONE, ADAPTOR), (TWO, OTHER)):
        assert versions.load(name).fingerprint == adaptor.fingerprint
        assert versions._fs.cat_file(f"{versions._folder}/{name}/README.md").decode() == f"# {name}"


def test_one_promotion_at_a_time(root):
    versions = Versions(root)
    versions.add(ADAPTOR, "", promote=True)
    with versions.alone("promote it"), pytest.raises(AdaptorError, match="another run has begun to promote it"):
        Versions(root).alone("promote it too").__enter__()
    with versions.alone("roll back"):
        pass


def test_the_first_version_is_current_and_the_next_a_candidate(tmp_path):
    versions = Versions(str(tmp_path / "versions"))
    assert (versions.current, versions.candidate) == (None, None)
    versions.add(ADAPTOR, "", promote=False)
    versions.add(OTHER, "", promote=False)
    assert (versions.current, versions.candidate) == (ONE, TWO)
    assert Adaptor.load(versions.root).fingerprint == ADAPTOR.fingerprint
    assert {version.name: version.state for version in versions.all()} == {ONE: "current", TWO: "candidate"}


def test_promote_always_makes_each_version_current(tmp_path):
    versions = Versions(str(tmp_path))
    for adaptor in (ADAPTOR, OTHER):
        versions.add(adaptor, "", promote=True)
    assert (versions.current, versions.candidate, versions.history) == (TWO, None, [ONE])


def test_going_back_goes_further_back_each_time(tmp_path):
    versions = Versions(str(tmp_path))
    third = Adaptor(Map(rotation(seed=4)), (4,))
    for adaptor in (ADAPTOR, OTHER, third):
        publish(adaptor, versions.root)
    assert versions.history == [ONE, TWO]
    versions.go_back()
    versions.go_back()
    assert (versions.current, versions.history) == (ONE, [])
    with pytest.raises(AdaptorError, match=f"has no version before {ONE} to go back to"):
        versions.go_back()


def test_a_damaged_pointer_is_mended_by_publishing(tmp_path):
    publish(ADAPTOR, str(tmp_path))
    (tmp_path / "current.json").write_text("{")
    with pytest.raises(AdaptorError, match=r"current.json in .* is damaged"):
        _ = Versions(str(tmp_path)).current
    publish(OTHER, str(tmp_path))
    assert Versions(str(tmp_path)).current == TWO


def test_two_promotes_at_once(tmp_path):
    versions = Versions(str(tmp_path))
    publish(ADAPTOR, str(tmp_path))
    with (
        versions.alone("promote x"),
        pytest.raises(AdaptorError, match=r"another run has begun to promote x at .*, or delete .*promoting.json"),
        versions.alone("roll back"),
    ):
        pass
    assert not (tmp_path / "promoting.json").exists()


# which version wrote a table


@pytest.mark.parametrize("name", ["nested", "docs"])
def test_the_log_of_a_table_says_who_wrote_it(bench, name):
    bench.apply("nested", **({"target": "same", "carry": []} if name == "docs" else {}))
    table = str(bench.folder / name)
    assert fingerprint_of_table(table) == (ADAPTOR.fingerprint, bench.log(name).snapshot().version)
    bench.sql(f"OPTIMIZE {name}", name)  # others commit too
    bench.sql(f"ALTER TABLE {name} SET TBLPROPERTIES ('team' = 'search')", name)
    fingerprint, version = fingerprint_of_table(table)
    assert (fingerprint, version) == (ADAPTOR.fingerprint, bench.log(name).snapshot().version)
    publish(OTHER, folder(bench))
    assert Adaptor.load(folder(bench)).fingerprint == OTHER.fingerprint
    assert Adaptor.load(folder(bench), for_table=table).fingerprint == ADAPTOR.fingerprint


def test_commits_that_are_gone_are_not_missed(bench):
    """Delta deletes old commits once there is a checkpoint; the newest ones and their checksums stay."""
    bench.apply("nested")
    for number in range(2):
        bench.sql(f"ALTER TABLE nested SET TBLPROPERTIES ('number' = '{number}')", "nested")
    log = bench.folder / "nested" / "_delta_log"
    for path in sorted(log.glob("*.json"))[:-1]:
        path.unlink()
    last = next(log.glob("*.json"))
    kept = [line for line in last.read_text().splitlines() if "metaData" not in json.loads(line)]
    last.write_text("\n".join(kept))
    assert fingerprint_of_table(str(bench.folder / "nested"))[0] == ADAPTOR.fingerprint


def test_a_table_that_apply_did_not_write(bench, tmp_path):
    with pytest.raises(AdaptorError, match=r"docs is a table that apply did not write: its log names no artifact"):
        Adaptor.load(folder(bench), for_table=bench.docs)
    with pytest.raises(AdaptorError, match="there is no Delta table at"):
        Adaptor.load(folder(bench), for_table=str(tmp_path / "nowhere"))


# comparing


def test_a_worse_candidate_loses_its_comparison(bench):
    """Its columns stand in the opposite order."""
    best = np.linalg.svd(clustered(100))[2].T.astype(np.float32)
    publish(Adaptor(Map(best), (4, 8, 16)), folder(bench))
    worse = Adaptor(Map(np.ascontiguousarray(best[:, ::-1])), (4, 8))
    Versions(folder(bench)).add(worse, "", promote=False)
    comparison = compare_versions(bench.spark, bench.config("nested"), quiet)
    assert (comparison.other, tuple(comparison.gains)) == (worse.fingerprint[:12], (4, 8))
    assert all(gain.high < 0 for gain in comparison.gains.values())
    assert comparison.verdict() == f"By retrieval@10 {comparison.other} is worse at 4, 8 than the current one."


def test_a_version_beside_itself_is_not_told_apart(bench):
    twin = Adaptor(ADAPTOR.corpus, ADAPTOR.dims, config={"twin": True})
    Versions(folder(bench)).add(twin, "", promote=False)
    comparison = compare_versions(bench.spark, bench.config("nested"), quiet)
    assert {(gain.low, gain.high) for gain in comparison.gains.values()} == {(0.0, 0.0)}
    assert "not told apart from the current one at any dim" in comparison.verdict()


def test_nothing_to_compare(bench):
    with pytest.raises(AdaptorError, match=f"has no candidate beside the current version {ONE}: fit one, or name a"):
        compare_versions(bench.spark, bench.config("nested"), quiet)
    with pytest.raises(AdaptorError, match="has no version 0123; `adaptor versions` lists what it has"):
        compare_versions(bench.spark, bench.config("nested"), quiet, "0123")
    Versions(folder(bench)).add(Adaptor(Map(rotation(seed=5)), (2,)), "", promote=False)
    with pytest.raises(AdaptorError, match="share no dim of one width"):
        compare_versions(bench.spark, bench.config("nested"), quiet)


# promoting and going back


@pytest.mark.parametrize("mode", ["full", "incremental"])
def test_the_table_first_then_the_pointer(bench, mode):
    bench.sql("ALTER TABLE docs SET TBLPROPERTIES ('delta.enableChangeDataFeed' = true)")
    bench.apply("nested", mode=mode)
    versions = Versions(folder(bench))
    versions.add(OTHER, "", promote=False)
    config = bench.config("nested", mode=mode)
    release = promote(bench.spark, config, quiet)
    assert (release.version, release.instead_of, release.applied.written) == (TWO, ONE, 100)
    assert (versions.current, versions.candidate, versions.history) == (TWO, None, [ONE])
    assert fingerprint_of_table(str(bench.folder / "nested"))[0] == OTHER.fingerprint
    bench.save(vectors(2, bad=False, seed=5), ["e0", "e1"], 1, "append")
    assert bench.apply("nested", mode=mode).written == (2 if mode == "incremental" else 102)  # the night after
    assert roll_back(bench.spark, config, quiet).version == ONE
    assert (versions.current, versions.history) == (ONE, [])
    assert fingerprint_of_table(str(bench.folder / "nested"))[0] == ADAPTOR.fingerprint
    assert len(bench.rows("nested")) == 102


def test_killed_between_table_and_pointer_it_can_be_run_again(bench, monkeypatch):
    bench.apply("nested")
    Versions(folder(bench)).add(OTHER, "", promote=False)

    def killed(self, version):
        raise KeyboardInterrupt

    make_current = Versions.make_current
    monkeypatch.setattr(Versions, "make_current", killed)
    with pytest.raises(KeyboardInterrupt):
        promote(bench.spark, bench.config("nested"), quiet)
    monkeypatch.setattr(Versions, "make_current", make_current)
    assert Versions(folder(bench)).current == ONE
    table = str(bench.folder / "nested")
    assert Adaptor.load(folder(bench), for_table=table).fingerprint == OTHER.fingerprint
    lines = []
    assert promote(bench.spark, bench.config("nested"), lines.append).applied is None
    assert lines == [f"{table} was written by {TWO} already"]
    assert Versions(folder(bench)).current == TWO


def test_nothing_to_promote(bench):
    with pytest.raises(AdaptorError, match="has no candidate to promote: fit one, or name a version"):
        promote(bench.spark, bench.config("nested"), quiet)
    with pytest.raises(AdaptorError, match="has no version 0123"):
        promote(bench.spark, bench.config("nested"), quiet, "0123")
    with pytest.raises(AdaptorError, match=f"has no version before {ONE} to go back to"):
        roll_back(bench.spark, bench.config("nested"), quiet)


def test_a_query_service_never_meets_a_map_and_a_table_of_two_artifacts(bench, tmp_path):
    """Through compare, promote, a nightly apply and rollback, its map is that of the rows it reads."""
    bench.apply("nested")
    np.save(tmp_path / "source.npy", np.stack(vectors(100, bad=False)))
    Versions(folder(bench)).add(OTHER, "", promote=False)
    stop, config = tmp_path / "stop", bench.config("nested")
    service = Path(__file__).with_name("query_service.py")
    arguments = [folder(bench), str(bench.folder / "nested"), str(tmp_path / "source.npy"), str(stop)]
    with subprocess.Popen([sys.executable, service, *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            compare_versions(bench.spark, config, quiet)
            promote(bench.spark, config, quiet)
            bench.apply("nested")
            roll_back(bench.spark, config, quiet)
        finally:
            stop.touch()
        said = json.loads(process.communicate()[0])
    assert said["mistakes"] == []
    assert said["met"] == sorted([ONE, TWO])


def test_a_fit_leaves_a_candidate_and_says_so(spark, tmp_path):
    bench = Bench(spark, tmp_path)
    bench.save(vectors(200, bad=False))
    config = bench.config("nested")
    fitted = fit_table(spark, config, quiet)
    assert fitted.is_candidate
    assert Versions(folder(bench)).current == ONE
    always = config.model_copy(update={"artifact": config.artifact.model_copy(update={"promote": "always"})})
    assert not fit_table(spark, always, quiet).is_candidate
    assert Versions(folder(bench)).current == fitted.adaptor.fingerprint[:12]


# the command


def test_the_command_adaptor(bench, spark):
    """As a person types it; `jobs/release.py` runs the same on a cluster."""
    bench.apply("nested")
    versions = Versions(folder(bench))
    versions.add(OTHER, "", promote=False)
    bench.config("nested")
    path = str(bench.folder / "nested.yaml")

    def run(command: str, code: int = 0) -> str:
        with console.capture() as shown:
            ended = CliRunner().invoke(app, [command, "--config", path])
        assert ended.exit_code == code, ended.output
        return shown.get() + ended.output

    listed = run("versions").splitlines()
    assert any(ONE in line and "current" in line for line in listed)
    assert any(TWO in line and "candidate" in line for line in listed)
    assert f"By retrieval@10 {TWO} is " in run("compare")
    assert f"current      {TWO}, instead of {ONE}" in run("promote")
    assert f"current      {ONE}, instead of {TWO}" in run("rollback")
    assert f"rollback: {folder(bench)} has no version before {ONE} to go back to" in run("rollback", code=1)
    assert versions.current == ONE
