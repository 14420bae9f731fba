"""The views through which a table is searched for every variant, and which hits belong to which variant."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from adaptor.artifact import Adaptor
from adaptor.codecs import PlainCodec
from adaptor.evaluation.measurement import ORIGINAL, SVD, TRUNCATION, Variant
from adaptor.evaluation.views import Hits, View
from adaptor.fitting import closed_forms
from adaptor.layout import Encoding
from adaptor.vectors import Float32, prefix

CORRECTED = "corrected"  # the full width that retrieval@10 compares with
TIMED_ROWS, TIMED_QUERIES = 20_000, 100


def baselines(rows: Float32, queries: Float32, dims: tuple[int, ...], adaptor: Adaptor, k: int) -> list[View]:
    """The full width as it is and as `retrieval@10` takes it, and truncation and SVD at each dim.

    SVD, the plain alternative, is made here of rows of the table: it must be there whatever an artifact holds.
    The reference has its hubs corrected for as the fit had them, unless the fit took the embeddings as they are.
    """
    width, svd = adaptor.width, closed_forms.svd(rows)
    views = [
        View(ORIGINAL, "embedding", (width,), queries, k=k),
        View(TRUNCATION, "embedding", dims, queries[:, : dims[-1]], k=k),
        View(SVD, "embedding", dims, svd.corpus(queries, dims[-1]), svd.corpus, k=k),
    ]
    if adaptor.metrics.get("already_nested"):
        return [*views, View(CORRECTED, "embedding", (width,), queries, k=k)]
    corrected = closed_forms.temper(svd, rows, closed_forms.damping(rows))
    return [*views, View(CORRECTED, "embedding", (width,), corrected.corpus(queries), corrected.corpus, k=k)]


def mapped(
    name: str,
    adaptor: Adaptor,
    lengths: Mapping[Encoding, tuple[int, ...]],
    queries: Float32,
    k_by_encoding: Mapping[Encoding, int],
) -> list[View]:
    """An adaptor's prefixes in each encoding, so many hits a query, each with the score that the full width gives it.

    `queries (q, K)` have gone through its map already. `lengths` are dims, of `bits` bytes. An artifact made by hand,
    or by an earlier release, may lack the scales of int8 and the cells of bits.
    """
    lacking = {"int8": adaptor.int8_scales is None, "bits": adaptor.cells is None}
    return [
        View(
            f"{name}/{encoding}",
            "embedding",
            lengths[encoding],
            queries,
            adaptor.corpus,
            encoding,
            {} if encoding == "float32" else {dim: adaptor.codec(encoding, dim) for dim in lengths[encoding]},
            k=k,
            rescored_by=(ORIGINAL, adaptor.width),
        )
        for encoding, k in k_by_encoding.items()
        if not lacking.get(encoding)
    ]


def variant_of(view: View, dim: int) -> Variant:
    """What a view's prefix is a search of."""
    return Variant(view.name.partition("/")[0], dim, view.encoding)


def by_variant(
    hits: Mapping[tuple[str, int], Hits], views: Sequence[View], shortlists: Sequence[int]
) -> dict[Variant, Hits]:
    """The hits of each variant, those of rescored short lists among them."""
    variants = {}
    for view in views:
        for dim in view.dims:
            mine, variant = hits[view.name, dim], variant_of(view, dim)
            variants[variant] = mine
            for length in [length for length in shortlists if mine.rescored is not None and length <= view.k]:
                variants[Variant(variant.candidate, dim, variant.encoding, length)] = mine.shortlist(length)
    return variants


def search_seconds(views: Sequence[View], rows: Float32) -> dict[Variant, float]:
    """What a query costs a million stored rows in NumPy on this machine, decoding included, of `rows (n, D)`."""
    few = rows[:TIMED_ROWS]
    maps = {id(view.map): view.map for view in views if view.map is not None}
    mapped_rows = {key: through(few) for key, through in maps.items()}
    return {
        variant_of(view, dim): _seconds(view, dim, mapped_rows.get(id(view.map), few))
        for view in views
        for dim in view.dims
    }


def _seconds(view: View, dim: int, y: Float32) -> float:
    codec = view.codecs.get(dim) or PlainCodec(dim)
    queries = prefix(view.queries[:TIMED_QUERIES], codec.width)
    codes = codec.encode(prefix(y, codec.width))
    seconds = []
    for _ in range(3):  # the first pays for pages of memory
        started = time.perf_counter()
        np.matmul(queries, codec.decode(codes).T)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(queries) / len(y) * 1e6
