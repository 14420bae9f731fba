"""A whole fit beside scikit-learn's TruncatedSVD and exact neighbours by faiss; and its neighbours alone beside faiss.

make bench-train                                                  writes both sections of docs/performance.md
python -m benchmarks.fit_baseline --rows 5000 --width 300         to try it out: it writes them too
python -m benchmarks.fit_baseline neighbours                      one of the two
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch
from sklearn.decomposition import TruncatedSVD
from threadpoolctl import threadpool_limits

from adaptor.fitting.pipeline import fit
from adaptor.fitting.settings import Training
from adaptor.training.objectives.nearest import NEIGHBOUR_BLOCK, nearest_rows
from adaptor.vectors import Float32, normalise
from benchmarks.apply.report import met, put_section, table
from benchmarks.measuring import in_turn
from benchmarks.wide import made_up

REPEATS, DIMS = 3, (64, 128, 256)
FILES = 20  # of the table that the job fits on
FIT, NEIGHBOURS = "A whole fit beside SVD and exact neighbours", "Neighbours for training beside faiss"


def by_faiss(x: Float32, k: int, block: int) -> np.ndarray:
    """The k nearest other rows of each row of `x (n, D)` of length 1, within equal blocks of at most `block` rows."""
    parts, start = [], 0
    for rows in np.array_split(x, -(-len(x) // block)):
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(rows)
        found = index.search(rows, k + 1)[1]
        itself = found == np.arange(len(rows))[:, None]
        parts.append(np.take_along_axis(found, np.argsort(itself, axis=1, kind="stable")[:, :k], axis=1) + start)
        start += len(rows)
    return np.concatenate(parts)


def lines_of(seconds: Mapping[str, list[float]], base: str) -> list[list[str]]:
    """A line a way: its median, all its seconds, and how many times the base's they are."""
    middle = {way: statistics.median(some) for way, some in seconds.items()}
    return [
        [way, f"{middle[way]:.2f} s", ", ".join(f"{one:.2f}" for one in some), f"{middle[way] / middle[base]:.2f}"]
        for way, some in seconds.items()
    ]


def compare_neighbours(x: Float32, threads: int) -> str:
    """The search of a training's neighbours beside faiss, within the same blocks; k as the training's, and 10."""
    x = normalise(x)
    tensor, lines, said = torch.from_numpy(x), [], []
    for k in (Training().neighbours, 10):
        ours, theirs = nearest_rows(tensor, k).numpy(), by_faiss(x, k, NEIGHBOUR_BLOCK)
        row, rank = np.nonzero(ours != theirs)
        scores = [np.einsum("ij,ij->i", x[row], x[found[row, rank]]) for found in (ours, theirs)]
        apart = np.abs(scores[0] - scores[1]).max(initial=0)
        assert apart < 1e-5, f"other neighbours than faiss finds, {apart} apart"
        base = f"faiss IndexFlatIP, k = {k}"
        ways = {
            base: lambda k=k: by_faiss(x, k, NEIGHBOUR_BLOCK),
            f"nearest_rows, k = {k}": lambda k=k: nearest_rows(tensor, k),
        }
        seconds = in_turn(ways, REPEATS)
        more = lines_of(seconds, base)
        lines += more
        reached = met(float(more[-1][-1]) <= 1.2)
        said.append(
            f"- k = {k}: {more[-1][-1]} times faiss's time; target 1.2: {reached}. {len(row):,} of {ours.size:,} "
            f"neighbours are others, whose scores differ by {apart:.1e} at most."
        )
    return (
        f"`python -m benchmarks.fit_baseline neighbours`: {len(x):,} x {x.shape[1]} around 20 centres, {threads} "
        f"threads each, medians of {REPEATS} in turn. Both search within equal blocks of at most {NEIGHBOUR_BLOCK:,} "
        "rows, and leave a row itself out.\n\n"
        + table(["way", "median", "of", "of faiss"], lines)
        + "\n"
        + "\n".join(said)
        + "\n"
    )


