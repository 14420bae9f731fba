"""Fitting: every candidate is scored on held-out rows, the best is made again from all rows."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from adaptor.artifact import Adaptor
from adaptor.codecs import Int8Codec
from adaptor.errors import AdaptorError
from adaptor.fitting.candidates import Candidate, Maker, split_queries
from adaptor.fitting.judge import NEIGHBOURS, GradedJudge, Judge, geometric_mean
from adaptor.fitting.sample import Judgments, Sample, graded, in_memory
from adaptor.fitting.settings import CandidateName, FitSettings
from adaptor.fitting.strata import as_labels, hold_out, overlap_by_stratum
from adaptor.fitting.supervision import LEAST_LABELLED, Supervised, choose_share
from adaptor.fitting.tuning import Experiment, Trials, Tuned, in_turn, search
from adaptor.maps import Sides
from adaptor.metrics import zero_prefixes
from adaptor.training.workers import Workers
from adaptor.training.workers.local import LocalWorkers
from adaptor.vectors import Float32, as_embeddings, check_dims

TUNED = "tuned"  # the candidate that is trained with the settings that a search found
LEAST_JUDGING = 50  # held-out rows or queries under which nothing is tuned: their agreement is mostly chance


@dataclass(frozen=True)
class Score:
    """What a candidate reached on held-out rows: overlap@10 by dim, the judge's mean, and the seconds it took."""

    candidate: str
    overlap: dict[int, float]
    mean: float  # what the candidates are ranked by
    seconds: float

    def stored(self) -> dict[str, Any]:
        """As it stands in metrics.json."""
        overlap = {str(dim): value for dim, value in self.overlap.items()}
        return {"candidate": self.candidate, "overlap": overlap, "mean": self.mean, "seconds": self.seconds}


def fit(
    corpus: object,
    dims: Sequence[int],
    queries: object = None,
    judgments: object = None,
    seed: int = 0,
    settings: FitSettings = FitSettings(),
    strata: object = None,
    report: Callable[[str], None] = lambda line: None,
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
    asked = None if queries is None else as_embeddings(queries, "queries", rows.shape[1])
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
        queries=asked,
        judgments=graded(judgments, rows, asked),
        strata=None if labels is None else labels[held],
    )
    fitted = fit_sample(sample, dims, settings, seed, report=report)
    if zero := fitted.metrics["zero_prefixes"]:
        warnings.warn(zero["summary"], stacklevel=2)
    return fitted


def fit_sample(
    sample: Sample,
    dims: Sequence[int],
    settings: FitSettings,
    seed: int,
    workers: Workers | None = None,
    report: Callable[[str], None] = lambda line: None,
    trials: Trials = in_turn,
) -> Adaptor:
    """Score all candidates on held-out rows, refit the best on all; ties go to the earlier one.

    `report` gets a line about each candidate as it is done. With `settings.tune` a search, whose
    trials run where `trials` says, may add one: trained with other settings.
    """
    dims = check_dims(dims, sample.whole.rows.shape[1])
    _enough(sample, settings)
    workers = workers or LocalWorkers()
    asked, held_queries = split_queries(sample.queries, seed)
    maker = Maker(sample.train, asked, dims, settings, seed, workers, report=report)
    judge, nested = _choose_judge(sample, maker, held_queries)
    if nested:
        report("truncation keeps more neighbours than SVD: this embedder is nested already, its order is kept")

    scores: list[Score] = []
    made: dict[str, Candidate] = {}
    skipped: dict[str, str] = {}
    asked_for: dict[str, FitSettings] = dict.fromkeys(settings.candidates, settings)
    tuned: Tuned | None = None
    if settings.tune:
        experiment = experiment_of(sample, asked, dims, settings, seed, workers)
        if isinstance(experiment, Experiment):
            with trials(experiment) as run:
                tuned = search(experiment, run)
            report(f"tuning: {tuned.sentence}")
            if tuned.best:
                asked_for[TUNED] = tuned.settings
        else:
            skipped[TUNED] = experiment
            report(f"{TUNED}: left out, {experiment}")
    for name, wanted in asked_for.items():
        by = maker if wanted is settings else replace(maker, settings=wanted)
        if reason := by.refuses(_kind(name)):
            skipped[name] = reason
            report(f"{name}: left out, {reason}")
            continue
        started = time.perf_counter()
        made[name] = by.make(_kind(name), judge, nested)
        overlap = judge.overlap(made[name].sides, sample.train.rows)
        mean = geometric_mean(judge.kept(made[name].sides, sample.train.rows))
        scores.append(Score(name, overlap, mean, time.perf_counter() - started))
        report(f"{name}: agreement {mean:.4f} on held-out rows, {scores[-1].seconds:.1f} s")
    if not scores:
        raise AdaptorError(f"no candidate is left: {'; '.join(f'{k}: {v}' for k, v in skipped.items())}")
    winner = max(scores, key=lambda score: score.mean).candidate  # the first of equals
    strata = _by_stratum(sample, maker, judge, winner, made[winner].sides)

    everything = sample.queries if asked is not None else None
    maker = Maker(sample.whole, everything, dims, asked_for[winner], seed, workers, maker.strength, report)
    sides = maker.again(_kind(winner), made[winner], nested)
    report(f"{winner} wins and is fitted again on all {len(sample.whole.rows)} rows")
    supervised = None
    if sample.judgments:
        sides, supervised = _supervise(maker, sides, sample, seed, report)
    y = sides.corpus(sample.whole.rows)
    if zero := zero_prefixes(y, dims[0], _kind(winner)):
        report(f"beware: {zero['summary']}")
    return Adaptor(
        corpus=sides.corpus,
        query=sides.own_query,
        dims=dims,
        config={
            "candidate": winner,
            "supervised": supervised.share if supervised else 0.0,
            "seed": seed,
            "settings": asdict(settings),
            "tuned": tuned.params if tuned and winner == TUNED else {},
            "rows": len(sample.whole.rows),
            "queries": 0 if asked is None or sample.queries is None else len(sample.queries),
            "judged_queries": len(sample.judgments),
        },
        metrics=_metrics(scores, skipped, judge, nested, supervised, tuned) | {"strata": strata, "zero_prefixes": zero},
        int8_scales=Int8Codec.fit(y).scales,
    )


