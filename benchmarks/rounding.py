"""What is the same to the last bit: one fit, and one artifact, under other threads and other kernels of OpenBLAS.

python -m benchmarks.rounding
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from adaptor import Adaptor, fit
from adaptor.encode.kernel import Kernel
from adaptor.layout import Encoding
from benchmarks import data_sets
from tools.other_kernel import last_bits

DIMS = (32, 64, 96, 128, 192)
BATCHES = (1, 7, 1000)  # rows a batch, against all at once
RUNS = {"first": {}, "second": {}, "one thread": {"OMP_NUM_THREADS": "1"}} | {
    name: {"OPENBLAS_CORETYPE": name} for name in ("SkylakeX", "Haswell", "Zen", "Sandybridge")
}
NUMBERS: dict[Encoding, type] = {"float32": np.float32, "int8": np.int8, "binary": np.uint8}


def one(folder: Path, name: str) -> None:
    """In an environment of its own: fit, and encode by the first run's artifact."""
    corpus = data_sets.load("scifact")[0].corpus
    fitted = fit(corpus, dims=DIMS)
    if not (folder / "artifact").exists():
        fitted.save(str(folder / "artifact"))
    stored = Adaptor.load(str(folder / "artifact"))
    results = {"fitted": fitted.encode(corpus, dim=DIMS[-1])}
    for encoding, kind in NUMBERS.items():
        kernel = Kernel(stored, encoding=encoding)
        for rows in (*BATCHES, len(corpus)):
            starts = range(0, len(corpus), rows)
            results[f"{encoding} {rows}"] = np.vstack([_last(kernel, corpus[at : at + rows], kind) for at in starts])
    np.savez(folder / f"{name}.npz", fingerprint=fitted.fingerprint, **results)


def _last(kernel: Kernel, x: np.ndarray, kind: type) -> np.ndarray:
    """The widest nested column."""
    return np.array([list(row) for row in kernel(pa.array(list(x))).columns[-1].to_pylist()], kind)


def difference(result: np.ndarray, expected: np.ndarray) -> str:
    """Of numbers the largest difference; of codes and of bits how many are others."""
    if result.dtype == np.float32:
        return f"{np.abs(result - expected).max():.1e}"
    if result.dtype == np.uint8:
        result, expected = np.unpackbits(result), np.unpackbits(expected)
    return f"{(result != expected).sum()} of {result.size}"


def main() -> None:
    print("| run | fingerprint | fit | float32 | int8 | binary |", "|---|---|---|---|---|---|", sep="\n")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, environment in RUNS.items():
            if last_bits(**environment) is None:
                continue  # this processor does not run it
            command = [sys.executable, "-m", "benchmarks.rounding", place, name]
            subprocess.run(command, env=os.environ | environment, check=True)
            first, other = np.load(folder / "first.npz"), np.load(folder / f"{name}.npz")
            rows = len(first["fitted"])
            cells = [difference(other["fitted"], first["fitted"])]
            cells += [difference(other[f"{encoding} {rows}"], first[f"{encoding} {rows}"]) for encoding in NUMBERS]
            print("|", " | ".join([name, str(other["fingerprint"])[:12], *cells]), "|", flush=True)
            for size in BATCHES:
                cells = [difference(other[f"{encoding} {size}"], other[f"{encoding} {rows}"]) for encoding in NUMBERS]
                print("|", " | ".join([f"{name}, {size} a batch", "", "", *cells]), "|", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(Path(sys.argv[1]), sys.argv[2])
    else:
        main()
