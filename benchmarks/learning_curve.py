"""What a fit gains from more rows, and from more queries: writes docs/learning-curve.md.

    make bench-learning-curve                      SciFact
    make bench-learning-curve QUALITY_DATA=DIR     and CACM and Cranfield, where DIR holds them

A fit sees a random subset; what it ships is judged on the whole corpus and all test queries.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adaptor import Adaptor
from adaptor.fitting import closed_forms
from adaptor.fitting.pipeline import fit
from adaptor.maps import Sides
from adaptor.vectors import Float32, prefix
from benchmarks import data_sets
from benchmarks.data_sets import Collection
from benchmarks.retention import ndcg, widths

OUT = Path(__file__).parents[1] / "docs" / "learning-curve.md"
COLLECTIONS = ("scifact", "cacm", "cranfield")  # those with more than a thousand documents
LEAST_ROWS = 500
QUERIES = (20, 40, 100, 200)
SEEDS = 3  # fits of each size


@dataclass(frozen=True)
class Trial:
    """One fit: what it shipped and left out, and nDCG@10 at each dim, `(test queries, dims)`."""

    adaptor: Adaptor
    ships: Float32
    svd: Float32


@dataclass(frozen=True)
class Point:
    """All trials of one size."""

    size: int
    trials: list[Trial]

    def shipped(self) -> str:
        """The candidates that were shipped, with how often where they differ."""
        count = Counter(trial.adaptor.config["candidate"] for trial in self.trials)
        return ", ".join(name if len(count) == 1 else f"{name} {times}x" for name, times in count.most_common())

    def left_out(self, ignored: str | None) -> dict[str, str]:
        """Candidate -> why the fits refused to make it."""
        reasons: dict[str, str] = {}
        for trial in self.trials:
            reasons |= trial.adaptor.metrics["left_out"]
        return {name: reason for name, reason in reasons.items() if name != ignored}


def judged_dims(width: int) -> list[int]:
    """D/12, D/6 and D/3."""
    return [width // share for share in (12, 6, 3)]


def measure(sides: Sides, fold: Collection) -> Float32:
    """nDCG@10 of each test query at each dim, searched in the whole corpus."""
    y, questions = sides.corpus(fold.corpus), sides.query(fold.test)
    dims = judged_dims(fold.corpus.shape[1])
    return np.stack([ndcg(prefix(questions, dim), prefix(y, dim), fold.judgments) for dim in dims], axis=1)


def trial(folds: Sequence[Collection], rows: Float32, queries: Float32 | None, seed: int) -> Trial:
    """Fit once on `rows (n, D)` and `queries (q, D)`, and judge by the test queries of `folds`."""
    adaptor = fit(rows, dims=widths(rows.shape[1])[:-1], queries=queries, seed=seed)
    plain, ours = closed_forms.svd(rows), Sides(adaptor.corpus, adaptor.query)
    ships, svd = (np.concatenate([measure(sides, fold) for fold in folds]) for sides in (ours, plain))
    return Trial(adaptor, ships, svd)


def subsets(total: int, size: int) -> Iterable[tuple[int, np.ndarray]]:
    """A few times a seed for the fit and `size` of `total` rows: another random subset each time, unless it is all."""
    for seed in range(SEEDS):
        yield seed, np.arange(total) if size == total else np.random.default_rng(seed).permutation(total)[:size]


def by_rows(folds: Sequence[Collection]) -> Iterable[Point]:
    """The corpus alone: 500 rows, 1,000, twice as many each time, all."""
    corpus = folds[0].corpus
    doubled = [LEAST_ROWS * 2**power for power in range(20)]
    for size in [*(size for size in doubled if size < len(corpus)), len(corpus)]:
        yield Point(size, [trial(folds, corpus[rows], None, seed) for seed, rows in subsets(len(corpus), size)])


def by_queries(folds: Sequence[Collection]) -> Iterable[Point]:
    """The whole corpus, and a log of 20 queries, 40, 100, 200, all; each fold has a log of its own."""
    most = min(len(fold.learn) for fold in folds)
    for size in [*(size for size in QUERIES if size < most), most]:
        yield Point(
            size,
            [
                trial([fold], fold.corpus, fold.learn[rows], seed)
                for fold in folds
                for seed, rows in subsets(most, size)
            ],
        )


def table(what: str, points: Sequence[Point], dims: Sequence[int], ignored: str | None) -> Iterable[str]:
    """A Markdown table, a row a size, and below it what was refused."""
    yield f"| {what} | shipped | {' | '.join(f'svd {dim} | ships {dim}' for dim in dims)} |"
    yield f"|---|---|{'---|' * (2 * len(dims))}"
    for point in points:
        ships, svd = (
            np.mean([getattr(trial, side).mean(axis=0) for trial in point.trials], axis=0) for side in ("ships", "svd")
        )
        cells = " | ".join(f"{a:.4f} | {b:.4f}" for a, b in zip(svd, ships))
        yield f"| {point.size:,} | {point.shipped()} | {cells} |"
    yield ""
    refused = [
        f"- {point.size:,} {what}: `{name}`, {reason}"
        for point in points
        for name, reason in point.left_out(ignored).items()
    ]
    yield from ["Refused:", "", *refused, ""] if refused else ["Refused: nothing.", ""]


def section(name: str) -> list[str]:
    """Both curves of one collection."""
    folds = data_sets.load(name)
    dims = judged_dims(folds[0].corpus.shape[1])
    tests = sum(len(fold.judgments) for fold in folds)
    lines = [f"## {name}", "", f"{len(folds[0].corpus):,} documents, {tests} test queries.", ""]
    # No fit on a corpus alone has a query log: that is no refusal worth a line each.
    for what, points, ignored in (("rows", by_rows, "query_aware_svd"), ("queries", by_queries, None)):
        curve = []
        for point in points(folds):
            curve.append(point)
            print(f"{name}: {point.size} {what}: {point.shipped()}", flush=True)
        lines += table(what, curve, dims, ignored)
    return lines


def main() -> None:
    started = time.perf_counter()
    names = [name for name in COLLECTIONS if name in data_sets.names()]
    head = [
        "# Learning curves",
        "",
        "Written by `make bench-learning-curve`: nDCG@10 at D/12, D/6 and D/3 of what a fit ships, beside SVD",
        "fitted on the same rows; both are judged on the whole corpus and all test queries. A fit saw a random",
        "subset of the rows; or all rows and a random subset of the past queries, without labels. Means over",
        f"{SEEDS} fits of each size, with another seed and another subset each; where a collection has no training",
        "queries, its queries are split in two folds, and each fold is fitted so often.",
        "",
        "A fit refuses to train a map with more freedom than its sample supports; what it refused stands below",
        "each table, with the simpler candidate that takes its place. A tenth of the rows and a fifth of the queries",
        "are held out to choose by, so the counts in those lines are smaller than the table's.",
        "",
    ]
    sections = [line for name in names for line in section(name)]
    OUT.write_text("\n".join([*head, *sections]).rstrip() + "\n")
    print(f"{OUT.relative_to(Path.cwd())} written in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
