"""The collections a benchmark runs on: those in data/, and any in the folder that QUALITY_DATA names."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet

from adaptor.vectors import Float32

HERE = Path(__file__).parents[1] / "data"
Judgments = dict[int, dict[int, int]]
"""Query row -> corpus row -> grade above 0."""


@dataclass(frozen=True)
class Collection:
    """A corpus `(n, D)`, queries to learn from and queries to be judged by, with their judgments."""

    name: str
    corpus: Float32
    learn: Float32
    learn_judgments: Judgments
    test: Float32
    judgments: Judgments

    def unseen(self) -> Judgments:
        """The test queries none of whose relevant documents belongs to a learning query."""
        seen = {document for graded in self.learn_judgments.values() for document in graded}
        return {query: graded for query, graded in self.judgments.items() if not seen & set(graded)}

    def with_queries(self, count: int) -> Collection:
        """The same with the first `count` learning queries only; their order is random already."""
        subset = {query: graded for query, graded in self.learn_judgments.items() if query < count}
        return replace(self, learn=self.learn[:count], learn_judgments=subset)

    def triples(self) -> np.ndarray:
        """The learning judgments as `(j, 3)`: query row, corpus row, grade."""
        graded_pairs = [(q, d, g) for q, graded in self.learn_judgments.items() for d, g in graded.items()]
        return np.array(graded_pairs, dtype=np.int64).reshape(-1, 3)


def names() -> list[str]:
    """Every collection there is, those of the repository first."""
    folders = [HERE, *([Path(os.environ["QUALITY_DATA"])] if "QUALITY_DATA" in os.environ else [])]
    collections = [path.parent.name for folder in folders for path in sorted(folder.glob("*/corpus.parquet"))]
    return list(dict.fromkeys(collections))


def load(name: str) -> list[Collection]:
    """The folds of a collection: one where it has training queries, else two, by query."""
    folder = folder_of(name)
    corpus_ids, corpus = _embeddings(folder / "corpus.parquet")
    ids, queries = _embeddings(folder / "queries.parquet")
    judgments = _judgments(folder / "qrels.tsv", ids, corpus_ids)
    training = folder.parent / f"{name}_train"
    if training.exists():
        learn_ids, learn = _embeddings(training / "queries.parquet")
        learn_judgments = _judgments(training / "qrels.tsv", learn_ids, corpus_ids)
        order = np.random.default_rng(0).permutation(len(learn))
        return [Collection(name, corpus, *_rows(learn, learn_judgments, order), queries, judgments)]
    order = np.random.default_rng(0).permutation(len(queries))
    halves = order[::2], order[1::2]
    return [
        Collection(name, corpus, *_rows(queries, judgments, learn), *_rows(queries, judgments, test))
        for learn, test in (halves, halves[::-1])
    ]


def folder_of(name: str) -> Path:
    inside = HERE / name
    return inside if inside.exists() else Path(os.environ["QUALITY_DATA"]) / name


def _rows(queries: Float32, judgments: Judgments, order: np.ndarray) -> tuple[Float32, Judgments]:
    """The queries of `order`, and their judgments by their new places."""
    of_rows = {place: judgments[row] for place, row in enumerate(order.tolist()) if row in judgments}
    return queries[order], of_rows


def _embeddings(path: Path) -> tuple[dict[str, int], Float32]:
    table = parquet.read_table(path, columns=["id", "embedding"])
    flat = table["embedding"].combine_chunks().flatten().to_numpy()
    return {name: row for row, name in enumerate(table["id"].to_pylist())}, flat.reshape(len(table), -1)


def _judgments(path: Path, queries: dict[str, int], corpus: dict[str, int]) -> Judgments:
    judgments: Judgments = {}
    with path.open() as file:
        for query, document, grade in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(grade) > 0 and document in corpus:
                judgments.setdefault(queries[query], {})[corpus[document]] = int(grade)
    return judgments
