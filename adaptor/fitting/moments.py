"""The mean and the second moment of a corpus: of rows at hand, or of more rows than anyone holds.

Closed forms ask both for the same things, so each is written once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptor.maps import Map
from adaptor.vectors import Float32, normalise

Float64 = NDArray[np.float64]
Numbers = NDArray[np.floating]


@dataclass(frozen=True)
class Rows:
    """Rows at hand, `values (n, D) float32`, and their moments."""

    values: Float32

    @property
    def mean(self) -> Float32:
        """`(D,)`."""
        return self.values.mean(axis=0)

    @property
    def energies(self) -> Float32:
        """The mean square of each number: `(D,)`."""
        return np.square(self.values).mean(axis=0)

    def unit(self) -> Rows:
        """Each row brought to length 1."""
        return Rows(normalise(self.values))

    def less(self, offset: Numbers) -> Rows:
        """What is left when `offset (D,)` is taken off each row."""
        return Rows(self.values - offset)

    def through(self, side: Map) -> Rows:
        """What a map makes of rows of length 1."""
        return Rows(side(self.values))

    def moment(self, basis: Float64 | None = None) -> Float64:
        """The second moment `(D, D)`; in the numbers of a basis `(D, r)`, if there is one, `(r, r)`."""
        exact = self.values.astype(np.float64)
        exact = exact if basis is None else exact @ basis
        return exact.T @ exact / len(exact)

    def directions(self) -> Float32:
        """The right singular vectors of the rows as columns, strongest first, signs fixed: `(D, D)`."""
        if len(self.values) >= self.values.shape[1]:
            return _strongest_first(self.moment())
        exact = self.values.astype(np.float64)
        _, left = np.linalg.eigh(exact @ exact.T)
        return _signed(_completed((exact.T @ left)[:, ::-1]))


@dataclass(frozen=True)
class Moments:
    """Of `count` rows their `mean (D,)` and `second (D, D)`, the mean of `x x'`, both float64; the rows are elsewhere.

    Sums over rows of length 1 need no care: no entry of `x x'` is above 1, and a plain float64 sum of n of them is
    off by n x 1.1e-16 of it at most. To take the square of the mean off costs another 1e-16, where float32 rows are
    1e-7 from what they stand for.
    """

    count: int
    mean: Float64
    second: Float64

    @classmethod
    def of(cls, rows: Float32) -> Moments:
        """Of `rows (n, D)`, brought to length 1."""
        return cls.of_sums(len(rows), sums_of(rows))

    @classmethod
    def of_sums(cls, count: int, sums: Float64) -> Moments:
        """Of as many rows, by what `sums_of` says of them, added up."""
        return cls(count, sums[0] / count, sums[1:] / count)

    @property
    def energies(self) -> Float64:
        """The mean square of each number: `(D,)`."""
        return np.diagonal(self.second)

    def unit(self) -> Moments:
        """Brought to a mean square length of 1: how long each row is, nobody knows here."""
        trace = np.trace(self.second)
        return Moments(self.count, self.mean / trace**0.5, self.second / trace)

    def less(self, offset: Numbers) -> Moments:
        """When `offset (D,)` is taken off each row."""
        across = np.outer(offset, self.mean)
        return Moments(self.count, self.mean - offset, self.second - across - across.T + np.outer(offset, offset))

    def through(self, side: Map) -> Moments:
        """Of what a linear map makes of the rows, which are of length 1."""
        assert side.residual is None  # what an MLP makes of rows does not follow from their moments
        weight = side.weight.astype(np.float64)
        linear = Moments(self.count, self.mean @ weight, weight.T @ self.second @ weight)
        return linear if side.bias is None else linear.less(-side.bias.astype(np.float64))

    def moment(self, basis: Float64 | None = None) -> Float64:
        """The second moment `(D, D)`; in the numbers of a basis `(D, r)`, if there is one, `(r, r)`."""
        return self.second if basis is None else basis.T @ self.second @ basis

    def directions(self) -> Float32:
        """The eigenvectors of the second moment as columns, strongest first, signs fixed: `(D, D)`."""
        return _strongest_first(self.second)


def sums_of(rows: Float32) -> Float64:
    """The sum of `rows (n, D)`, brought to length 1, and of their `x x'`, one above the other: `(1 + D, D)`."""
    unit = rows.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    width = unit.shape[1]
    sums = np.empty((1 + width, width))
    np.sum(unit, axis=0, out=sums[0])
    np.matmul(unit.T, unit, out=sums[1:])
    return sums


Corpus = Float32 | Moments
"""What a closed form is made of: rows `(n, D)`, of any length, or the moments of rows of length 1."""


def known_of(corpus: Corpus) -> Rows | Moments:
    """What a closed form can ask of it."""
    return corpus if isinstance(corpus, Moments) else Rows(corpus)


def moment_of(rows: Float32) -> Float64:
    """The second moment of rows `(n, D)`, brought to length 1: `(D, D)`."""
    return Rows(rows).unit().moment()


def signs_of(vectors: Numbers) -> Numbers:
    """The sign of each column's largest entry."""
    largest = np.abs(vectors.T).argmax(axis=1)  # twice as quick as argmax(axis=0)
    return np.sign(vectors[largest, np.arange(vectors.shape[1])])


def _strongest_first(moment: Float64) -> Float32:
    return _signed(np.linalg.eigh(moment)[1][:, ::-1])


def _signed(vectors: Numbers) -> Float32:
    return np.ascontiguousarray(vectors * signs_of(vectors), dtype=np.float32)


def _completed(directions: Float64) -> Float32:
    """An orthonormal basis of all D numbers that begins with `directions (D, n)`, made orthonormal in turn: `(D, D)`.

    It is Q of Householder's QR in its compact form, `I - V T V'`: two matrix products with n rows, where
    `np.linalg.qr(mode="complete")` would apply n reflectors to D x D numbers of twice the bytes.
    """
    width, count = directions.shape
    factored, tau = np.linalg.qr(directions, mode="raw")
    v = np.tril(factored.T, -1)
    np.fill_diagonal(v, 1)
    v, tau = v[:, tau != 0], tau[tau != 0]  # the others reflect nothing
    tv = np.linalg.solve(np.triu(v.T @ v, 1) + np.diag(1 / tau), v.T)
    basis = v.astype(np.float32) @ -tv.astype(np.float32)
    basis.flat[:: width + 1] += 1
    basis[:, :count] = np.eye(width, count) - v @ tv[:, :count]  # the directions, as exactly as they can be
    return basis
