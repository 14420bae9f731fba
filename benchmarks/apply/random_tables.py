"""Tables of random rows, artifacts for them, a Spark of two cores, and apply on them."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar, get_args
from urllib.parse import unquote, urlparse

import numpy as np
import pyarrow as pa
from pyspark.sql import SparkSession

from adaptor import Adaptor
from adaptor.config import Apply, Config
from adaptor.maps import Map
from adaptor.release import publish
from adaptor.spark.apply import Applied, apply_table
from adaptor.spark.session import open_session

T = TypeVar("T")

CORES = 2
WIDTH, DIMS = 768, (64, 128, 256)
DEFAULT: str = Apply.model_fields["engine"].default
ENGINES = list(dict.fromkeys([DEFAULT, *get_args(Apply.model_fields["engine"].annotation)]))  # the default first


def in_process(function: Callable[..., T], *arguments: object) -> T:
    """The result of `function(*arguments)` in a process of its own, with a JVM of its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def session() -> SparkSession:
    """Spark in this process: two cores, 6 GB."""
    os.environ["PYSPARK_SUBMIT_ARGS"] = (
        f"--master local[{CORES}] --driver-memory 6g --conf spark.ui.enabled=false "
        "--conf spark.ui.retainedStages=100000 pyspark-shell"
    )
    return open_session("bench-apply")


def task_seconds(spark: SparkSession) -> float:
    """Run time of all tasks so far, from Spark's stages.

    Not the executors' totalDuration: of a local Spark's only executor, the driver, that is the time
    since it started, busy or idle.
    """
    sc: Any = spark.sparkContext
    sc._jsc.sc().listenerBus().waitUntilEmpty()
    stages = sc._jsc.sc().statusStore().stageList(None, False, False, sc._gateway.new_array(sc._jvm.double, 0), None)
    return sum(int(stages.apply(i).executorRunTime()) for i in range(stages.size())) / 1000


def rows_of(scale: float, rows: int) -> int:
    return max(1000, round(rows * scale))


def source(spark: SparkSession, folder: Path, rows: int, width: int = WIDTH, **properties: str) -> str:
    """A Delta table `id long, embedding array<float>` of random rows, sorted by id, in 16 files; made once."""
    path = folder / "_".join(["source", str(rows), str(width), *properties])
    if path.exists():
        return str(path)

    def make(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            rng = np.random.default_rng(batch.column(0)[0].as_py())
            numbers = rng.standard_normal(batch.num_rows * width, dtype=np.float32)
            offsets = np.arange(batch.num_rows + 1, dtype=np.int32) * np.int32(width)
            lists = pa.ListArray.from_arrays(offsets, numbers)
            yield pa.RecordBatch.from_arrays([batch.column(0), lists], names=["id", "embedding"])

    table = spark.range(0, rows, 1, 16).mapInArrow(make, "id long, embedding array<float>")
    table.write.format("delta").options(**{f"delta.{key}": value for key, value in properties.items()}).save(str(path))
    os.sync()  # what comes next would wait for the disk
    print(f"made {rows:,} rows of {width}", flush=True)
    return str(path)


def files_of(spark: SparkSession, table: str) -> list[str]:
    """The table's Parquet files, for those who read them without Spark."""
    return [unquote(urlparse(url).path) for url in spark.read.format("delta").load(table).inputFiles()]


def rotation(width: int = WIDTH) -> np.ndarray:
    """The linear map that everyone applies, `(width, width) float32`."""
    return np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0].astype(np.float32)


def artifact(folder: Path, dims: Sequence[int] = DIMS, width: int = WIDTH) -> str:
    """An artifact of `rotation(width)`."""
    path = str(folder / f"artifact_{width}_{'_'.join(map(str, dims))}")
    publish(Adaptor(Map(rotation(width)), tuple(dims)), path)
    return path


def config(folder: Path, table: str, fitted: str, target: Path, **settings: Any) -> Config:
    """What a user would write to have `table` adapted into `target`."""
    document = {
        "source": {"table": table},
        "sample": {"folder": str(folder / "sample")},
        "dims": Adaptor.load(fitted).dims,
        "artifact": fitted,
        "runs": str(folder / "runs"),
        "apply": {"target": str(target), **settings},
    }
    return Config.model_validate_json(json.dumps(document))


def applied(spark: SparkSession, folder: Path, table: str, fitted: str, **settings: Any) -> tuple[float, Applied]:
    """Wall seconds of one whole apply job into a new target, which is left there."""
    target = folder / "target"
    remove(target)
    request = config(folder, table, fitted, target, **settings)
    started = time.perf_counter()
    outcome = apply_table(spark, request, lambda line: None)
    return time.perf_counter() - started, outcome


def remove(path: Path) -> None:
    """Remove what a run wrote, and let the disk come to rest before the next one."""
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(f"{path}_quarantine", ignore_errors=True)
    os.sync()


def warm_up(spark: SparkSession, folder: Path) -> None:
    """Apply to a small table, so that no run pays for a cold JVM."""
    applied(spark, folder, source(spark, folder, 20_000), artifact(folder))
