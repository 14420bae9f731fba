"""The training loop: one process's view. It knows a `Collective` and an `Objective`, nothing of Spark.

Where every worker holds the whole sample it can draw every batch; each works on its part of a step's
batches and the gradients are averaged. So a step of many workers is exactly the step of one. Where each holds
a share it draws its batches from that, and a step depends on how many workers there are. Either way a batch
follows from seed, step and number, so a training that goes on from a checkpoint ends as one that was never
disturbed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from adaptor.errors import AdaptorError
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import Precision, QueryTraining, Training
from adaptor.maps import Sides
from adaptor.training.batches import Batches
from adaptor.training.checkpoints import Checkpoint
from adaptor.training.objectives import MakeObjective
from adaptor.training.shares import Share
from adaptor.training.state import Course, Learner, Point, course_of, course_to_numbers, course_to_tensors
from adaptor.training.workers import Collective, Step
from adaptor.training.workers.local import Alone


@dataclass(frozen=True)
class Schedule:
    """How long training runs and how fast it learns."""

    learning_rate: float
    steps: int
    batches_per_step: int | None
    evaluate_every: int
    patience: int
    batch: int = 1  # rows or queries that a batch compares, for speeds
    scale_learning_rate: bool = False
    precision: Precision = "float32"

    @classmethod
    def of(cls, training: Training | QueryTraining) -> Schedule:
        """The schedule that these settings ask for."""
        return cls(*(getattr(training, name) for name in cls.__dataclass_fields__))

    def batches(self, workers: int) -> int:
        """Batches of a step; `AdaptorError` where so many workers can't share them equally."""
        per_step = self.batches_per_step or workers
        if per_step % workers:
            raise AdaptorError(f"batches_per_step is {per_step}; it must be a multiple of the {workers} workers")
        return per_step

    def rate(self, per_step: int) -> float:
        """The highest learning rate: with `scale_learning_rate` larger by the root of the batches of a step.

        The root, not the number itself: Adam's steps don't grow with the gradient.
        """
        return self.learning_rate * (math.sqrt(per_step) if self.scale_learning_rate else 1.0)


@dataclass(frozen=True)
class Trained:
    """What a worker brings back: the maps, the step they come from, their held-out score if judged, and the curve."""

    sides: Sides
    step: int
    score: float | None
    curve: tuple[Point, ...] = ()
    device: str = "cpu"
    rows: int = 0  # that this worker held


def train(  # noqa: PLR0913 - all that a worker needs travels with it
    make: MakeObjective,
    sample: Batches,
    judge: Judge | None,
    schedule: Schedule,
    seed: int,
    stop_at: int | None,
    collective: Collective,
    checkpoint: Checkpoint | None = None,
    in_shares: bool = False,
) -> Trained:
    """Train and return the best maps on held-out rows, or without a judge the last ones.

    Each worker holds the whole sample, or `in_shares` only its share. Stops after `schedule.patience` evaluations
    without a better score, or at step `stop_at`. With a `checkpoint` it goes on from there, and keeps its state there
    at each evaluation. Raises `AdaptorError` when the batches of a step can't be shared equally by the workers, and
    when a loss is no number.
    """
    last = stop_at or schedule.steps
    share = Share.of(sample, collective if in_shares else Alone())
    run = _Run(make, share, judge, schedule, seed, collective, checkpoint)
    course = run.course
    while course.step < last and course.stale < schedule.patience:
        run.step(last)
        if course.step % schedule.evaluate_every == 0:
            run.evaluate()
    run.require_finite()
    sides, step = (run.objective.sides(), course.step) if course.best is None else (course.best, course.best_step)
    return Trained(sides, step, course.score, tuple(course.curve), run.device, len(share.rows))


