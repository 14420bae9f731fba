"""Training on one process, on two of Horovod and on two of TorchDistributor; and what feeds it. Made data, 2 cores.

make bench-train                     writes its section of docs/performance.md
make bench-train TRAIN_ROWS=100000   as many rows to train on
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import Training
from adaptor.training.batches import Batches, gather
from adaptor.training.batches.arrow import ArrowBatches
from adaptor.training.batches.petastorm import PetastormBatches
from adaptor.training.loop import Schedule, Trained, train
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.workers import Collective, Step, Workers
from benchmarks.apply.report import met, put_section, table

WIDTH, DIMS = 768, (64, 128, 256)
FEED_ROWS = 100_000
TRAINING = Training(steps=40, batches_per_step=2, evaluate_every=20, patience=9)
SECTION = "Training on one process and on two"


class Timed:
    """A collective that notes when its first and its last step were done."""

    def __init__(self, collective: Collective) -> None:
        self.rank, self.size = collective.rank, collective.size
        self.mean_, self.broadcast_, self.receive_ = collective.mean_, collective.broadcast_, collective.receive_
        self.times: list[float] = []

    def advance(self, step: Step) -> None:
        self.times.append(time.perf_counter())


def timed(job: Callable[[Any], Trained], threads: int | None, collective: Collective) -> tuple[Trained, float]:
    """What `job` gives, and the median seconds of a step."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    watch = Timed(collective)
    trained = job(watch)
    torch.set_num_threads(before)
    return trained, float(np.median(np.diff(watch.times)))


def clustered(rows: int, seed: int) -> np.ndarray:
    """`(rows, WIDTH) float32` around 200 centres, most of the variance in a rotated part of the space."""
    centres, points = np.random.default_rng(7), np.random.default_rng(seed)
    spread = np.linspace(1.5, 0.1, WIDTH)
    middle = (centres.normal(size=(200, WIDTH)) * spread).astype(np.float32)
    rotation = np.linalg.qr(centres.normal(size=(WIDTH, WIDTH)))[0].astype(np.float32)
    noise = points.normal(size=(rows, WIDTH)).astype(np.float32) * spread.astype(np.float32)
    return (middle[points.integers(200, size=rows)] + noise) @ rotation


def write(folder: Path, rows: np.ndarray, row_group: int = 10_000) -> str:
    """`rows` as the Parquet that a sample is; its folder."""
    folder.mkdir()
    lists = pa.ListArray.from_arrays(np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32), rows.ravel())
    parquet.write_table(pa.table({"embedding": lists}), folder / "part-0.parquet", row_group_size=row_group)
    return str(folder)


def feeding(folder: Path) -> list[list[str]]:
    """Rows a second into torch, of each kind of batches, the better of two runs; both must lose none."""
    url = write(folder / "feed", np.random.default_rng(0).normal(size=(FEED_ROWS, WIDTH)).astype(np.float32))
    lines = []
    for kind in (PetastormBatches, ArrowBatches):
        batches: Batches = kind((url,), FEED_ROWS)
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            arrived = len(gather(batches))
            seconds.append(time.perf_counter() - started)
        lines.append([kind.__name__, f"{FEED_ROWS / min(seconds):,.0f}", f"{arrived:,}"])
    return lines


def training(folder: Path, rows: int) -> tuple[list[list[str]], dict[str, float], dict[str, float]]:
    """A line for each kind of workers, its held-out figure, and its median seconds a step."""
    from adaptor.spark.session import open_session
    from adaptor.training.workers.horovod import HorovodWorkers
    from adaptor.training.workers.local import LocalWorkers
    from adaptor.training.workers.torch_distributor import TorchWorkers

    os.environ["PYSPARK_SUBMIT_ARGS"] = "--master local[2] --conf spark.ui.enabled=false pyspark-shell"
    spark = open_session("bench-train", progress=False)
    corpus, held_out = clustered(rows, 1), clustered(500, 2)
    judge = Judge.of(closed_forms.truncation(corpus), held_out, "corpus", corpus, DIMS)
    make = MakeNeighbourhoodObjective(closed_forms.svd(corpus).corpus, DIMS, TRAINING)
    batches = ArrowBatches((write(folder / "sample", corpus),), rows)
    job = partial(train, make, batches, judge, Schedule.of(TRAINING), 0, None)
    kinds: dict[str, tuple[Callable[[], Workers], int | None]] = {
        "local, 1 thread": (LocalWorkers, 1),
        "local, 2 threads": (LocalWorkers, 2),
        "horovod, 2 of 1 thread": (lambda: HorovodWorkers(spark, 2), None),
        "torch, 2 of 1 thread": (lambda: TorchWorkers(spark, 2), None),
    }
    lines, scores, steps = [], {}, {}
    for name, (open_workers, threads) in kinds.items():
        started = time.perf_counter()
        trained, step = open_workers().run(partial(timed, job, threads))[0]
        seconds = time.perf_counter() - started
        scores[name], steps[name] = trained.curve[-1].score or 0.0, step
        lines.append([name, f"{seconds:.1f}", f"{1000 * step:.0f}", f"{scores[name]:.5f}"])
        print(*lines[-1], flush=True)
    spark.stop()
    return lines, scores, steps


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=20_000)
    rows = options.parse_args().rows
    with tempfile.TemporaryDirectory() as place:
        fed = feeding(Path(place))
        lines, scores, steps = training(Path(place), rows)
    apart = max(scores.values()) - min(scores.values())
    faster = steps["local, 1 thread"] / steps["horovod, 2 of 1 thread"]
    text = (
        f"`make bench-train`: {TRAINING.steps} steps of {TRAINING.batches_per_step} batches of {TRAINING.batch} rows "
        f"on {rows:,} x {WIDTH}. Seconds are those of the whole training: start of the processes, reading, neighbours "
        "(which each worker finds among all rows), steps, and three times the judge.\n\n"
        + table(["workers", "seconds", "ms a step", "last held-out figure"], lines)
        + f"\n- Last held-out figures differ by {apart:.5f} at most; target .005: {met(apart <= 0.005)}.\n"
        f"- Two workers of Horovod do a step {faster:.2f} times as fast as one; target 1.6: {met(faster >= 1.6)}.\n\n"
        f"Rows a second into torch, {FEED_ROWS:,} x {WIDTH} from one Parquet file:\n\n"
        + table(["batches", "rows/s", "arrived"], fed)
    )
    put_section(SECTION, text, ())
    print(text)


if __name__ == "__main__":
    main()
