"""Codes that nest in bytes: the bits of all numbers, those that tell most first; any beginning is an embedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from adaptor.errors import AdaptorError
from adaptor.vectors import SHORTEST, Float32, normalise

Codes = NDArray[np.uint8]

PLANES = 6  # bits of a number, the first its half, the next its quarter, ...
BLOCK = 2048  # rows that are decoded at once
CELLS = 1 << PLANES
REACH = 2.4  # deviations on each side of the mean that they divide among them; what lies beyond is clipped
DISTORTIONS = (1.0, 0.36338, 0.12677, 0.03729, 0.01242, 0.00575, 0.00389)
"""What is left of a unit Gaussian's variance once its first 0, 1, ... planes are known."""
COEFFICIENTS = (
    (),
    (0.7979,),
    (1.1097, 0.5778),
    (1.1941, 0.609, 0.3078),
    (1.2132, 0.6149, 0.3098, 0.1586),
    (1.2163, 0.6148, 0.3093, 0.1576, 0.0817),
    (1.2161, 0.614, 0.3087, 0.157, 0.0811, 0.0431),
)
"""The same Gaussian's best estimate is the sum of its planes' signs times these, by how many planes are known."""


@dataclass(frozen=True)
class Cells:
    """Where each number of a map is cut into bits: `means (K,)` and `deviations (K,)` of mapped rows, float32.

    Rows are of length 1 over their first `depth` numbers. Bits come in the order of what each takes off the squared
    error, `deviation^2 (D_(b-1) - D_b)` for plane b of a Gaussian.
    """

    means: Float32
    deviations: Float32
    depth: int

    @classmethod
    def fit(cls, y: Float32) -> Cells:
        """From a sample of mapped rows `y (n, K)`.

        The depth is that of the numbers in a code of K bits: what lies behind would hardly change a row's length.
        """
        unit = normalise(y)
        first = cls(unit.mean(axis=0), unit.std(axis=0), y.shape[1])
        depth = first.codec(-(-y.shape[1] // 8)).last
        rows = y / np.maximum(np.linalg.norm(y[:, :depth], axis=1, keepdims=True), SHORTEST)
        return cls(rows.mean(axis=0), rows.std(axis=0), depth)

    def tensors(self) -> dict[str, Float32]:
        """Name -> array, as stored in `model.safetensors`."""
        depth = np.array([self.depth], np.float32)
        return {"bits.means": self.means, "bits.deviations": self.deviations, "bits.depth": depth}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Float32]) -> Cells:
        """The inverse of `tensors`, without the names' beginning."""
        return cls(tensors["means"], tensors["deviations"], int(tensors["depth"][0]))

    @property
    def most_bytes(self) -> int:
        """The length of the longest code: all planes of all numbers."""
        return -(-len(self.means) * PLANES // 8)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The bits, `PLANES * number + plane` each, those that tell most first: `(PLANES K,)`."""
        told = -np.diff(DISTORTIONS)
        gains = np.square(self.deviations.astype(np.float64))[:, None] * told
        return np.argsort(-gains.ravel(), kind="stable")

    def codec(self, length: int) -> BitsCodec:
        """Of codes of `length` bytes; `AdaptorError` for more than there are."""
        if not 1 <= length <= self.most_bytes:
            raise AdaptorError(f"a code has 1 to {self.most_bytes} bytes here, not {length}")
        return BitsCodec(self, length)


@dataclass(frozen=True)
class BitsCodec:
    """Codes of `bytes` bytes; the first n of them are the code of n bytes."""

    cells: Cells
    bytes: int

    @cached_property
    def _bits(self) -> NDArray[np.int64]:
        return self.cells.order[: 8 * self.bytes]

    @cached_property
    def planes(self) -> NDArray[np.int64]:
        """How many bits each number has in the code, `(K,)`: its first ones, as later ones tell less."""
        return np.bincount(self._bits // PLANES, minlength=len(self.cells.means))

    @property
    def last(self) -> int:
        """How many numbers of a mapped row reach into the code: up to the last that has a bit."""
        return int(np.flatnonzero(self.planes)[-1]) + 1

    @property
    def width(self) -> int:
        """How many numbers of a mapped row it takes: those, and what tells the row's length."""
        return max(self.last, self.cells.depth)

    def encode(self, y: Float32) -> Codes:
        """Mapped rows `(n, >= width)`, of any length, to `(n, bytes) uint8`."""
        numbers = np.ascontiguousarray(self._cells_of(y).T)  # so that bits of all rows are moved at once
        codes = np.zeros((self.bytes, len(y)), np.uint8)
        for place in range(8):
            bits = self._bits[place::8]
            part = numbers[bits // PLANES]
            part >>= (PLANES - 1 - bits % PLANES).astype(np.uint8)[:, None]
            part &= 1
            part <<= np.uint8(7 - place)
            codes[: len(bits)] |= part  # of the longest code the last byte may not be full
        return np.ascontiguousarray(codes.T)

    def _cells_of(self, y: Float32) -> Codes:
        """The cell of each number, 0 to 63 from the lowest: `(n, width)`."""
        scale, shift = self._grid
        squares = np.einsum("ij,ij->i", y[:, : self.cells.depth], y[:, : self.cells.depth])
        cells = y[:, : self.width] / np.maximum(np.sqrt(squares), SHORTEST)[:, None]
        cells *= scale
        cells += shift
        np.maximum(cells, 0, out=cells)
        np.minimum(cells, CELLS - 1, out=cells)
        return cells.astype(np.uint8)

    @cached_property
    def _grid(self) -> tuple[Float32, Float32]:
        """What a number is multiplied by, 0 where it is constant, and what is added: its cell is the whole part."""
        deviations = self.cells.deviations[: self.width]
        scale = np.divide(CELLS / 2 / REACH, deviations, out=np.zeros_like(deviations), where=deviations > 0)
        return scale, CELLS / 2 - self.cells.means[: self.width] * scale

    def decode(self, codes: Codes) -> Float32:
        """Codes `(n, >= bytes)` to `(n, width) float32` of length 1, to compare with mapped queries."""
        out = np.empty((len(codes), self.width), np.float32)
        for start in range(0, len(codes), BLOCK):
            out[start : start + BLOCK] = self._decoded(codes[start : start + BLOCK, : self.bytes])
        return out

    def _decoded(self, codes: Codes) -> Float32:
        bits = np.unpackbits(np.ascontiguousarray(codes.T), axis=0)
        rows, numbers, shifts = self._places
        cells = np.zeros((len(self._values), len(codes)), np.uint8)
        for plane in range(PLANES):
            mine = rows[plane]
            cells[numbers[plane]] |= bits[mine] << shifts[plane]
        values = np.zeros((self.width, len(codes)), np.float32)
        for (number, estimates), cell in zip(self._values.items(), cells):
            estimates.take(cell, out=values[number], mode="clip")  # there is nothing to clip: it spares a check
        lengths = np.sqrt(np.einsum("ij,ij->j", values, values))
        return np.divide(values, lengths, out=values, where=lengths > 0).T

    @cached_property
    def _places(self) -> tuple[list[NDArray[np.int64]], list[NDArray[np.int64]], list[Codes]]:
        """For each plane: which bits of the code are its own, of which known numbers, and how far each is shifted."""
        known = np.cumsum(self.planes > 0) - 1
        rows = [np.flatnonzero(self._bits % PLANES == plane) for plane in range(PLANES)]
        numbers = [self._bits[mine] // PLANES for mine in rows]
        shifts = [(self.planes[n] - 1 - plane).astype(np.uint8)[:, None] for plane, n in enumerate(numbers)]
        return rows, [known[n] for n in numbers], shifts

    @cached_property
    def _values(self) -> dict[int, Float32]:
        """What each known number is estimated to be, by its cell."""
        values = {}
        for number in np.flatnonzero(self.planes):
            count = int(self.planes[number])
            signs = 2.0 * ((np.arange(1 << count)[:, None] >> np.arange(count - 1, -1, -1)) & 1) - 1
            estimate = self.cells.means[number] + self.cells.deviations[number] * (signs @ COEFFICIENTS[count])
            values[int(number)] = estimate.astype(np.float32)
        return values

    def score(self, queries: Float32, codes: Codes) -> Float32:
        """Inner products of mapped queries `(q, >= width)` with codes `(n, >= bytes)`: `(q, n) float32`."""
        return np.asarray(queries[:, : self.width] @ self.decode(codes).T)

    def weights(self, queries: Float32) -> Float32:
        """What each bit adds to the scores of mapped queries `(q, >= width)` if it is set, and else takes off.

        `(q, 8 bytes) float32`. Their sum is, but for the same number for all rows, a score times the length that
        the row had when it was decoded.
        """
        numbers, planes = self._bits // PLANES, self._bits % PLANES
        told = [COEFFICIENTS[self.planes[number]][plane] for number, plane in zip(numbers, planes)]
        weights = np.zeros((len(queries), 8 * self.bytes), np.float32)  # of the longest code the last byte is not full
        weights[:, : len(numbers)] = queries[:, numbers] * (self.cells.deviations[numbers] * np.array(told, np.float32))
        return weights
