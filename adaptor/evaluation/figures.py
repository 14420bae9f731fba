"""The figures of each query: with judgments by ir-measures, without by what the original finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from adaptor.evaluation import label_free
from adaptor.evaluation.measurement import Values, Variant
from adaptor.evaluation.trec import Run
from adaptor.evaluation.variants import variant_of
from adaptor.evaluation.views import Hits, View
from adaptor.metrics import ANTI_HUBS, NEIGHBOURS, RANKS, RETRIEVAL, judge
from adaptor.vectors import Float32, normalise


def without_labels(hits: Mapping[Variant, Hits], full: Variant, reference: Hits) -> dict[Variant, dict[str, Values]]:
    """What each variant keeps of what the original finds, and of `reference`, the full width with hubs corrected."""
    original = hits[full]
    return {
        variant: {
            RETRIEVAL: label_free.retrieval(found, reference),
            NEIGHBOURS: label_free.neighbours(found, original),
            ANTI_HUBS: label_free.anti_hubs(found, original),
        }
        for variant, found in hits.items()
    }


def similarities(views: Sequence[View], rows: Float32, full: Variant) -> dict[Variant, dict[str, Values]]:
    """How far each variant keeps the order of the similarities to `rows (n, D)`."""
    scores: dict[Variant, Float32] = {}
    for view in views:
        y = normalise(rows) if view.map is None else view.map(rows, max(map(view.numbers, view.dims)))
        scores |= {variant_of(view, dim): by_dim for dim, by_dim in view.scores(y)}
    return {variant: {RANKS: label_free.rank_correlation(values, scores[full])} for variant, values in scores.items()}


def with_labels(
    run: Run, judgments: Mapping[str, Mapping[str, int]], queries: Sequence[str], measures: Sequence[str]
) -> dict[str, Values]:
    """The measures of one run, in the order of `queries`."""
    judged = judge(run, judgments, measures)
    return {name: np.array([by_query[query] for query in queries]) for name, by_query in judged.items()}
