"""Codes that nest in bytes beside what else fits into as many bytes: writes docs/codes.md.

    python -m benchmarks.codes                          the collections of the repository
    QUALITY_DATA=DIR python -m benchmarks.codes         and those in DIR

All that is fitted sees half of the rows, and in a second run all of them; all rows are searched.
"""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

import adaptor
from adaptor import Adaptor
from adaptor.bits import Cells
from adaptor.codecs import Int8Codec
from adaptor.encode.code_index import CodeIndex
from adaptor.fitting.closed_forms import tempered_svd
from adaptor.metrics import judge, nearest, overlap
from adaptor.vectors import Float32, normalise, prefix
from benchmarks import data_sets
from benchmarks.data_sets import Collection

OUT = Path(__file__).parents[1] / "docs" / "codes.md"
SHARES = (16, 32, 64)  # of the original's bytes, one over
LEAST_FOR_PQ = 600  # rows: 256 centroids want more than one each
SHORTLIST = 100
ROWS, SEARCHED = 50_000, 1_000_000
WAYS = (
    "float32 prefix", "int8 prefix", "binary prefix", "bits", "bits, rescored by 1/16",
    "PQ", "OPQ", "OPQ after our map", "RaBitQ after our map",
)  # fmt: skip

Builder = Callable[[int, int], faiss.Index]
Scores = Callable[[int], Float32 | None]
"""Bytes a row to scores `(q, n)`; None where that can't be had."""


