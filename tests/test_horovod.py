"""Horovod on Spark's own executors: two processes that train as one, and errors that end both."""

import os
import re
import signal
import sys
import threading

import numpy as np
import psutil
import pytest
import torch
from optional import HOROVOD, PETASTORM
from training_workers import (
    DIMS,
    assert_an_error_is_raised_again,
    assert_means_and_parameters_are_shared,
    dies,
    two_batches_a_step,
)

from adaptor.errors import AdaptorError
from adaptor.training import losses
from adaptor.training.batches.petastorm import PetastormBatches
from adaptor.training.workers.devices import choose_gpu
from adaptor.training.workers.executors import task_slots
from adaptor.training.workers.failures import Failure, raise_first
from adaptor.training.workers.horovod import HorovodWorkers
from adaptor.training.workers.local import LocalWorkers
from adaptor.vectors import normalise

pytestmark = [HOROVOD, PETASTORM]


@pytest.fixture(scope="module")
def workers(spark) -> HorovodWorkers:
    return HorovodWorkers(spark, 2)


def test_two_processes_share_means_and_parameters(workers):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert_means_and_parameters_are_shared(workers)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_two_workers_train_as_one(spark, workers, tmp_path):
    """The same two batches a step, in one process or in two: the same map but for rounding."""
    sample, start, job = two_batches_a_step(spark, tmp_path, "petastorm")
    assert isinstance(sample.train.batches, PetastormBatches)
    held_out = sample.held_out.rows
    (alone,) = LocalWorkers().run(job)
    first, second = workers.run(job)

    assert first.step == second.step == alone.step > 0
    for name, value in first.sides.corpus.tensors().items():
        np.testing.assert_array_equal(value, second.sides.corpus.tensors()[name])
    before, one, two = (held_out_loss(sides, held_out) for sides in (start, alone.sides, first.sides))
    assert one < 0.98 * before
    assert two == pytest.approx(one, rel=0.02)
    print(f"held-out loss {before:.6f} -> {one:.8f} in one process, {two:.8f} in two: {two / one - 1:+.1e}")
    x = normalise(held_out)
    np.testing.assert_allclose(first.sides.corpus(x), alone.sides.corpus(x), atol=1e-4)
    print("largest difference of an adapted number", np.abs(first.sides.corpus(x) - alone.sides.corpus(x)).max())


def held_out_loss(sides, held_out: np.ndarray) -> float:
    x = torch.tensor(normalise(held_out))
    y = torch.tensor(sides.corpus(x.numpy()))
    return float(
        losses.listwise(x @ x.T, losses.prefix_similarities(y, DIMS), torch.eye(len(x), dtype=torch.bool), 0.05)
    )


def test_an_error_in_one_worker_ends_the_other_that_waits(workers, tmp_path):
    assert_an_error_is_raised_again(workers, tmp_path)
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == 2
    assert not any(psutil.pid_exists(process) for process in processes)


@pytest.mark.slow
def test_a_killed_worker_ends_the_other(workers, tmp_path):
    hook = threading.excepthook
    with pytest.raises(AdaptorError, match=r"a training worker was killed or crashed \(exit code 137\), .* memory"):
        workers.run(dies(tmp_path))
    assert threading.excepthook is hook
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == 2
    assert not any(psutil.pid_exists(process) for process in processes)


def test_the_sentence_of_an_adaptor_error_is_raised_again():
    follows = Failure(0, "HorovodInternalError: shut down", "trace 0", foreseen=False, follows=True)
    cause = Failure(1, "PetastormBatches: 5 rows were written, 4 arrived", "trace 1", foreseen=True, follows=False)
    with pytest.raises(AdaptorError) as error:
        raise_first([follows, cause])
    assert str(error.value) == cause.sentence
    assert "trace 1" in error.value.__notes__[0]


def test_too_few_slots(spark):
    assert task_slots(spark.sparkContext) == 2
    message = "workers.processes is 3, but Spark offers 2 task slots; set workers.processes=2, or give the job more"
    with pytest.raises(AdaptorError, match=re.escape(message)):
        HorovodWorkers(spark, 3)


def test_horovod_is_missing(spark, monkeypatch):
    monkeypatch.setitem(sys.modules, "horovod.torch", None)
    with pytest.raises(AdaptorError, match=r"run `tools/build_horovod.sh .venv`, or set workers.kind=torch") as error:
        HorovodWorkers(spark, 2)
    assert "\n" not in str(error.value)


def test_the_executors_have_another_python(spark, monkeypatch, tmp_path):
    """A Python with nothing installed, as where PYSPARK_PYTHON was forgotten."""
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(bare))
    message = rf"the executors' Python \({bare}\) lacks .*horovod, torch; install this environment on every machine"
    with pytest.raises(AdaptorError, match=message):
        HorovodWorkers(spark, 2)


@pytest.mark.parametrize(("assigned", "local_rank", "gpu"), [([], 0, 0), ([], 3, 3), ([], 5, 1), (["2"], 0, 2)])
def test_each_worker_has_its_gpu(assigned, local_rank, gpu):
    assert choose_gpu(assigned, local_rank, count=4) == gpu
