"""Fitting: every candidate is scored on held-out rows, the best is made again from all rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from adaptor.artifact import Adaptor
from adaptor.bits import Cells
from adaptor.codecs import Int8Codec
from adaptor.errors import AdaptorError
from adaptor.fitting.candidates import LEAST_IN_TRIALS, Maker, say_nothing, split_queries, this_process
from adaptor.fitting.contest import Contest, below_svd
from adaptor.fitting.judge import NEIGHBOURS, GradedJudge, Judge, Standard
from adaptor.fitting.profile import Profile
from adaptor.fitting.report import FitReport, Score, StratumScore, SupervisionGain, TrainingRecord, ZeroPrefixes
from adaptor.fitting.sample import Judgments, Sample, graded, in_memory
from adaptor.fitting.settings import TRAINED, CandidateName, FitSettings
from adaptor.fitting.strata import as_labels, hold_out, kept_by_stratum
from adaptor.fitting.supervision import LEAST_LABELLED, WEIGHTS, choose_supervision
from adaptor.fitting.tuning import Experiment, Trials, Tuned, in_turn, search
from adaptor.maps import Sides
from adaptor.metrics import geometric_mean
from adaptor.vectors import Float32, as_embeddings, check_dims

if TYPE_CHECKING:
    from adaptor.training.checkpoints import Checkpoints
    from adaptor.training.workers import Workers

TUNED = "tuned"  # the candidate that is trained with the settings that a search found
LEAST_JUDGING = 50  # held-out rows or queries under which nothing is tuned: their agreement is mostly chance


def fit(  # noqa: PLR0913 - all that can be known of a corpus, by name
    corpus: npt.ArrayLike,
    *,
    dims: Sequence[int],
    queries: npt.ArrayLike | None = None,
    judgments: npt.ArrayLike | None = None,
    seed: int = 0,
    settings: FitSettings = FitSettings(),
    strata: object = None,
    report: Callable[[str], None] = say_nothing,
) -> Adaptor:
    """Fit an adaptor in memory, without Spark.

    `corpus (n, D)`; `queries (q, D)`, a log of them, no labels needed; `judgments (j, 3)`: query
    row, corpus row, grade; `strata (n,)`, a label a corpus row, such as its language: a share of
    each is held out, and `metrics["strata"]` reports each apart; `report`, such as `print`, gets a line
    about each step. A tenth of the corpus, 1,000 rows
    at most, and a fifth of the queries are held out to choose among candidates. Raises
    `AdaptorError` for bad rows, dims above D, judgments or strata of rows that are not there, and
    samples too small; warns where the map leaves rows without a direction at the shortest dim.
    """
    rows = as_embeddings(corpus, "corpus")
    log = None if queries is None else as_embeddings(queries, "queries", rows.shape[1])
    order = np.random.default_rng(seed).permutation(len(rows))
    count = min(1000, len(rows) // 10)
    labels = None if strata is None else as_labels(strata, len(rows))
    held = order[:count]
    if labels is not None:
        held = order[hold_out(labels, order, count / max(len(rows), 1))[order]]
    sample = Sample(
        train=in_memory(rows[order[~np.isin(order, held)]]),
        held_out=in_memory(rows[held]),
        whole=in_memory(rows),
        queries=log,
        judgments=graded(judgments, rows, log),
        strata=None if labels is None else labels[held],
    )
    adaptor, measured = fit_sample(sample, dims, settings, seed, report=report)
    if measured.zero_prefixes:
        warnings.warn(measured.zero_prefixes.summary, stacklevel=2)
    return adaptor


def fit_sample(  # noqa: PLR0913 - what `fit` takes, and where things run
    sample: Sample,
    dims: Sequence[int],
    settings: FitSettings,
    seed: int,
    workers: Workers | None = None,
    report: Callable[[str], None] = say_nothing,
    trials: Trials = in_turn,
    checkpoints: Checkpoints | None = None,
    whole_sample_bytes: int | None = None,
) -> tuple[Adaptor, FitReport]:
    """Score all candidates on held-out rows, refit the best on all; ties go to the earlier one.

    `report` gets a line about each candidate. With `settings.tune` a search, whose trials run where `trials` says, may
    add one, trained with other settings. Trainings keep their state in `checkpoints`, and go on from there. Where the
    rows to train on are more than `whole_sample_bytes` each of several workers holds its share of them.
    """
    dims, settings = check_dims(dims, sample.whole.rows.shape[1]), settings.with_effort()
    _require_enough(sample, settings)
    sample = _asking(sample, settings, report)
    log, held_queries, few = _logs(sample, seed, report)
    workers, linear = workers or this_process(), few is not None and _needs_a_linear_map(sample, settings)
    maker = Maker(sample.train, log, dims, settings, seed, workers, None, report, checkpoints, must_be_linear=linear)
    maker = replace(maker, whole_sample_bytes=whole_sample_bytes)
    standard = choose_standard(sample, maker, held_queries)
    if standard.nested:
        report("truncation keeps more neighbours than SVD: this embedder is nested already, its order is kept")
    contest = _compete(maker, standard, sample, trials)
    winner = contest.winner

    chosen = replace(maker, settings=contest.settings[winner], damping=maker.strength)
    final = replace(chosen, fold=sample.whole, moments=sample.moments, closed_forms={})
    final = replace(final, queries=None if few is not None else sample.queries)
    sides = final.again(_kind(winner), contest.candidates[winner], standard.nested)
    report(f"{winner} wins and is fitted again on all {len(sample.whole.rows)} rows")
    final = replace(final, queries=sample.queries)
    if few is not None:
        sides = final.moved(sides, standard.nested)
    sides, gain = _supervise(final, sides, sample)
    y = sides.corpus(sample.whole.rows)
    zero = ZeroPrefixes.of(y, dims[0], _kind(winner))
    if zero:
        report(f"beware: {zero.summary}")
    measured = FitReport(
        held_out_rows=len(standard.judge.rows),
        held_out_side=standard.judge.side,
        already_nested=standard.nested,
        candidates=contest.scores,
        left_out=contest.left_out,
        keep=settings.keep,
        supervised=gain,
        tuning=contest.tuned.report if contest.tuned else None,
        strata=_by_stratum(sample, maker, standard.judge, contest),
        zero_prefixes=zero,
        training=TrainingRecord.of(maker.trainings),
        profile=_profile(sample, contest, sides if gain else None, dims),
    )
    config = _described(sample, contest, settings, seed, gain)
    scales, cells = Int8Codec.fit(y).scales, Cells.fit(y)
    return Adaptor(sides.corpus, dims, sides.own_query, config, measured.to_json(), scales, cells), measured


def _profile(sample: Sample, contest: Contest, supervised: Sides | None, dims: tuple[int, ...]) -> Profile:
    """What the held-out rows look like to the winner's map of the others; judgments leave no such map."""
    unseen = supervised or contest.candidates[contest.winner].sides
    strata = None if sample.strata is None else list(sample.strata)
    return Profile.of(sample.held_out.rows, unseen.corpus, dims[-1], strata, sample.queries)