def _metrics(
    scores: list[Score],
    skipped: dict[str, str],
    judge: Judge,
    nested: bool,
    supervised: Supervised | None,
    tuned: Tuned | None,
) -> dict[str, Any]:
    return {
        "held_out_rows": len(judge.rows),
        "held_out_side": judge.side,
        "already_nested": nested,
        "candidates": [score.stored() for score in scores],
        "left_out": skipped,
        "supervised": asdict(supervised) if supervised else None,
        "tuning": tuned.stored() if tuned else None,
    }


def _kind(name: str) -> CandidateName:
    """How a candidate is made, whatever its settings."""
    return "trained" if name == TUNED else name  # type: ignore[return-value]


def experiment_of(
    sample: Sample,
    asked: Float32 | None,
    dims: tuple[int, ...],
    settings: FitSettings,
    seed: int,
    workers: Workers,
) -> Experiment | str:
    """What a search tries, or why there is nothing to search, in half a sentence.

    It is judged by a tenth of the training rows, or a fifth of the queries to learn from, that
    trials don't see. The rows that choose among the candidates stay unseen: the best of many
    trials on them would look better than it is.
    """
    rows = sample.train.rows
    order = np.random.default_rng(seed).permutation(len(rows))
    count = min(1000, len(rows) // 10)
    fold = Sample(in_memory(rows[order[count:]]), in_memory(rows[order[:count]]), in_memory(rows))
    asked, held_queries = split_queries(asked, seed)
    if asked is not None:
        fold = replace(fold, train=in_memory(rows))  # queries judge, the rows need not
    maker = Maker(fold.train, asked, dims, settings, seed, workers)
    refused = maker.refuses("trained")
    if "trained" not in settings.candidates or refused:
        return refused or "fit.candidates has no 'trained', the one that a search can change"
    judge, nested = _choose_judge(fold, maker, held_queries)
    if len(judge.rows) < LEAST_JUDGING:
        what = "queries" if judge.side == "query" else "rows"
        return f"{len(judge.rows)} {what} could be held out for the trials, under {LEAST_JUDGING}"
    return Experiment(fold.train.rows, asked, dims, settings, seed, judge, nested, workers.size)


def _by_stratum(sample: Sample, maker: Maker, judge: Judge, winner: str, sides: Sides) -> dict[str, Any]:
    """What the winner, SVD and truncation keep of each stratum's held-out rows; nothing where there are no strata."""
    if sample.strata is None:
        return {}
    if judge.side == "query":  # strata are those of rows, so rows judge here
        judge, _ = _choose_judge(sample, replace(maker, queries=None), None)
    made = {"truncation": maker.closed("truncation"), "svd": maker.closed("svd"), winner: sides}
    return overlap_by_stratum(judge, sample.strata, made, sample.train.rows)


def _choose_judge(sample: Sample, maker: Maker, held_queries: Float32 | None) -> tuple[Judge, bool]:
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

    if kept(plain) >= kept(rotated):
        return GradedJudge.of(plain, rows, side, corpus, maker.dims), True  # type: ignore[arg-type]
    corrected = maker.closed("tempered_svd" if maker.queries is None else "query_aware_svd")
    return GradedJudge.of(corrected, rows, side, corpus, maker.dims), False  # type: ignore[arg-type]


def _supervise(
    maker: Maker, start: Sides, sample: Sample, seed: int, report: Callable[[str], None]
) -> tuple[Sides, Supervised | None]:
    from adaptor.training.objectives.judgments import blend

    if len(sample.judgments) < LEAST_LABELLED or maker.queries is None:
        report(f"judgments: left out, {len(sample.judgments)} judged queries are under {LEAST_LABELLED}")
        return start, None
    if start.corpus.residual is not None:
        report("judgments: left out, they change a linear map and the winner has an MLP")
        return start, None
    queries, judgments = maker.queries, sample.judgments

    def trained(some: Judgments) -> Sides:
        return maker.supervised(start, some)

    chosen = choose_share(start, trained, sample.whole.rows, queries, judgments, maker.all_dims, seed)
    report(
        f"judgments of {chosen.labelled} queries: {chosen.share:.0%} of the way, "
        f"nDCG@10 {chosen.gain:+.4f} on held-out queries"
    )
    return (blend(start, trained(judgments), chosen.share) if chosen.share else start), chosen


def _enough(sample: Sample, settings: FitSettings) -> None:
    needed = max(NEIGHBOURS, settings.training.neighbours) + 1
    if len(sample.train.rows) < needed or not len(sample.held_out.rows):
        raise AdaptorError(
            f"the sample has {len(sample.whole.rows)} good rows; a fit compares neighbours and needs at least "
            f"{needed} besides the held-out tenth: sample more rows"
        )
