"""Ten workers are killed, one a training, at moments that nobody chose: each training ends as an undisturbed one."""

import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cloudpickle
import psutil
import pytest
from pyspark import cloudpickle as spark_cloudpickle
from test_survival import JUDGE, MAKE, TRAINING, X

from adaptor.config import WorkersSettings
from adaptor.fitting.sample import in_memory
from adaptor.spark.progress import Progress
from adaptor.spark.workers import checkpoints_of, open_workers
from adaptor.training.loop import Schedule, train
from adaptor.training.workers.local import LocalWorkers

for pickle in (cloudpickle, spark_cloudpickle):  # workers can't import this module
    pickle.register_pickle_by_value(sys.modules[__name__])

KILLS, PAUSE = 10, 0.25  # seconds: what a batch takes at least, so that a kill meets a training that goes on
OURS = ("adaptor.spark.daemon", "resource_tracker", "java")  # processes that a session of Spark keeps


@dataclass(frozen=True)
class Slow:
    """Makes MAKE's objective, which takes its time."""

    def __call__(self, corpus, seed):
        objective = MAKE(corpus, seed)
        loss = objective.loss

        def slowly(draw):
            time.sleep(PAUSE)
            return loss(draw)

        objective.loss = slowly
        return objective


def marked(job, folder: Path, collective):
    """`job` in a worker, which says before it begins what process it is."""
    (folder / f"{collective.rank}.part").write_text(str(os.getpid()))
    (folder / f"{collective.rank}.part").rename(folder / f"{collective.rank}-{os.getpid()}.pid")
    return job(collective)


def kill_one(folder: Path, draw: random.Random, killed: list[int], ended: threading.Event) -> None:
    """As soon as both workers have begun, wait for a random part of the time they need, and kill one of them."""
    rank, moment = draw.randrange(2), draw.uniform(0, 0.8 * PAUSE * TRAINING.steps)
    while len(pids := sorted(folder.glob("*.pid"))) < 2 and not ended.is_set():
        time.sleep(0.01)
    if not ended.wait(moment):
        killed.append(int(pids[rank].stem.partition("-")[2]))
        os.kill(killed[-1], signal.SIGKILL)


def left_running(before: set[psutil.Process]) -> list[str]:
    """What was started since and does not end, but for processes that Spark keeps anyway."""
    started = set(psutil.Process().children(recursive=True)) - before
    commands = {}
    for process in started:
        try:
            commands[process] = " ".join(process.cmdline())
        except psutil.NoSuchProcess:
            continue
    others = [process for process, command in commands.items() if not any(word in command for word in OURS)]
    return [commands[process] for process in psutil.wait_procs(others, timeout=60)[1]]


@pytest.mark.slow
def test_ten_kills_at_random_moments_all_end_well(spark, tmp_path):
    """Horovod and torch by turns; the same held-out figure within .001, and neither process nor folder is left."""
    draw, schedule, batches = random.Random(20), Schedule.of(TRAINING), in_memory(X).batches
    job = partial(train, Slow(), batches, JUDGE, schedule, 0, None)
    (calm,) = LocalWorkers().run(partial(train, MAKE, batches, JUDGE, schedule, 0, None))
    before = set(psutil.Process().children(recursive=True))
    for number in range(KILLS):
        kind = ("horovod", "torch")[number % 2]
        sample, marks = tmp_path / f"sample-{number}", tmp_path / f"marks-{number}"
        sample.mkdir()
        marks.mkdir()
        settings, said = WorkersSettings(kind=kind, processes=2, restarts=1), []
        workers = open_workers(spark, settings, str(sample), Progress(said.append))
        checkpoints = checkpoints_of(settings, str(sample))
        killed, ended = [], threading.Event()
        killer = threading.Thread(target=kill_one, args=(marks, draw, killed, ended))
        killer.start()
        try:
            results = workers.run(partial(marked, partial(job, checkpoint=checkpoints.of("a training")), marks))
        finally:
            ended.set()
            killer.join()
        checkpoints.delete()
        print(number, kind, killed, said, [(trained.step, trained.score) for trained in results], flush=True)
        assert len(killed) == 1
        assert sum("restart 1 of 1" in line for line in said) == 1
        assert [trained.score for trained in results] == pytest.approx([calm.score] * 2, abs=1e-3)
        assert [path.name for path in sample.iterdir()] == []
        assert left_running(before) == []
    assert not any(psutil.pid_exists(int(path.stem.partition("-")[2])) for path in tmp_path.glob("marks-*/*.pid"))