def _asking(sample: Sample, settings: FitSettings, report: Callable[[str], None]) -> Sample:
    """The sample without its queries, where they are no witness of what is to be kept."""
    if settings.keep == "retrieval" or sample.queries is None:
        return sample
    report("query log: left out, fit.keep=neighbours asks with rows alone")
    return replace(sample, queries=None, judgments={})


def _logs(
    sample: Sample, seed: int, report: Callable[[str], None]
) -> tuple[Float32 | None, Float32 | None, Float32 | None]:
    """Queries to learn from and queries to judge by; or, where they are too few to choose by, all of them apart."""
    log, held_queries = split_queries(sample.queries, seed)
    few = sample.queries if log is None else None
    if few is not None:
        report(f"query log: {len(few)} queries are too few to choose by; rows choose, and the queries move what wins")
    return log, held_queries, few


def _described(
    sample: Sample, contest: Contest, settings: FitSettings, seed: int, gain: SupervisionGain | None
) -> dict[str, Any]:
    """What the artifact says of its fit, and what counts towards its fingerprint."""
    return {
        "candidate": contest.winner,
        "supervised": gain.share if gain else 0.0,
        "seed": seed,
        "settings": asdict(settings),
        "tuned": contest.tuned.params if contest.tuned and contest.winner == TUNED else {},
        "rows": len(sample.whole.rows),
        "queries": 0 if sample.queries is None else len(sample.queries),
        "judged_queries": len(sample.judgments),
    }


