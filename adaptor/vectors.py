"""Vectors of length 1 and their prefixes: the arithmetic every other part shares."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.inputs import as_reals

Float32 = NDArray[np.float32]

# Beyond these the square of a number leaves float32, and with it the length of a vector.
SMALLEST, LARGEST = 1e-18, 1e18

# A prefix of a mapped row that is shorter has no direction: it is rounding, which differs by batch and processor.
SHORTEST = 1e-6


def normalise(x: Float32) -> Float32:
    """Scale each row of `x`, `(n, D) float32`, to length 1; a zero row stays zero."""
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)


def prefix(y: Float32, dim: int) -> Float32:
    """The first `dim` numbers of each row of `y`, `(n, K) float32`, renormalised: `(n, dim)`."""
    return normalise(np.ascontiguousarray(y[:, :dim]))


def as_embeddings(x: object, what: str = "embeddings", width: int | None = None) -> Float32:
    """`x` as a `(n, D) float32` matrix whose rows all have a direction.

    Raises `AdaptorError` when it is no matrix of plain real numbers (`adaptor.inputs` says what is),
    not `width` wide, or holds rows that are zero or not finite: the message counts them and names the first.
    """
    matrix = require_width(as_reals(x, what), what, width)
    bad = np.flatnonzero(without_direction(matrix))
    if len(bad):
        raise AdaptorError(
            f"{what}: {len(bad)} of {len(matrix)} rows are zero, NaN or infinite "
            f"(the first is row {bad[0]}); remove them first"
        )
    return matrix


def without_direction(matrix: Float32) -> NDArray[np.bool_]:
    """Which rows of `(n, D) float32` are zero or not finite: `(n,)`."""
    largest = np.abs(matrix).max(axis=1, initial=0)  # NaN where a row holds one
    return ~((largest > SMALLEST) & (largest < LARGEST))


def require_width(matrix: Float32, what: str, width: int | None) -> Float32:
    """`matrix`, if it is one, and `width` wide; else `AdaptorError`."""
    if matrix.ndim != 2:
        raise AdaptorError(f"{what} must be a matrix (rows, width), not of shape {matrix.shape}")
    if width is not None and matrix.shape[1] != width:
        raise AdaptorError(f"{what} are {matrix.shape[1]} wide, but {width} is expected")
    return matrix


def check_dims(dims: Sequence[int], width: int | None = None) -> tuple[int, ...]:
    """`dims` as an ascending tuple; `AdaptorError` when empty, repeated, below 1 or above `width`."""
    if not dims:
        raise AdaptorError("dims is empty: name at least one prefix width, such as [64, 128]")
    wrong = [dim for dim in dims if isinstance(dim, bool) or not isinstance(dim, (int, np.integer)) or dim < 1]
    if wrong:
        raise AdaptorError(f"dims must be whole numbers of at least 1, not {wrong[0]!r}")
    if len(set(dims)) < len(dims):
        raise AdaptorError(f"dims {list(dims)} names a width twice")
    if width is not None and max(dims) > width:
        raise AdaptorError(f"dim {max(dims)} is above the width of the embeddings, {width}")
    return tuple(sorted(int(dim) for dim in dims))
