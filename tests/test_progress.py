"""What a person sees while a job works: a line at least every ten seconds, or a bar on the terminal behind the JVM."""

import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console
from synthetic import SMALL_SPARK, clustered, embeddings_frame, save_delta, small_config, write_config

from adaptor.console.progress import ConsoleProgress
from adaptor.spark import progress as module
from adaptor.spark.progress import Progress, Tasks
from adaptor.spark.session import tasks_at_work
from adaptor.training.workers import Step
from adaptor.training.workers.local import Alone
from adaptor.training.workers.watching import Watched

ROOT = Path(__file__).parents[1]


@pytest.fixture
def clock(monkeypatch):
    """`clock[0]` is the time in seconds, which only tests let pass."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_stage_says_how_long_it_takes_every_ten_seconds(clock):
    lines = []
    progress = Progress(lines.append)
    progress("searching")
    for _ in range(25):
        clock[0] += 1
        progress.tick(Tasks(3, 12))
    assert lines == ["searching", "... 10 s, 3 of 12 Spark tasks", "... 20 s, 3 of 12 Spark tasks"]


def test_silence_is_counted_from_the_last_line(clock):
    lines = []
    progress = Progress(lines.append)
    for line in ("one", "two"):
        progress(line)
        clock[0] += 9
        progress.tick()
    assert lines == ["one", "two"]


def test_rows_are_counted_with_speed_and_time_left(clock):
    lines = []
    progress = Progress(lines.append)
    with progress.rows(4000) as count:
        count.advance(1000, new=False)  # an earlier run wrote them: they say nothing of the speed
        clock[0] += 10
        count.advance(1000)
        assert lines == ["... 2,000 of 4,000 rows (50%), 100 rows/s, 20 s left"]
        count.expect(2000)
        clock[0] += 10
        progress.tick(Tasks(1, 2))
    assert lines[1:] == ["... 3,000 of 4,000 rows (75%), 100 rows/s, 10 s left"]


def test_rows_that_nobody_has_counted(clock):
    progress = Progress(print)
    with progress.rows(None) as count:
        clock[0] += 2
        count.advance(500)
        assert count.line() == "500 rows, 250 rows/s"


def test_steps_of_training(clock):
    lines = []
    progress = Progress(lines.append)
    for step in range(1, 31):
        progress.step(Step(step, 300))
        clock[0] += 1
    assert lines == [
        "... 11 of 300 steps (4%), 1 steps/s, 289 s left",
        "... 21 of 300 steps (7%), 1 steps/s, 279 s left",
    ]
    progress("another stage, as training has stopped early")
    assert progress.status() == "0 s"


def test_what_the_first_worker_says_of_a_step(clock):
    """A training that goes on at step 100 is as fast as what it does from there on."""
    progress = Progress(print)
    progress.step(Step(101, 300, loss=0.5, score=0.25, rows=384))
    clock[0] += 4
    progress.step(Step(119, 300, loss=0.12345, score=0.9, rows=384))
    clock[0] += 6
    assert progress.status() == "119 of 300 steps (40%), loss 0.1235, held-out 0.9000, 691 rows/s, 101 s left"
    progress.step(Step(51, 300))  # started again, further back
    assert progress.status() == "51 of 300 steps (17%)"


def test_steps_of_workers_in_other_processes_are_heard_and_leave_nothing(tmp_path):
    class Elsewhere:
        size = 1

        def run(self, fn):
            collective = Alone()
            fn(collective)  # in another process, of which nobody hears but by the file
            assert heard.wait(30)
            return [None]

    heard, steps = threading.Event(), []

    def hear(step):
        steps.append(step)
        heard.set()

    step = Step(3, 10, loss=0.5, score=None, rows=64, device="cpu")
    Watched(Elsewhere(), str(tmp_path / "progress"), hear).run(lambda collective: collective.advance(step))
    assert steps == [step]
    assert list(tmp_path.iterdir()) == []


def test_tasks_at_work(spark):
    assert tasks_at_work(spark) == Tasks(0, 0)
    seen, ended = [], threading.Event()

    def watch():
        while not ended.wait(0.02):
            seen.append(tasks_at_work(spark))

    thread = threading.Thread(target=watch)
    thread.start()
    spark.sparkContext.parallelize(range(6), 6).foreach(lambda _: __import__("time").sleep(0.2))
    ended.set()
    thread.join()
    assert {tasks.total for tasks in seen} >= {6}
    assert any(0 < tasks.done < 6 for tasks in seen)


def test_lines_come_by_themselves_where_there_is_no_terminal(spark, tmp_path, monkeypatch):
    lines, said = [], threading.Event()

    def report(line):
        lines.append(line)
        if line.startswith("..."):
            said.set()

    monkeypatch.setattr("adaptor.console.progress.progress", report)
    monkeypatch.setattr(module, "LINE_SECONDS", 0.1)
    with (tmp_path / "out").open("w") as file, ConsoleProgress(spark, Console(file=file)) as progress:
        progress("a stage in which nothing is said")
        assert said.wait(30)
    assert lines[0] == "a stage in which nothing is said"
    assert re.fullmatch(r"\.\.\. \d+ s(, \d+ of \d+ Spark tasks)?", lines[1])


def submitted(config: str, where: str) -> str:
    """What `spark-submit jobs/apply.py` shows: on a terminal of its own, through a pipe, or in a file."""
    submit = Path(sys.executable).with_name("spark-submit")
    confs = [part for key, value in SMALL_SPARK.items() for part in ("--conf", f"{key}={value}")]
    command = [str(submit), "--master", "local[2]", *confs, "jobs/apply.py", "--config", config]
    if where == "pipe":
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout
    if where == "file":
        out = Path(f"{config}.out")
        with out.open("w") as file:
            file.write("what stood there before\n")
            file.flush()
            assert subprocess.run(command, cwd=ROOT, stdout=file, stderr=file).returncode == 0
        return out.read_text()
    ours, theirs = pty.openpty()
    shown = bytearray()
    with subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs) as job:
        os.close(theirs)
        try:
            while part := os.read(ours, 4096):
                shown += part
        except OSError:  # Linux says so when the last process has closed a terminal
            pass
        os.close(ours)
    assert job.returncode == 0, shown.decode()
    return shown.decode()


@pytest.fixture(scope="module")
def folder(spark, tmp_path_factory):
    from applying import ADAPTOR

    from adaptor import publish

    folder = tmp_path_factory.mktemp("progress")
    save_delta(embeddings_frame(spark, clustered(100)), folder / "docs")
    publish(ADAPTOR, str(folder / "artifact"))
    return folder


@pytest.mark.parametrize("where", ["terminal", pytest.param("pipe", marks=pytest.mark.slow), "file"])
def test_a_bar_on_the_terminal_behind_spark_submit_and_none_elsewhere(folder, where):
    apply = {"target": str(folder / where)}
    config = write_config(folder / f"{where}.yaml", small_config(folder, str(folder / "docs"), apply=apply))
    shown = submitted(config, where)
    on_terminal = where == "terminal"
    assert shown.startswith("what stood there before") == (where == "file")
    assert "100 inserted" in shown
    assert ("━" in shown) == on_terminal
    assert ("\x1b[" in shown) == on_terminal
    assert "Stage" not in shown  # Spark's own bar
