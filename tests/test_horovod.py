"""Horovod on Spark's own executors: two processes that train as one, and errors that end both."""

import os
import re
import signal
import sys
import threading
from functools import partial

import numpy as np
import psutil
import pytest
import torch
from optional import HOROVOD, PETASTORM
from synthetic import clustered, embeddings_frame

from adaptor.config import SampleSettings
from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import Training
from adaptor.spark.sampling import materialise
from adaptor.training import losses
from adaptor.training.batches.petastorm import PetastormBatches
from adaptor.training.loop import Schedule, train
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.workers.devices import choose_gpu
from adaptor.training.workers.executors import task_slots
from adaptor.training.workers.failures import Failure, WorkerError, raise_first
from adaptor.training.workers.horovod import HorovodWorkers
from adaptor.training.workers.local import LocalWorkers
from adaptor.vectors import normalise

pytestmark = [HOROVOD, PETASTORM]

DIMS = (4, 8, 16)


@pytest.fixture(scope="module")
def workers(spark) -> HorovodWorkers:
    return HorovodWorkers(spark, 2)


def test_two_processes_share_means_and_parameters(workers):
    def work(collective):
        rank = collective.rank
        tensor = torch.tensor([rank, 10.0 * rank])
        collective.mean_(tensor)
        layer = torch.nn.Linear(2, 1)
        with torch.no_grad():
            layer.weight.fill_(rank + 5)
            layer.bias.fill_(rank + 7)
        collective.broadcast_(layer)
        parameters = [*layer.weight.flatten().tolist(), layer.bias.item()]
        threads = torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]
        return rank, collective.size, os.getpid(), tensor.tolist(), parameters, threads

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    ranks, sizes, processes, means, parameters, threads = zip(*workers.run(work))
    assert (ranks, sizes) == ((0, 1), (2, 2))
    assert len({*processes, os.getpid()}) == 3
    assert means == ([0.5, 5.0], [0.5, 5.0])
    assert parameters == ([5.0, 5.0, 7.0], [5.0, 5.0, 7.0])
    assert threads == ((1, "1"), (1, "1"))  # spark.task.cpus
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_two_workers_train_as_one(spark, workers, tmp_path):
    """The same two batches a step, in one process or in two: the same map but for rounding."""
    docs = embeddings_frame(spark, clustered(400)).repartition(3)
    sample = materialise(docs, "id", "embedding", SampleSettings(folder=str(tmp_path)), "petastorm")
    assert isinstance(sample.train.batches, PetastormBatches)
    rows, held_out = sample.train.rows, sample.held_out.rows
    start = closed_forms.svd(rows)
    judge = Judge.of(closed_forms.truncation(rows), held_out, "corpus", rows, DIMS)
    training = Training(batch=64, steps=40, batches_per_step=2, evaluate_every=10, patience=4)
    make = MakeNeighbourhoodObjective(start.corpus, DIMS, training)
    job = partial(train, make, sample.train.batches, judge, Schedule.of(training), 0, None)
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
    def fail(collective):
        (tmp_path / str(os.getpid())).touch()
        if collective.rank == 1:
            raise ValueError("the disk\nis full")
        collective.mean_(torch.zeros(3))  # waits for the other's

    with pytest.raises(WorkerError) as error:
        workers.run(fail)
    assert str(error.value) == "training worker 1: ValueError: the disk is full"
    assert 'raise ValueError("the disk\\nis full")' in error.value.__notes__[0]
    processes = [int(path.name) for path in tmp_path.iterdir()]
    assert len(processes) == 2
    assert not any(psutil.pid_exists(process) for process in processes)


@pytest.mark.slow
def test_a_killed_worker_ends_the_other(workers, tmp_path):
    def die(collective):
        (tmp_path / str(os.getpid())).touch()
        if collective.rank == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        collective.mean_(torch.zeros(3))

    hook = threading.excepthook
    with pytest.raises(AdaptorError, match=r"a training worker was killed or crashed \(exit code 137\), .* memory"):
        workers.run(die)
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
