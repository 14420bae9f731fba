"""The jobs by spark-submit: exit codes, messages and summaries, as a user sees them.

What only the sentence differs in runs in this process, through the same entry point.
"""

import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synthetic import SMALL_SPARK, clustered, embeddings_frame, rotation, save_delta, small_config, write_config
from typer.main import get_command
from typer.testing import CliRunner

from adaptor import Adaptor
from adaptor.console import commands
from adaptor.maps import Map
from adaptor.release import publish

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


@dataclass
class Ended:
    """How a submit ended; `said` are the job's error lines. spark-submit passes both of a job's streams to stdout."""

    code: int
    out: str
    err: str
    said: list[str]
    started_spark: bool


@pytest.fixture
def submit(tmp_path):
    """`submit("fit", "--config", path)`: run the job in an empty folder, in a small Spark."""

    def run(job: str, *arguments: str, conf: dict[str, str] | None = None) -> Ended:
        events = tmp_path / "events"
        events.mkdir(exist_ok=True)
        options = {
            **SMALL_SPARK,
            # A session that starts leaves an event log: so it can be seen whether one did.
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": events.as_uri(),
            **(conf or {}),
        }
        command = [str(BIN / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g"]
        for key, value in options.items():
            command += ["--conf", f"{key}={value}"]
        env = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PYSPARK_PYTHON": sys.executable}
        done = subprocess.run(
            [*command, str(ROOT / "jobs" / f"{job}.py"), *arguments],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
        )
        said = [line for line in done.stdout.splitlines() if line.startswith(f"{job}: ")]
        return Ended(done.returncode, done.stdout, done.stderr, said, any(events.iterdir()))

    return run


@pytest.fixture
def run(spark, tmp_path, monkeypatch):
    """`run("fit", "--config", path)`: the job in this process, in an empty folder, with the session of all tests."""
    monkeypatch.chdir(tmp_path)

    def main(job: str, *arguments: str) -> Ended:
        entry = runpy.run_path(str(ROOT / "jobs" / f"{job}.py"))["app"]
        ended = CliRunner().invoke(entry, arguments)
        said = [line for line in ended.stderr.splitlines() if line.startswith(f"{job}: ")]
        return Ended(ended.exit_code, ended.stdout, ended.stderr, said, started_spark=True)

    return main


@pytest.fixture(scope="module")
def lake(spark, tmp_path_factory):
    """Tables, good and bad, and the artifact of a rotation."""
    folder = tmp_path_factory.mktemp("jobs")
    vectors = [*clustered(200), None, np.zeros(32), np.full(32, np.inf), np.ones(3)]
    docs = embeddings_frame(spark, vectors)
    tables = SimpleNamespace(
        folder=folder,
        docs=save_delta(docs, folder / "docs"),
        few=save_delta(docs.limit(8), folder / "few"),
        empty=save_delta(docs.limit(0), folder / "empty"),
        words=save_delta(docs.selectExpr("id", "array(title) AS embedding"), folder / "words"),
        artifact=str(folder / "rotation"),
    )
    publish(Adaptor(Map(rotation()), (4, 8, 16)), tables.artifact)
    return tables


@pytest.fixture
def config(lake, tmp_path):
    """`config(table, apply={...})`: the path of a small config that writes under tmp_path."""

    def make(table: str, **changes) -> str:
        return write_config(tmp_path / "c.yaml", small_config(tmp_path, table, **changes))

    return make


def refused(ended: Ended, message: str) -> None:
    """The job ended with this sentence and nothing else: no trace, no summary."""
    assert ended.code == 1, ended.out
    assert len(ended.said) == 1, ended.out
    assert re.search(message, ended.said[0]), ended.said[0]
    assert "Traceback" not in ended.out + ended.err
    assert ended.started_spark


def test_the_three_jobs_in_a_row(lake, config, submit, tmp_path):
    """The good case: bad vectors are set aside, counted and named; each job prints its summary."""
    path = config(lake.docs)
    fit = submit("fit", "--config", path)
    assert (fit.code, fit.said) == (0, []), fit.out
    for line in ("set aside: 1 rows, infinite", "set aside: 1 rows, width 3 instead of 32", "4 bad rows set aside"):
        assert line in fit.out
    fingerprint = Adaptor.load(str(tmp_path / "artifact")).fingerprint[:12]
    assert f"fingerprint {fingerprint}" in fit.out

    apply = submit("apply", "--config", path)
    assert (apply.code, apply.said) == (0, []), apply.out
    assert f"200 inserted, 0 updated, 0 deleted, from {lake.docs} at version 0" in apply.out
    assert "1 rows: infinite" in apply.out
    assert f"fingerprint  {fingerprint}" in apply.out

    evaluate = submit("evaluate", "--config", path)
    assert (evaluate.code, evaluate.said) == (0, []), evaluate.out
    assert re.search(r"retrieval@10: 0\.\d{4} at full width 32, 128 bytes a row", evaluate.out), evaluate.out
    assert re.search(r"^By retrieval@10 the adaptor is .* SVD at ", evaluate.out, re.MULTILINE), evaluate.out

    again = submit("apply", "--config", path)
    assert (again.code, again.said) == (0, []), again.out
    assert "by this artifact already: nothing to do" in again.out


def test_table_missing(config, submit):
    ended = submit("fit", "--config", config("lake/none"))
    refused(ended, "fit: there is no Delta table at lake/none; check source.table")


def test_column_missing(lake, config, run):
    path = config(lake.docs)
    ended = run("fit", "--config", path, "--set", "source.embedding=vector")
    refused(ended, r"fit: .*docs has no column 'vector'; it has id, title, embedding$")


def test_wrong_element_type(lake, config, run):
    ended = run("fit", "--config", config(lake.words))
    refused(ended, r"column 'embedding' of .*words is array<string>; embeddings are array<float> or array<double>")


def test_empty_table(lake, config, run):
    refused(run("fit", "--config", config(lake.empty)), r"fit: .*empty at version 0 has no rows$")


def test_fewer_rows_than_neighbours(lake, config, run):
    ended = run("fit", "--config", config(lake.few))
    refused(ended, r"fit: the sample has 8 good rows; .* needs at least 11 .*: sample more rows$")


def test_artifact_missing(lake, config, run):
    ended = run("apply", "--config", config(lake.docs))
    refused(ended, r"apply: no artifact at .*/artifact: it has no config.json; run jobs/fit.py to make one$")


def test_artifact_of_another_width(spark, lake, config, run):
    narrow = save_delta(embeddings_frame(spark, clustered(20, width=16)), lake.folder / "narrow")
    ended = run("apply", "--config", config(narrow, artifact=lake.artifact, apply={"carry": []}))
    refused(ended, r"narrow holds embeddings of width 16, the artifact was fitted on width 32; fit one on this table$")


def test_a_crash_in_a_worker_surfaces_its_cause(lake, config, submit, tmp_path):
    """Executors whose Python can't import the library: the cause stands in the first line."""
    broken = tmp_path / "broken" / "adaptor" / "__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("raise ImportError('libgomp.so.1: no such file')\n")
    path = config(lake.docs, artifact=lake.artifact)
    ended = submit("apply", "--config", path, conf={"spark.executorEnv.PYTHONPATH": str(tmp_path / "broken")})
    assert ended.code == 1
    assert ended.said[0] == "apply: ImportError: libgomp.so.1: no such file", ended.out
    assert "Traceback (most recent call last):" in ended.out


def test_unknown_config_key(lake, config, submit):
    ended = submit("fit", "--config", config(lake.docs, sample={"row": 5}))
    assert ended.code == 2
    assert len(ended.said) == 1
    assert "unknown key sample.row; did you mean sample.rows?" in ended.said[0]
    assert not ended.started_spark


def test_missing_config_file(submit):
    ended = submit("evaluate", "--config", "conf/none.yaml")
    assert ended.code == 2
    assert ended.said == ["evaluate: no config file at conf/none.yaml; conf/ holds examples"]
    assert not ended.started_spark


def test_help_shows_an_example(submit):
    ended = submit("fit", "--help")
    assert ended.code == 0
    shown = " ".join(re.sub("[^ -~]", " ", ended.out).split())
    assert "Example: spark-submit jobs/fit.py --config conf/quickstart.yaml --set sample.rows=5000" in shown
    assert not ended.started_spark


@pytest.mark.parametrize("job", ["apply", "evaluate"])
def test_help_without_spark(job):
    done = subprocess.run([sys.executable, ROOT / "jobs" / f"{job}.py", "--help"], capture_output=True, text=True)
    shown = " ".join(re.sub("[^ -~]", " ", done.stdout).split())
    assert f"Example: spark-submit jobs/{job}.py --config" in shown


@pytest.mark.parametrize("job", ["fit", "apply", "evaluate", "monitor", "report"])
def test_the_command_adaptor_is_the_same_as_the_file(job):
    """The same options, the same sentence and exit code."""
    file = runpy.run_path(str(ROOT / "jobs" / f"{job}.py"))["app"]
    options = [option.opts for option in get_command(file).params]
    assert options == [option.opts for option in get_command(commands.app).commands[job].params]
    for app, words in ((file, []), (commands.app, [job])):
        ended = CliRunner().invoke(app, [*words, "--config", "none.yaml"])
        assert (ended.exit_code, ended.stderr) == (2, f"{job}: no config file at none.yaml; conf/ holds examples\n")
