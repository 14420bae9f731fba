"""The engines of apply: one kernel and equal output, three ways for the rows to get there and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from adaptor.spark.apply.builds import Build
from adaptor.spark.apply.chunks import Chunk
from adaptor.spark.apply.engines import direct
from adaptor.spark.apply.engines.frames import by_arrow, by_udf, write_frame
from adaptor.spark.apply.request import Request
from adaptor.spark.delta_log import Snapshot, Transaction

Engine = Callable[[Request, Snapshot, Chunk, Build, Transaction], int]
"""Write a chunk in a transaction of the staging table, and commit its bad rows; how many rows it read."""

ENGINES: dict[str, Engine] = {
    "direct": direct.write,
    "arrow": partial(write_frame, by_arrow),
    "pandas_udf": partial(write_frame, by_udf),
}