class _Run:
    """One training in one worker, begun where its checkpoint ends if there is one."""

    def __init__(  # noqa: PLR0913 - what `train` gets
        self,
        make: MakeObjective,
        share: Share,
        judge: Judge | None,
        schedule: Schedule,
        seed: int,
        collective: Collective,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._per_step = schedule.batches(collective.size)
        self._share = share
        self.objective = make(share, seed)
        self._learner = Learner(self.objective.module, schedule.rate(self._per_step), schedule.steps)
        self._judge, self._schedule, self._seed = judge, schedule, seed
        self._collective, self._checkpoint = collective, checkpoint
        self._losses: list[float] = []  # since the last point of the curve
        self.device = next(iter(self._learner.parameters.values())).device.type
        self.course = self._begun()

    def step(self, last: int) -> None:
        """One step of `last` at most: this worker's batches, the mean of all workers' gradients."""
        course, collective = self.course, self._collective
        course.step += 1
        losses = []
        for batch in range(collective.rank, self._per_step, collective.size):
            with torch.autocast(self.device, torch.bfloat16, enabled=self._schedule.precision == "bfloat16"):
                loss = self.objective.loss(np.random.default_rng((self._seed, course.step, batch)))
            losses.append(float(loss))
            if not math.isfinite(losses[-1]):
                raise self._not_finite(f"the loss is {losses[-1]} at step {course.step}, batch {batch}")
            (loss * collective.size / self._per_step).backward()  # type: ignore[no-untyped-call]
        for parameter in self._learner.parameters.values():
            if parameter.grad is not None:
                collective.mean_(parameter.grad)
        self._learner.advance()
        self._losses.append(sum(losses) / len(losses))
        rows = self._schedule.batch * self._per_step
        collective.advance(Step(course.step, last, self._losses[-1], course.score, rows, self.device))

    def evaluate(self) -> None:
        """Judge the maps, add a point to the curve, and keep the state."""
        course, collective = self.course, self._collective
        self.require_finite()
        loss = torch.tensor([sum(self._losses) / len(self._losses)], dtype=torch.float64)
        collective.mean_(loss)
        self._losses.clear()
        score = self._judged()
        course.curve.append(Point(course.step, float(loss), score))
        if self._checkpoint and collective.rank == 0:
            tensors = self._learner.to_tensors() | course_to_tensors(course)
            self._checkpoint.save(
                course.step, tensors, self._learner.to_numbers() | {"course": course_to_numbers(course)}
            )

    def require_finite(self) -> None:
        """`AdaptorError` where a weight is no number any more."""
        if not self._learner.is_finite:
            raise self._not_finite(f"a weight is no number after step {self.course.step}")

    def _begun(self) -> Course:
        """The course so far: that of the checkpoint, which all workers must have found, else a new one."""
        saved = self._checkpoint.load() if self._checkpoint else None
        course = course_of(saved) if saved else Course()
        mean_step = torch.tensor([float(course.step)])
        self._collective.mean_(mean_step)
        if float(mean_step) != course.step:
            raise AdaptorError(
                "the workers don't find the same checkpoint: sample.folder must be on storage that all of them see"
            )
        if saved:
            self._learner.restore(saved)
        self._collective.broadcast_(self._learner.module)
        self.course = course
        if not saved:
            score = self._judged()
            if score is not None:
                course.curve.append(Point(0, None, score))
        return course

    def _judged(self) -> float | None:
        """The held-out figure of the maps as they are, which the course takes; None without a judge."""
        if self._judge is None:
            return None
        sides = self.objective.sides()
        score = self._judge.score(sides, self._share, self._collective)
        self.course.take(sides, score)
        return score

    def _not_finite(self, what: str) -> AdaptorError:
        kept = self._checkpoint.step if self._checkpoint else None
        place = self._checkpoint.url if self._checkpoint and kept is not None else None
        good = f"the last good state, of step {kept}, is kept in {place}" if place else "no state was kept before it"
        return AdaptorError(
            f"{what}: training left the numbers; set learning_rate (now {self._schedule.learning_rate:g}) lower or "
            f"temperature higher, or leave 'trained' out of fit.candidates; {good}"
        )
