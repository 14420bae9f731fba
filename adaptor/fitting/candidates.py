"""Making one candidate from a sample: the closed forms at once, the trained ones on workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge, Standard
from adaptor.fitting.moments import Moments
from adaptor.fitting.report import TrainingRun
from adaptor.fitting.sample import Fold, Judgments
from adaptor.fitting.settings import PAPER, CandidateName, FitSettings, QueryTraining, Training
from adaptor.maps import Map, Sides
from adaptor.vectors import Float32

if TYPE_CHECKING:
    from adaptor.training.checkpoints import Checkpoints
    from adaptor.training.loop import Schedule, Trained
    from adaptor.training.objectives import MakeObjective
    from adaptor.training.workers import Workers

LEAST_LOG = 250  # queries under which a fifth is too few to choose candidates by
QUERY_AWARE: tuple[CandidateName, ...] = ("query_aware_svd", "query_aware_tempered", "query_aware_trained")
LEAST_IN_TRIALS = 20  # the same within a search for settings, which only ranks trainings
LEAST_ROWS_PER_DIMENSION = 2  # rows for each number of the width, under which no MLP is trained
LONG = 2000  # rows of a matrix whose eigenvectors take longer than anybody waits without a word
ALIKE = 1e-4  # of the largest number: what processors of several kinds may round apart in thousands of steps


@dataclass(frozen=True)
class Candidate:
    """A candidate: its maps, and how it was trained if it was, so that it can be made again."""

    sides: Sides
    step: int | None = None
    sides_trained: str | None = None


def say_nothing(line: str) -> None:
    """Where nobody wants a line about each step."""


def this_process() -> Workers:
    """The workers of a fit that was given none."""
    from adaptor.training.workers.local import LocalWorkers  # training is an extra

    return LocalWorkers()


@dataclass(frozen=True)
class Maker:
    """Makes candidates from `fold` and, where there are any, `queries (q, D)`.

    `damping` is that of `closed_forms.temper`, one for all candidates of a fit; None finds it in the rows.
    What is not trained is found once: `closed_forms` hold it, also for makers that `dataclasses.replace` makes
    of this one. `report` gets a line before what takes long. `moments`, found by whoever first needs them, stand for
    those of `fold`; what they can't tell, hubs and what an MLP makes of rows, the rows of `fold` do.
    """

    fold: Fold
    queries: Float32 | None
    dims: tuple[int, ...]
    settings: FitSettings
    seed: int
    workers: Workers
    damping: float | None = None
    report: Callable[[str], None] = say_nothing
    checkpoints: Checkpoints | None = None  # where trainings keep their state, to go on from
    closed_forms: dict[CandidateName, Sides] = field(default_factory=dict)
    trainings: list[TrainingRun] = field(default_factory=list)  # those that were run, also by such makers
    must_be_linear: bool = False  # for judgments, which change a linear map
    moments: Callable[[], Moments] | None = None
    whole_sample_bytes: int | None = None  # of rows; where there are more, each of several workers holds its share

    @property
    def all_dims(self) -> tuple[int, ...]:
        """The dims and the full width, which training on queries must keep as well."""
        return tuple(sorted({*self.dims, self.fold.rows.shape[1]}))

    def refuses(self, name: CandidateName) -> str | None:
        """Why this candidate can't be made from this sample, in half a sentence."""
        rows, width = self.fold.rows.shape
        if name in ("tempered_svd", *QUERY_AWARE) and self.settings.keep == "neighbours":
            return "it corrects hubs, and fit.keep=neighbours asks for the neighbours as they are"
        if name in QUERY_AWARE and self.queries is None:
            return f"there is no log of at least {LEAST_LOG} queries; fewer move whatever wins"
        if self._learns_from_rows(name) and self.must_be_linear:
            return "it has an MLP, and judgments change a linear map"
        if self._learns_from_rows(name) and name != "paper" and rows < LEAST_ROWS_PER_DIMENSION * width:
            return f"{rows} rows are too few for an MLP on {width} numbers; tempered_svd stands in"
        return None

    def make(self, name: CandidateName, standard: Standard) -> Candidate:
        """The candidate, stopped early by the judge where it is trained."""
        judge, nested = standard.judge, standard.nested
        if self._learns_from_rows(name):
            return self._train_on_corpus(name, nested, judge)
        if name == "trained":
            kinds = [self.settings.query_training.sides] if self.settings.query_training.sides else ["two", "one"]
            tried = [(self._train_on_queries(kind, nested, judge), kind) for kind in kinds]
            best, kind = max(tried, key=lambda pair: pair[0].score or 0.0)
            return Candidate(best.sides, best.step, kind)
        return Candidate(self.closed(name))

    def again(self, name: CandidateName, before: Candidate, nested: bool) -> Sides:
        """The candidate made as `before` was, from this maker's sample, to the step it stopped at."""
        if before.step is None:
            return self.closed(name)
        if not self._learns_from_rows(name):
            kind = before.sides_trained or "two"
            if not before.step:
                return self._start_for_queries(kind, nested)
            return self._train_on_queries(kind, nested, None, before.step).sides
        return self._train_on_corpus(name, nested, None, before.step).sides

    def _learns_from_rows(self, name: CandidateName) -> bool:
        """Whether the candidate is an MLP that is trained on the corpus alone."""
        return name in ("paper", "query_aware_trained") or (name == "trained" and self.queries is None)

    def moved(self, sides: Sides, nested: bool) -> Sides:
        """A map of the corpus alone, moved by the queries; as it is where the embedder's own order is to stay."""
        if nested or self.queries is None:
            return sides
        return self._query_aware(sides.corpus)

    def supervised(self, start: Sides, judgments: Judgments, weight: float) -> Sides:
        """`start`, trained further on judgments of this weight: twice, the first result being the second's teacher.

        The first knows better than the start which documents resemble a query's answers, for
        judged queries and for all others.
        """
        from adaptor.training.objectives.judgments import MakeJudgmentObjective

        assert self.queries is not None
        query_training = replace(self.settings.query_training, sides="two")
        supervision = self.settings.supervision
        schedule = _schedule(replace(query_training, steps=supervision.steps, learning_rate=supervision.learning_rate))
        teacher = start
        for _ in range(2):
            make = MakeJudgmentObjective(
                start, teacher, self.queries, judgments, self.all_dims, query_training, supervision, weight
            )
            teacher = self.run("judgments", make, schedule, None, None).sides
        return teacher

    def closed(self, name: CandidateName) -> Sides:
        """A candidate that is not trained."""
        if name not in self.closed_forms:
            self.closed_forms[name] = self._find(name)
        return self.closed_forms[name]

    def _find(self, name: CandidateName) -> Sides:
        if name == "tempered_svd":
            return self._tempered(self.closed("svd"))
        if name == "query_aware_svd":
            assert self.queries is not None
            self._say_if_long(name, len(self.queries))
            return closed_forms.query_aware_svd(self.fold.rows, self.queries, self._moments)
        if name == "query_aware_tempered":
            return self._query_aware(self.closed("tempered_svd").corpus)
        if name == "truncation":
            return closed_forms.truncation(self.fold.rows)
        self._say_if_long(name)
        return getattr(closed_forms, name)(self._moments or self.fold.rows)

    @property
    def _moments(self) -> Moments | None:
        """The moments that stand for those of `fold`, if there are any."""
        return self.moments() if self.moments else None

    def _moments_for(self, side: Map) -> Moments | None:
        """The same, where they tell what `side` makes of rows: it is linear."""
        return self._moments if side.residual is None else None

    def _query_aware(self, base: Map) -> Sides:
        assert self.queries is not None
        return closed_forms.query_aware(base, self.fold.rows, self.queries, self._moments_for(base))

    def _say_if_long(self, name: str, queries: int = 0) -> None:
        width = self.fold.rows.shape[1]
        rows = (self._moments.count if self._moments else len(self.fold.rows)) + queries
        order = width if self._moments else min(rows, width)
        if order > LONG:
            self.report(
                f"finding {name} of {rows} rows of width {width}: "
                f"an eigenproblem of {order} x {order} numbers, which takes a while"
            )

    @cached_property
    def strength(self) -> float:
        """How strongly the directions that all rows share are damped: see `closed_forms.temper`."""
        if self.settings.keep == "neighbours":
            return 0.0
        return closed_forms.damping(self.fold.rows) if self.damping is None else self.damping

    def _tempered(self, sides: Sides) -> Sides:
        return closed_forms.temper(sides, self._moments_for(sides.corpus) or self.fold.rows, self.strength)

    def _train_on_corpus(
        self, name: CandidateName, nested: bool, judge: Judge | None, stop_at: int | None = None
    ) -> Candidate:
        """Listwise or the paper's losses on an MLP; tempered where the order is SVD's, then moved by queries."""
        from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective

        training = PAPER if name == "paper" else self.settings.training
        from_identity = training.start == "identity" or (training.start is None and nested)
        rows = self.fold.rows
        start: Map = self.closed("truncation" if from_identity else "svd").corpus
        if stop_at == 0:
            trained_sides, step = Sides(start), 0
        else:
            plain = judge and Judge.of(self.closed("truncation"), judge.rows, judge.side, rows, judge.dims)
            make = MakeNeighbourhoodObjective(start, self.dims, training)
            trained = self.run(name, make, _schedule(training), plain, stop_at)
            trained_sides, step = trained.sides, trained.step
        sides = trained_sides if from_identity else self._tempered(trained_sides)
        return Candidate(self.moved(sides, nested) if name == "query_aware_trained" else sides, step)

    def _start_for_queries(self, kind: str, nested: bool) -> Sides:
        assert self.queries is not None
        if nested:
            return self.closed("truncation")
        return self.closed("tempered_svd" if kind == "one" else "query_aware_tempered")

    def _train_on_queries(self, kind: str, nested: bool, judge: Judge | None, stop_at: int | None = None) -> Trained:
        from adaptor.training.objectives.query_log import MakeQueryLogObjective

        assert self.queries is not None
        training: QueryTraining = replace(self.settings.query_training, sides=kind)  # type: ignore[arg-type]
        make = MakeQueryLogObjective(self._start_for_queries(kind, nested), self.queries, self.all_dims, training)
        return self.run(f"trained, maps: {kind}", make, _schedule(training), judge, stop_at)

    def run(
        self, name: str, make: MakeObjective, schedule: Schedule, judge: Judge | None, stop_at: int | None
    ) -> Trained:
        """Train on the workers; all must bring back the same maps, but for rounding: the first one's are taken.

        Where rows are more than `whole_sample_bytes` each worker holds its share of them.
        """
        from adaptor.training.loop import train

        rows, width = self.fold.rows.shape
        long = ", which takes a while" if width > LONG else ""
        size, most = self.workers.size, self.whole_sample_bytes
        in_shares = size > 1 and most is not None and self.fold.rows.nbytes > most
        shared = f", a share of them in each of {size} workers" if in_shares else ""
        self.report(f"training {stop_at or schedule.steps} steps on {rows} rows of width {width}{shared}{long}")
        checkpoint = None
        if self.checkpoints:
            decide = make, judge, schedule, schedule.batches(size), self.seed, stop_at
            checkpoint = self.checkpoints.of(self.fold.rows, *decide, size if in_shares else 1)
            if step := checkpoint.step:
                self.report(f"a training that was cut off goes on from its checkpoint of step {step}")
        started = time.perf_counter()
        job = partial(train, make, self.fold.batches, judge, schedule, self.seed, stop_at)
        all_trained = self.workers.run(partial(job, checkpoint=checkpoint, in_shares=in_shares))
        first, *others = all_trained
        for other in others:
            if not _same(first.sides, other.sides):
                raise AdaptorError("the workers ended with different maps; check the network, then fit again")
        seconds = time.perf_counter() - started
        if first.device == "cpu" and not self.trainings:
            self.report("torch sees no GPU: training runs on CPUs")
        curve = [asdict(point) for point in first.curve]
        shares = [trained.rows for trained in all_trained] if in_shares else []
        run = TrainingRun(name, size, first.device, first.step, first.score, seconds, curve, shares)
        self.trainings.append(run)
        return first


def split_queries(
    queries: Float32 | None, seed: int, least: int = LEAST_LOG
) -> tuple[Float32, Float32] | tuple[None, None]:
    """Queries to learn from and queries to judge by: a fifth, 500 at most; none where there are too few."""
    if queries is None or len(queries) < least:
        return None, None
    order = np.random.default_rng(seed).permutation(len(queries))
    count = min(500, len(queries) // 5)
    return queries[order[count:]], queries[order[:count]]


def _schedule(training: Training | QueryTraining) -> Schedule:
    from adaptor.training.loop import Schedule

    return Schedule.of(training)


def _same(a: Sides, b: Sides) -> bool:
    for one, other in ((a.corpus, b.corpus), (a.query, b.query)):
        pairs = zip(one.tensors().values(), other.tensors().values(), strict=True)
        if not all(np.allclose(x, y, rtol=0, atol=ALIKE * np.abs(x).max(initial=0)) for x, y in pairs):
            return False
    return True
