"""The simple ways to make prefixes, each a function from a sample to a map.

They are the honest baselines, the starts of training, and sometimes the winners.
"""

import numpy as np

from adaptor.maps import Map
from adaptor.vectors import Float32, normalise


def truncation(corpus: Float32) -> Map:
    """The embedding as it is: right for embedders that were trained to be nested. `corpus (n, D)`."""
    return Map(np.eye(corpus.shape[1], dtype=np.float32))


def svd(corpus: Float32) -> Map:
    """The uncentred SVD's right singular vectors, strongest first: a rotation of `corpus (n, D)`.

    Orthogonal, so the full width keeps every similarity; the prefix of length m is the best
    rank-m approximation of the sample. Taken from the second moment in float64, signs fixed so
    that equal samples give equal maps.
    """
    unit = normalise(corpus).astype(np.float64)
    return rotation_from_moment(unit.T @ unit)


def rotation_from_moment(moment: np.ndarray) -> Map:
    """The eigenvectors of a second moment `(D, D) float64`, largest eigenvalue first."""
    _, vectors = np.linalg.eigh(moment)
    vectors = vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(vectors.shape[1])])
    return Map(np.ascontiguousarray(vectors * signs, dtype=np.float32))
