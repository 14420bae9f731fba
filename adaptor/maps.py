"""The map from an embedding to its nested form, in NumPy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from adaptor.vectors import Float32, normalise


@dataclass(frozen=True)
class Residual:
    """A shallow MLP added to the linear part: `relu(x @ hidden + hidden_bias) @ out`.

    Shapes: `hidden (D, H)`, `hidden_bias (H,)`, `out (H, K)`, all float32.
    """

    hidden: Float32
    hidden_bias: Float32
    out: Float32

    def __call__(self, x: Float32, dim: int) -> Float32:
        """What it adds to the first `dim` numbers of the linear part, for unit rows `x (n, D)`: `(n, dim)`."""
        return np.maximum(x @ self.hidden + self.hidden_bias, 0) @ self.out[:, :dim]


@dataclass(frozen=True)
class Map:
    """`y = x @ weight + bias + residual(x)`, x of length 1: `(n, D) -> (n, K)`, all float32.

    The prefixes of y, renormalised, are the nested embeddings. The paper's `y = x + f(x)`
    (arXiv 2407.20243, section 3) is the case of an identity weight.
    """

    weight: Float32
    bias: Float32 | None = None
    residual: Residual | None = None

    @property
    def width(self) -> int:
        """D, the width of the rows it takes."""
        return int(self.weight.shape[0])

    @property
    def out_width(self) -> int:
        """K, the width of the rows it gives."""
        return int(self.weight.shape[1])

    def __call__(self, x: Float32, dim: int | None = None) -> Float32:
        """The first `dim` numbers (all by default) of the mapped rows, not yet renormalised."""
        dim = dim or self.out_width
        unit = normalise(x)
        y = unit @ self.weight[:, :dim]
        if self.bias is not None:
            y += self.bias[:dim]
        if self.residual is not None:
            y += self.residual(unit, dim)
        return y

    def tensors(self) -> dict[str, Float32]:
        """Name -> array, as stored in `model.safetensors`."""
        parts = {"weight": self.weight}
        if self.bias is not None:
            parts["bias"] = self.bias
        if self.residual is not None:
            parts["residual.hidden"] = self.residual.hidden
            parts["residual.hidden_bias"] = self.residual.hidden_bias
            parts["residual.out"] = self.residual.out
        return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in parts.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Float32]) -> Map:
        """The inverse of `tensors`."""
        residual = None
        if "residual.out" in tensors:
            residual = Residual(tensors["residual.hidden"], tensors["residual.hidden_bias"], tensors["residual.out"])
        return cls(tensors["weight"], tensors.get("bias"), residual)


@dataclass(frozen=True)
class Folded:
    """The first `depth` numbers of a `Map`, for rows that were not normalised: one matmul.

    `(x / |x|) @ weight` is `(x @ weight) / |x|`: no copy of x is made. The first layer of a residual
    stands beside the linear part: `weight (D, depth + H)`, `out (H, depth)`.
    """

    depth: int
    weight: Float32
    bias: Float32 | None = None
    hidden_bias: Float32 | None = None
    out: Float32 | None = None

    @classmethod
    def of(cls, side: Map, depth: int) -> Folded:
        """The first `depth` numbers of what `side` gives."""
        weight, bias = side.weight[:, :depth], None if side.bias is None else side.bias[:depth]
        if side.residual is None:
            return cls(depth, np.ascontiguousarray(weight), bias)
        both = np.hstack([weight, side.residual.hidden])
        return cls(depth, both, bias, side.residual.hidden_bias, np.ascontiguousarray(side.residual.out[:, :depth]))

    def __call__(self, x: Float32, lengths: Float32, scratch: Float32) -> Float32:
        """`(n, D)` with lengths `(n,)` to `(n, depth)`, a view of `scratch (>= n, depth + H)`."""
        both = np.matmul(x, self.weight, out=scratch[: len(x)])
        both /= lengths[:, None]
        y, hidden = both[:, : self.depth], both[:, self.depth :]
        if self.bias is not None:
            y += self.bias
        if self.out is not None:
            hidden += self.hidden_bias
            y += np.maximum(hidden, 0, out=hidden) @ self.out
        return y


@dataclass(frozen=True)
class Sides:
    """The maps of both sides; queries go through `corpus` where they have none of their own."""

    corpus: Map
    own_query: Map | None = None

    @property
    def query(self) -> Map:
        """The map that queries go through."""
        return self.corpus if self.own_query is None else self.own_query
