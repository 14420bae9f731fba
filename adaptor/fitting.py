"""Fitting: every candidate is scored on held-out rows, the best is made again from all rows."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from adaptor import candidates
from adaptor.artifact import Adaptor
from adaptor.batches import ArrayBatches, Batches
from adaptor.errors import AdaptorError
from adaptor.maps import Map
from adaptor.metrics import nearest, overlap
from adaptor.settings import PAPER, CandidateName, FitSettings, Training
from adaptor.vectors import Float32, as_embeddings, check_dims, prefix
from adaptor.workers import Workers
from adaptor.workers.local import LocalWorkers

if TYPE_CHECKING:
    from adaptor.train import Trained

NEIGHBOURS = 10  # of the overlap that candidates are chosen by


@dataclass(frozen=True)
class Fold:
    """Rows of a sample, twice: in memory `(n, D) float32`, and as batches for training workers."""

    rows: Float32
    batches: Batches


@dataclass(frozen=True)
class Score:
    """What a candidate reached on held-out rows: overlap@10 by dim, and the seconds it took."""

    candidate: CandidateName
    overlap: dict[int, float]
    seconds: float

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.overlap.values())))


def fit(
    corpus: object,
    dims: Sequence[int],
    queries: object = None,
    judgments: object = None,
    seed: int = 0,
    settings: FitSettings = FitSettings(),
) -> Adaptor:
    """Fit an adaptor to `corpus`, `(n, D)`, in memory; a tenth of it, 1,000 at most, is held out.

    `queries (q, D)` and `judgments (query row, corpus row, grade)` are not used yet and refused.
    Raises `AdaptorError` for bad rows, dims above D and samples too small.
    """
    if queries is not None or judgments is not None:
        raise AdaptorError("fit does not learn from queries and judgments yet; leave both out")
    rows = as_embeddings(corpus, "corpus")
    order = np.random.default_rng(seed).permutation(len(rows))
    count = held_out_rows(len(rows))
    return fit_folds(
        in_memory(rows[order[count:]]), in_memory(rows[order[:count]]), in_memory(rows), dims, settings, seed
    )


def in_memory(rows: Float32) -> Fold:
    return Fold(rows, ArrayBatches(rows))


def held_out_rows(rows: int) -> int:
    """A tenth of the sample, 1,000 at most."""
    return min(1000, rows // 10)


def fit_folds(
    train: Fold,
    held_out: Fold,
    whole: Fold,
    dims: Sequence[int],
    settings: FitSettings,
    seed: int,
    workers: Workers | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Adaptor:
    """Score all candidates on `held_out`, refit the best on `whole`; ties go to the earlier one.

    `report` gets a line about each candidate as it is done.
    """
    width = train.rows.shape[1]
    dims = check_dims(dims, width)
    needed = max(NEIGHBOURS, settings.training.neighbours) + 1
    if len(train.rows) < needed or not len(held_out.rows):
        raise AdaptorError(
            f"the sample has {len(whole.rows)} rows; a fit needs at least {needed} besides the held-out "
            "tenth to compare neighbours: sample more rows"
        )
    workers = workers or LocalWorkers()
    original = nearest(prefix(held_out.rows, width), prefix(train.rows, width), NEIGHBOURS)
    scores: list[Score] = []
    steps: dict[CandidateName, int] = {}
    for name in settings.candidates:
        started = time.perf_counter()
        if name in ("paper", "trained"):
            trained = train_map(name, train, held_out, dims, settings, seed, workers)
            made, steps[name] = trained.map, trained.step
        else:
            made = getattr(candidates, name)(train.rows)
        found = {dim: _overlap(made, train.rows, held_out.rows, original, dim) for dim in dims}
        scores.append(Score(name, found, time.perf_counter() - started))
        report(f"{name}: overlap@{NEIGHBOURS} {scores[-1].mean:.4f} on held-out rows, {scores[-1].seconds:.1f} s")
    winner = max(scores, key=lambda score: score.mean).candidate  # the first of equals

    if steps.get(winner):
        final = train_map(winner, whole, None, dims, settings, seed, workers, steps[winner]).map
    elif winner in steps:  # training never left its start
        final = _start(settings.training if winner == "trained" else PAPER, whole.rows)
    else:
        final = getattr(candidates, winner)(whole.rows)
    report(f"{winner} wins and is fitted again on all {len(whole.rows)} rows")
    return Adaptor(
        corpus=final,
        dims=dims,
        config={"candidate": winner, "seed": seed, "settings": asdict(settings), "rows": len(whole.rows)},
        metrics={"held_out_rows": len(held_out.rows), "candidates": [asdict(score) for score in scores]},
    )


def train_map(
    name: CandidateName,
    sample: Fold,
    held_out: Fold | None,
    dims: tuple[int, ...],
    settings: FitSettings,
    seed: int,
    workers: Workers,
    steps: int | None = None,
) -> Trained:
    """Train on `workers`; all must bring back the same map.

    With `steps` the training stops there, on the schedule it had with held-out rows.
    """
    from adaptor.train import train

    training = settings.training if name == "trained" else PAPER
    results = workers.run(
        partial(
            train,
            _start(training, sample.rows),
            sample.batches,
            held_out.batches if held_out else None,
            dims,
            training,
            seed,
            steps,
        )
    )
    first = results[0]
    for other in results[1:]:
        pairs = zip(first.map.tensors().values(), other.map.tensors().values(), strict=True)
        if not all(np.array_equal(a, b) for a, b in pairs):
            raise AdaptorError("the workers ended with different maps; check the network, then fit again")
    return first


def _start(training: Training, rows: Float32) -> Map:
    return candidates.svd(rows) if training.start == "svd" else candidates.truncation(rows)


def _overlap(made: Map, corpus: Float32, held_out: Float32, original: np.ndarray, dim: int) -> float:
    found = nearest(prefix(made(held_out, dim), dim), prefix(made(corpus, dim), dim), NEIGHBOURS)
    return float(overlap(found, original).mean())
