"""Fitting: every candidate is scored on held-out rows, the best is made again from all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from adaptor import candidates
from adaptor.artifact import Adaptor
from adaptor.codecs import Int8Codec
from adaptor.errors import AdaptorError
from adaptor.judge import NEIGHBOURS, Judge, geometric_mean
from adaptor.making import LEAST_QUERIES, Made, Maker
from adaptor.maps import Sides
from adaptor.sample import Judgments, Sample, in_memory
from adaptor.settings import CandidateName, FitSettings
from adaptor.strata import as_labels, hold_out, overlap_by_stratum
from adaptor.supervise import LEAST_LABELLED, Supervised, choose_share
from adaptor.vectors import Float32, as_embeddings, check_dims
from adaptor.workers import Workers
from adaptor.workers.local import LocalWorkers


@dataclass(frozen=True)
class Score:
    """What a candidate reached on held-out rows: overlap@10 by dim, and the seconds it took."""

    candidate: CandidateName
    overlap: dict[int, float]
    seconds: float

    @property
    def mean(self) -> float:
        """What the candidates are ranked by."""
        return geometric_mean(self.overlap)

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
) -> Adaptor:
    """Fit an adaptor in memory, without Spark.

    `corpus (n, D)`; `queries (q, D)`, a log of them, no labels needed; `judgments (j, 3)`: query
    row, corpus row, grade; `strata (n,)`, a label a corpus row, such as its language: a share of
    each is held out, and `metrics["strata"]` reports each apart. A tenth of the corpus, 1,000 rows
    at most, and a fifth of the queries are held out to choose among candidates. Raises
    `AdaptorError` for bad rows, dims above D, judgments or strata of rows that are not there, and
    samples too small.
    """
    rows = as_embeddings(corpus, "corpus")
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
        queries=None if queries is None else as_embeddings(queries, "queries", rows.shape[1]),
        judgments=_graded(judgments, rows, queries),
        strata=None if labels is None else labels[held],
    )
    return fit_sample(sample, dims, settings, seed)


def fit_sample(
    sample: Sample,
    dims: Sequence[int],
    settings: FitSettings,
    seed: int,
    workers: Workers | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Adaptor:
    """Score all candidates on held-out rows, refit the best on all; ties go to the earlier one.

    `report` gets a line about each candidate as it is done.
    """
    dims = check_dims(dims, sample.whole.rows.shape[1])
    _enough(sample, settings)
    workers = workers or LocalWorkers()
    asked, held_queries = _split_queries(sample.queries, seed)
    damping = candidates.damping(sample.train.rows)
    maker = Maker(sample.train, asked, dims, settings, seed, workers, damping)
    judge, nested = _choose_judge(sample, maker, held_queries)
    if nested:
        report("truncation keeps more neighbours than SVD: this embedder is nested already, its order is kept")

    scores: list[Score] = []
    made: dict[CandidateName, Made] = {}
    skipped: dict[str, str] = {}
    for name in settings.candidates:
        if reason := maker.refuses(name):
            skipped[name] = reason
            report(f"{name}: left out, {reason}")
            continue
        started = time.perf_counter()
        made[name] = maker.make(name, judge, nested)
        scores.append(Score(name, judge.overlap(made[name].sides, sample.train.rows), time.perf_counter() - started))
        report(f"{name}: overlap@{NEIGHBOURS} {scores[-1].mean:.4f} on held-out rows, {scores[-1].seconds:.1f} s")
    if not scores:
        raise AdaptorError(f"no candidate is left: {'; '.join(f'{k}: {v}' for k, v in skipped.items())}")
    winner = max(scores, key=lambda score: score.mean).candidate  # the first of equals
    strata = _by_stratum(sample, maker, judge, winner, made[winner].sides)

    everything = sample.queries if asked is not None else None
    maker = Maker(sample.whole, everything, dims, settings, seed, workers, damping)
    sides = maker.again(winner, made[winner], nested)
    report(f"{winner} wins and is fitted again on all {len(sample.whole.rows)} rows")
    supervised = None
    if sample.judgments:
        sides, supervised = _supervise(maker, sides, sample, seed, report)
    return Adaptor(
        corpus=sides.corpus,
        query=sides.own_query,
        dims=dims,
        config={
            "candidate": winner,
            "supervised": supervised.share if supervised else 0.0,
            "seed": seed,
            "settings": asdict(settings),
            "rows": len(sample.whole.rows),
            "queries": 0 if asked is None or sample.queries is None else len(sample.queries),
            "judged_queries": len(sample.judgments),
        },
        metrics=_metrics(scores, skipped, judge, nested, supervised) | {"strata": strata},
        int8_scales=Int8Codec.fit(sides.corpus(sample.whole.rows)).scales,
    )


def _metrics(
    scores: list[Score], skipped: dict[str, str], judge: Judge, nested: bool, supervised: Supervised | None
) -> dict[str, Any]:
    return {
        "held_out_rows": len(judge.rows),
        "held_out_side": judge.side,
        "already_nested": nested,
        "candidates": [score.stored() for score in scores],
        "left_out": skipped,
        "supervised": asdict(supervised) if supervised else None,
    }


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
        return original, True
    corrected = maker.closed("tempered_svd" if maker.queries is None else "query_aware_svd")
    return Judge.of(corrected, rows, side, corpus, maker.dims), False  # type: ignore[arg-type]


def _supervise(
    maker: Maker, start: Sides, sample: Sample, seed: int, report: Callable[[str], None]
) -> tuple[Sides, Supervised | None]:
    from adaptor.objectives.judgments import blend

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


def _split_queries(queries: Float32 | None, seed: int) -> tuple[Float32, Float32] | tuple[None, None]:
    """Queries to learn from and queries to judge by: a fifth, 500 at most; too few are left aside."""
    if queries is None or len(queries) < LEAST_QUERIES:
        return None, None
    order = np.random.default_rng(seed).permutation(len(queries))
    count = min(500, len(queries) // 5)
    return queries[order[count:]], queries[order[:count]]


def _enough(sample: Sample, settings: FitSettings) -> None:
    needed = max(NEIGHBOURS, settings.training.neighbours) + 1
    if len(sample.train.rows) < needed or not len(sample.held_out.rows):
        raise AdaptorError(
            f"the sample has {len(sample.whole.rows)} good rows; a fit compares neighbours and needs at least "
            f"{needed} besides the held-out tenth: sample more rows"
        )


def _graded(judgments: object, corpus: Float32, queries: object) -> Judgments:
    """Judgments `(j, 3)` as query row -> corpus row -> grade, without grades of 0."""
    if judgments is None:
        return {}
    if queries is None:
        raise AdaptorError("judgments need queries: pass the embeddings of the queries they speak of")
    rows = np.asarray(judgments, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise AdaptorError(f"judgments must be (query row, corpus row, grade), not of shape {rows.shape}")
    if (rows != np.round(rows)).any():
        raise AdaptorError("judgments must be whole numbers: query row, corpus row, grade")
    counts = len(np.asarray(queries)), len(corpus)
    for column, (what, count) in enumerate(zip(("query", "corpus"), counts)):
        outside = rows[(rows[:, column] < 0) | (rows[:, column] >= count), column]
        if len(outside):
            raise AdaptorError(f"judgments name {what} row {outside[0]:.0f}, but there are {count} rows")
    graded: Judgments = {}
    for query, document, grade in rows:
        if grade > 0:
            graded.setdefault(int(query), {})[int(document)] = float(grade)
    return graded
