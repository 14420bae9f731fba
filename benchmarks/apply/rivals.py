"""The same work done otherwise: each reads the files of the made table and writes id and nested columns."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.ml.feature import PCA, PCAModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.apply.random_tables import CORES, rotation

BATCH = 8192


def naive(spark: SparkSession, table: str, target: Path, dims: Sequence[int]) -> None:
    """The pandas UDF that one writes first, into a Delta table."""
    weight = rotation()[:, : dims[-1]]

    def adapt(vectors: pd.Series) -> pd.DataFrame:
        x = np.stack(vectors)
        y = x / np.linalg.norm(x, axis=1, keepdims=True) @ weight
        return pd.DataFrame(
            {f"embedding_{dim}": list(y[:, :dim] / np.linalg.norm(y[:, :dim], axis=1, keepdims=True)) for dim in dims}
        )

    # The annotations above would be strings here; Spark reads the types themselves.
    adapt.__annotations__ = {"vectors": pd.Series, "return": pd.DataFrame}
    udf = F.pandas_udf(adapt, ", ".join(f"embedding_{dim} array<float>" for dim in dims))
    df = spark.read.format("delta").load(table)
    df.select("id", udf("embedding").alias("nested")).select("id", "nested.*").write.format("delta").save(str(target))


def pca_model(spark: SparkSession, table: str, dim: int) -> PCAModel:
    """Spark's own PCA, fitted on a few rows: fitting is not what is measured."""
    few = spark.read.format("delta").load(table).limit(2000)
    return PCA(k=dim, inputCol="vector", outputCol="reduced").fit(
        few.select(array_to_vector(F.col("embedding")).alias("vector"))
    )


def pca(spark: SparkSession, table: str, target: Path, model: PCAModel) -> None:
    """From arrays to vectors, through the model, and back to arrays in a Delta table."""
    df = spark.read.format("delta").load(table).select("id", array_to_vector(F.col("embedding")).alias("vector"))
    reduced = model.transform(df).select("id", vector_to_array(F.col("reduced"), "float32").alias("embedding_256"))
    reduced.write.format("delta").save(str(target))


class Pool:
    """No engine: pyarrow reads, something multiplies, pyarrow writes, in one process a core."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(CORES, mp_context=multiprocessing.get_context("spawn"))
        list(self._pool.map(abs, range(CORES)))  # started, and their imports done, as Spark's are

    def numpy(self, files: Sequence[str], target: Path, dims: Sequence[int]) -> None:
        self._run(_with_numpy, files, target, dims)

    def faiss(self, files: Sequence[str], target: Path, dims: Sequence[int], transform: Path) -> None:
        self._run(_with_faiss, files, target, dims, transform)

    def _run(
        self, work: Callable[..., int], files: Sequence[str], target: Path, dims: Sequence[int], *rest: Path
    ) -> None:
        target.mkdir()
        largest_first = sorted(files, key=os.path.getsize, reverse=True)
        done = [self._pool.submit(work, file, target / Path(file).name, tuple(dims), *rest) for file in largest_first]
        for each in done:
            each.result()

    def close(self) -> None:
        self._pool.shutdown()


def _with_numpy(file: str, target: Path, dims: tuple[int, ...]) -> int:
    weight = np.ascontiguousarray(rotation_once()[:, : dims[-1]])

    def multiply(x: np.ndarray) -> np.ndarray:
        return x @ weight  # prefixes are brought to length 1 afterwards, whatever the length of x

    return _convert(file, target, dims, multiply)


def _with_faiss(file: str, target: Path, dims: tuple[int, ...], transform: Path) -> int:
    import faiss

    return _convert(file, target, dims, faiss.read_VectorTransform(str(transform)).apply)


def _convert(file: str, target: Path, dims: tuple[int, ...], multiply: Callable[[np.ndarray], np.ndarray]) -> int:
    item = pa.list_(pa.float32())
    schema = pa.schema([("id", pa.int64()), *((f"embedding_{dim}", item) for dim in dims)])
    rows = 0
    with pq.ParquetWriter(target, schema, compression="snappy", use_dictionary=False) as writer:
        for batch in pq.ParquetFile(file).iter_batches(BATCH, columns=["id", "embedding"]):
            y = multiply(batch.column(1).flatten().to_numpy().reshape(batch.num_rows, -1))
            writer.write_batch(pa.RecordBatch.from_arrays([batch.column(0), *_prefixes(y, dims)], schema=schema))
            rows += batch.num_rows
    return rows


def _prefixes(y: np.ndarray, dims: Sequence[int]) -> Iterator[pa.Array]:
    for dim in dims:
        prefix = y[:, :dim] / np.linalg.norm(y[:, :dim], axis=1, keepdims=True)
        offsets = np.arange(len(y) + 1, dtype=np.int32) * np.int32(dim)
        yield pa.ListArray.from_arrays(offsets, prefix.reshape(-1))


_rotation: list[np.ndarray] = []


def rotation_once() -> np.ndarray:
    """Of width 768, made once a process."""
    if not _rotation:
        _rotation.append(rotation())
    return _rotation[0]


def faiss_transform(files: Sequence[str], path: Path, dim: int) -> Path:
    """faiss's PCA, trained on some rows of every file, saved at `path`."""
    import faiss

    few = [next(pq.ParquetFile(file).iter_batches(500, columns=["embedding"])).column(0) for file in files]
    x = np.concatenate([rows.flatten().to_numpy().reshape(len(rows), -1) for rows in few])
    transform = faiss.PCAMatrix(x.shape[1], dim)
    transform.train(x)
    faiss.write_VectorTransform(transform, str(path))
    return path
