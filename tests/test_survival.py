"""A training that is cut off goes on from its checkpoint, and ends as one that nobody disturbed."""

import json
import math
import os
import signal
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cloudpickle
import numpy as np
import pytest
import torch
from pyspark import cloudpickle as spark_cloudpickle
from synthetic import clustered, embeddings_frame, save_delta

from adaptor import Adaptor
from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.fitting.sample import in_memory
from adaptor.fitting.settings import Training
from adaptor.spark.fit import fit_table
from adaptor.spark.progress import Progress
from adaptor.training.checkpoints import Checkpoints
from adaptor.training.loop import Schedule, Trained, train
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.workers.failures import WorkerDied
from adaptor.training.workers.horovod import HorovodWorkers
from adaptor.training.workers.local import LocalWorkers
from adaptor.training.workers.restarts import Restarting
from adaptor.training.workers.torch_distributor import TorchWorkers

for pickle in (cloudpickle, spark_cloudpickle):  # workers can't import this module
    pickle.register_pickle_by_value(sys.modules[__name__])

X, HELD_OUT = clustered(300), clustered(30, seed=4)
DIMS = (4, 8)
TRAINING = Training(batch=64, steps=12, batches_per_step=2, evaluate_every=4, patience=9, learning_rate=1e-2)
MAKE = MakeNeighbourhoodObjective(closed_forms.truncation(X).corpus, DIMS, TRAINING)
JUDGE = Judge.of(closed_forms.truncation(X), HELD_OUT, "corpus", X, DIMS)


class Cut(Exception):
    """Ends a training in the middle."""


@dataclass(frozen=True)
class Disturbed:
    """Makes MAKE's objective; `what` happens once, when batch 0 of step `step` is drawn, and leaves `mark` behind."""

    mark: Path
    what: str
    step: int = 7

    def __call__(self, corpus, seed):
        objective = MAKE(corpus, seed)
        calm = objective.loss

        def loss(draw):
            if draw.bit_generator.state == np.random.default_rng((0, self.step, 0)).bit_generator.state:
                if not self.mark.exists():
                    self.mark.write_text(str(os.getpid()))
                    if self.what == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    raise Cut
                if self.what == "nan":
                    return calm(draw) * math.nan
            return calm(draw)

        objective.loss = loss
        return objective


def job(make, checkpoints: Checkpoints | None, judge=JUDGE):
    checkpoint = checkpoints and checkpoints.of("a training")
    return partial(train, make, in_memory(X).batches, judge, Schedule.of(TRAINING), 0, None, checkpoint=checkpoint)


def same(one: Trained, other: Trained) -> None:
    assert (one.step, one.score, one.curve) == (other.step, other.score, other.curve)
    for name, value in one.sides.corpus.tensors().items():
        np.testing.assert_array_equal(value, other.sides.corpus.tensors()[name])


@pytest.fixture(scope="module")
def calm() -> Trained:
    (trained,) = LocalWorkers().run(job(MAKE, None))
    assert trained.step > 4
    return trained


def test_a_training_that_was_cut_off_ends_as_an_undisturbed_one(tmp_path, calm):
    checkpoints = Checkpoints(str(tmp_path / "kept"))
    make = Disturbed(tmp_path / "mark", "cut")
    steps = []
    workers = LocalWorkers(steps.append)
    with pytest.raises(Cut):
        workers.run(job(make, checkpoints))
    assert checkpoints.of("a training").step == 4
    (trained,) = workers.run(job(make, checkpoints))
    same(trained, calm)
    assert [step.number for step in steps] == [1, 2, 3, 4, 5, 6, *range(5, 13)]  # at most one interval is done again
    (again,) = workers.run(job(make, checkpoints))  # one that had ended
    same(again, calm)
    assert len(steps) == 14
    checkpoints.delete()
    assert not (tmp_path / "kept").exists()


def test_without_a_judge_the_last_maps_are_the_same(tmp_path):
    checkpoints = Checkpoints(str(tmp_path))
    make = Disturbed(tmp_path / "mark", "cut")
    with pytest.raises(Cut):
        LocalWorkers().run(job(make, checkpoints, None))
    (trained,), (undisturbed,) = (LocalWorkers().run(job(*how, None)) for how in ((make, checkpoints), (MAKE, None)))
    same(trained, undisturbed)


def test_a_checkpoint_is_whole_whenever_it_is_read(tmp_path):
    checkpoint = Checkpoints(str(tmp_path)).of("a training")
    assert checkpoint.load() is None
    for step in (4, 8):
        checkpoint.save(step, {"x": torch.full((3,), float(step))}, {"step": step})
    folder = Path(checkpoint.url)
    assert {path.name for path in folder.iterdir()} == {"checkpoint.json", "step-000008.safetensors"}
    assert json.loads((folder / "checkpoint.json").read_text())["step"] == 8
    assert checkpoint.load().tensors["x"].tolist() == [8.0, 8.0, 8.0]
    (folder / "step-000012.safetensors").write_bytes(b"a part")  # killed before the state names it
    assert checkpoint.load().numbers == {"step": 8}
    (folder / "step-000008.safetensors").unlink()
    assert checkpoint.load() is None


def test_a_checkpoint_belongs_to_all_that_decides_a_training():
    checkpoints = Checkpoints("kept")
    parts = (X, MAKE, JUDGE, Schedule.of(TRAINING), 2, 0, None)
    assert checkpoints.of(*parts).url == checkpoints.of(*parts).url
    others = [
        (X + np.float32(1e-3), *parts[1:]),
        (X, replace(MAKE, training=replace(TRAINING, temperature=0.1)), *parts[2:]),
        (*parts[:5], 1, None),
        (*parts[:6], 4),
    ]
    assert len({checkpoints.of(*some).url for some in [parts, *others]}) == 5


