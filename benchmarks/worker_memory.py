"""What a training worker holds at its peak above its imports, beside its rows. Made data, workers of TorchDistributor.

python -m benchmarks.worker_memory                             two workers with a share each, and two with all rows each
python -m benchmarks.worker_memory --rows 2000 --width 64      small, to see that it runs
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from adaptor.fitting import closed_forms
from adaptor.fitting.judge import Judge
from adaptor.fitting.settings import Training
from adaptor.training.batches.arrow import ArrowBatches
from adaptor.training.loop import Schedule, Trained, train
from adaptor.training.objectives.neighbourhoods import MakeNeighbourhoodObjective
from adaptor.training.workers import Collective
from benchmarks.apply.report import met, table
from benchmarks.train import write

WORKERS, HELD_OUT, DIMS = 2, 1000, (64, 128, 256)
TRAINING = Training(steps=20, batches_per_step=WORKERS, evaluate_every=10, patience=9)
ROW_GROUP = 5000  # rows: those that a fit writes are 16 MiB
MOST = 2.5  # times the bytes of its rows


def made(rows: int, width: int, seed: int) -> np.ndarray:
    """`(rows, width) float32`, the first numbers the largest."""
    spread = np.linspace(1.5, 0.1, width, dtype=np.float32)
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32) * spread


def status(name: str) -> int:
    """Bytes of a line such as VmRSS in this process's status. Here, as workers can't import `benchmarks`."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def peak(job: Callable[..., Trained], width: int, collective: Collective) -> tuple[int, int, int]:
    """Bytes of the rows that a worker holds, of its peak above what it had before, and of what it had."""
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401
    import torch

    weight = torch.nn.Parameter(torch.ones(64, 64))
    (weight @ weight).sum().backward()  # torch makes its threads
    torch.optim.Adam([weight]).step()  # and imports a compiler with its optimisers
    gc.collect()
    before = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    trained = job(collective)
    return trained.rows * width * 4, status("VmHWM") - before, before


def measure(rows: int, width: int) -> list[list[str]]:
    """A line for each way to hold the sample: of the worker that had the highest peak."""
    from adaptor.spark.session import open_session
    from adaptor.training.workers.torch_distributor import TorchWorkers

    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--master local[{WORKERS}] --conf spark.ui.enabled=false pyspark-shell"
    spark = open_session("bench-memory", progress=False)
    corpus, held_out = made(rows, width, 1), made(HELD_OUT, width, 2)
    dims = tuple(dim for dim in DIMS if dim <= width)
    judge = Judge.of(closed_forms.truncation(corpus), held_out, "corpus", corpus, dims)
    make: Any = MakeNeighbourhoodObjective(closed_forms.svd(corpus).corpus, dims, TRAINING)
    lines = []
    with tempfile.TemporaryDirectory() as place:
        batches = ArrowBatches((write(Path(place) / "sample", corpus, row_group=ROW_GROUP),), rows)
        for name, in_shares in (("a share each", True), ("the whole sample each", False)):
            job = partial(train, make, batches, judge, Schedule.of(TRAINING), 0, None)
            workers = TorchWorkers(spark, WORKERS)
            held, above, before = max(workers.run(partial(peak, partial(job, in_shares=in_shares), width)))
            mega = [f"{count / 1e6:,.0f}" for count in (held, above, before)]
            lines.append([name, *mega, f"{above / held:.2f}", met(above < MOST * held)])
            print(*lines[-1], flush=True)
    spark.stop()
    return lines


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--width", type=int, default=768)
    asked = options.parse_args()
    lines = measure(asked.rows, asked.width)
    print(f"\n{WORKERS} workers, {asked.rows:,} x {asked.width}; target: under {MOST} times the rows that it holds.\n")
    print(table(["workers hold", "their rows, MB", "peak above imports, MB", "imports, MB", "times", ""], lines))


if __name__ == "__main__":
    main()
