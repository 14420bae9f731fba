"""From Arrow lists of embeddings to Arrow lists of nested ones: what every engine of apply calls.

A block of rows is a view of the list buffer; one matmul makes the columns that the largest prefix
needs; one pass gives the norms of all prefixes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptor.artifact import Adaptor, Side
from adaptor.bits import BitsCodec
from adaptor.codecs import BinaryCodec, Int8Codec
from adaptor.encode import gpu
from adaptor.encode.arrow_lists import Lists, rows_array
from adaptor.errors import AdaptorError
from adaptor.layout import Encoding, Layout, Nested, check_layout, nested_columns
from adaptor.maps import Folded
from adaptor.vectors import LARGEST, SHORTEST, SMALLEST, Float32, check_dims

Arithmetic = Callable[[Float32, Float32], Float32]

BATCH_BYTES = 4 << 20  # a batch, its embeddings and what becomes of them: small enough for memory to be used again
BLOCK_BYTES = 4 << 20  # a block of a batch: what the arithmetic holds at a time, about a core's cache

GOOD, NULL, HOLDS_NULL, HOLDS_NAN, INFINITE, ZERO, ZERO_PREFIX, WIDTH = range(8)  # of width w: WIDTH + w
REASONS = {NULL: "null", HOLDS_NULL: "holds null", HOLDS_NAN: "holds NaN", INFINITE: "infinite", ZERO: "zero"}

# Squared lengths between these lose nothing to float32, and no number of such a row is out of its bounds.
LEAST_SQUARE, MOST_SQUARE = 1e-24, 1e24


def rows_per_batch(width: int, out: int, budget: int) -> int:
    """How many rows of `width` numbers in and `out` numbers out fit into `budget` bytes, as float32."""
    return max(1, budget // (4 * (width + out)))


@dataclass(frozen=True)
class Adapted:
    """The nested columns of a batch, and why a row is bad: null where it is good.

    A bad row is null in every nested column.
    """

    columns: list[pa.Array]
    reasons: pa.Array


@dataclass(frozen=True)
class Kernel:
    """Adapts batches of embeddings into the nested columns of a layout; `dims` are the artifact's by default.

    As float32 it writes what `Adaptor.encode` gives, in `bands` before it is renormalised. As int8
    it writes codes of the mapped rows, as binary their signs: `adaptor.codecs` decodes both. As bits it writes codes
    that nest in bytes (`adaptor.bits`), and `dims` are lengths of codes. A row is bad, too, where the shortest of the
    prefixes, or what tells a code's length, has no direction once it is mapped, in any layout.
    Raises `AdaptorError` when the artifact can't do what is asked.
    """

    adaptor: Adaptor
    layout: Layout = "columns"
    encoding: Encoding = "float32"
    side: Side = "corpus"
    dims: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_layout(self.layout, self.encoding)
        if self.encoding == "int8":
            self.adaptor.int8_codec(self.side)
        if self.encoding != "bits":
            check_dims(self.lengths, self.adaptor.map(self.side).out_width)
        elif self.side == "query":
            raise AdaptorError("bits are for the corpus side, they were cut there; queries stay float32")

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """The dims, or with `bits` the lengths of codes in bytes: the artifact's where none were named."""
        return check_dims(self.dims or self.adaptor.lengths(self.encoding))

    @cached_property
    def _bits(self) -> BitsCodec:
        """The codec of the longest code."""
        codec = self.adaptor.codec("bits", self.lengths[-1])
        assert isinstance(codec, BitsCodec)
        return codec

    @cached_property
    def nested(self) -> tuple[Nested, ...]:
        """The columns, and which numbers of the mapped row they hold."""
        whole = self._bits.bytes if self.encoding == "bits" else self.adaptor.map(self.side).out_width
        return nested_columns(self.layout, self.lengths, whole, self.encoding)

    @cached_property
    def shortest(self) -> int:
        """The narrowest of the dims; of bits, the numbers that tell a row's length."""
        return self._bits.cells.depth if self.encoding == "bits" else self.lengths[0]

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the nested columns."""
        return pa.schema([(column.name, self._kind) for column in self.nested])

    def rows_per_batch(self, device: str | None = None) -> int:
        """How many rows a batch should have: for a GPU many more, because each way there has its price."""
        budget = BATCH_BYTES if device is None else gpu.BLOCK_BYTES
        return rows_per_batch(self.adaptor.width, sum(column.width for column in self.nested), budget)

    def __call__(self, embeddings: pa.Array | pa.ChunkedArray, device: str | None = None) -> Adapted:
        """Adapt a batch: `list`, `large_list` or `fixed_size_list` of floating-point numbers.

        NumPy does the arithmetic, or torch where a torch `device` is named.
        """
        chunks = embeddings.chunks if isinstance(embeddings, pa.ChunkedArray) else [embeddings]
        total = len(embeddings)
        widest = max(column.width for column in self.nested)
        if total * widest > np.iinfo(np.int32).max:
            raise AdaptorError(f"{total} rows are too many for one batch; pass {self.rows_per_batch()} at a time")
        mapped, step = self._arithmetic(device)
        stored = [np.empty((total, self.stored_width(column)), self._stored_type) for column in self.nested]
        why = np.full(total, GOOD)
        seen = done = 0  # rows looked at, and the good ones among them
        for chunk in chunks:
            lists = Lists.of(chunk)
            if not pa.types.is_floating(lists.values.type):
                raise AdaptorError(f"embeddings must be floating-point numbers, not {chunk.type}; cast them first")
            for start in range(0, len(lists), step):
                stop = min(start + step, len(lists))
                why_here = why[seen : seen + stop - start]
                good = good_rows(lists, start, stop, self.adaptor.width, why_here)
                y, norms = self._with_direction(mapped(*good), why_here)
                self._write(y, norms, [rows[done : done + len(y)] for rows in stored])
                seen, done = seen + stop - start, done + len(y)
        are_good = None if done == total else why == GOOD
        return Adapted(
            [rows_array(self._kind, rows[:done], are_good) for rows in stored],
            self._reasons(why) if done < total else pa.nulls(total, pa.string()),
        )

    def _with_direction(self, y: Float32, why: NDArray[np.int64]) -> tuple[Float32, NDArray[np.float64]]:
        """The mapped rows whose shortest prefix has a direction, and the lengths of their prefixes.

        Longer prefixes have one too then. `why` is filled in for the others.
        """
        norms = _norms(y, self._ends)
        zero = norms[0] < SHORTEST
        if self.encoding == "int8":
            codec = Int8Codec(self.adaptor.int8_codec().scales[: self.shortest])
            short = np.flatnonzero(norms[0] < np.linalg.norm(codec.scales))  # no longer ones have codes of zeros alone
            zero[short] |= ~codec.encode(y[short, : self.shortest]).any(axis=1)
        if not zero.any():
            return y, norms
        why[np.flatnonzero(why == GOOD)[zero]] = ZERO_PREFIX
        return y[~zero], norms[:, ~zero]

    @cached_property
    def _ends(self) -> list[int]:
        """Where prefixes end whose lengths are needed: the shortest to judge rows, the others to renormalise."""
        renormalised = self.encoding == "float32" and self.layout != "bands"
        return sorted({self.shortest, *(column.stop for column in self.nested if renormalised)})

    def _write(self, y: Float32, norms: NDArray[np.float64], out: list[NDArray]) -> None:
        """Store the mapped rows `y`, whose prefixes have these lengths, in one array a nested column."""
        if self.encoding == "bits":
            bits = self._bits.encode(y)
            for column, rows in zip(self.nested, out):
                rows[...] = bits[:, column.start : column.stop]
            return
        if self.encoding == "binary":
            for column, rows in zip(self.nested, out):
                rows[...] = BinaryCodec(column.width).encode(y[:, column.start : column.stop])
            return
        if self.encoding == "int8":
            codes = Int8Codec(self.adaptor.int8_codec().scales[: y.shape[1]]).encode(y)
            for column, rows in zip(self.nested, out):
                rows[...] = codes[:, column.start : column.stop]
            return
        if self.layout == "bands":
            for column, rows in zip(self.nested, out):
                rows[...] = y[:, column.start : column.stop]
            return
        factors = dict(zip(self._ends, (1 / norms).astype(np.float32)))
        for column, rows in zip(self.nested, out):
            np.multiply(y[:, : column.stop], factors[column.stop][:, None], out=rows)

    @cached_property
    def _folded(self) -> Folded:
        depth = self._bits.width if self.encoding == "bits" else self.nested[-1].stop
        return Folded.of(self.adaptor.map(self.side), depth)

    def _arithmetic(self, device: str | None) -> tuple[Arithmetic, int]:
        """What maps a block of rows, and how many rows it takes at a time."""
        if device is not None:
            product = gpu.held(self._folded, (self.adaptor.fingerprint, self.side, self._folded.depth), device)
            return product, product.rows
        width, columns = self._folded.weight.shape
        rows = rows_per_batch(width, columns, BLOCK_BYTES)
        return partial(self._folded, scratch=np.empty((rows, columns), np.float32)), rows

    @property
    def _kind(self) -> pa.DataType:
        if self.encoding in ("binary", "bits"):
            return pa.binary()
        item = pa.float32() if self.encoding == "float32" else pa.int8()
        return pa.list_(pa.field("element", item, nullable=False))

    @property
    def _stored_type(self) -> np.dtype[Any]:
        return np.dtype({"float32": "f4", "int8": "i1", "binary": "u1", "bits": "u1"}[self.encoding])

    def stored_width(self, column: Nested) -> int:
        """How many numbers, or of codes bytes, a row of a column has."""
        return BinaryCodec(column.width).bytes if self.encoding == "binary" else column.width

    def _reasons(self, why: NDArray[np.int64]) -> pa.Array:
        """The reasons in words, the same as those of `adaptor.spark.row_checks.reason` and one more."""
        codes, rows = np.unique(why, return_inverse=True)
        known = {**REASONS, ZERO_PREFIX: f"zero at dim {self.shortest}"}
        texts = [known.get(int(code), f"width {code - WIDTH} instead of {self.adaptor.width}") for code in codes]
        return pa.array(texts, pa.string()).take(pa.array(rows, mask=why == GOOD))


def good_rows(
    lists: Lists, start: int, stop: int, width: int, why: NDArray[np.int64]
) -> tuple[Float32, NDArray[np.float32]]:
    """The good ones of rows `start:stop` with their lengths; `why (stop - start,)` is filled in for the others."""
    widths = lists.widths(start, stop)
    fits = widths == width
    why[~fits] = np.where(widths < 0, NULL, WIDTH + widths)[~fits]
    numbers, holed = lists.matrix(start, stop, fits, width)
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.ascontiguousarray(numbers, dtype=np.float32)
        squares = np.einsum("ij,ij->i", x, x)
    usual = (squares > LEAST_SQUARE) & (squares < MOST_SQUARE)
    if holed is None and usual.all():
        return x, np.sqrt(squares)
    return _good_of(x, squares, usual, holed, why, np.flatnonzero(fits))


def _good_of(
    x: Float32,
    squares: NDArray[np.float32],
    usual: NDArray[np.bool_],
    holed: NDArray[np.bool_] | None,
    why: NDArray[np.int64],
    places: NDArray[np.int64],
) -> tuple[Float32, NDArray[np.float32]]:
    """Rows of `x` without the bad ones, and their lengths, where not all of them are `usual`.

    Row i of `x` stands at `places[i]` in `why`. Rows far from length 1 are brought there, in
    float64, before float32 would lose them.
    """
    odd = np.flatnonzero(~usual)
    exact = x[odd].astype(np.float64)
    largest = np.abs(exact).max(axis=1, initial=0)  # NaN where a row holds one
    verdicts = np.full(len(x), GOOD)
    verdicts[odd] = np.select(
        [np.isnan(largest), largest >= LARGEST, largest <= SMALLEST], [HOLDS_NAN, INFINITE, ZERO], GOOD
    )
    if holed is not None:
        verdicts[holed] = HOLDS_NULL
    why[places] = verdicts
    far = verdicts[odd] == GOOD
    x, lengths = x.copy(), np.sqrt(squares)
    x[odd[far]] = exact[far] / np.linalg.norm(exact[far], axis=1, keepdims=True)
    lengths[odd[far]] = 1
    return x[verdicts == GOOD], lengths[verdicts == GOOD]


def _norms(y: Float32, ends: list[int]) -> NDArray[np.float64]:
    """`(ends, n)`: the length of every prefix of `y`; each number is squared once."""
    squares = [np.einsum("ij,ij->i", y[:, a:b], y[:, a:b], dtype=np.float32) for a, b in pairwise([0, *ends])]
    return np.sqrt(np.cumsum(squares, axis=0, dtype=np.float64))
