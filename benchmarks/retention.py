"""nDCG@10 of each test query by candidate and dim, and the table of it beside truncation and SVD."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from adaptor.maps import Sides
from adaptor.metrics import judge, nearest, overlap, paired_interval
from adaptor.vectors import Float32, normalise, prefix
from benchmarks.data_sets import Collection, Judgments

ALLOWED = 0.003  # nDCG@10 that may be lost against the better of truncation and SVD


@dataclass
class Cells:
    """nDCG@10 of each test query, by row label and dim; folds are joined."""

    values: dict[str, dict[int, list[Float32]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    overlap: dict[str, dict[int, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def of(self, label: str, dim: int) -> Float32:
        return np.concatenate(self.values[label][dim])


def widths(width: int) -> list[int]:
    """D/12, D/6, D/4, D/3, D/2, D."""
    return [width // share for share in (12, 6, 4, 3, 2, 1)]


def ndcg(queries: Float32, corpus: Float32, judgments: Judgments) -> Float32:
    """nDCG@10 of each judged query, in order; both sides of length 1."""
    rows = sorted(judgments)
    hits = nearest(queries[rows], corpus, 10)
    run = {str(row): {str(doc): -float(rank) for rank, doc in enumerate(ids)} for row, ids in zip(rows, hits)}
    graded = {str(row): {str(doc): grade for doc, grade in judgments[row].items()} for row in rows}
    values = judge(run, graded, ("nDCG@10",))["nDCG@10"]
    return np.array([values[str(row)] for row in rows])


def add(cells: Cells, label: str, sides: Sides, fold: Collection, judgments: Judgments) -> None:
    """The figures of one pair of maps at every dim."""
    if not judgments:
        return
    y, questions = sides.corpus(fold.corpus), sides.query(fold.test)
    original = nearest(normalise(fold.test), normalise(fold.corpus), 10)
    for dim in widths(fold.corpus.shape[1]):
        documents, queries = prefix(y, dim), prefix(questions, dim)
        cells.values[label][dim].append(ndcg(queries, documents, judgments))
        cells.overlap[label][dim].append(float(overlap(nearest(queries, documents, 10), original).mean()))


def table(cells: Cells, dims: list[int]) -> Iterable[str]:
    """A Markdown table: value, and below the baselines the paired interval of the gain over SVD."""
    yield f"| nDCG@10 | {' | '.join(map(str, dims))} |"
    yield f"|---|{'---|' * len(dims)}"
    for label in cells.values:
        texts = []
        for dim in dims:
            values = cells.of(label, dim)
            text = f"{values.mean():.4f}"
            if label != "svd":
                low, high = paired_interval(values, cells.of("svd", dim))
                better = max(("truncation", "svd"), key=lambda name: cells.of(name, dim).mean())
                worst = paired_interval(values, cells.of(better, dim))[1]
                fails = worst < -ALLOWED and label.startswith("ships")
                text += f"<br>[{low:+.3f}, {high:+.3f}]" + (" **fails**" if fails else "")
            texts.append(text)
        yield f"| {label} | {' | '.join(texts)} |"
