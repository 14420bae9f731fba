"""Arrow lists of numbers as matrices, and matrices as Arrow lists: buffers, no Python object a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptor.errors import AdaptorError


@dataclass(frozen=True)
class Lists:
    """A list array of any kind as what lies in memory: row i is `values[offsets[i]:offsets[i + 1]]`.

    `values` is all of the child array, of which a slice of a list array may use any part;
    `valid (n,) bool` is None where no row is null.
    """

    values: pa.Array
    offsets: NDArray[np.integer[Any]]  # (n + 1,)
    valid: NDArray[np.bool_] | None

    @classmethod
    def of(cls, array: pa.Array) -> Lists:
        """Takes `list`, `large_list` and `fixed_size_list` of numbers, `binary` as lists of bytes, and nulls alone."""
        if pa.types.is_null(array.type):
            array = array.cast(pa.list_(pa.float32()))
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            array = _bytes_of(array)
        kind = array.type
        is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
        if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
            raise AdaptorError(f"arrays of numbers are expected, not {kind}; cast them first")
        if pa.types.is_fixed_size_list(kind):
            offsets = (array.offset + np.arange(len(array) + 1)) * kind.list_size
        else:
            offsets = array.offsets.to_numpy()
        valid = array.is_valid().to_numpy(zero_copy_only=False) if array.null_count else None
        return cls(array.values, offsets, valid)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def widths(self, start: int, stop: int) -> NDArray[np.integer[Any]]:
        """The width of each of these rows, -1 where it is null."""
        widths = np.diff(self.offsets[start : stop + 1])
        return widths if self.valid is None else np.where(self.valid[start:stop], widths, -1)

    def matrix(
        self, start: int, stop: int, chosen: NDArray[np.bool_], width: int
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.bool_] | None]:
        """The `chosen` ones of rows `start:stop`, all of them `width` wide, as `(k, width)`.

        A view where they lie side by side. The second array, `(k,) bool`, says which of them hold a
        null; None where none does.
        """
        first, last = int(self.offsets[start]), int(self.offsets[stop])
        values = self.values.slice(first, last - first)
        kind = np.dtype(values.type.to_pandas_dtype())
        numbers = np.frombuffer(values.buffers()[1] or b"", kind)[values.offset :][: len(values)]
        nulls = values.is_null().to_numpy(zero_copy_only=False) if values.null_count else None
        count = int(np.count_nonzero(chosen))
        if count * width == len(numbers):  # the others are empty
            return numbers.reshape(count, width), None if nulls is None else nulls.reshape(count, width).any(axis=1)
        where = (self.offsets[start:stop][chosen] - first)[:, None] + np.arange(width)
        return numbers[where], None if nulls is None else nulls[where].any(axis=1)


def _bytes_of(array: pa.Array) -> pa.Array:
    """A `binary` or `large_binary` array as lists of bytes, without a copy."""
    validity, offsets, data = array.buffers()
    items = pa.Array.from_buffers(pa.uint8(), data.size if data else 0, [None, data or pa.py_buffer(b"")])
    kind = pa.large_list(pa.uint8()) if pa.types.is_large_binary(array.type) else pa.list_(pa.uint8())
    return pa.Array.from_buffers(kind, len(array), [validity, offsets], offset=array.offset, children=[items])


def rows_array(kind: pa.DataType, rows: NDArray[Any], good: NDArray[np.bool_] | None) -> pa.Array:
    """`rows (k, m)` as lists of m items, or as binary of m bytes, without a copy.

    `good (n,) bool` has k True: row i is null where it is False; None is no null at all.
    """
    count, width = rows.shape
    if good is None:
        validity, length = None, count
        offsets = np.arange(length + 1, dtype=np.int32) * np.int32(width)
    else:
        validity, length = pa.py_buffer(np.packbits(good, bitorder="little")), len(good)
        offsets = np.zeros(length + 1, dtype=np.int32)
        np.cumsum(good, out=offsets[1:])
        offsets *= np.int32(width)
    data = pa.py_buffer(rows.reshape(-1))
    if pa.types.is_binary(kind):
        return pa.Array.from_buffers(kind, length, [validity, pa.py_buffer(offsets), data])
    items = pa.Array.from_buffers(kind.value_type, count * width, [None, data])
    return pa.Array.from_buffers(kind, length, [validity, pa.py_buffer(offsets)], children=[items])
