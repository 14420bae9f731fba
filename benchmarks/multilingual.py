"""One fit for several languages: XQuAD in English, Spanish and German together, each judged apart."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from adaptor.fitting import closed_forms
from adaptor.fitting.pipeline import fit
from adaptor.maps import Sides
from benchmarks import data_sets
from benchmarks.data_sets import Collection, Judgments
from benchmarks.retention import Cells, add, table, widths

LANGUAGES = ("xquad_en", "xquad_es", "xquad_de")


def together(folds: Sequence[Collection]) -> Collection:
    """The corpora and learning queries of `folds`, one after the other, as one collection without test queries."""
    judgments: Judgments = {}
    queries = documents = 0
    for fold in folds:
        for query, graded in fold.learn_judgments.items():
            judgments[queries + query] = {documents + document: grade for document, grade in graded.items()}
        queries, documents = queries + len(fold.learn), documents + len(fold.corpus)
    corpus, learn = (np.concatenate([getattr(fold, side) for fold in folds]) for side in ("corpus", "learn"))
    return Collection("together", corpus, learn, judgments, learn[:0], {})


def section() -> Iterable[str]:
    """Maps fitted on all languages, a table for each: its own queries in its own documents.

    Queries, and with them the folds, are the same in every language: no translation of a test
    query is learnt from.
    """
    every, unseen = ({name: Cells() for name in LANGUAGES} for _ in range(2))
    notes: list[str] = []
    for folds in zip(*(data_sets.load(name) for name in LANGUAGES), strict=True):
        union = together(folds)
        dims = widths(union.corpus.shape[1])
        strata = np.repeat(LANGUAGES, [len(fold.corpus) for fold in folds])
        for label, make in rows(union, strata, dims, notes).items():
            sides = make()
            for fold in folds:
                add(every[fold.name], label, sides, fold, fold.judgments)
                add(unseen[fold.name], label, sides, fold, fold.unseen())
            print(f"languages together: {label}", flush=True)
        for fold in folds:
            alone = closed_forms.svd(fold.corpus)
            add(every[fold.name], "svd, this language alone", alone, fold, fold.judgments)
            add(unseen[fold.name], "svd, this language alone", alone, fold, fold.unseen())
    yield from ["## XQuAD, three languages fitted together", ""]
    yield "One map for English, Spanish and German, fitted on the three corpora together with the language as stratum."
    yield "Each language is judged by its own queries in its own documents; intervals are against SVD fitted on all"
    yield "three. For comparison SVD fitted on that language alone."
    for name in LANGUAGES:
        count = len(unseen[name].of("svd", dims[0]))
        yield from ["", f"{name}, all test queries:", "", *table(every[name], dims), ""]
        yield f"{name}, the {count} test queries none of whose relevant documents belonged to a learning query:"
        yield from ["", *table(unseen[name], dims)]
    yield from ["", f"What shipped: {'; '.join(notes)}.", ""]


def rows(
    union: Collection, strata: np.ndarray, dims: Sequence[int], notes: list[str]
) -> dict[str, Callable[[], Sides]]:
    """Label -> the maps of that row; what a fit chose, and what it kept of each language, is added to `notes`."""

    def fitted(label: str, **settings: Any) -> Sides:
        started = time.perf_counter()
        adaptor = fit(union.corpus, dims=dims[:-1], strata=strata, **settings)
        winner, first = adaptor.config["candidate"], str(dims[0])
        overlaps = [f"{name} {part['kept'][winner][first]:.3f}" for name, part in adaptor.metrics["strata"].items()]
        share = f", judgments {adaptor.config['supervised']:.0%}" if adaptor.config["supervised"] else ""
        seconds = f"{time.perf_counter() - started:.0f} s"
        notes.append(f"{label}: {winner}{share} ({seconds}; kept of held-out rows at {first}: {', '.join(overlaps)})")
        return Sides(adaptor.corpus, adaptor.query)

    corpus, log = union.corpus, union.learn
    return {
        "truncation": lambda: closed_forms.truncation(corpus),
        "pca": lambda: closed_forms.pca(corpus),
        "svd": lambda: closed_forms.svd(corpus),
        "tempered_svd": lambda: closed_forms.tempered_svd(corpus),
        "ships, corpus alone": lambda: fitted("corpus alone"),
        "query_aware_svd": lambda: closed_forms.query_aware_svd(corpus, log),
        "ships, queries": lambda: fitted("queries", queries=log),
        "ships, judgments": lambda: fitted("judgments", queries=log, judgments=union.triples()),
    }
