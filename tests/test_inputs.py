"""What is read as a matrix of plain real numbers, and the one sentence for what is none."""

import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from synthetic import clustered

import adaptor
from adaptor import Adaptor, AdaptorError
from adaptor.fitting.sample import graded
from adaptor.fitting.settings import FitSettings
from adaptor.fitting.strata import NO_STRATUM, as_labels
from adaptor.inputs import as_reals
from adaptor.maps import Map
from adaptor.vectors import as_embeddings

X = np.array([[1, 2], [3, 4], [5, 6]])
F = X.astype(np.float32)
LISTS = pa.array(F.tolist(), pa.list_(pa.float32()))

READ = {
    "float16": F.astype(np.float16),
    "float64": F.astype(np.float64),
    "longdouble": F.astype(np.longdouble),
    "int8": X.astype(np.int8),
    "uint64": X.astype(np.uint64),
    "big-endian": F.astype(">f4"),
    "Fortran order": np.asfortranarray(F),
    "strided": np.repeat(F, 2, axis=1)[:, ::2],
    "lists": X.tolist(),
    "tuples of NumPy numbers": tuple(tuple(row) for row in F),
    "decimals": [[Decimal(int(value)) for value in row] for row in X],
    "object array of rows": np.array([*F, None], dtype=object)[:3],
    "object matrix": X.astype(object),
    "list of arrays": [F[0], X[1], F[2].astype(np.float16)],
    "list of tensors": [*torch.tensor(F)],
    "list of Arrow's scalars": [*LISTS],
    "nothing masked": np.ma.array(F, mask=False),
    "rows with nothing masked": [np.ma.array(row) for row in F],
    "pandas Series": pd.Series([*F]),
    "pandas Series of lists": pd.Series(X.tolist(), index=[7, 8, 9]),
    "pandas Series of Arrow's lists": pd.Series(pd.arrays.ArrowExtensionArray(LISTS)),
    "DataFrame": pd.DataFrame(X),
    "DataFrame of several dtypes": pd.DataFrame({"a": X[:, 0], "b": F[:, 1].astype(np.float16)}),
    "DataFrame of decimals": pd.DataFrame([[Decimal(int(value)) for value in row] for row in X]),
    "nullable DataFrame": pd.DataFrame(X).astype({0: "Int64", 1: "Float32"}),
    "list": LISTS,
    "large_list": LISTS.cast(pa.large_list(pa.float64())),
    "fixed_size_list": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 2),
    "slice": pa.array([None, [9.0], *F.tolist(), [None]], pa.list_(pa.float32())).slice(2, 3),
    "fixed slice": pa.array([None, *F.tolist()], pa.list_(pa.float32(), 2)).slice(1),
    "chunks": pa.chunked_array([LISTS.slice(0, 1), LISTS.slice(1)]),
    "halffloat": pa.array([[np.float16(v) for v in row] for row in F], pa.list_(pa.float16())),
    "tensor": torch.tensor(F),
    "requires_grad": torch.tensor(F, requires_grad=True),
    "bfloat16": torch.tensor(F).bfloat16(),
    "float16 tensor": torch.tensor(F).half(),
    "integer tensor": torch.tensor(X),
    "transposed tensor": torch.tensor(F.T.copy()).T,
    "memoryview": memoryview(F),
}


@pytest.mark.parametrize("name", READ)
def test_read(name):
    rows = as_embeddings(READ[name], "corpus", width=2)
    assert (rows.dtype, rows.flags.c_contiguous, type(rows)) == (np.float32, True, np.ndarray)
    np.testing.assert_array_equal(rows, F)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_read_from_a_gpu():
    np.testing.assert_array_equal(as_embeddings(torch.tensor(F).cuda()), F)


def test_float32_passes_without_a_copy():
    assert as_embeddings(F) is F
    assert np.shares_memory(as_embeddings(torch.tensor(F)), torch.tensor(F).numpy()) is False
    tensor = torch.tensor(F)
    assert np.shares_memory(as_embeddings(tensor), tensor.numpy())


