"""What a fit costs, in units of one SVD of the same matrix plus its exact neighbour search.

make bench-fit        # benchmarks.fit_baseline sets it beside scikit-learn and faiss
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from adaptor.fitting.pipeline import fit
from adaptor.metrics import nearest
from adaptor.vectors import normalise
from benchmarks import data_sets

REPEATS = 3


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    corpus = normalise(data_sets.load("scifact")[0].corpus[:5000])
    itself = np.arange(len(corpus))

    def baseline() -> None:
        np.linalg.svd(corpus, full_matrices=False)
        nearest(corpus, corpus, 10, skip=itself)

    baseline()  # the first call pays for loading
    ratios = []
    for _ in range(REPEATS):
        simple = seconds(baseline)
        whole = seconds(lambda: fit(corpus, dims=[32, 64, 96, 128, 192]))
        ratios.append(whole / simple)
        print(f"SVD and neighbours {simple:.2f} s, fit {whole:.2f} s, ratio {ratios[-1]:.1f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.1f} on {corpus.shape[0]} x {corpus.shape[1]}")


if __name__ == "__main__":
    main()
