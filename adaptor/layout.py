"""Which nested columns a target has, and which numbers of a mapped row each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from adaptor.errors import AdaptorError
from adaptor.vectors import check_dims

Layout = Literal["columns", "bands", "single"]
Encoding = Literal["float32", "int8", "binary", "bits"]


@dataclass(frozen=True)
class Nested:
    """A nested column: numbers `start:stop` of the mapped row y."""

    name: str
    start: int
    stop: int

    @property
    def width(self) -> int:
        """How many numbers it holds."""
        return self.stop - self.start


def column_of(dim: int, encoding: Encoding = "float32") -> str:
    """The column that holds the prefix of this width, or the code of so many bytes."""
    return f"{_stem(encoding)}_{dim}"


def _stem(encoding: Encoding) -> str:
    return "code" if encoding == "bits" else "embedding"


def nested_columns(
    layout: Layout, dims: Sequence[int], out_width: int, encoding: Encoding = "float32"
) -> tuple[Nested, ...]:
    """The nested columns of a layout, in the order in which they stand in the table.

    - `columns`: a prefix a column, `embedding_64`, `embedding_128`, ...
    - `bands`: each number once, `embedding_0_64`, `embedding_64_128`, ...
    - `single`: all numbers in one column, `embedding_nested`

    Those of `bits` are called `code`, and what they count is bytes: `dims` are lengths of codes then, `out_width` the
    length of the longest that `single` holds.

    As float32, `columns` and `single` are renormalised and `bands` are not: a band of its own has
    no length to keep. Raises `AdaptorError` for an unknown layout and for dims that `out_width`
    does not hold.
    """
    dims = check_dims(dims, out_width)
    check_layout(layout)
    if layout == "columns":
        return tuple(Nested(column_of(dim, encoding), 0, dim) for dim in dims)
    if layout == "bands":
        stem = _stem(encoding)
        return tuple(Nested(f"{stem}_{start}_{stop}", start, stop) for start, stop in zip((0, *dims), dims))
    return (Nested(f"{_stem(encoding)}_nested", 0, out_width),)


def check_layout(layout: str, encoding: str = "float32") -> None:
    """`AdaptorError` for a layout or an encoding that does not exist."""
    for what, value, known in (("layout", layout, Layout), ("encoding", encoding, Encoding)):
        if value not in get_args(known):
            raise AdaptorError(f"{what} {value!r} is unknown: it is one of {', '.join(get_args(known))}")


def bytes_of(dim: int, encoding: Encoding) -> int:
    """What a prefix of `dim` numbers takes in a row; of `bits`, `dim` is the length of a code in bytes already."""
    return {"float32": 4 * dim, "int8": dim, "binary": -(-dim // 8), "bits": dim}[encoding]


def usual_lengths(width: int) -> tuple[int, ...]:
    """Bytes of codes where none are asked for: a 64th, a 32nd and a 16th of what `width` float32 numbers take."""
    return tuple(sorted({-(-width // 16), -(-width // 8), -(-width // 4)}))
