"""One Spark session for all tests that share this process, and configs under tmp_path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from applying import Bench, vectors
from kernels import small_blocks  # noqa: F401 - a fixture
from synthetic import SMALL_SPARK, small_config, write_config

from adaptor.config import Config, load_config

# A Spark installed elsewhere, or its settings, must not take the place of the environment's own.
for name in ("SPARK_HOME", "SPARK_CONF_DIR", "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "PYSPARK_SUBMIT_ARGS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The session that `open_session` makes, on two cores, with Delta."""
    from adaptor.spark.session import open_session

    warehouse = str(tmp_path_factory.mktemp("warehouse"))
    options = {**SMALL_SPARK, "spark.driver.memory": "2g", "spark.sql.warehouse.dir": warehouse}
    confs = " ".join(f"--conf '{key}={value}'" for key, value in options.items())
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[2] {confs} pyspark-shell"
    session = open_session("tests")
    del os.environ["PYSPARK_SUBMIT_ARGS"]
    yield session
    session.stop()


@pytest.fixture(scope="module")
def original(spark: Any, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """100 good rows and three bad ones, in a source that each test of a module gets a copy of."""
    bench = Bench(spark, tmp_path_factory.mktemp("original"))
    bench.save(vectors(100))
    return bench


@pytest.fixture
def bench(spark: Any, tmp_path: Path, original: Bench) -> Bench:
    """A copy of `original`, history and all, for one test alone."""
    bench = Bench(spark, tmp_path)
    bench.copy(original)
    return bench


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Config]:
    """`config(table, apply={...})`: a validated `small_config`, read the way a job reads it."""

    def make(table: str, **changes: Any) -> Config:
        return load_config(write_config(tmp_path / "config.yaml", small_config(tmp_path, table, **changes)))

    return make