def test_a_loss_that_is_no_number_stops_and_the_last_good_state_is_kept(tmp_path):
    checkpoints = Checkpoints(str(tmp_path / "kept"))
    make = Disturbed(tmp_path / "mark", "nan")
    make.mark.touch()
    with pytest.raises(AdaptorError, match=r"the loss is nan at step 7, batch 0.*set learning_rate") as error:
        LocalWorkers().run(job(make, checkpoints))
    checkpoint = checkpoints.of("a training")
    assert str(error.value).endswith(f"the last good state, of step 4, is kept in {checkpoint.url}")
    assert all(bool(torch.isfinite(value).all()) for value in checkpoint.load().tensors.values())
    with pytest.raises(AdaptorError, match="no state was kept before it"):
        LocalWorkers().run(job(make, None))


def test_so_many_restarts_and_no_more():
    class Dying:
        size = 1
        runs = 0

        def run(self, fn):
            self.runs += 1
            raise WorkerDied("a worker died")

    dying, said = Dying(), []
    with pytest.raises(WorkerDied):
        Restarting(dying, 2, said.append).run(lambda collective: None)
    assert dying.runs == 3
    assert [line.partition("; ")[2] for line in said] == [
        "restart 1 of 2, from the last checkpoint if there is one",
        "restart 2 of 2, from the last checkpoint if there is one",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [TorchWorkers, HorovodWorkers])
def test_a_killed_worker_costs_one_interval_at_most(spark, tmp_path, calm, kind):
    """Killed with SIGKILL in the middle of step 7, started again by itself, and the end is that of a calm training."""
    checkpoints, said = Checkpoints(str(tmp_path / "kept")), []
    workers = Restarting(kind(spark, 2), 1, said.append)
    first, second = workers.run(job(Disturbed(tmp_path / "mark", "kill"), checkpoints))
    assert len(said) == 1
    assert "killed or crashed (exit code 137)" in said[0]
    same(first, second)
    assert (first.step, first.score) == (calm.step, pytest.approx(calm.score, abs=0.005))
    np.testing.assert_allclose(first.sides.corpus(HELD_OUT), calm.sides.corpus(HELD_OUT), atol=1e-4)


def test_a_fit_that_was_killed_goes_on_when_it_is_started_again_and_leaves_nothing(
    spark, config, tmp_path, monkeypatch
):
    table = save_delta(embeddings_frame(spark, clustered(300)), tmp_path / "docs")
    fit = {"candidates": ["trained"], "training": {"steps": 12, "evaluate_every": 4}}
    calm = fit_table(spark, config(table, fit=fit, artifact=str(tmp_path / "calm")), print)
    settings = config(table, fit=fit)
    step, lines = Progress.step, []

    def cut(self, at):
        if at.number == 7:
            raise KeyboardInterrupt
        step(self, at)

    monkeypatch.setattr(Progress, "step", cut)
    with pytest.raises(KeyboardInterrupt):
        fit_table(spark, settings, print)
    monkeypatch.setattr(Progress, "step", step)
    assert len(list((tmp_path / "sample" / "checkpoints").iterdir())) == 1
    fitted = fit_table(spark, settings, lines.append)
    assert "a training that was cut off goes on from its checkpoint of step 4" in lines
    assert fitted.adaptor.fingerprint == calm.adaptor.fingerprint
    assert list((tmp_path / "sample").iterdir()) == []

    record = Adaptor.load(fitted.path).metrics["training"]
    assert record["workers"]["kind"] == "local"
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0]
    run = record["runs"][0]
    assert [point["step"] for point in run["curve"]] == [0, 4, 8, 12]
    assert run["score"] == max(point["score"] for point in run["curve"])


@pytest.mark.slow
def test_a_fit_on_torch_distributor_is_that_of_one_process(spark, config, tmp_path):
    table = save_delta(embeddings_frame(spark, clustered(300)), tmp_path / "docs")
    training = {"steps": 8, "evaluate_every": 4, "batches_per_step": 2}
    fit = {"candidates": ["trained"], "training": training}
    torch_workers = {"kind": "torch", "processes": 2}
    alone = fit_table(spark, config(table, fit=fit, artifact=str(tmp_path / "alone")), print)
    both = fit_table(spark, config(table, fit=fit, workers=torch_workers), print)
    agreement = [fitted.report.candidates[0].agreement for fitted in (alone, both)]
    assert agreement[1] == pytest.approx(agreement[0], abs=0.005)
    assert both.report.training.runs[0].workers == 2
    assert list((tmp_path / "sample").iterdir()) == []


def test_a_larger_step_may_learn_faster():
    scaled = replace(Schedule.of(TRAINING), scale_learning_rate=True)
    assert Schedule.of(TRAINING).rate(4) == TRAINING.learning_rate
    assert scaled.rate(4) == 2 * TRAINING.learning_rate
    (plain,), (faster,) = (
        LocalWorkers().run(partial(job(MAKE, None).func, *job(MAKE, None).args[:3], schedule, 0, 4))
        for schedule in (Schedule.of(TRAINING), scaled)
    )
    moved = [np.abs(trained.sides.corpus.residual.out).mean() for trained in (plain, faster)]
    assert moved[1] > 1.2 * moved[0]
