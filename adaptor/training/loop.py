"""The training loop: one process's view. It knows a `Collective` and an `Objective`, nothing of Spark.

Every worker holds the whole sample and can draw every batch; each works on its share of a step's
batches and the gradients are averaged. So a step of many workers is exactly the step of one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from adaptor.errors import AdaptorError
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import QueryTraining, Training
from adaptor.maps import Sides
from adaptor.training.batches import Batches, gather
from adaptor.training.objectives import MakeObjective
from adaptor.training.workers import Collective

WARM_UP = 0.07  # of the steps
TEMPERATURE_RATE = 1e-2  # learning rate of the temperatures, which start where they make sense


@dataclass(frozen=True)
class Schedule:
    """How long training runs and how fast it learns."""

    learning_rate: float
    steps: int
    batches_per_step: int | None
    evaluate_every: int
    patience: int

    @classmethod
    def of(cls, training: Training | QueryTraining) -> Schedule:
        """The schedule that these settings ask for."""
        names = ("learning_rate", "steps", "batches_per_step", "evaluate_every", "patience")
        return cls(*(getattr(training, name) for name in names))


@dataclass(frozen=True)
class Trained:
    """What a worker brings back: the maps, the step they come from, their held-out score if judged."""

    sides: Sides
    step: int
    score: float | None


def train(  # noqa: PLR0913 - all that a worker needs travels with it
    make: MakeObjective,
    sample: Batches,
    judge: Judge | None,
    schedule: Schedule,
    seed: int,
    stop_at: int | None,
    collective: Collective,
) -> Trained:
    """Train and return the best maps on held-out rows, or without a judge the last ones.

    Stops after `schedule.patience` evaluations without a better score, or at step `stop_at`.
    Raises `AdaptorError` when the batches of a step can't be shared equally by the workers.
    """
    per_step = schedule.batches_per_step or collective.size
    if per_step % collective.size:
        raise AdaptorError(f"batches_per_step is {per_step}; it must be a multiple of the {collective.size} workers")
    corpus = gather(sample).numpy()  # (n, D)
    objective = make(corpus, seed)
    module = objective.module
    collective.broadcast_(module)
    named = dict(module.named_parameters())
    temperatures = [value for name, value in named.items() if "temperature" in name]
    others = [value for name, value in named.items() if "temperature" not in name]
    optimiser = torch.optim.Adam([{"params": others}, {"params": temperatures}], betas=(0.9, 0.98))
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        [schedule.learning_rate, TEMPERATURE_RATE],
        total_steps=schedule.steps + 1,
        pct_start=WARM_UP,
        cycle_momentum=False,
    )
    best: Trained | None = None
    stale = 0
    if judge:
        best = Trained(objective.sides(), 0, judge.score(objective.sides(), corpus, collective))

    for step in range(1, (stop_at or schedule.steps) + 1):
        optimiser.zero_grad()
        for batch in range(collective.rank, per_step, collective.size):
            loss = objective.loss(np.random.default_rng((seed, step, batch)))
            (loss * collective.size / per_step).backward()  # type: ignore[no-untyped-call]
        for parameter in named.values():
            if parameter.grad is not None:
                collective.mean_(parameter.grad)
        optimiser.step()
        rates.step()
        collective.advance(step, stop_at or schedule.steps)

        if judge and best and best.score is not None and step % schedule.evaluate_every == 0:
            score = judge.score(objective.sides(), corpus, collective)
            if score > best.score:
                best, stale = Trained(objective.sides(), step, score), 0
            else:
                stale += 1
                if stale == schedule.patience:
                    break
    return best or Trained(objective.sides(), step, None)
