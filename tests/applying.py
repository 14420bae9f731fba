"""Small tables for the tests of apply: an artifact that is a rotation, a source, and a config that applies it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import Row, SparkSession
from synthetic import clustered, embeddings_frame, rotation, save_delta, small_config, write_config

from adaptor import Adaptor
from adaptor.config import Config, load_config
from adaptor.maps import Map
from adaptor.release import publish
from adaptor.spark.apply import Applied, apply_table
from adaptor.spark.delta_log import DeltaLog

# A stream takes the way of an incremental run, and tests of its own show what differs: its doubles of others are slow.
STREAM = pytest.param("stream", marks=pytest.mark.slow)

ADAPTOR = Adaptor(Map(rotation()), (4, 8, 16), int8_scales=np.full(32, 1e-2, np.float32))


@dataclass
class Bench:
    """A source table under `folder`, and what was said by the last run."""

    spark: SparkSession
    folder: Path
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        publish(ADAPTOR, str(self.folder / "artifact"))

    @property
    def docs(self) -> str:
        return str(self.folder / "docs")

    def save(self, vectors: Any, ids: Any = None, files: int = 3, mode: str = "errorifexists") -> None:
        """Rows of the source, in so many files."""
        save_delta(embeddings_frame(self.spark, vectors, ids).repartition(files, "id"), self.docs, mode)

    def copy(self, other: Bench) -> None:
        """The source of another bench as this one's, history and all: cheaper than to write it again."""
        shutil.copytree(other.docs, self.docs)

    def config(self, name: str, **apply: Any) -> Config:
        settings = {"target": str(self.folder / name), "carry": ["title"], **apply}
        source = settings.pop("source", {})
        others = {name: settings.pop(name) for name in ("gate", "evaluate") if name in settings}
        source = {"table": self.docs, **source}
        document = small_config(self.folder, self.docs, apply=settings, source=source, **others)
        return load_config(write_config(self.folder / f"{name}.yaml", document))

    def apply(self, name: str, **apply: Any) -> Applied:
        self.said = []
        return apply_table(self.spark, self.config(name, **apply), self.said.append)

    def rows(self, name: str) -> list[Row]:
        return self.spark.read.format("delta").load(str(self.folder / name)).orderBy("id").collect()

    def listed(self, name: str) -> list[tuple[Any, str]]:
        """Id and reason of each row in the quarantine of a target."""
        return [(row.id, row.reason) for row in self.rows(f"{name}_quarantine")]

    def sql(self, text: str, name: str = "docs") -> list[Row]:
        """SQL in which `name` is that table, `docs` the source."""
        return self.spark.sql(text.replace(name, f"delta.`{self.folder / name}`")).collect()

    @contextmanager
    def setting(self, key: str, value: str) -> Iterator[None]:
        """The session with another setting."""
        self.spark.conf.set(key, value)
        try:
            yield
        finally:
            self.spark.conf.unset(key)

    def files(self, name: str) -> set[str]:
        """Data files of a table."""
        return set(self.spark.read.format("delta").load(str(self.folder / name)).inputFiles())

    def log(self, name: str) -> DeltaLog:
        """The log of a table."""
        return DeltaLog(self.spark, str(self.folder / name))

    def versions(self, name: str) -> int:
        """Commits of a table."""
        return len(list((self.folder / name / "_delta_log").glob("*.json")))


def vectors(rows: int, bad: bool = True, seed: int = 0) -> list[Any]:
    """Good rows, and with `bad` three that are not."""
    return [*clustered(rows, seed=seed), *([None, np.zeros(32), np.ones(3)] if bad else [])]
