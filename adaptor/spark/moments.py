"""The mean and second moment of all good rows of a table: one pass, of which the driver gets one matrix."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.config import Source
from adaptor.encode.arrow_lists import Lists
from adaptor.encode.kernel import GOOD, good_rows
from adaptor.errors import AdaptorError
from adaptor.fitting.moments import Float64, Moments, sums_of
from adaptor.spark.columns import column

TASKS_PER_SLOT = 4  # of the pass: each hands on a whole matrix, so they follow the cluster's size, not the table's
BLOCK_ROWS = 1024  # multiplied at once: their product is added to the task's sums, which costs one addition in as many
MERGED_BYTES = 64 << 20  # of all tasks' sums, that one task adds up
PART = "strip int, task int, rows long, bad long, sums binary"


@dataclass
class TableMoments:
    """The moments of all good rows of `rows`, of vectors `width` wide: found when they are first asked for."""

    rows: DataFrame
    columns: Source
    width: int
    report: Callable[[str], None]
    result: Moments | None = field(default=None, init=False)

    def __call__(self) -> Moments:
        """Found by one pass over the rows, or by an earlier call."""
        if self.result is None:
            self.report("moments: reading all rows once")
            started = time.perf_counter()
            self.result, bad = moments_of_table(self.rows, self.columns, self.width)
            count, seconds = self.result.count, time.perf_counter() - started
            left_out = f", {bad:,} bad rows left out" if bad else ""
            self.report(f"moments: of {count:,} rows{left_out}, {(count + bad) / seconds:,.0f} rows/s")
        return self.result


def moments_of_table(rows: DataFrame, columns: Source, width: int) -> tuple[Moments, int]:
    """The moments of the good ones of `rows`, brought to length 1, and how many bad ones were left out.

    Each task adds up what it reads, `8 (1 + D) D` bytes, and cuts the sums into strips; each strip is then added up
    over all tasks, in their order, wherever Spark has room. So the driver gets the total alone, and no machine the sums
    of all tasks. Raises `AdaptorError` where no row is good.
    """
    tasks = TASKS_PER_SLOT * rows.sparkSession.sparkContext.defaultParallelism
    is_there = column(rows, columns.id).isNotNull()
    vectors = rows.select(F.when(is_there, column(rows, columns.embedding)).alias("embedding"))
    parts = vectors.coalesce(tasks).mapInArrow(SumsOfTask(width, strips_of(width, tasks)), PART)
    strips = parts.groupBy("strip").applyInArrow(total_of, PART).toArrow().sort_by("strip")
    count = strips["rows"][0].as_py() if len(strips) else 0
    if not count:
        raise AdaptorError(f"no row has a vector of {width} numbers with a direction; there is nothing to fit")
    sums = np.concatenate([np.frombuffer(strip.as_buffer()) for strip in strips["sums"]])
    return Moments.of_sums(count, sums.reshape(1 + width, width)), strips["bad"][0].as_py()


def strips_of(width: int, tasks: int) -> int:
    """Into how many strips of rows a task's sums are cut, so that one strip of all tasks fits into a task's memory."""
    return min(1 + width, -(-8 * (1 + width) * width * tasks // MERGED_BYTES))


class SumsOfTask:
    """Of batches with a column of vectors the sums over good rows, in strips."""

    def __init__(self, width: int, strips: int) -> None:
        self._width, self._strips = width, strips

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """A row a strip; none at all where there are no rows."""
        sums, good, seen = np.zeros((1 + self._width, self._width)), 0, 0
        for batch in batches:
            good += self._add(sums, Lists.of(batch.column(0)))
            seen += batch.num_rows
        if not seen:
            return
        context = TaskContext.get()
        assert context is not None  # Spark calls this in a task
        for number, strip in enumerate(np.array_split(sums, self._strips)):
            yield _part(number, context.partitionId(), good, seen - good, strip)

    def _add(self, sums: Float64, vectors: Lists) -> int:
        """Add the good ones of `vectors` to the sums; how many they are."""
        why = np.full(len(vectors), GOOD)
        for start in range(0, len(vectors), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(vectors))
            sums += sums_of(good_rows(vectors, start, stop, self._width, why[start:stop])[0])
        return int(np.count_nonzero(why == GOOD))


def total_of(table: pa.Table) -> pa.Table:
    """One strip of all tasks, added up in the order of the tasks, so that equal tables give equal sums."""
    table = table.sort_by("task")
    total = np.zeros(len(table["sums"][0].as_buffer()) // 8)
    for strip in table["sums"]:
        total += np.frombuffer(strip.as_buffer())
    rows, bad = (int(np.sum(table[name].to_numpy())) for name in ("rows", "bad"))
    return pa.Table.from_batches([_part(table["strip"][0].as_py(), 0, rows, bad, total)])


def _part(strip: int, task: int, rows: int, bad: int, sums: Float64) -> pa.RecordBatch:
    columns = {
        "strip": pa.array([strip], pa.int32()),
        "task": pa.array([task], pa.int32()),
        "rows": pa.array([rows], pa.int64()),
        "bad": pa.array([bad], pa.int64()),
        "sums": pa.array([sums.tobytes()], pa.binary()),
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
