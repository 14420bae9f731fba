"""The engines of apply: one kernel and equal output, three ways for the rows to get there and back."""

from __future__ import annotations

from collections.abc import Callable

from adaptor.spark.apply.engines import direct
from adaptor.spark.apply.engines.frames import by_arrow, by_udf, written_by
from adaptor.spark.apply.staging import Chunk, Staging
from adaptor.spark.apply.work import Work
from adaptor.spark.delta_log import Snapshot

Engine = Callable[[Work, Snapshot, Chunk, Staging], int | None]
"""Write a chunk into the staging table; how many rows it read, None where another run has written it already."""

ENGINES: dict[str, Engine] = {
    "direct": direct.write,
    "arrow": written_by(by_arrow),
    "pandas_udf": written_by(by_udf),
}