def as_table(folder: str, x: Float32) -> str:
    """`x` as a Delta table; its path."""
    from adaptor.spark import open_session

    os.environ["PYSPARK_SUBMIT_ARGS"] = "--master local[2] --conf spark.driver.memory=3g pyspark-shell"
    spark = open_session("bench-fit", progress=False)
    for number, rows in enumerate(np.array_split(x, FILES)):
        ids = pa.array([f"{number}-{row}" for row in range(len(rows))])
        lists = pa.FixedSizeListArray.from_arrays(rows.ravel(), x.shape[1]).cast(pa.list_(pa.float32()))
        Path(folder, "rows").mkdir(exist_ok=True)
        parquet.write_table(pa.table({"id": ids, "embedding": lists}), f"{folder}/rows/{number}.parquet")
    spark.read.parquet(f"{folder}/rows").write.format("delta").save(f"{folder}/docs")
    return f"{folder}/docs"


def job_on(folder: str, docs: str, rows: int) -> Callable[[], object]:
    """The fit job on a table, without Spark's start."""
    from pyspark.sql import SparkSession

    from adaptor.config import Config
    from adaptor.spark import fit_table

    spark = SparkSession.active()
    config = Config.model_validate({
        "source": {"table": docs},
        "sample": {"folder": f"{folder}/sample", "rows": rows},
        "dims": DIMS,
        "artifact": f"{folder}/artifact",
        "runs": f"{folder}/runs",
    })  # fmt: skip
    return lambda: fit_table(spark, config, print)


def compare_fit(x: Float32, threads: int) -> str:
    """The whole fit, in memory and as a job, beside what a person would do instead on the same rows."""
    unit, k = normalise(x), Training().neighbours

    def svd(algorithm: str) -> object:
        return TruncatedSVD(DIMS[-1], algorithm=algorithm, random_state=0).fit_transform(x)

    base = "TruncatedSVD, randomized, and neighbours by faiss"
    with tempfile.TemporaryDirectory() as folder:
        docs = as_table(folder, x)
        ways = {
            base: lambda: (svd("randomized"), by_faiss(unit, k, len(unit))),
            "the same, neighbours within blocks as the fit's": lambda: (
                svd("randomized"),
                by_faiss(unit, k, NEIGHBOUR_BLOCK),
            ),
            "TruncatedSVD, arpack, and neighbours by faiss": lambda: (svd("arpack"), by_faiss(unit, k, len(unit))),
            "adaptor.fit, in memory": lambda: fit(x, dims=DIMS),
            "the fit job on a Delta table": job_on(folder, docs, len(x)),
        }
        seconds = in_turn(ways, REPEATS)
    lines = lines_of(seconds, base)
    ratios = {line[0]: float(line[-1]) for line in lines}
    said = "".join(
        f"- {way}: {ratios[way]:.1f} times; target 6: {met(ratios[way] <= 6)}.\n"
        for way in ("adaptor.fit, in memory", "the fit job on a Delta table")
    )
    return (
        f"`python -m benchmarks.fit_baseline fit`: {len(x):,} x {x.shape[1]} around 20 centres to {DIMS}, {threads} "
        f"threads each, medians of {REPEATS} in turn. A fit is all of it with its defaults: held-out rows, every "
        "closed form, neighbours, training to its stop, the judge. The job samples a Delta table of as many rows "
        f"and {FILES} files first and leaves a version and its runs; Spark has started. SVD is of {DIMS[-1]} "
        f"components; faiss finds the {k} nearest of each row, as the fit does.\n\n"
        + table(["way", "median", "of", "of the first"], lines)
        + "\n"
        + said
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("parts", nargs="*", metavar="PART", help="fit, neighbours; both by default")
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--width", type=int, default=768)
    options.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = options.parse_args()
    if given.width <= DIMS[-1]:
        options.error(f"--width is {given.width}, and SVD is of {DIMS[-1]} components: name more")
    torch.set_num_threads(given.threads)
    faiss.omp_set_num_threads(given.threads)
    x = made_up(given.rows, given.width, seed=0)
    parts = {"neighbours": (NEIGHBOURS, compare_neighbours), "fit": (FIT, compare_fit)}
    with threadpool_limits(given.threads):
        for name in given.parts or parts:
            title, compare = parts[name]
            text = compare(x, given.threads)
            put_section(title, text, ())
            print(text)


if __name__ == "__main__":
    main()
