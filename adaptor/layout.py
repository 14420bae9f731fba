"""Which nested columns a target has, and which numbers of a mapped row each of them holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from adaptor.errors import AdaptorError
from adaptor.vectors import check_dims

Layout = Literal["columns", "bands", "single"]
Encoding = Literal["float32", "int8", "binary"]


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


def column_of(dim: int) -> str:
    """The column that holds the prefix of this width."""
    return f"embedding_{dim}"


def nested_columns(layout: Layout, dims: Sequence[int], out_width: int) -> tuple[Nested, ...]:
    """The nested columns of a layout, in the order in which they stand in the table.

    - `columns`: a prefix a column, `embedding_64`, `embedding_128`, ...
    - `bands`: each number once, `embedding_0_64`, `embedding_64_128`, ...
    - `single`: all numbers in one column, `embedding_nested`

    As float32, `columns` and `single` are renormalised and `bands` are not: a band of its own has
    no length to keep. Raises `AdaptorError` for an unknown layout and for dims that `out_width`
    does not hold.
    """
    dims = check_dims(dims, out_width)
    check_layout(layout)
    if layout == "columns":
        return tuple(Nested(column_of(dim), 0, dim) for dim in dims)
    if layout == "bands":
        return tuple(Nested(f"embedding_{start}_{stop}", start, stop) for start, stop in zip((0, *dims), dims))
    return (Nested("embedding_nested", 0, out_width),)


def check_layout(layout: str, encoding: str = "float32") -> None:
    """`AdaptorError` for a layout or an encoding that does not exist."""
    for what, value, known in (("layout", layout, Layout), ("encoding", encoding, Encoding)):
        if value not in get_args(known):
            raise AdaptorError(f"{what} {value!r} is unknown: it is one of {', '.join(get_args(known))}")


def bytes_of(dim: int, encoding: Encoding) -> int:
    """What a prefix of `dim` numbers takes in a row."""
    return {"float32": 4 * dim, "int8": dim, "binary": -(-dim // 8)}[encoding]
