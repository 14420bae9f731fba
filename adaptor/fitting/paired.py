"""Old embedder, new embedder: a map that takes an old model's vectors into the nested space of a new one.

Rows that were embedded by both models teach it. Queries come from the new model, and rows need not be embedded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adaptor.artifact import Adaptor
from adaptor.bits import Cells
from adaptor.codecs import Int8Codec
from adaptor.errors import AdaptorError
from adaptor.fitting import closed_forms
from adaptor.fitting.candidates import LEAST_ROWS_PER_DIMENSION, Maker, say_nothing, this_process
from adaptor.fitting.closed_forms import factored, power, weight_of_log
from adaptor.fitting.judge import NEIGHBOURS, GradedJudge
from adaptor.fitting.moments import Float64, moment_of
from adaptor.fitting.profile import Profile
from adaptor.fitting.report import ByDim, FitReport, PairedReport, Score, TrainingRecord, TrainingRun
from adaptor.fitting.sample import Fold, Sample, in_memory
from adaptor.fitting.settings import LEAST_KEPT, FitSettings, Training
from adaptor.maps import Map, Sides
from adaptor.metrics import geometric_mean
from adaptor.vectors import Float32, as_embeddings, check_dims, normalise

if TYPE_CHECKING:
    from adaptor.training.checkpoints import Checkpoints
    from adaptor.training.workers import Workers

RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # added to the old vectors' moment, in parts of its mean eigenvalue
LEARNING_RATE = 3e-4


@dataclass(frozen=True)
class Pairs:
    """The same rows by both models: `old` rows of a sample, and `new (n, E)`, those of `old.whole` in their order."""

    old: Sample
    new: Float32

    @property
    def new_train(self) -> Float32:
        """Of the rows to learn from."""
        return self.new[: len(self.old.train.rows)]

    @property
    def new_held_out(self) -> Float32:
        """Of the rows that judge."""
        return self.new[len(self.old.train.rows) :]


def fit_paired(  # noqa: PLR0913 - both models' vectors, and how to fit, by name
    old: npt.ArrayLike,
    new: npt.ArrayLike,
    *,
    dims: Sequence[int],
    queries: npt.ArrayLike | None = None,
    seed: int = 0,
    settings: FitSettings = FitSettings(),
    report: Callable[[str], None] = say_nothing,
) -> Adaptor:
    """Fit, in memory, an adaptor of an old model's rows for a new model's queries.

    `old (n, D)` and `new (n, E)` are the same rows by the two models; `queries (q, E)`, a log of the new model's, no
    labels needed. The artifact's `corpus` side takes the old model's vectors, its `query` side the new one's; both
    lead into min(D, E) numbers. A tenth of the rows, 1,000 at most, is held out to choose by. Raises `AdaptorError`
    for bad rows, unequal counts, dims above min(D, E), and where a dim keeps less of what the new model's own vectors
    find than `settings.paired.least`.
    """
    rows, others = as_embeddings(old, "old"), as_embeddings(new, "new")
    if len(rows) != len(others):
        raise AdaptorError(f"old has {len(rows)} rows and new {len(others)}: pass the same rows by both models")
    log = None if queries is None else as_embeddings(queries, "queries", others.shape[1])
    order = np.random.default_rng(seed).permutation(len(rows))
    count = min(1000, len(rows) // 10)
    train, held_out = np.split(order, [len(order) - count])
    sample = Sample(in_memory(rows[train]), in_memory(rows[held_out]), in_memory(rows[order]), log)
    return fit_pairs(Pairs(sample, others[order]), dims, settings, seed, report=report)[0]


def fit_pairs(  # noqa: PLR0913 - what `fit_sample` takes
    pairs: Pairs,
    dims: Sequence[int],
    settings: FitSettings,
    seed: int,
    workers: Workers | None = None,
    report: Callable[[str], None] = say_nothing,
    checkpoints: Checkpoints | None = None,
) -> tuple[Adaptor, FitReport]:
    """What `fit_paired` does, training on `workers` and keeping its state in `checkpoints`; and what it measured."""
    old, new = pairs.old, pairs.new
    dims, settings = check_dims(dims, min(old.whole.rows.shape[1], new.shape[1])), settings.with_effort()
    if len(old.train.rows) <= NEIGHBOURS or not len(old.held_out.rows):
        raise AdaptorError(f"{len(new)} pairs are too few: a fit compares neighbours; give more rows of both models")
    own = closed_forms.tempered_svd(pairs.new_train)
    judge = GradedJudge.of(own, pairs.new_held_out, "query", pairs.new_train, dims)
    contest = _Contest(pairs, dims, settings, seed, workers, report, checkpoints)
    contest.run(judge, own.corpus)
    winner = max(contest.scores, key=lambda score: score.agreement)
    sides = contest.again(winner.candidate)
    report(f"{winner.candidate} wins and is fitted again on all {len(new)} pairs")

    possible = judge.kept(own, pairs.new_train)
    kept = {dim: winner.figures[judge.metric][dim] / possible[dim] for dim in dims}
    _require_kept(kept, settings.paired.least if settings.paired else LEAST_KEPT)
    y, unseen = sides.corpus(old.whole.rows), contest.candidates[winner.candidate].sides
    measured = FitReport(
        held_out_rows=len(judge.rows),
        held_out_side="query",
        already_nested=False,
        candidates=contest.scores,
        left_out=contest.left_out,
        paired=PairedReport(len(new), new.shape[1], kept),
        training=TrainingRecord.of(contest.trainings),
        profile=Profile.of(old.held_out.rows, unseen.corpus, dims[-1], None, old.queries),
    )
    config = _described(winner.candidate, pairs, settings, seed)
    scales, cells = Int8Codec.fit(y).scales, Cells.fit(y)
    return Adaptor(sides.corpus, dims, sides.own_query, config, measured.to_json(), scales, cells), measured


def _require_kept(kept: ByDim, least: float) -> None:
    short = {dim: share for dim, share in kept.items() if share < least}
    if short:
        said = ", ".join(f"{share:.3f} at {dim}" for dim, share in short.items())
        raise AdaptorError(
            f"the old model's vectors keep too little of what the new model's own find: {said}, under "
            f"fit.paired.least={least}; give more pairs, take {', '.join(map(str, short))} out of dims, set "
            "fit.paired.least lower, or embed the rows again"
        )


def _described(winner: str, pairs: Pairs, settings: FitSettings, seed: int) -> dict[str, Any]:
    """What the artifact says of its fit, and what counts towards its fingerprint: the table's name does not."""
    queries = pairs.old.queries
    return {
        "candidate": winner,
        "paired": {"pairs": len(pairs.new), "query_width": pairs.new.shape[1]},
        "supervised": 0.0,
        "seed": seed,
        "settings": asdict(replace(settings, paired=None)),
        "rows": len(pairs.new),
        "queries": 0 if queries is None else len(queries),
        "judged_queries": 0,
    }


