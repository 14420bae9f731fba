"""What workers of every kind must do: share means and parameters, train as one, and end together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from synthetic import clustered, embeddings_frame

from adaptor.config import SampleSettings
from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import Training
from adaptor.maps import Sides
from adaptor.spark.sampling import Materialised, materialise
from adaptor.training.loop import Schedule, train
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.workers import Workers
from adaptor.training.workers.failures import WorkerError

DIMS = (4, 8, 16)


def assert_means_and_parameters_are_shared(workers: Workers) -> None:
    """Of two workers, each a process of its own with one thread; each prints what a library might."""

    def work(collective):
        print("what a library prints")
        rank = collective.rank
        tensor = torch.tensor([rank, 10.0 * rank])
        collective.mean_(tensor)
        layer = torch.nn.Linear(2, 1)
        with torch.no_grad():
            layer.weight.fill_(rank + 5)
            layer.bias.fill_(rank + 7)
        collective.broadcast_(layer)
        parameters = [*layer.weight.flatten().tolist(), layer.bias.item()]
        received = torch.tensor([rank, 3 * rank])
        collective.receive_(received, 1)
        threads = torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]
        return rank, collective.size, os.getpid(), tensor.tolist(), parameters, received.tolist(), threads

    ranks, sizes, processes, means, parameters, received, threads = zip(*workers.run(work))
    assert (ranks, sizes) == ((0, 1), (2, 2))
    assert len({*processes, os.getpid()}) == 3
    assert means == ([0.5, 5.0], [0.5, 5.0])
    assert parameters == ([5.0, 5.0, 7.0], [5.0, 5.0, 7.0])
    assert received == ([1, 3], [1, 3])
    assert threads == ((1, "1"), (1, "1"))  # spark.task.cpus


def two_batches_a_step(spark, folder: Path, kind: str) -> tuple[Materialised, Sides, Callable]:
    """A sample of 400 rows read by batches of this kind, the start, and the training that workers are to run."""
    docs = embeddings_frame(spark, clustered(400)).repartition(3)
    sample = materialise(docs, "id", "embedding", SampleSettings(folder=str(folder)), kind)
    rows, held_out = sample.train.rows, sample.held_out.rows
    start = closed_forms.svd(rows)
    judge = Judge.of(closed_forms.truncation(rows), held_out, "corpus", rows, DIMS)
    training = Training(batch=64, steps=40, batches_per_step=2, evaluate_every=10, patience=4)
    make = MakeNeighbourhoodObjective(start.corpus, DIMS, training)
    return sample, start, partial(train, make, sample.train.batches, judge, Schedule.of(training), 0, None)


def assert_an_error_is_raised_again(workers: Workers, folder: Path) -> None:
    """That of the second worker, for whose numbers the first one waits; both leave their number in `folder`."""

    def fail(collective):
        (folder / str(os.getpid())).touch()
        if collective.rank == 1:
            raise ValueError("the disk\nis full")
        collective.mean_(torch.zeros(3))  # waits for the other's

    with pytest.raises(WorkerError) as error:
        workers.run(fail)
    assert str(error.value) == "training worker 1: ValueError: the disk is full"
    assert 'raise ValueError("the disk\\nis full")' in error.value.__notes__[0]


def dies(folder: Path, killed: int = 0) -> Callable:
    """What workers run of which one is killed while the other waits; both leave their number in `folder`."""

    def die(collective):
        (folder / str(os.getpid())).touch()
        if collective.rank == killed:
            os.kill(os.getpid(), signal.SIGKILL)
        collective.mean_(torch.zeros(3))

    return die
