"""Small made-up data, and the configs that fit it in seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

WIDTH = 32

SMALL_SPARK = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",  # tasks of a VACUUM; else ten thousand
    # A JVM that lives for seconds: its second compiler would only take the cores from the tests.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}
"""What keeps a Spark of a few hundred rows quick."""


def clustered(rows: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """`(rows, width) float32` around 20 centres, most of the variance in a rotated half of the space."""
    centres, points = np.random.default_rng(7), np.random.default_rng(seed)
    spread = np.linspace(1.5, 0.1, width)
    middle = centres.normal(size=(20, width)) * spread
    rotation = np.linalg.qr(centres.normal(size=(width, width)))[0]
    x = middle[points.integers(20, size=rows)] + 0.5 * points.normal(size=(rows, width)) * spread
    return (x @ rotation).astype(np.float32)


def rotation(width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """A random rotation `(width, width) float32`."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(width, width)))[0].astype(np.float32)


def nested(rows: int, width: int = WIDTH, seed: int = 0) -> np.ndarray:
    """`(rows, width) float32` that a nested embedder might make: the first quarter decides, the rest is constant.

    Truncation to a quarter keeps every ranking; SVD spends its first direction on the constant.
    """
    x = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    first = x[:, : width // 4]
    x[:, : width // 4] = first / np.linalg.norm(first, axis=1, keepdims=True)
    x[:, width // 4 :] = 0.5
    return x


def embeddings_frame(
    spark: SparkSession, vectors: Sequence[Any], ids: Sequence[Any] | None = None, kind: pa.DataType = pa.float32()
) -> DataFrame:
    """A DataFrame `id string, title string, embedding array<kind>`; ids are d000, d001, ..."""
    ids = [f"d{i:03d}" for i in range(len(vectors))] if ids is None else ids
    table = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "title": pa.array([f"title of {i}" for i in ids], pa.string()),
            "embedding": pa.array([None if v is None else list(v) for v in vectors], pa.list_(kind)),
        }
    )
    return spark.createDataFrame(table)


def save_delta(df: DataFrame, path: Path | str, mode: str = "errorifexists") -> str:
    """Write `df` as a Delta table at `path`; its path."""
    df.write.format("delta").mode(mode).save(str(path))
    return str(path)


def small_config(folder: Path, table: str, **changes: Any) -> dict[str, Any]:
    """A whole config that fits `table` in seconds, everything it writes under `folder`."""
    config: dict[str, Any] = {
        "source": {"table": table},
        "sample": {"folder": str(folder / "sample")},
        "dims": [4, 8, 16],
        "artifact": str(folder / "artifact"),
        "runs": str(folder / "runs"),
        "fit": {"training": {"steps": 20}, "supervision": {"steps": 40}},
        "workers": {"batches": "arrow"},
        "apply": {"target": str(folder / "nested"), "carry": ["title"]},
        "evaluate": {"data_set": "synthetic"},
    }
    for key, value in changes.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, Mapping) else value
    return config


def write_config(path: Path, config: Mapping[str, Any]) -> str:
    """Write `config` as YAML (JSON is YAML) at `path`; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return str(path)
