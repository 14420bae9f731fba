"""What changes from step to step of a training, and its passage to a checkpoint and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from adaptor.maps import Map, Sides
from adaptor.training.checkpoints import Saved

WARM_UP = 0.07  # of the steps
TEMPERATURE_RATE = 1e-2  # learning rate of the temperatures, which start where they make sense


@dataclass(frozen=True)
class Point:
    """A point of a training's curve: the mean loss of all batches since the one before, and the held-out figure."""

    step: int
    loss: float | None  # None before the first step
    score: float | None  # None where nobody judges


@dataclass
class Course:
    """How far a training is, and the best maps so far with their step and held-out score."""

    step: int = 0
    stale: int = 0  # evaluations since the best one
    best: Sides | None = None
    best_step: int = 0
    score: float | None = None
    curve: list[Point] = field(default_factory=list)

    def take(self, sides: Sides, score: float) -> None:
        """An evaluation of `sides`, the maps of this step."""
        if self.score is None or score > self.score:
            self.best, self.best_step, self.score, self.stale = sides, self.step, score, 0
        else:
            self.stale += 1


class Learner:
    """A module with its optimiser and the schedule of its learning rates."""

    def __init__(self, module: nn.Module, learning_rate: float, steps: int) -> None:
        self.module = module
        self.parameters = dict(module.named_parameters())
        temperatures = [value for name, value in self.parameters.items() if "temperature" in name]
        others = [value for name, value in self.parameters.items() if "temperature" not in name]
        self.optimiser = torch.optim.Adam([{"params": others}, {"params": temperatures}], betas=(0.9, 0.98))
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser,
            [learning_rate, TEMPERATURE_RATE],
            total_steps=steps + 1,
            pct_start=WARM_UP,
            cycle_momentum=False,
        )

    @property
    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(torch.isfinite(value).all()) for value in self.parameters.values())

    def advance(self) -> None:
        """One step along the gradients."""
        self.optimiser.step()
        self.rates.step()
        self.optimiser.zero_grad()

    def to_tensors(self) -> dict[str, Tensor]:
        """The module's tensors and the optimiser's, by name."""
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        for number, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": value for name, value in moments.items()}
        return tensors

    def to_numbers(self) -> dict[str, Any]:
        """What else the optimiser and the schedule need."""
        rates = self.rates.state_dict()  # type: ignore[no-untyped-call]
        return {"groups": self.optimiser.state_dict()["param_groups"], "rates": rates}

    def restore(self, saved: Saved) -> None:
        """Go on from what `to_tensors` and `to_numbers` gave."""
        self.module.load_state_dict(_under("module.", saved.tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimiser.", saved.tensors).items():
            number, _, rest = name.partition(".")
            moments.setdefault(int(number), {})[rest] = value
        self.optimiser.load_state_dict({"state": moments, "param_groups": saved.numbers["groups"]})
        self.rates.load_state_dict(saved.numbers["rates"])


def course_to_tensors(course: Course) -> dict[str, Tensor]:
    """The best maps, by name."""
    if course.best is None:
        return {}
    sides = {"corpus": course.best.corpus}
    sides |= {} if course.best.own_query is None else {"query": course.best.own_query}
    return {
        f"best.{side}.{name}": torch.tensor(value)  # a copy: it may share the memory of the module
        for side, side_map in sides.items()
        for name, value in side_map.tensors().items()
    }


def course_to_numbers(course: Course) -> dict[str, Any]:
    """The rest of a course, for JSON."""
    points = [[point.step, point.loss, point.score] for point in course.curve]
    return {
        "step": course.step,
        "stale": course.stale,
        "best_step": course.best_step,
        "score": course.score,
        "curve": points,
    }


def course_of(saved: Saved) -> Course:
    """What `course_to_tensors` and `course_to_numbers` gave."""
    numbers = saved.numbers["course"]
    sides: dict[str, Map] = {}
    for side in ("corpus", "query"):
        tensors = _under(f"best.{side}.", saved.tensors)
        if tensors:
            sides[side] = Map.from_tensors({name: np.array(value) for name, value in tensors.items()})
    return Course(
        numbers["step"],
        numbers["stale"],
        Sides(sides["corpus"], sides.get("query")) if sides else None,
        numbers["best_step"],
        numbers["score"],
        [Point(*point) for point in numbers["curve"]],
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
