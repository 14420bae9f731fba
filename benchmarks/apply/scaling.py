"""time = a + b x rows: what a job costs before its first row, and what every row adds."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.apply.made import DEFAULT, WIDTH, applied, artifact, rows_of, session, source, warm_up
from benchmarks.apply.report import met, table

TITLE = "Time by number of rows"
ROWS, REPEATS = (100_000, 300_000, 1_000_000), 3
STABLE = 0.15  # b between the pairs of neighbours


def measure(folder: Path, scale: float) -> str:
    """The default engine on three tables, three times in turn; least squares over the medians."""
    spark = session()
    sizes = [rows_of(scale, rows) for rows in ROWS]
    tables = {rows: source(spark, folder, rows) for rows in sizes}
    fitted = artifact(folder)
    warm_up(spark, folder)
    seconds: dict[int, list[float]] = {rows: [] for rows in sizes}
    for repeat in range(REPEATS):
        for rows, made in tables.items():
            seconds[rows].append(applied(spark, folder, made, fitted)[0])
            print(f"{repeat + 1}/{REPEATS} {rows:,} rows: {seconds[rows][-1]:.1f} s", flush=True)
    spark.stop()
    times = [statistics.median(seconds[rows]) for rows in sizes]
    slope, fixed = np.polyfit(sizes, times, 1)
    between = [(late - early) / (more - few) for (few, early), (more, late) in pairwise(zip(sizes, times))]
    spread = max(between) / min(between) - 1
    lines: list[list[object]] = [[f"{rows:,} rows", f"{time:.1f} s", "", ""] for rows, time in zip(sizes, times)]
    lines += [["a, of each job", f"{fixed:.1f} s", "", ""], ["b, of a row", f"{slope * 1e6:.2f} us", "", ""]]
    for (few, more), b in zip(pairwise(sizes), between):
        lines.append([f"b from {few:,} to {more:,}", f"{b * 1e6:.2f} us", "", ""])
    lines.append(["b between the pairs", f"{spread:.0%} apart", f"at most {STABLE:.0%}", met(abs(spread) <= STABLE)])
    return (
        f"Engine `{DEFAULT}`, the default, {WIDTH} to 64+128+256; medians of {REPEATS} whole jobs in turn, and the "
        "line through them by least squares.\n\n" + table(["", "measured", "target", ""], lines)
    )
