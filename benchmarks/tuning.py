"""Does what a search maximises rank configurations as nDCG does? Writes docs/tuning.md.

    make bench-tuning                      the collections of the repository
    make bench-tuning QUALITY_DATA=DIR     and those in DIR, in the same layout

Configurations are drawn from the space that a search covers. Each is trained as a trial is, and
its maps are judged twice: by held-out rows or queries without labels, as the search does, and by
nDCG@10 on the test queries.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from adaptor.fitting import closed_forms
from adaptor.fitting.candidates import Candidate, Maker
from adaptor.fitting.pipeline import experiment_of
from adaptor.fitting.sample import Sample, in_memory
from adaptor.fitting.settings import FitSettings
from adaptor.fitting.tuning import Experiment, Params, one_thread, params_of, require_optuna, suggested
from adaptor.maps import Sides
from adaptor.metrics import geometric_mean
from adaptor.training.workers.local import LocalWorkers
from adaptor.vectors import Float32, prefix
from benchmarks import data_sets
from benchmarks.data_sets import Collection
from benchmarks.retention import ndcg, widths

OUT = Path(__file__).parents[1] / "docs" / "tuning.md"
CONFIGURATIONS = 12  # the settings as given, and others
HALVES = 100  # random halves of the test queries that are compared
SETTINGS = ("corpus alone", "with queries")


@dataclass(frozen=True)
class Figures:
    """Configurations of one collection: agreement and overlap@10 `(c,)`, nDCG@10 by query and dim `(c, q, dims)`."""

    agreement: Float32
    overlap: Float32
    ndcg: Float32

    def means(self, queries: object = slice(None)) -> Float32:
        """nDCG@10 over some queries, then its geometric mean over dims: `(c,)`."""
        return np.exp(np.log(self.ndcg[:, queries].mean(axis=1)).mean(axis=1))

    def correlation(self, objective: Float32) -> float:
        """Spearman's, with nDCG."""
        return float(spearmanr(objective, self.means()).statistic)

    def between_halves(self) -> float:
        """How well nDCG ranks as nDCG does: the correlation between random halves of the queries."""
        draw, correlations = np.random.default_rng(0), []
        for _ in range(HALVES):
            order = draw.permutation(self.ndcg.shape[1])
            half = len(order) // 2
            correlations.append(spearmanr(self.means(order[:half]), self.means(order[half:])).statistic)
        return float(np.mean(correlations))


def configurations(experiment: Experiment) -> list[Params]:
    """The settings as given, then random ones."""
    optuna = require_optuna()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.enqueue_trial(params_of(experiment.training))
    return [suggested(study.ask(), experiment.training) for _ in range(CONFIGURATIONS)]


def experiment(fold: Collection, setting: str) -> Experiment | str:
    """What a search on this fold would try, or why it would not."""
    sample = Sample(in_memory(fold.corpus), in_memory(fold.corpus[:0]), in_memory(fold.corpus))
    queries = fold.learn if setting == "with queries" else None
    dims = tuple(widths(fold.corpus.shape[1])[:-1])
    return experiment_of(Maker(sample.train, queries, dims, FitSettings(), 0, LocalWorkers()), sample)


def trained(case: Experiment, params: Params) -> Sides:
    """Trained to the last step: stopped early, whatever falls behind its start would end as its start."""
    with one_thread():
        settings = case.with_params(params)
        maker = replace(case.maker, settings=settings)
        steps = (settings.training if case.maker.queries is None else settings.query_training).steps
        return maker.again("trained", Candidate(closed_forms.truncation(case.rows), steps, "two"), case.standard.nested)


def judged(case: Experiment, sides: Sides, fold: Collection) -> tuple[float, float, Float32]:
    """Agreement, overlap@10, and nDCG@10 by query and dim, `(q, dims)`."""
    y, questions = sides.corpus(fold.corpus), sides.query(fold.test)
    values = [ndcg(prefix(questions, dim), prefix(y, dim), fold.judgments) for dim in case.maker.dims]
    agreement, overlap = case.standard.judge.kept(sides, case.rows), case.standard.judge.overlap(sides, case.rows)
    return geometric_mean(agreement), geometric_mean(overlap), np.stack(values, axis=1)


def untrained(case: Experiment) -> list[Sides]:
    forms = [closed_forms.truncation, closed_forms.pca, closed_forms.svd, closed_forms.tempered_svd]
    aware = [] if case.maker.queries is None else [closed_forms.query_aware_svd(case.rows, case.maker.queries)]
    return [*(form(case.rows) for form in forms), *aware]


