"""Exact search on Spark beside faiss on the same Parquet files, and five prefixes beside the longest alone.

python -m benchmarks.search               # 200,000 x 256, 1,000 queries, k = 100, two cores each
python -m benchmarks.search --rows 20000  # to try it out
"""

import os

os.environ["OMP_NUM_THREADS"] = "2"  # faiss reads it when it loads; a Spark task gets one thread of its own

import argparse
import statistics
import tempfile
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from adaptor.spark import exact_search
from benchmarks.apply.report import met, put_section, table
from benchmarks.measuring import in_turn

ROWS, WIDTH, QUERIES, K, DIMS, REPEATS, FILES = 200_000, 256, 1000, 100, (16, 32, 64, 128, 256), 3, 8


def write(folder: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    for number in range(FILES):
        count = rows // FILES
        x = random.standard_normal((count, WIDTH), dtype=np.float32)
        lists = pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * WIDTH, x.ravel())
        ids = pa.array(np.arange(count) + number * count)
        pq.write_table(pa.table({"id": ids, "embedding": lists}), folder / f"{number}.parquet")


def by_faiss(folder: Path, queries: np.ndarray) -> np.ndarray:
    faiss.omp_set_num_threads(2)
    rows = pq.read_table(folder)
    x = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, WIDTH)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(x)
    return rows["id"].to_numpy()[index.search(queries, K)[1]]


def require_equal(folder: Path, queries: np.ndarray, expected: np.ndarray, found: np.ndarray) -> None:
    """The same ids at the same ranks, but where two scores are equal as float32 rounds them."""
    rows = pq.read_table(folder)
    x = rows["embedding"].combine_chunks().flatten().to_numpy().reshape(rows.num_rows, WIDTH).astype(np.float64)
    query, rank = np.nonzero(expected != found)  # ids count the rows
    one, two = (np.einsum("ij,ij->i", queries[query], x[ids[query, rank]]) for ids in (expected, found))
    print(f"{len(query)} of {expected.size} ids differ, by scores of {np.abs(one - two).max(initial=0):.1e} at most")
    assert np.abs(one - two).max(initial=0) < 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=ROWS)
    rows = parser.parse_args().rows
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--master local[2] --conf spark.driver.memory=4g pyspark-shell"
    from adaptor.spark.session import open_session

    spark = open_session("benchmark")
    queries = np.random.default_rng(1).standard_normal((QUERIES, WIDTH), dtype=np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, rows)
        df = spark.read.parquet(str(folder))

        def by_spark(*dims: int) -> np.ndarray:
            hits = exact_search(df, queries, K, dims=dims, metric="dot").toArrow()
            hits = hits.filter(pa.array(hits["dim"].to_numpy() == dims[-1]))
            found = np.empty((QUERIES, K), np.int64)
            found[hits["query"].to_numpy(), hits["rank"].to_numpy() - 1] = hits["id"].to_numpy()
            return found

        ways = {
            "faiss IndexFlatIP, 2 threads": lambda: by_faiss(folder, queries),
            "Spark, width 256": lambda: by_spark(WIDTH),
            f"Spark, {DIMS} in one pass": lambda: by_spark(*DIMS),
        }
        results = [way() for way in ways.values()]  # the first calls start workers
        for other in results[1:]:
            require_equal(folder, queries, results[0], other)
        seconds = in_turn(ways, REPEATS)
    medians = {way: statistics.median(values) for way, values in seconds.items()}
    faiss_seconds, one, five = medians.values()
    lines = [[way, f"{medians[way]:.2f} s", ", ".join(f"{value:.2f}" for value in seconds[way])] for way in ways]
    lines.append(["Spark / faiss, target at most 2", f"{one / faiss_seconds:.2f}", met(one <= 2 * faiss_seconds)])
    lines.append(["five / the longest alone, target at most 1.5", f"{five / one:.2f}", met(five <= 1.5 * one)])
    text = (
        f"{QUERIES:,} queries in {rows:,} x {WIDTH}, k = {K}; all read the same {FILES} Parquet files. Equal ids, but "
        f"where two scores are equal as float32 rounds them.\n\n{table(['way', 'median', 'of'], lines)}"
    )
    print(text)
    if rows == ROWS:
        put_section("Exact search", text, [])
    spark.stop()


if __name__ == "__main__":
    main()
