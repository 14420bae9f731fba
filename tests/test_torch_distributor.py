"""PySpark's TorchDistributor: processes that train as one, and errors that end all of them."""

import os
import sys

import numpy as np
import psutil
import pytest
import torch
from training_workers import (
    assert_an_error_is_raised_again,
    assert_means_and_parameters_are_shared,
    dies,
    two_batches_a_step,
)

from adaptor.errors import AdaptorError
from adaptor.training.workers import torch_distributor as module
from adaptor.training.workers.failures import WorkerDied
from adaptor.training.workers.local import LocalWorkers
from adaptor.training.workers.torch_distributor import TorchWorkers


@pytest.fixture(scope="module")
def workers(spark) -> TorchWorkers:
    return TorchWorkers(spark, 2)


def gone(folder) -> bool:
    """Whether the processes that left their number in `folder`, two of them, have ended."""
    processes = [int(path.name) for path in folder.iterdir()]
    assert len(processes) == 2
    _, alive = psutil.wait_procs([psutil.Process(one) for one in processes if psutil.pid_exists(one)], timeout=30)
    return not alive


def test_two_processes_share_means_and_parameters_and_say_nothing(workers, capfd):
    assert_means_and_parameters_are_shared(workers)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_two_workers_train_as_one(spark, workers, tmp_path):
    """The same two batches a step, in one process or in two: the same map but for rounding."""
    sample, _, job = two_batches_a_step(spark, tmp_path, "arrow")
    held_out = sample.held_out.rows
    (alone,) = LocalWorkers().run(job)
    first, second = workers.run(job)

    assert first.step == second.step == alone.step > 0
    assert first.score == pytest.approx(alone.score, abs=0.005)
    assert [point.step for point in first.curve] == [point.step for point in alone.curve]
    for one, other in zip(first.curve[1:], alone.curve[1:]):  # the first point is before any loss
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
    for name, value in first.sides.corpus.tensors().items():
        np.testing.assert_array_equal(value, second.sides.corpus.tensors()[name])
    np.testing.assert_allclose(first.sides.corpus(held_out), alone.sides.corpus(held_out), atol=1e-4)


def test_an_error_in_one_worker_ends_the_other_that_waits(workers, tmp_path):
    assert_an_error_is_raised_again(workers, tmp_path)
    assert gone(tmp_path)


@pytest.mark.slow
def test_a_killed_worker_ends_the_other(workers, tmp_path, capfd):
    with pytest.raises(WorkerDied, match=r"a training worker was killed or crashed \(exit code 137\), .* memory"):
        workers.run(dies(tmp_path))
    assert gone(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_as_tasks_of_spark_they_do_the_same(spark, tmp_path, monkeypatch, capfd):
    """As on a cluster, where each worker is a process of a Spark task: results, errors and deaths."""
    monkeypatch.setattr(module, "is_local", lambda context: False)
    workers = TorchWorkers(spark, 2)

    def work(collective):
        tensor = torch.tensor([float(collective.rank)])
        collective.mean_(tensor)
        return collective.rank, tensor.item()

    def fail(collective):
        if collective.rank == 1:
            raise AdaptorError("one sentence")
        collective.mean_(torch.zeros(3))

    assert workers.run(work) == [(0, 0.5), (1, 0.5)]
    with pytest.raises(AdaptorError, match=r"^one sentence"):
        workers.run(fail)
    with pytest.raises(WorkerDied, match=r"exit code 137"):
        workers.run(dies(tmp_path, killed=1))
    assert gone(tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_workers_end_with_the_process_that_started_them(tmp_path):
    """A driver that is killed leaves nothing running, also where torch's launcher is killed before it can clean up."""
    import subprocess

    script = f"""
import os, pathlib, time
from adaptor.spark.session import open_session
from adaptor.training.workers.torch_distributor import TorchWorkers
def wait(collective):
    pathlib.Path({str(tmp_path / "at work")!r}, str(os.getpid())).touch()
    time.sleep(600)
TorchWorkers(open_session("killed"), 2).run(wait)
"""
    at_work = tmp_path / "at work"
    at_work.mkdir()
    environment = os.environ | {"PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell"}
    driver = subprocess.Popen(
        [sys.executable, "-c", script], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while len(list(at_work.iterdir())) < 2:
            assert driver.poll() is None
            psutil.wait_procs([psutil.Process(driver.pid)], timeout=0.1)
    finally:
        driver.kill()
        driver.wait()
    assert gone(at_work)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("where", ["here", pytest.param("workers", marks=pytest.mark.slow)])
def test_a_gpu_for_each_worker_is_asked_for_and_there_is_none(spark, where):
    with pytest.raises(AdaptorError, match=r"workers.gpus asks for a GPU for each worker, and torch sees none on th"):
        (TorchWorkers(spark, 2, gpus=True) if where == "workers" else LocalWorkers(gpus=True)).run(lambda _: None)


def test_executors_that_come_and_go(spark, monkeypatch):
    monkeypatch.setattr(module, "has_dynamic_allocation", lambda context: True)
    monkeypatch.setattr(module, "is_local", lambda context: False)
    with pytest.raises(AdaptorError, match=r"set spark.dynamicAllocation.enabled=false, or workers.kind=horovod"):
        TorchWorkers(spark, 2)
