"""What each candidate keeps, on every collection, in every setting: writes docs/quality.md.

    make bench-quality                      the collections of the repository
    make bench-quality QUALITY_DATA=DIR     and those in DIR, in the same layout

Test judgments are read by this script alone: a fit sees the corpus, and where the setting says so
learning queries and their judgments.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.fitting import closed_forms
from adaptor.fitting.pipeline import fit
from adaptor.fitting.settings import PAPER, FitSettings
from adaptor.maps import Sides
from adaptor.vectors import Float32, prefix
from benchmarks import data_sets, multilingual
from benchmarks.data_sets import Collection, Judgments
from benchmarks.retention import ALLOWED, Cells, add, ndcg, table, widths

OUT = Path(__file__).parents[1] / "docs" / "quality.md"


def run(name: str) -> tuple[Cells, Cells, list[str]]:
    """Every candidate and setting on one collection: all test queries, unseen ones, and what shipped."""
    every, unseen, notes = Cells(), Cells(), []
    for fold in data_sets.load(name):
        for label, make in rows(fold, notes).items():
            sides = make()
            add(every, label, sides, fold, fold.judgments)
            add(unseen, label, sides, fold, fold.unseen())
            print(f"{name}: {label}", flush=True)
    return every, unseen, notes


def rows(fold: Collection, notes: list[str]) -> dict[str, Callable[[], Sides]]:
    """Label -> the maps of that row; what a fit chose is added to `notes`."""
    corpus, log = fold.corpus, fold.learn
    few, hundred = fold.with_queries(40), with_judgments(fold, 100)

    def fitted(label: str, **settings: Any) -> Sides:
        started = time.perf_counter()
        adaptor = fit(corpus, dims=widths(corpus.shape[1])[:-1], **settings)
        share = f", judgments {adaptor.config['supervised']:.0%}" if adaptor.config["supervised"] else ""
        notes.append(f"{label}: {adaptor.config['candidate']}{share} ({time.perf_counter() - started:.0f} s)")
        return Sides(adaptor.corpus, adaptor.query)

    return {
        "truncation": lambda: closed_forms.truncation(corpus),
        "pca": lambda: closed_forms.pca(corpus),
        "svd": lambda: closed_forms.svd(corpus),
        "tempered_svd": lambda: closed_forms.tempered_svd(corpus),
        "paper": lambda: fitted("paper", settings=FitSettings(candidates=("paper",))),
        "ships, corpus alone": lambda: fitted("corpus alone"),
        "query_aware_svd": lambda: closed_forms.query_aware_svd(corpus, log),
        "ships, queries": lambda: fitted("queries", queries=log),
        "ships, 40 queries": lambda: fitted("40 queries", queries=few.learn),
        "ships, judgments": lambda: fitted("judgments", queries=log, judgments=fold.triples()),
        "ships, 100 judgments": lambda: fitted("100 judgments", queries=log, judgments=hundred.triples()),
    }


def with_judgments(fold: Collection, count: int) -> Collection:
    """The same fold with the first `count` judgments only, and all its queries."""
    subset: Judgments = {}
    for query, document, grade in fold.triples()[:count].tolist():
        subset.setdefault(query, {})[document] = grade
    return Collection(fold.name, fold.corpus, fold.learn, subset, fold.test, fold.judgments)


def overlaps(cells: Cells, dims: list[int]) -> Iterable[str]:
    """Overlap@10 with the original full width, query to documents."""
    yield f"| overlap@10 | {' | '.join(map(str, dims))} |"
    yield f"|---|{'---|' * len(dims)}"
    for label, by_dim in cells.overlap.items():
        yield f"| {label} | {' | '.join(f'{np.mean(by_dim[dim]):.3f}' for dim in dims)} |"


def equal_bytes(name: str) -> Iterable[str]:
    """The same bytes a row, spent on float32 of a short prefix, int8 of a wider one, or one bit each."""
    fold = data_sets.load(name)[0]
    width = fold.corpus.shape[1]
    sides = closed_forms.tempered_svd(fold.corpus)
    y, questions = sides.corpus(fold.corpus), sides.query(fold.test)
    budgets = [width // 8, width // 3, width // 2, width]
    yield f"| bytes a row | {' | '.join(map(str, budgets))} |"
    yield f"|---|{'---|' * len(budgets)}"

    def cell(dim: int, decode: Callable[[Float32], Float32]) -> str:
        if not 0 < dim <= width:
            return "-"
        return f"{ndcg(prefix(questions, dim), decode(prefix(y, dim)), fold.judgments).mean():.4f} ({dim}-d)"

    def int8(documents: Float32) -> Float32:
        codec = Int8Codec.fit(documents)
        return codec.decode(codec.encode(documents))

    def binary(documents: Float32) -> Float32:
        codec = BinaryCodec(documents.shape[1])
        return codec.decode(codec.encode(documents))

    yield "| float32 | " + " | ".join(cell(budget // 4, lambda d: d) for budget in budgets) + " |"
    yield "| int8 | " + " | ".join(cell(budget, int8) for budget in budgets) + " |"
    yield "| binary | " + " | ".join(cell(8 * budget, binary) for budget in budgets) + " |"


def summary(results: dict[str, tuple[Cells, Cells]]) -> Iterable[str]:
    """The mean gain over SVD at D/12 and D/6, over all collections."""
    labels = list(next(iter(results.values()))[0].values)
    yield "| mean gain over svd | D/12 | D/6 |"
    yield "|---|---|---|"
    for label in labels:
        means = []
        for position in (0, 1):
            gains = []
            for every, _ in results.values():
                dim = list(every.values[label])[position]
                gains.append(every.of(label, dim).mean() - every.of("svd", dim).mean())
            means.append(f"{np.mean(gains):+.4f}")
        yield f"| {label} | {' | '.join(means)} |"


def main(names: list[str]) -> None:
    started = time.perf_counter()
    results: dict[str, tuple[Cells, Cells]] = {}
    sections: list[str] = []
    for name in names:
        every, unseen, notes = run(name)
        results[name] = every, unseen
        dims = list(next(iter(every.values.values())))
        sections += [f"## {name}", "", f"{len(every.of('svd', dims[0]))} test queries.", "", *table(every, dims), ""]
        if unseen.values:
            count = len(unseen.of("svd", dims[0]))
            sections += [
                f"The {count} test queries none of whose relevant documents belonged to a learning query:",
                "",
                *table(unseen, dims),
                "",
            ]
        sections += [*overlaps(every, dims), "", *equal_bytes(name), "", "What shipped: " + "; ".join(notes) + ".", ""]
    if set(multilingual.LANGUAGES) <= set(names):
        sections += multilingual.section()
    head = [
        "# Quality",
        "",
        "Written by `make bench-quality`; below each figure the paired 95 percent bootstrap interval of its",
        "difference to SVD. **fails** marks a shipped cell whose interval against the better of truncation and",
        f"SVD lies wholly under -{ALLOWED}. Settings: the corpus alone; with a log of learning",
        "queries, no labels; with their judgments; with only 40 queries; with only 100 judgments.",
        "",
        f"The paper's form: identity + MLP, its losses, {PAPER.steps} steps at most, stopped early on held-out rows.",
        "",
        *summary(results),
        "",
    ]
    OUT.write_text("\n".join([*head, *sections]).rstrip() + "\n")
    print(f"{OUT.relative_to(Path.cwd())} written in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:] or data_sets.names())