def _needs_a_linear_map(sample: Sample, settings: FitSettings) -> bool:
    """Whether there are judgments to learn from, and a candidate that they can change."""
    return len(sample.judgments) >= LEAST_LABELLED and any(name not in TRAINED for name in settings.to_compete)


def _compete(maker: Maker, standard: Standard, sample: Sample, trials: Trials) -> Contest:
    """Make every candidate that this sample allows, and score it; `AdaptorError` where none is left."""
    tuned = _tune(maker, sample, trials) if maker.settings.tune else None
    contest = Contest([], {}, {}, {}, None if isinstance(tuned, str) else tuned)
    if isinstance(tuned, str):
        contest.left_out[TUNED] = tuned
    makers: dict[str, Maker] = dict.fromkeys(maker.settings.to_compete, maker)
    if contest.tuned and contest.tuned.best:
        makers[TUNED] = replace(maker, settings=contest.tuned.settings)
    corpus = maker.fold.rows
    for name, by in makers.items():
        if reason := by.refuses(_kind(name)):
            contest.left_out[name] = reason
            maker.report(f"{name}: left out, {reason}")
            continue
        started = time.perf_counter()
        candidate = by.make(_kind(name), standard)
        figures = standard.figures(candidate.sides, corpus)
        agreement = geometric_mean(figures[standard.judge.metric])
        score = Score(name, figures, agreement, time.perf_counter() - started)
        contest.scores.append(score)
        contest.candidates[name], contest.settings[name] = candidate, by.settings
        maker.report(f"{name}: agreement {agreement:.4f} on held-out rows, {score.seconds:.1f} s")
    if not contest.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in contest.left_out.items())
        raise AdaptorError(f"no candidate is left: {reasons}")
    if maker.settings.keep == "neighbours":
        contest.left_out.update(below_svd(contest.scores, standard.judge.kept(maker.closed("svd"), corpus)))
    return contest


def _tune(maker: Maker, sample: Sample, trials: Trials) -> Tuned | str:
    """What a search found, or why there was none."""
    experiment = experiment_of(maker, sample)
    if isinstance(experiment, str):
        maker.report(f"{TUNED}: left out, {experiment}")
        return experiment
    with trials(experiment) as run:
        tuned = search(experiment, run)
    maker.report(f"tuning: {tuned.sentence}")
    return tuned


def _kind(name: str) -> CandidateName:
    """How a candidate is made, whatever its settings."""
    return "trained" if name == TUNED else name  # type: ignore[return-value]


