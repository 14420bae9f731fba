"""What callers hand over as numbers: NumPy arrays of all that is plain real numbers, a sentence for the rest.

Nothing is loaded to look at it: what is of torch, pandas, pyarrow or SciPy has loaded that already.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from adaptor.errors import AdaptorError

ADVICE = {
    "b": ("booleans", "x.astype('float32') makes numbers of them"),
    "c": ("complex numbers", "take x.real, or put x.real and x.imag side by side"),
    "S": ("bytes", "np.frombuffer reads packed floats"),
    "U": ("strings", "x.astype('float32') reads numbers from text"),
    "M": ("dates", "leave them out"),
    "m": ("durations", "leave them out"),
    "V": ("records", "numpy.lib.recfunctions.structured_to_unstructured(x) makes a matrix of them"),
}
"""Kind of a NumPy dtype -> what it holds, and the way out."""


@dataclass(frozen=True)
class Expectation:
    """What is asked for, and for a sentence what it is called and where in it we are."""

    what: str
    dtype: np.dtype[Any]
    booleans: bool
    place: str = ""

    def refused(self, got: str, way_out: str) -> AdaptorError:
        """The sentence for numbers that came as `got`."""
        return AdaptorError(f"{self.what} must be a matrix of numbers, not {got}{self.place}; {way_out}")


def as_reals(x: object, what: str, dtype: DTypeLike = np.float32, booleans: bool = False) -> NDArray[Any]:
    """`x` as a C-contiguous array of `dtype`, of whatever shape; without a copy where it is one.

    Takes arrays of real numbers, torch tensors, pandas DataFrames of numbers, Arrow arrays of lists, and
    sequences of rows: lists, arrays, tensors. Raises `AdaptorError` for all else: what is masked,
    null, complex, text, dates, records or sparse, rows of different widths, and, unless they are
    asked for, `booleans`.
    """
    try:
        with np.errstate(over="ignore"):  # what `dtype` can't hold becomes infinite
            return np.ascontiguousarray(_array(x, Expectation(what, np.dtype(dtype), booleans)), dtype=dtype)
    except (TypeError, ValueError, OverflowError, NotImplementedError, RuntimeError) as error:
        raise AdaptorError(f"{what} must be a matrix of numbers: {' '.join(str(error).split())}") from error


def _array(x: object, expectation: Expectation) -> NDArray[Any]:  # noqa: C901 - a branch a type
    """`x` as an array of real numbers, of any dtype."""
    if isinstance(x, np.ndarray):
        return _checked(x, expectation)
    if _is(x, "torch", "Tensor"):
        return _of_tensor(x, expectation)
    if _is(x, "pandas", "DataFrame"):
        return _of_frame(x, expectation)
    if _is(x, "pandas", "Series") or _is(x, "pandas", "Index"):
        arrow = getattr(x.dtype, "pyarrow_dtype", None)  # type: ignore[attr-defined]
        values = x.to_numpy() if arrow is None else x.array.__arrow_array__()  # type: ignore[attr-defined]
        return _array(values, expectation)
    if _is(x, "pyarrow", "Array") or _is(x, "pyarrow", "ChunkedArray"):
        return _of_arrow(x, expectation)
    if _is(x, "pyarrow", "Table") or _is(x, "pyarrow", "RecordBatch"):
        raise expectation.refused("a table of Arrow", "pass one column of lists, table['embedding']")
    if type(x).__module__.startswith("scipy.sparse"):
        raise expectation.refused(f"a sparse {type(x).__name__}", "x.toarray() makes a matrix of it")
    if isinstance(x, (list, tuple)):
        return _of_rows(x, expectation)
    if isinstance(x, (bytes, bytearray)):
        raise expectation.refused("bytes", "np.frombuffer(x, 'float32').reshape(-1, width) reads packed floats")
    if not hasattr(x, "__array__") and not _has_buffer(x):
        raise expectation.refused(f"a {type(x).__name__}", "pass an array of shape (rows, width)")
    return _checked(np.asarray(x), expectation)


def _checked(x: NDArray[Any], expectation: Expectation) -> NDArray[Any]:
    """An array, if it holds real numbers and hides none of them."""
    if isinstance(x, np.ma.MaskedArray):
        hidden: NDArray[np.bool_] = np.ma.getmaskarray(x)  # type: ignore[no-untyped-call]
        if hidden.any():
            first = f", the first in row {np.argwhere(hidden)[0][0]}" if x.ndim > 1 else ""
            raise expectation.refused(
                f"a masked array with {int(hidden.sum())} hidden values{first}",
                "leave such rows out, or x.filled(...) says what stands there",
            )
        x = x.data
    if x.dtype.kind == "O":
        if x.ndim == 1:
            return _of_rows(list(x), expectation)
        _require_real(x.ravel().tolist(), expectation)
    known = x.dtype.kind in "fiu" or (x.dtype.kind == "b" and expectation.booleans)
    # Kinds of other libraries, such as bfloat16, call themselves V too, but are no records.
    if x.dtype.kind in ADVICE and not known and (x.dtype.kind != "V" or issubclass(x.dtype.type, np.void)):
        raise expectation.refused(*ADVICE[x.dtype.kind])
    return x


def _of_rows(rows: Sequence[Any], expectation: Expectation) -> NDArray[Any]:
    """Rows of equal width, each of any kind; or numbers alone, for whoever wants another shape to say so."""
    kinds = set(map(type, rows))
    if all(issubclass(kind, (Real, Decimal)) for kind in kinds):
        _require_real(rows, expectation)
        return np.array(rows, dtype=expectation.dtype)
    read = [_row(row, number, expectation) for number, row in enumerate(rows)]
    for number, row in enumerate(read):
        if row.shape != read[0].shape:
            raise expectation.refused(
                f"rows of different widths: row 0 has {_width(read[0])} and row {number} {_width(row)}",
                "leave out those of another width, or pad them",
            )
    return np.stack(read)


def _row(row: Any, number: int, expectation: Expectation) -> NDArray[Any]:
    """One row of a sequence."""
    expectation = replace(expectation, place=f" in row {number}")
    if row is None or type(row).__name__ == "NAType":
        raise expectation.refused("None", "leave such rows out")
    if isinstance(row, str):
        raise expectation.refused("a string", "json.loads(row) reads a list of numbers from JSON text")
    if isinstance(row, (Real, Decimal)):
        raise expectation.refused("a single number", "each row is an array or a list of numbers")
    if _is(row, "pyarrow", "Scalar"):
        row = row.as_py()
    if isinstance(row, (list, tuple)) and not any(isinstance(value, (list, tuple)) for value in row[:1]):
        _require_real(row, expectation)
        return np.array(row, dtype=expectation.dtype)
    return _array(row, expectation).astype(expectation.dtype, copy=False)


def _require_real(values: Sequence[Any], expectation: Expectation) -> None:
    """`AdaptorError` unless all are real numbers."""
    for kind in set(map(type, values)):
        if issubclass(kind, (bool, np.bool_)):
            if not expectation.booleans:
                raise expectation.refused(*ADVICE["b"])
        elif not issubclass(kind, (Real, Decimal)):
            sign = "U" if issubclass(kind, str) else "S" if issubclass(kind, bytes) else ""
            remedy = ADVICE[sign] if sign else (f"a {kind.__name__}", "each row is an array or a list of real numbers")
            raise expectation.refused(*remedy)


def _of_tensor(x: Any, expectation: Expectation) -> NDArray[Any]:
    if "strided" not in str(x.layout):
        raise expectation.refused("a sparse tensor", "x.to_dense() makes a matrix of it")
    if x.is_complex():
        raise expectation.refused(*ADVICE["c"])
    if str(x.dtype) == "torch.bool" and not expectation.booleans:
        raise expectation.refused("booleans", "x.float() makes numbers of them")
    x = x.detach().cpu().resolve_neg()
    x = x.dequantize() if x.is_quantized else x
    short = x.is_floating_point() and x.element_size() < 4  # NumPy lacks bfloat16, and others
    return np.asarray((x.float() if short else x).numpy())


def _of_frame(x: Any, expectation: Expectation) -> NDArray[Any]:
    for place, (name, kind) in enumerate(x.dtypes.items()):
        here = replace(expectation, place=f" in column {name!r}")
        if kind.kind == "b" and expectation.booleans:
            continue
        if kind.kind in ADVICE:
            raise here.refused(*ADVICE[kind.kind])
        if str(kind) == "object" and not any(hasattr(value, "__len__") for value in x.iloc[:, place]):
            _require_real(x.iloc[:, place].tolist(), here)
        elif kind.kind not in "fiu":
            raise here.refused(
                str(kind),
                f"a DataFrame's columns are numbers; if this one holds whole vectors, pass df[{name!r}]",
            )
    missing = x.isna().to_numpy().any(axis=1)
    if missing.any():
        raise expectation.refused(f"without a number {_rows(missing)}", "df.dropna() leaves such rows out")
    return np.asarray(x.to_numpy(dtype=expectation.dtype))


def _of_arrow(x: Any, expectation: Expectation) -> NDArray[Any]:
    from pyarrow import types

    from adaptor.encode.arrow_lists import Lists

    chunks = x.chunks if hasattr(x, "chunks") else [x]
    chunks = [getattr(chunk, "storage", chunk) for chunk in chunks]  # of an extension type
    kind = chunks[0].type if chunks else x.type
    is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    if not is_list and (types.is_floating(kind) or types.is_integer(kind)):
        return np.asarray(x.to_numpy()) if hasattr(x, "chunks") else np.asarray(x.to_numpy(zero_copy_only=False))
    if not is_list or not (types.is_floating(kind.value_type) or types.is_integer(kind.value_type)):
        raise expectation.refused(f"Arrow's {kind}", "x.cast(pyarrow.list_(pyarrow.float32())) makes floats of numbers")
    lists = [Lists.of(chunk) for chunk in chunks]
    widths = np.concatenate([np.zeros(0, np.int64), *(some.widths(0, len(some)) for some in lists)])
    if (widths < 0).any():
        raise expectation.refused(f"null {_rows(widths < 0)}", "leave such rows out, x.drop_null()")
    other = np.flatnonzero(widths != widths[:1])
    if len(other):
        raise expectation.refused(
            f"rows of different widths: row 0 has {widths[0]} and row {other[0]} {widths[other[0]]}",
            "leave out those of another width, or pad them",
        )
    width = int(widths[0]) if len(widths) else 0
    read = [some.matrix(0, len(some), np.ones(len(some), bool), width) for some in lists]
    holed = np.concatenate([np.zeros(0, bool), *(np.zeros(len(m), bool) if h is None else h for m, h in read)])
    if holed.any():
        raise expectation.refused(f"lists that hold null {_rows(holed)}", "leave such rows out")
    return np.concatenate([m for m, _ in read]) if len(read) != 1 else read[0][0]


def _rows(chosen: NDArray[np.bool_]) -> str:
    return f"in {int(chosen.sum())} of {len(chosen)} rows (the first is row {int(np.flatnonzero(chosen)[0])})"


def _width(row: NDArray[Any]) -> str:
    return str(row.shape[0]) if row.ndim == 1 else f"shape {row.shape}"


def _is(x: object, module: str, name: str) -> bool:
    """Whether `x` is of this class of a library that is loaded."""
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(x, kind)


def _has_buffer(x: object) -> bool:
    try:
        memoryview(x)  # type: ignore[arg-type]
    except TypeError:
        return False
    return True