@dataclass(frozen=True)
class _Candidate:
    """A candidate's maps, the closed form and ridge that it comes from, and the step its training stopped at."""

    sides: Sides
    form: str
    ridge: float
    step: int | None = None


class _Contest:
    """The candidates `regression`, `reduced_rank` and, from the better one of them, `trained`, and their scores."""

    def __init__(  # noqa: PLR0913 - what `fit_pairs` was given
        self,
        pairs: Pairs,
        dims: tuple[int, ...],
        settings: FitSettings,
        seed: int,
        workers: Workers | None,
        report: Callable[[str], None],
        checkpoints: Checkpoints | None,
    ) -> None:
        self._pairs, self._dims, self._settings, self._report = pairs, dims, settings, report
        workers = workers or this_process()
        fold = pairs.old.train
        self._trainer = Maker(fold, None, dims, settings, seed, workers, report=report, checkpoints=checkpoints)
        self.scores: list[Score] = []
        self.candidates: dict[str, _Candidate] = {}
        self.left_out: dict[str, str] = {}

    @property
    def trainings(self) -> list[TrainingRun]:
        """Those that were run."""
        return self._trainer.trainings

    def run(self, judge: GradedJudge, own: Map) -> None:
        """Make every candidate from the rows to learn from, each with the ridge that held-out rows like best.

        `own` is the new model's map of its rows.
        """
        train, queries = self._pairs.old.train, self._pairs.old.queries
        for name, form in FORMS.items():
            started = time.perf_counter()
            with_ridge = form(train.rows, self._pairs.new_train, own, queries)
            tried = [_Candidate(with_ridge(ridge), name, ridge) for ridge in RIDGES]
            self._take(name, tried, judge, started)
        if reason := self._refuses(len(train.rows)):
            self.left_out["trained"] = reason
            return
        started = time.perf_counter()
        best = self.candidates[max(self.scores, key=lambda score: score.agreement).candidate]
        sides, step = self._train(best.sides, train, self._pairs.new_train, judge, None)
        self._take("trained", [replace(best, sides=sides, step=step)], judge, started)

    def _take(self, name: str, tried: Sequence[_Candidate], judge: GradedJudge, started: float) -> None:
        """The best of those that were tried is the candidate of this name."""
        kept = [judge.kept(one.sides, self._pairs.old.train.rows) for one in tried]
        agreements = [geometric_mean(figures) for figures in kept]
        best = int(np.argmax(agreements))
        seconds = time.perf_counter() - started
        self.scores.append(Score(name, {judge.metric: kept[best]}, agreements[best], seconds))
        self.candidates[name] = tried[best]
        self._report(f"{name}: agreement {agreements[best]:.4f} on held-out rows")

    def again(self, name: str) -> Sides:
        """The candidate from all rows, by the same form and ridge and, where it is trained, to the same step."""
        before, whole, new = self.candidates[name], self._pairs.old.whole, self._pairs.new
        own = closed_forms.tempered_svd(new).corpus
        start = FORMS[before.form](whole.rows, new, own, self._pairs.old.queries)(before.ridge)
        return self._train(start, whole, new, None, before.step)[0] if before.step else start

    def _refuses(self, rows: int) -> str | None:
        """Why no map is trained, in half a sentence."""
        width = self._pairs.old.whole.rows.shape[1]
        if "trained" not in self._settings.to_compete:
            return "fit.candidates or fit.effort leave it out"
        if rows < LEAST_ROWS_PER_DIMENSION * width:
            return f"{rows} pairs are too few for an MLP on {width} numbers"
        return None

    def _train(
        self, start: Sides, fold: Fold, new: Float32, judge: GradedJudge | None, stop_at: int | None
    ) -> tuple[Sides, int]:
        from adaptor.training.loop import Schedule
        from adaptor.training.objectives.pairs import MakePairObjective

        training: Training = replace(self._settings.training, learning_rate=LEARNING_RATE)
        make = MakePairObjective(start, new, self._dims, training)
        maker = replace(self._trainer, fold=fold)
        trained = maker.run("trained", make, Schedule.of(training), judge, stop_at)
        return trained.sides, trained.step


