"""Fewer bytes a number: int8 and one-bit codecs for prefixes, in NumPy; codes that nest in bytes are in `adaptor.bits`.

Queries stay float32; documents are decoded, or scored, against them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from adaptor.vectors import Float32, normalise


@dataclass(frozen=True)
class Int8Codec:
    """Each number in one byte: `round(y / scale)`, a scale a dimension, kept with the artifact.

    `scales (m,) float32` are chosen so that all but one in a thousand numbers fit; those beyond
    are clipped.
    """

    scales: Float32

    @classmethod
    def fit(cls, y: Float32) -> Int8Codec:
        """Scales from a sample of prefixes `y (n, m)`."""
        # A few columns at a time: no copy of all of them, and quicker.
        columns = (np.abs(y[:, first : first + 64].T) for first in range(0, y.shape[1], 64))
        largest = np.concatenate([np.quantile(some, 0.999, axis=1) for some in columns])
        return cls(np.maximum(largest / 127, 1e-12).astype(np.float32))

    @property
    def bytes(self) -> int:
        """How many bytes a row takes."""
        return len(self.scales)

    @property
    def width(self) -> int:
        """How many numbers of a row it takes."""
        return len(self.scales)

    def encode(self, y: Float32) -> NDArray[np.int8]:
        """`(n, m) float32` to `(n, m) int8`."""
        return np.clip(np.rint(y / self.scales), -127, 127).astype(np.int8)

    def decode(self, codes: NDArray[np.int8]) -> Float32:
        """`(n, m) int8` to `(n, m) float32`, of length 1."""
        return normalise(codes.astype(np.float32) * self.scales)


@dataclass(frozen=True)
class BinaryCodec:
    """Each number in one bit, its sign; eight to a byte, the first in the highest bit."""

    width: int

    @property
    def bytes(self) -> int:
        """How many bytes a row takes."""
        return -(-self.width // 8)

    def encode(self, y: Float32) -> NDArray[np.uint8]:
        """`(n, m) float32` to `(n, ceil(m / 8)) uint8`."""
        return np.packbits(y >= 0, axis=1)

    def decode(self, codes: NDArray[np.uint8]) -> Float32:
        """`(n, ceil(m / 8)) uint8` to `(n, m) float32` of length 1: every number plus or minus the same."""
        bits = np.unpackbits(codes, axis=1, count=self.width).astype(np.float32)
        return (2 * bits - 1) / np.float32(np.sqrt(self.width))


@dataclass(frozen=True)
class PlainCodec:
    """Numbers as they are."""

    width: int

    @property
    def bytes(self) -> int:
        """How many bytes a row takes."""
        return 4 * self.width

    def encode(self, y: Float32) -> Float32:
        """`y` itself."""
        return y

    def decode(self, codes: Float32) -> Float32:
        """`codes` themselves."""
        return codes


class Codec(Protocol):
    """What every codec does to prefixes `(n, width) float32`."""

    @property
    def width(self) -> int:
        """How many numbers of a mapped row it takes and gives back."""

    @property
    def bytes(self) -> int:
        """How many bytes a row takes."""

    def encode(self, y: Float32) -> NDArray[Any]:
        """As they are stored."""

    def decode(self, codes: NDArray[Any]) -> Float32:
        """As they are compared."""