def ways(fitted: Adaptor, corpus: Float32, queries: Float32, train: Float32) -> dict[str, Scores]:
    """Each way to store the rows `(n, D)`, fitted on `train`, as the scores that it gives `queries (q, D)`."""
    y, asked = fitted.corpus(corpus), fitted.map("query")(queries)
    width, mapped_train = fitted.width, normalise(fitted.corpus(train))
    longest = fitted.codec("bits", 4 * width // min(SHARES))

    def stored(encoding: str, dim: int) -> Float32 | None:
        if not 1 <= dim <= width:
            return None
        codec = fitted.codec(encoding, dim)  # type: ignore[arg-type]
        return prefix(asked, dim) @ codec.decode(codec.encode(prefix(y, dim))).T

    def bits(length: int) -> Float32:
        codec = fitted.codec("bits", length)
        return codec.score(asked, codec.encode(y))  # type: ignore[attr-defined]

    def rescored(length: int) -> Float32:
        short, long = bits(length), longest.score(asked, longest.encode(y))  # type: ignore[attr-defined]
        listed = np.argsort(-short, axis=1, kind="stable")[:, :SHORTLIST]
        scores = np.full_like(short, -np.inf)
        np.put_along_axis(scores, listed, np.take_along_axis(long, listed, axis=1), axis=1)
        return scores

    def by_faiss(build: Builder, rows: Float32, of: Float32, ask: Float32, few: int = LEAST_FOR_PQ) -> Scores:
        def scores(length: int) -> Float32 | None:
            index = build(rows.shape[1], length)
            if few and len(of) < few:
                return None
            index.train(of)
            index.add(rows)
            found, places = index.search(ask, len(rows))
            all_scores = np.full((len(ask), len(rows)), -np.inf, np.float32)
            np.put_along_axis(all_scores, np.maximum(places, 0), np.where(places >= 0, found, -np.inf), axis=1)
            return all_scores

        return scores

    unit, unit_train, unit_asked = normalise(corpus), normalise(train), normalise(queries)
    mapped, mapped_asked = normalise(y), normalise(asked)

    def rabitq(length: int) -> Float32 | None:
        dim = min(width, 8 * (length - 8))  # 8 bytes a row are corrections
        index = faiss.IndexPreTransform(
            faiss.RandomRotationMatrix(dim, dim), faiss.IndexRaBitQ(dim, faiss.METRIC_INNER_PRODUCT)
        )
        return by_faiss(lambda *_: index, prefix(mapped, dim), prefix(mapped_train, dim), prefix(mapped_asked, dim), 0)(
            length
        )

    return {
        "float32 prefix": lambda length: stored("float32", length // 4),
        "int8 prefix": lambda length: stored("int8", length),
        "binary prefix": lambda length: stored("binary", 8 * length),
        "bits": bits,
        "bits, rescored by 1/16": rescored,
        "PQ": by_faiss(product_quantiser, unit, unit_train, unit_asked),
        "OPQ": by_faiss(rotated_product_quantiser, unit, unit_train, unit_asked),
        "OPQ after our map": by_faiss(rotated_product_quantiser, mapped, mapped_train, mapped_asked),
        "RaBitQ after our map": rabitq,
    }


def product_quantiser(width: int, length: int) -> faiss.Index:
    index = faiss.IndexPQ(width, length, 8, faiss.METRIC_INNER_PRODUCT)
    index.pq.cp.min_points_per_centroid = 1  # it would warn at each subspace
    return index


def rotated_product_quantiser(width: int, length: int) -> faiss.Index:
    rotation, quantiser = faiss.OPQMatrix(width, length), product_quantiser(width, length)
    rotation.niter, rotation.niter_pq = 10, 4  # as faiss has it, 50 rounds: minutes a set, and no better here
    rotation.niter_pq_0 = 10
    trainer = faiss.ProductQuantizer(width, length, 8)
    trainer.cp.min_points_per_centroid = 1
    rotation.pq = trainer
    index = faiss.IndexPreTransform(rotation, quantiser)
    index.referenced_objects = [*getattr(index, "referenced_objects", []), trainer]  # faiss does not hold it
    return index


def ndcg(scores: Float32, fold: Collection) -> float:
    hits = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    judged = {str(q): {str(d): g for d, g in graded.items()} for q, graded in fold.judgments.items()}
    run = {q: {str(d): 10.0 - rank for rank, d in enumerate(hits[int(q)])} for q in judged}
    return float(np.mean(list(judge(run, judged, ["nDCG@10"])["nDCG@10"].values())))


def kept(name: str, half: bool, with_log: bool) -> dict[str, list[float]]:
    """Each way's share of the original's nDCG@10 at each number of bytes, the mean over the folds."""
    table: dict[str, list[list[float]]] = {}
    for fold in data_sets.load(name):
        corpus = fold.corpus
        train = corpus[np.random.default_rng(0).permutation(len(corpus))[: len(corpus) // 2]] if half else corpus
        width = corpus.shape[1]
        log = fold.learn if with_log else None
        fitted = adaptor.fit(train, dims=[width // 12, width // 6, width // 3], queries=log)
        full = ndcg(normalise(fold.test) @ normalise(corpus).T, fold)
        for way, scores_of in ways(fitted, corpus, fold.test, train).items():
            if with_log and way not in WAYS[:5]:
                continue
            scores = [scores_of(4 * width // share) for share in SHARES]
            table.setdefault(way, []).append([np.nan if s is None else ndcg(s, fold) / full for s in scores])
        print(f"{name}: half {half}, log {with_log}", flush=True)
    return {way: list(np.mean(values, axis=0)) for way, values in table.items()}


def section(title: str, names: list[str], half: bool, with_log: bool) -> list[str]:
    by_set = {name: kept(name, half, with_log) for name in names}
    lines = [f"## {title}", ""]
    for place, share in enumerate(SHARES):
        lines += [f"| nDCG@10 kept, 1/{share} | {' | '.join(names)} | mean |", f"|---|{'---|' * (len(names) + 1)}"]
        for way in WAYS:
            if way not in by_set[names[0]]:
                continue
            values = [by_set[name][way][place] for name in names]
            cells = ["-" if np.isnan(value) else f"{value:.3f}" for value in values]
            mean = (
                "-" if np.isnan(values).all() else f"{np.nanmean(values):.3f}{' *' if np.isnan(values).any() else ''}"
            )
            lines.append(f"| {way} | {' | '.join(cells)} | {mean} |")
        lines.append("")
    return lines


def nesting(names: list[str]) -> list[str]:
    """A code's beginning beside a code whose cells were cut for that length alone."""
    lines = [
        "## A beginning beside a code fitted for its length",
        "",
        "| set | 1/16 | 1/32 | 1/64 |",
        "|---|---|---|---|",
    ]
    for name in names:
        fold = data_sets.load(name)[0]
        sides = tempered_svd(fold.corpus)
        y, asked, width = sides.corpus(fold.corpus), sides.query(fold.test), fold.corpus.shape[1]
        nested, differences = Cells.fit(y), []
        for share in SHARES:
            length = 4 * width // share
            alone = Cells.fit(y[:, : nested.codec(length).last])
            values = [ndcg(c.score(asked, c.encode(y)), fold) for c in (nested.codec(length), alone.codec(length))]
            differences.append(values[0] - values[1])
        lines.append(f"| {name} | {' | '.join(f'{value:+.4f}' for value in differences)} |")
    return [*lines, ""]


def searched(names: list[str]) -> list[str]:
    """What `CodeIndex` finds beside all exact scores."""
    lines = [
        "## Searched as they are", "",
        "nDCG@10 of `CodeIndex`, which lists by faiss's fast scan of the codes and scores what it lists exactly, less",
        "that of all exact scores.", "",
        "| set | 1/16 | 1/32 | 1/64 |", "|---|---|---|---|",
    ]  # fmt: skip
    for name in names:
        fold = data_sets.load(name)[0]
        sides = tempered_svd(fold.corpus)
        y, asked, cells = sides.corpus(fold.corpus), sides.query(fold.test), Cells.fit(sides.corpus(fold.corpus))
        differences = []
        for share in SHARES:
            codec = cells.codec(4 * fold.corpus.shape[1] // share)
            codes = codec.encode(y)
            scores, rows = CodeIndex(codec, codes).search(asked, 10)
            listed = np.full((len(asked), len(codes)), -np.inf, np.float32)
            np.put_along_axis(listed, rows, scores, axis=1)
            differences.append(ndcg(listed, fold) - ndcg(codec.score(asked, codes), fold))
        lines.append(f"| {name} | {' | '.join(f'{value:+.4f}' for value in differences)} |")
    return [*lines, ""]


def speed() -> list[str]:
    """One thread, 768 numbers a row, 48 bytes: medians of three."""
    faiss.omp_set_num_threads(1)
    random = np.random.default_rng(0)
    spectrum = np.geomspace(1, 0.05, 768).astype(np.float32)

    def drawn(count: int) -> Float32:
        return random.standard_normal((count, 768), np.float32) * spectrum

    rows, queries = drawn(ROWS), normalise(drawn(1000))
    cells = Cells.fit(rows[:20_000])
    codec, int8 = cells.codec(48), Int8Codec.fit(prefix(rows[:20_000], 48))
    quantiser = product_quantiser(768, 48)
    build = {"bits": timed(lambda: Cells.fit(rows[:20_000])), "PQ": timed(lambda: quantiser.train(rows[:20_000]), 1)}
    codes, bytes_ = codec.encode(rows), int8.encode(prefix(rows, 48))
    pq_codes = quantiser.sa_encode(rows)
    measured = {
        "bits": (timed(lambda: codec.encode(rows)), timed(lambda: codec.decode(codes))),
        "int8 prefix": (timed(lambda: int8.encode(prefix(rows, 48))), timed(lambda: int8.decode(bytes_))),
        "PQ": (timed(lambda: quantiser.sa_encode(rows)), timed(lambda: quantiser.sa_decode(pq_codes))),
    }
    blocks = SEARCHED // ROWS
    many = np.concatenate([codec.encode(drawn(ROWS)) for _ in range(blocks)])
    index, short = CodeIndex(codec, many), prefix(queries, 48)
    quantiser.add_sa_codes(np.tile(pq_codes, (blocks, 1)))
    searches = {
        "scores of int8 prefixes, by NumPy": lambda: [short @ int8.decode(bytes_).T for _ in range(blocks)],
        "10 hits of int8 prefixes, by NumPy": lambda: [nearest(short, int8.decode(bytes_), 10) for _ in range(blocks)],
        "scores of bits, decoded": lambda: [codec.score(queries, part) for part in np.split(many, blocks)],
        "10 hits of bits by `CodeIndex`": lambda: index.search(queries, 10),
        "10 hits of PQ by faiss": lambda: quantiser.search(queries, 10),
    }
    seconds = {what: timed(search) for what, search in searches.items()}
    of_int8 = seconds["scores of int8 prefixes, by NumPy"]
    scores = codec.score(queries[:100], many)
    exact = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    agreed = overlap(index.search(queries[:100], 10)[1], exact).mean()
    return [
        "## Speed", "",
        f"Rows of 768 numbers, 48 bytes a row, one thread; seconds, medians of three. {ROWS:,} rows:", "",
        "| way | fit on 20,000 | encode | decode |", "|---|---|---|---|",
        *(
            f"| {way} | {f'{build[way]:.2f}' if way in build else '-'} | {' | '.join(f'{v:.2f}' for v in values)} |"
            for way, values in measured.items()
        ),
        "", f"1,000 queries and {SEARCHED:,} rows, those of int8 and PQ {ROWS:,} again and again:", "",
        "| search | seconds | speed beside int8's scores |", "|---|---|---|",
        *(f"| {what} | {value:.1f} | {of_int8 / value:.2f} |" for what, value in seconds.items()),
        "", f"Of the 10 hits of all exact scores `CodeIndex` brings {agreed:.4f}.", "",
    ]  # fmt: skip


def timed(call: Callable[[], object], times: int = 3) -> float:
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def main() -> None:
    """Everything, or with names of collections only those."""
    names = sys.argv[1:] or data_sets.names()
    lines = [
        "# Codes that nest in bytes, beside others", "",
        "Share of the original's nDCG@10 at full float32 width that is kept at 1/16, 1/32 and 1/64 of its bytes, by",
        "`python -m benchmarks.codes`. `bits` is one code, cut to each length; `rescored` puts 100 hits in the",
        "order of its first 1/16. PQ, OPQ and RaBitQ are faiss's, with inner products; RaBitQ has 8 of its bytes for",
        "corrections and takes as long a prefix as the rest has bits. `*`: the mean of those sets that have 600",
        "rows to fit on, as 256 centroids need.",
        "",
        *section("Fitted on half of the rows, corpus alone", names, half=True, with_log=False),
        *section("Fitted on all rows, corpus alone", names, half=False, with_log=False),
        *section("Fitted on all rows, with a query log", names, half=False, with_log=True),
        *nesting(names),
        *searched(names),
        *speed(),
        f"faiss {faiss.__version__}, numpy {np.__version__}, {platform.machine()}.",
    ]  # fmt: skip
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
