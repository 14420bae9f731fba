"""What a fit of few rows costs where vectors are wide: seconds with a line for each step, corpus alone or with queries.

python -m benchmarks.wide [ROWS [WIDTH [QUERIES]]]
"""

from __future__ import annotations

import resource
import sys
import time

import numpy as np

from adaptor.fitting.pipeline import fit
from adaptor.vectors import Float32

DIMS = [64, 128, 256]


def made_up(rows: int, width: int, seed: int) -> Float32:
    """Rows around 20 centres, in directions of falling strength."""
    centres, points = np.random.default_rng(7), np.random.default_rng(seed)
    spread = np.geomspace(1, 0.05, width)
    middle = centres.normal(size=(20, width)) * spread
    x = middle[points.integers(20, size=rows)] + 0.5 * points.normal(size=(rows, width)) * spread
    return x.astype(np.float32)


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    rows, width, queries = numbers + [300, 4096, 0][len(numbers) :]
    corpus = made_up(rows, width, seed=0)
    questions = made_up(queries, width, seed=1) if queries else None
    started = time.perf_counter()

    def say(line: str) -> None:
        print(f"{time.perf_counter() - started:7.1f} s  {line}", flush=True)

    adaptor = fit(corpus, dims=DIMS, queries=questions, report=say)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    candidate = adaptor.config["candidate"]
    print(f"{rows} x {width}, {queries} queries: {seconds:.1f} s, {memory:.1f} GiB, {candidate} ships")


if __name__ == "__main__":
    main()