def regression(old: Float32, new: Float32, own: Map, queries: Float32 | None) -> WithRidge:
    """The best linear guess of each number of `own`, the new model's map, from `old (n, D)`; `new (n, E)`.

    Queries go through that map. It is the plain alternative, and knows nothing of `queries`.
    """
    width = min(old.shape[1], new.shape[1])
    x, target = normalise(old).astype(np.float64), normalise(own(new))[:, :width].astype(np.float64)
    means = x.mean(axis=0), target.mean(axis=0)
    x -= means[0]
    moment, between = x.T @ x / len(x), x.T @ (target - means[1]) / len(x)
    query = Map(np.ascontiguousarray(own.weight[:, :width]))

    def with_ridge(ridge: float) -> Sides:
        weight = np.linalg.solve(_ridged(moment, ridge), between)
        bias = means[1] - means[0] @ weight
        return Sides(Map(np.ascontiguousarray(weight, np.float32), bias.astype(np.float32)), query)

    return with_ridge


def reduced_rank(old: Float32, new: Float32, own: Map, queries: Float32 | None) -> WithRidge:
    """The best rank-m guess, for every m at once, of what the new model's queries think of its rows, from the old ones.

    With `M` the ridge regression from old to new, Co the old moment and Cq that of the queries, drawn toward the new
    rows' moment: `U s V' = svd(Cq^1/2 M' Co^1/2)`, corpus map `Co^-1/2 V s^1/2`, query map `Cq^-1/2 U s^1/2`: reduced-
    rank regression, weighed by queries. Rows are to queries what `own`, the new model's map, makes of both.
    `old (n, D)`, `new (n, E)`, `queries (q, E)`.
    """
    width = min(old.shape[1], new.shape[1])
    weight = own.weight.astype(np.float64)
    target = normalise(new).astype(np.float64) @ weight @ weight.T
    moment, between = moment_of(old), target.T @ normalise(old).astype(np.float64) / len(old)
    asked = moment_of(new)
    if queries is not None and len(queries):
        weight_of_queries = weight_of_log(queries)
        asked = weight_of_queries * moment_of(queries) + (1 - weight_of_queries) * asked

    def with_ridge(ridge: float) -> Sides:
        inverse_root = power(_ridged(moment, ridge), -0.5)
        weights = factored(asked, between @ inverse_root, inverse_root)
        return Sides(*(Map(np.ascontiguousarray(side[:, :width], np.float32)) for side in weights))

    return with_ridge


WithRidge = Callable[[float], Sides]
"""From a ridge to maps: what does not depend on it is found once."""

FORMS = {"regression": regression, "reduced_rank": reduced_rank}


def _ridged(moment: Float64, ridge: float) -> Float64:
    return moment + ridge * np.trace(moment) / len(moment) * np.eye(len(moment))