def run(name: str, setting: str) -> tuple[Figures, Figures] | str:
    """Figures of the configurations, and of these and the closed forms; folds are joined."""
    tuned, every = [], []
    for fold in data_sets.load(name):
        case = experiment(fold, setting)
        if isinstance(case, str):
            return case
        figures = []
        for params in configurations(case):
            figures.append(judged(case, trained(case, params), fold))
            print(f"{name}, {setting}: {params} {figures[-1][0]:.4f} {figures[-1][2].mean():.4f}", flush=True)
        tuned.append(figures)
        every.append(figures + [judged(case, sides, fold) for sides in untrained(case)])
    return joined(tuned), joined(every)


def joined(folds: list[list[tuple[float, float, Float32]]]) -> Figures:
    """Over folds: the mean objectives, and all queries."""
    agreement, overlap = (np.mean([[judged[i] for judged in fold] for fold in folds], axis=0) for i in (0, 1))
    return Figures(agreement, overlap, np.concatenate([np.stack([each[2] for each in fold]) for fold in folds], axis=1))


def row(name: str, setting: str, tuned: Figures, every: Figures) -> str:
    """A line of the table."""
    means = tuned.means()
    correlations = [
        tuned.correlation(tuned.agreement),
        tuned.correlation(tuned.overlap),
        tuned.between_halves(),
        every.correlation(every.agreement),
        every.correlation(every.overlap),
    ]
    values = means[0], means[tuned.agreement.argmax()], means[tuned.overlap.argmax()], means.max(), means.min()
    cells = [f"{value:+.2f}" for value in correlations] + [f"{value:.4f}" for value in values]
    return f"| {name} | {setting} | {tuned.ndcg.shape[1]} | {' | '.join(cells)} |"


def head(figures: list[tuple[Figures, Figures]]) -> list[str]:
    """What the table holds, and its means."""
    agreement, overlap, halves = (
        [each.correlation(each.agreement) for each, _ in figures],
        [each.correlation(each.overlap) for each, _ in figures],
        [each.between_halves() for each, _ in figures],
    )
    chosen = [each.means()[each.agreement.argmax()] - each.means()[0] for each, _ in figures]
    return [
        "# Tuning without labels",
        "",
        "Written by `make bench-tuning`. Does what a search maximises, without labels, rank configurations as nDCG@10",
        f"on test queries does? {CONFIGURATIONS} configurations a collection: the settings as given, and others from",
        "the space that a search covers, each trained to its last step, so that none ends as its start. The same maps",
        "are judged by held-out rows, or with a query log by held-out queries, and by the test queries. Spearman's",
        "rank correlations with nDCG@10, its geometric mean over D/12, D/6, D/4, D/3 and D/2:",
        "",
        "- agreement: what a fit and a search rank by, label-free nDCG@10 (`adaptor/fitting/judge.py`);",
        "- overlap@10: the plain share of the 10 nearest that is found again;",
        "- halves: nDCG on a random half of the test queries with nDCG on the other, what the differences allow;",
        "- all: agreement and overlap@10 where the closed forms are ranked too.",
        "",
        "Then nDCG: of the settings as given, of what agreement and overlap@10 would choose, the best and the worst.",
        f"By chance {CONFIGURATIONS} configurations correlate by more than .50 one time in twenty.",
        "",
        f"Means: agreement {np.mean(agreement):+.2f} ({min(agreement):+.2f} to {max(agreement):+.2f}), "
        f"overlap@10 {np.mean(overlap):+.2f} ({min(overlap):+.2f} to {max(overlap):+.2f}), "
        f"halves {np.mean(halves):+.2f}.",
        f"What agreement chooses gains {np.mean(chosen):+.4f} nDCG on the settings as given "
        f"({min(chosen):+.4f} to {max(chosen):+.4f}).",
        "",
        "| collection | setting | queries | agreement | overlap@10 | halves | all: agreement | all: overlap@10 "
        "| as given | agreement's choice | overlap's choice | best | worst |",
        f"|{'---|' * 13}",
    ]


def main(names: list[str]) -> None:
    started = time.perf_counter()
    figures: list[tuple[Figures, Figures]] = []
    rows: list[str] = []
    left_out: list[str] = []
    for setting in SETTINGS:
        for name in names:
            pair = run(name, setting)
            if isinstance(pair, str):
                left_out.append(f"- {name}, {setting}: {pair}")
            else:
                figures.append(pair)
                rows.append(row(name, setting, *pair))
    tail = ["", "Not tuned, for the reason that a fit gives:", "", *left_out] if left_out else []
    OUT.write_text("\n".join([*head(figures), *rows, *tail]) + "\n")
    print(f"{OUT} written in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:] or data_sets.names())
