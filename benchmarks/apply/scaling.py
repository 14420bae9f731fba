"""time = a + b x rows: what a job costs before its first row, and what every row adds; the same without an engine."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.apply.random_tables import (
    DEFAULT,
    DIMS,
    WIDTH,
    applied,
    artifact,
    files_of,
    remove,
    rows_of,
    session,
    source,
    warm_up,
)
from benchmarks.apply.report import met, table
from benchmarks.apply.rivals import Pool

TITLE = "Time by number of rows"
ROWS, REPEATS = (100_000, 300_000, 1_000_000), 5
WAYS = ("apply", "none")
STABLE = 0.15  # b between the pairs of neighbours


def measure(folder: Path, scale: float) -> str:
    """The default engine and no engine on three tables, in turn; least squares over the medians."""
    spark, pool, target = session(), Pool(), folder / "target"
    sizes = [rows_of(scale, rows) for rows in ROWS]
    tables = {rows: source(spark, folder, rows) for rows in sizes}
    files = {rows: files_of(spark, path) for rows, path in tables.items()}
    fitted = artifact(folder)
    warm_up(spark, folder)
    seconds: dict[tuple[str, int], list[float]] = {(way, rows): [] for way in WAYS for rows in sizes}
    for repeat in range(REPEATS):
        for rows, path in tables.items():
            seconds["apply", rows].append(applied(spark, folder, path, fitted)[0])
            remove(target)
            started = time.perf_counter()
            pool.numpy(files[rows], target, DIMS)
            seconds["none", rows].append(time.perf_counter() - started)
            both = " and ".join(f"{seconds[way, rows][-1]:.1f} s {way}" for way in WAYS)
            print(f"{repeat + 1}/{REPEATS} {rows:,} rows: {both}", flush=True)
    pool.close()
    spark.stop()
    medians = {way: [statistics.median(seconds[way, rows]) for rows in sizes] for way in WAYS}
    lines: list[list[object]] = []
    for rows, job, plain in zip(sizes, medians["apply"], medians["none"]):
        lines.append([f"{rows:,} rows", f"{job:.1f} s", f"{plain:.1f} s", f"{plain / job:.2f}", "", ""])
    fits = {way: np.polyfit(sizes, times, 1) for way, times in medians.items()}
    slopes = {way: [1e6 * (b - a) / (more - few) for (few, a), (more, b) in pairwise(zip(sizes, times))]
              for way, times in medians.items()}  # fmt: skip
    lines.append(["a, of each job", *(f"{fits[way][1]:.1f} s" for way in fits), "", "", ""])
    lines.append(["b, of a row", *(f"{fits[way][0] * 1e6:.2f} us" for way in fits), "", "", ""])
    for number, (few, more) in enumerate(pairwise(sizes)):
        lines.append([f"b from {few:,} to {more:,}", *(f"{slopes[way][number]:.2f} us" for way in slopes), "", "", ""])
    apart = {way: max(each) / min(each) - 1 for way, each in slopes.items()}
    stable = met(abs(apart["apply"]) <= STABLE)
    lines.append(
        [
            "b between the pairs",
            *(f"{each:.0%} apart" for each in apart.values()),
            "",
            f"at most {STABLE:.0%}",
            stable,
        ]
    )
    return (
        f"Engine `{DEFAULT}`, the default, {WIDTH} to 64+128+256, beside pyarrow and NumPy without an engine on the "
        f"same files; medians of {REPEATS} whole jobs in turn, and the line through them by least squares. `share`: "
        "rows a second of those without an engine.\n\n"
        + table(["", "apply", "no engine", "share", "target", ""], lines)
    )
