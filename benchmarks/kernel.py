"""What the kernel costs beside plain NumPy, on one thread and without Spark.

python -m benchmarks.kernel
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # NumPy reads it when it loads

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa

from adaptor.artifact import Adaptor
from adaptor.bits import Cells
from adaptor.codecs import Int8Codec
from adaptor.encode.kernel import Kernel
from adaptor.maps import Map
from adaptor.spark.udf import ArrowLists

ROWS, WIDTH, DIMS, BATCH = 200_000, 768, (64, 128, 256), 8192
LENGTHS = (48, 144)  # of codes: bands of 48 and 96 bytes
SPECTRUM = np.geomspace(1, 0.05, WIDTH).astype(np.float32)


def best(run: Callable[[], object], rows: int = ROWS) -> str:
    """Rows a second, the best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return f"{rows / min(seconds):>12,.0f} rows/s {min(seconds) / rows * 1e6:8.2f} us a row"


def main() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, WIDTH), dtype=np.float32)
    weight = np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    lists = pa.ListArray.from_arrays(np.arange(ROWS + 1, dtype=np.int32) * WIDTH, x.reshape(-1))
    scales, cells = np.full(WIDTH, 1e-3, np.float32), Cells.fit(x[:10_000] @ (weight * SPECTRUM))
    adaptor = Adaptor(Map(weight * SPECTRUM), DIMS, int8_scales=scales, cells=cells)
    needed = np.ascontiguousarray(weight[:, : DIMS[-1]])

    def copied() -> None:
        for start in range(0, ROWS, BATCH):
            y = x[start : start + BATCH] @ needed
            for dim in DIMS:
                y[:, :dim].copy()

    def straight() -> None:
        for start in range(0, ROWS, BATCH):
            y = x[start : start + BATCH] @ needed
            for dim in DIMS:
                y[:, :dim] / np.linalg.norm(y[:, :dim], axis=1, keepdims=True)

    def kernel(each: Kernel) -> None:
        for start in range(0, ROWS, BATCH):
            each(lists.slice(start, BATCH))

    print(f"{ROWS:,} rows of {WIDTH} to {DIMS}, one thread")
    print(f"{'matmul and memcpy':24}", best(copied))
    print(f"{'NumPy, not checking':24}", best(straight))
    for each in (
        Kernel(adaptor),
        Kernel(adaptor, "bands"),
        Kernel(adaptor, "columns", "int8"),
        Kernel(adaptor, "columns", "binary"),
        Kernel(adaptor, "bands", "bits", dims=LENGTHS),
    ):
        print(
            f"{f'kernel {each.layout} {each.encoding}':24}",
            best(lambda each=each: kernel(each)),
        )
    print(f"{'int8 scales of a sample':24}", best(lambda: Int8Codec.fit(x[:100_000]), 100_000))
    returned(Kernel(adaptor)(lists.slice(0, BATCH)).columns[-1])


def returned(column: pa.Array) -> None:
    """What Spark does with a column that a pandas UDF returns."""
    from pyspark.sql.pandas.serializers import ArrowStreamPandasSerializer

    serializer = ArrowStreamPandasSerializer("UTC", True)
    rows = pd.Series(list(column.values.to_numpy().reshape(len(column), -1)))
    dressed = pd.Series(ArrowLists(column))
    print(f"from a pandas UDF to Spark, {DIMS[-1]} numbers a row")
    for name, series in (("NumPy rows", rows), ("ArrowLists", dressed)):
        print(f"{name:24}", best(lambda series=series: serializer._create_array(series, column.type), len(column)))


if __name__ == "__main__":
    main()