def experiment_of(maker: Maker, sample: Sample) -> Experiment | str:
    """What a search tries, or why there is nothing to search, in half a sentence.

    It is judged by a tenth of the training rows, or a fifth of the queries to learn from, that
    trials don't see. The rows that choose among the candidates stay unseen: the best of many
    trials on them would look better than it is.
    """
    rows = sample.train.rows
    order = np.random.default_rng(maker.seed).permutation(len(rows))
    count = min(1000, len(rows) // 10)
    fold = Sample(in_memory(rows[order[count:]]), in_memory(rows[order[:count]]), in_memory(rows))
    log, held_queries = split_queries(maker.queries, maker.seed, LEAST_IN_TRIALS)
    if log is not None:
        fold = replace(fold, train=in_memory(rows))  # queries judge, the rows need not
    inner = replace(maker, fold=fold.train, queries=log, workers=this_process(), report=say_nothing, closed_forms={})
    inner = replace(inner, trainings=[], checkpoints=None)
    reason = inner.refuses("trained")
    if "trained" not in maker.settings.to_compete or reason:
        return reason or "fit.candidates or fit.effort leave out 'trained', the one that a search can change"
    standard = choose_standard(fold, inner, held_queries)
    judge = standard.judge
    if len(judge.rows) < LEAST_JUDGING:
        what = "queries" if judge.side == "query" else "rows"
        return f"{len(judge.rows)} {what} could be held out for the trials, under {LEAST_JUDGING}"
    # Trials find their closed forms themselves, on one thread: then they are the same on any number of cores.
    return Experiment(replace(inner, closed_forms={}), standard, maker.workers.size)


def _by_stratum(sample: Sample, maker: Maker, judge: Judge, contest: Contest) -> dict[str, StratumScore]:
    """What truncation, SVD, the runner-up and the winner keep of each stratum's held-out rows, if there are strata."""
    if sample.strata is None:
        return {}
    if judge.side == "query":  # strata are those of rows, so rows judge here
        judge = choose_standard(sample, replace(maker, queries=None), None).judge
    candidates = {"truncation": maker.closed("truncation"), "svd": maker.closed("svd")}
    candidates |= {name: contest.candidates[name].sides for name in reversed(contest.ranking[:2])}
    return kept_by_stratum(judge, sample.strata, candidates, sample.train.rows)


def choose_standard(sample: Sample, maker: Maker, held_queries: Float32 | None) -> Standard:
    """Who judges, and whether the embedder was nested already.

    Where truncation keeps more of the original neighbours than SVD, those stay the truth. Else
    it is the full width once hubs are corrected for: agreement with the original can't tell
    whether a correction helps, for it is one; its strength follows from the sample alone.
    """
    corpus = sample.train.rows
    rows, side = (held_queries, "query") if held_queries is not None else (sample.held_out.rows, "corpus")
    plain, rotated = maker.closed("truncation"), maker.closed("svd")
    original = Judge.of(plain, rows, side, corpus, maker.dims)  # type: ignore[arg-type]

    def kept(sides: Sides) -> float:
        return geometric_mean(original.overlap(sides, corpus))

    nested = kept(plain) >= kept(rotated)
    if maker.settings.keep == "neighbours":
        return Standard(original, nested)
    corrected = maker.closed("tempered_svd" if maker.queries is None else "query_aware_tempered")
    reference = plain if nested else corrected
    return Standard(GradedJudge.of(reference, rows, side, corpus, maker.dims), nested, original)  # type: ignore[arg-type]


def _supervise(maker: Maker, start: Sides, sample: Sample) -> tuple[Sides, SupervisionGain | None]:
    """`start` moved as far toward what judgments teach as held-out queries bear out; as it is where they can't."""
    queries, judgments, report = maker.queries, sample.judgments, maker.report
    if not judgments:
        return start, None
    if len(judgments) < LEAST_LABELLED or queries is None:
        report(f"judgments: left out, {len(judgments)} judged queries are under {LEAST_LABELLED}")
        return start, None
    if start.corpus.residual is not None:
        report("judgments: left out, they change a linear map and the winner has an MLP")
        return start, None
    from adaptor.training.objectives.judgments import blend

    def trained(some: Judgments, weight: float) -> Sides:
        return maker.supervised(start, some, weight)

    given = maker.settings.supervision.weight
    weights, rows = WEIGHTS if given is None else (given,), sample.whole.rows
    gain = choose_supervision(start, trained, weights, rows, queries, judgments, maker.all_dims, maker.seed)
    report(
        f"judgments of {gain.labelled} queries: {gain.share:.0%} of the way with a weight of {gain.weight:g}, "
        f"nDCG@10 {gain.gain:+.4f} on held-out queries"
    )
    return (blend(start, trained(judgments, gain.weight), gain.share) if gain.share else start), gain


def _require_enough(sample: Sample, settings: FitSettings) -> None:
    needed = max(NEIGHBOURS, settings.training.neighbours) + 1
    if len(sample.train.rows) < needed or not len(sample.held_out.rows):
        raise AdaptorError(
            f"the sample has {len(sample.whole.rows)} good rows; a fit compares neighbours and needs at least "
            f"{needed} besides the held-out tenth: sample more rows"
        )
