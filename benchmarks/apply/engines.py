"""Rows a second of every engine, and of everything else that does the same work."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pyspark.sql import SparkSession

from benchmarks.apply import rivals
from benchmarks.apply.random_tables import (
    DEFAULT,
    DIMS,
    ENGINES,
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

TITLE = "Rows a second, and what else does the same"
ROWS, FEW, REPEATS = 200_000, 2_000, 5
WIDER = (*DIMS, WIDTH)

# What the default engine is measured against: at least so many times its rows a second.
NAIVE, NO_ENGINE, PCA, FAISS = "naive pandas UDF", "no engine: pyarrow, NumPy, pyarrow", "Spark ML's PCA", "faiss"
BANDS = f"{DEFAULT}, layout bands"
TARGETS = {(NAIVE, DIMS): 2.5, (NAIVE, WIDER): 4.0, (NO_ENGINE, DIMS): 0.8, (NO_ENGINE, WIDER): 0.8, (PCA, (256,)): 5.0}

Way = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class RandomTable:
    """A table of random rows: Spark reads it as Delta, others its files."""

    rows: int
    path: str
    files: list[str]

    @classmethod
    def of(cls, spark: SparkSession, folder: Path, rows: int) -> RandomTable:
        path = source(spark, folder, rows)
        return cls(rows, path, files_of(spark, path))


def measure(folder: Path, scale: float) -> str:
    """Every way several times, in turn; medians, and the default engine's against each."""
    spark, target = session(), folder / "target"
    few, all_rows = (RandomTable.of(spark, folder, rows) for rows in (FEW, rows_of(scale, ROWS)))
    warm_up(spark, folder)
    pool = rivals.Pool()
    ways = _ways(spark, folder, all_rows, pool, target)
    seconds: dict[tuple[Way, int], list[float]] = {(way, random.rows): [] for way in ways for random in (few, all_rows)}
    for repeat in range(REPEATS):
        for way, run in ways.items():
            for random in (few, all_rows):
                remove(target)
                started = time.perf_counter()
                run(random)
                seconds[way, random.rows].append(time.perf_counter() - started)
            print(
                f"{repeat + 1}/{REPEATS} {way[0]} {_written(way[1])}: {seconds[way, random.rows][-1]:.1f} s",
                flush=True,
            )
    pool.close()
    spark.stop()
    medians = {key: statistics.median(repeats) for key, repeats in seconds.items()}
    return _text(all_rows.rows, {way: (medians[way, FEW], medians[way, all_rows.rows]) for way in ways})


def _ways(
    spark: SparkSession, folder: Path, largest: RandomTable, pool: rivals.Pool, target: Path
) -> dict[Way, Callable[[RandomTable], object]]:
    model = rivals.pca_model(spark, largest.path, 256)
    transform = rivals.faiss_transform(largest.files, folder / "faiss", 256)

    def ours(random: RandomTable, fitted: str, **settings: str) -> object:
        return applied(spark, folder, random.path, fitted, **settings)

    def naive(random: RandomTable, dims: tuple[int, ...]) -> None:
        rivals.naive(spark, random.path, target, dims)

    def no_engine(random: RandomTable, dims: tuple[int, ...]) -> None:
        pool.numpy(random.files, target, dims)

    ways: dict[Way, Callable[[RandomTable], object]] = {}
    for dims in (DIMS, WIDER):
        fitted = artifact(folder, dims)
        ways |= {(engine, dims): partial(ours, fitted=fitted, engine=engine) for engine in ENGINES}
        ways |= {(NAIVE, dims): partial(naive, dims=dims), (NO_ENGINE, dims): partial(no_engine, dims=dims)}
    ways[BANDS, (64, 64, 128)] = partial(ours, fitted=artifact(folder), layout="bands")
    ways[PCA, (256,)] = lambda random: rivals.pca(spark, random.path, target, model)
    ways[FAISS, DIMS] = lambda random: pool.faiss(random.files, target, DIMS, transform)
    return ways


def _text(rows: int, seconds: dict[Way, tuple[float, float]]) -> str:
    """`seconds` of each way: of few rows, and of all."""
    whole = {way: rows / late for way, (_, late) in seconds.items()}
    added = {way: (rows - FEW) / (late - early) for way, (early, late) in seconds.items() if late > early}
    lines = []
    for way in seconds:
        name, dims = way
        ours = (DEFAULT, dims if dims in (DIMS, WIDER) else DIMS)
        ratio, target = whole[ours] / whole[way], TARGETS.get(way)
        verdict = ("", "") if target is None else (f"at least {target}", met(ratio >= target))
        shown = f"**{name}**, the default" if name == DEFAULT else name
        past = (f"{added[way]:,.0f}" if way in added else "can't be told", "")
        if way in added and ours in added:
            past = past[0], f"{added[ours] / added[way]:.2f}"
        lines.append([shown, _written(dims), f"{whole[way]:,.0f}", f"{ratio:.2f}", *verdict, *past])
    return (
        f"{rows:,} x {WIDTH} float32, medians of {REPEATS} in turn over the same files. An engine's time is that of "
        "the whole apply job: opening, checks, counts, commit. The others check nothing; no engine and faiss write "
        "plain Parquet in two processes, which have started before. Spark ML's PCA writes 256 alone; it stands against "
        "64+128+256, though bands of 256 numbers hold as much. `ahead`: the default's rows a second over this way's. "
        f"The last two columns take off what {FEW:,} rows cost, so that they show what a row adds where the table is "
        "large.\n\n"
        + table(["way", "written", "rows/s", "ahead", "target", "", "rows/s past the start", "ahead"], lines)
    )


def _written(dims: tuple[int, ...]) -> str:
    return "+".join(map(str, dims))