HOLED = pd.DataFrame(X).astype("Float32").mask(X == 4)
REFUSED = {
    "masked": (np.ma.array(F, mask=X == 4), "a masked array with 1 hidden values, the first in row 1; leave"),
    "masked rows": (
        [F[0], np.ma.array(F[1], mask=[0, 1])],
        "a masked array with 1 hidden values in row 1; leave such rows out",
    ),
    "masked object": (np.ma.array(X.astype(object), mask=X == 1), "a masked array with 1 hidden values"),
    "complex": (F + 1j, "complex numbers; take x.real, or put x.real and x.imag side by side"),
    "complex lists": ([[1j, 2.0]], "a complex in row 0"),
    "complex tensor": (torch.tensor(F + 1j), "complex numbers; take x.real"),
    "strings": (F.astype(str), "strings; x.astype('float32') reads numbers from text"),
    "lists of strings": ([[1.0, 2.0], ["1.5", "2"]], "strings in row 1; x.astype('float32')"),
    "object strings": (F.astype(str).astype(object), "strings; x.astype('float32')"),
    "rows of text": (["[1, 2]", "[3, 4]"], "a string in row 0; json.loads(row) reads"),
    "Series of text": (pd.Series(["[1, 2]"]), "a string in row 0; json.loads(row) reads"),
    "bytes": (F.astype(bytes), "bytes; np.frombuffer"),
    "rows of bytes": ([F[0].tobytes()], "bytes in row 0; np.frombuffer"),
    "packed": (F.tobytes(), "bytes; np.frombuffer(x, 'float32').reshape(-1, width)"),
    "dates": (F.astype("datetime64[s]"), "dates"),
    "durations": (F.astype("timedelta64[s]"), "durations"),
    "object dates": ([[datetime.date(2020, 1, 1)]], "a date in row 0"),
    "booleans": (F > 2, "booleans; x.astype('float32')"),
    "lists with a boolean": ([[1.0, 2.0], [True, 2.0]], "booleans in row 1"),
    "boolean tensor": (torch.tensor(F > 2), "booleans; x.float()"),
    "records": (np.zeros(3, [("a", "f4"), ("b", "f4")]), "records; numpy.lib.recfunctions.structured_to_unstructured"),
    "sparse": (scipy.sparse.csr_matrix(F), "a sparse csr_matrix; x.toarray() makes"),
    "sparse array": (scipy.sparse.coo_array(F), "a sparse coo_array; x.toarray() makes"),
    "sparse tensor": (torch.tensor(F).to_sparse(), "a sparse tensor; x.to_dense() makes"),
    "ragged": ([[1, 2], [3, 4], [5]], "rows of different widths: row 0 has 2 and row 2 1; leave"),
    "ragged Arrow": (pa.array([[1.0], [2.0], [3.0, 4.0]]), "rows of different widths: row 0 has 1 and row 2 2"),
    "None row": ([F[0], None, F[2]], "None in row 1; leave such rows out"),
    "None in a row": ([[1.0, None]], "a NoneType in row 0"),
    "null rows": (pa.array([[1.0], None, None]), "null in 2 of 3 rows (the first is row 1); leave"),
    "null items": (
        pa.chunked_array([[[1.0]], [[None], [2.0]]]),
        "lists that hold null in 1 of 3 rows (the first is row 1)",
    ),
    "Arrow's strings": (pa.array([["1"]]), "Arrow's list<item: string>; x.cast("),
    "Arrow's text": (pa.array(["[1]"]), "Arrow's string"),
    "table": (pa.table({"e": LISTS}), "a table of Arrow; pass one column of lists, table['embedding']"),
    "NA": (HOLED, "without a number in 1 of 3 rows (the first is row 1); df.dropna()"),
    "DataFrame of vectors": (pd.DataFrame({"e": [*F]}), "object in column 'e'; a DataFrame's columns are numbers; if"),
    "DataFrame of dates in objects": (pd.DataFrame({"e": [datetime.date(2020, 1, 1)]}), "a date in column 'e'"),
    "DataFrame of text": (pd.DataFrame({"e": ["1"]}, dtype="string"), "in column 'e'"),
    "DataFrame of dates": (pd.DataFrame({"e": pd.to_datetime(["2020-01-01"])}), "dates in column 'e'"),
    "DataFrame of booleans": (pd.DataFrame(F > 2), "booleans in column 0"),
    "dict": ({"a": 1}, "a dict; pass an array of shape (rows, width)"),
    "generator": ((row for row in F), "a generator; pass an array"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    value, message = REFUSED[name]
    with pytest.raises(AdaptorError, match=re.escape("corpus must be a matrix of numbers, not ")) as caught:
        as_embeddings(value, "corpus")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_fit_and_encode_read_and_refuse_the_same():
    x = clustered(60)
    settings = FitSettings(candidates=("svd",))
    fitted = adaptor.fit(
        pa.array([*x]), dims=[4], queries=pd.Series([*x[:30]]), judgments=[(0, 1, 1)], settings=settings
    )
    assert (
        fitted.fingerprint
        == adaptor.fit(x, dims=[4], queries=x[:30], judgments=[(0, 1, 1)], settings=settings).fingerprint
    )
    np.testing.assert_array_equal(fitted.encode(torch.tensor(x), dim=4), fitted.encode(x, dim=4))
    identity = Adaptor(Map(np.eye(2, dtype=np.float32)), (1,))
    with pytest.raises(AdaptorError, match="embeddings must be a matrix of numbers, not a masked array"):
        identity.encode(np.ma.array(F, mask=X == 4))
    with pytest.raises(AdaptorError, match="corpus must be a matrix of numbers, not complex numbers"):
        adaptor.fit(x + 1j, dims=[4])
    with pytest.raises(AdaptorError, match="queries must be a matrix of numbers, not strings"):
        adaptor.fit(x, dims=[4], queries=x.astype(str))


@pytest.mark.parametrize(
    ("judgments", "message"),
    [
        (np.ma.array([[0, 1, 1]], mask=[[0, 0, 1]]), "judgments must be a matrix of numbers, not a masked array"),
        ([(0, 1, 1), (0, 0, np.nan)], "judgments: 1 of 2 rows hold NaN or an infinity (the first is row 1)"),
        ([(0, 1, np.inf)], "judgments: 1 of 1 rows hold NaN or an infinity (the first is row 0)"),
        ([("0", "1", "1")], "judgments must be a matrix of numbers, not strings in row 0"),
        (pd.DataFrame({"q": [0], "d": [1], "grade": [None]}, dtype="Int64"), "without a number in 1 of 1 rows"),
    ],
)
def test_judgments_that_are_refused(judgments, message):
    with pytest.raises(AdaptorError, match=re.escape(message)):
        graded(judgments, F, F)


def test_judgments_that_are_read():
    expected = {0: {1: 2.0}, 1: {2: 1.0}}
    rows = [(0, 1, 2), (1, 2, True), (2, 0, 0)]
    for judgments in (rows, np.array(rows), pd.DataFrame(rows), torch.tensor([[*map(int, row)] for row in rows])):
        assert graded(judgments, F, F) == expected
    big = 2**24 + 1  # which float32 lacks
    assert as_reals([(0, big, 1)], "judgments", np.float64)[0, 1] == big


NULL = NO_STRATUM


@pytest.mark.parametrize(
    ("strata", "labels"),
    [
        (["en", None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT", "s"), np.ma.masked], ["en", *[NULL] * 6]),
        (np.ma.array(["en", "de"], mask=[0, 1]), ["en", NULL]),
        (np.ma.array([1, 2], mask=[1, 0]), [NULL, "2"]),
        (np.array(["2020-01-01", "NaT"], "datetime64[ns]"), ["2020-01-01T00:00:00.000000000", NULL]),
        (pd.Series(["en", pd.NA], dtype="string"), ["en", NULL]),
        (pd.Series([1, None], dtype="Int64"), ["1", NULL]),
        (pd.Series(["en", None], dtype="category"), ["en", NULL]),
        (pd.Series(pd.to_datetime(["2020-01-01", None])), ["2020-01-01 00:00:00", NULL]),
        (pa.array([1, None]), ["1", NULL]),
        (pa.chunked_array([["en"], [None]]).dictionary_encode(), ["en", NULL]),
        (torch.tensor([1, 2]), ["1", "2"]),
        (("en", "de"), ["en", "de"]),
    ],
)
def test_strata(strata, labels):
    assert as_labels(strata, len(labels)).tolist() == labels
