"""Rows of a table as points on two maps: by their original embeddings, and by a prefix of their nested ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.metrics import nearest, overlap
from adaptor.vectors import Float32, normalise

NEAREST = 5  # neighbours of a point that are shown
CLUSTERS = 8  # colours, where rows have no labels
FEWEST = 10  # points of which there is a map
FEW = 5000  # points for which t-SNE's tree is faster than its grid
SPAN = 1000  # of a map's coordinates, so that three digits say where a point is


@dataclass(frozen=True)
class EmbeddingMap:
    """Points `(n,)` with their places `(n, 2)` in 0 ... SPAN, nearest points `(n, NEAREST)` and labels on both maps."""

    dim: int
    names: Sequence[str]
    labels: Sequence[str]
    original: NDArray[np.int64]
    prefix: NDArray[np.int64]
    original_nearest: NDArray[np.int64]
    prefix_nearest: NDArray[np.int64]
    labels_are_clusters: bool

    @property
    def kept(self) -> NDArray[np.float64]:
        """Share of each point's nearest on the first map that are nearest on the second, `(n,)`."""
        return overlap(self.prefix_nearest, self.original_nearest)


def map_points(
    rows: Float32, prefixes: Float32, names: Sequence[str], labels: Sequence[str] | None, seed: int = 0
) -> EmbeddingMap:
    """Lay out `rows (n, D)` and their `prefixes (n, dim)`, both of length 1, in the plane, by t-SNE.

    The second map starts from the first, so that a point stays where it was as far as its neighbours do. Rows
    without `labels` get those of k-means clusters. Raises `ValueError` for fewer than FEWEST points.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"{len(rows)} points make no map, {FEWEST} do")
    rows, prefixes = normalise(rows), normalise(prefixes)
    itself = np.arange(len(rows))
    first = _layout(rows, None, seed)
    second = _layout(prefixes, first, seed)
    return EmbeddingMap(
        dim=prefixes.shape[1],
        names=names,
        labels=_clusters(rows, seed) if labels is None else labels,
        original=_in_span(first),
        prefix=_in_span(second),
        original_nearest=nearest(rows, rows, NEAREST, itself),
        prefix_nearest=nearest(prefixes, prefixes, NEAREST, itself),
        labels_are_clusters=labels is None,
    )


def _layout(rows: Float32, start: NDArray[np.float64] | None, seed: int) -> NDArray[np.float64]:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.initialization import pca

    perplexity = min(30.0, (len(rows) - 1) / 3)
    affinities = PerplexityBasedNN(rows, perplexity, n_jobs=-1, random_state=seed)
    places = pca(rows, random_state=seed) if start is None else start
    method = "fft" if len(rows) > FEW else "bh"
    tsne = TSNEEmbedding(places, affinities, negative_gradient_method=method, n_jobs=-1, random_state=seed)
    if start is None:
        tsne.optimize(n_iter=250, exaggeration=12, momentum=0.5, inplace=True)
    tsne.optimize(n_iter=500 if start is None else 250, momentum=0.8, inplace=True)
    return np.asarray(tsne)


def _clusters(rows: Float32, seed: int) -> list[str]:
    from sklearn.cluster import MiniBatchKMeans

    clusters = MiniBatchKMeans(min(CLUSTERS, len(rows) // 2), random_state=seed, n_init=3).fit_predict(rows)
    return [f"group {cluster + 1}" for cluster in clusters]


def _in_span(places: NDArray[np.float64]) -> NDArray[np.int64]:
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    span = float(np.ptp(places, axis=0).max()) or 1.0
    return np.asarray(((places - middle) / span + 0.5) * SPAN).round().astype(np.int64)
