"""A fit and an apply of a table that is too large to try, from what was measured: writes its section of docs/scale.md.

make bench-scale      # after make bench-apply and make bench-train

Every number is a formula of the constants below and of figures that stand in docs/performance.md and docs/scale.md.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from adaptor.spark.apply.full import ROUNDS, SLOT_BYTES
from adaptor.spark.file_sample import FEWEST_FILES, OVERREAD
from benchmarks.apply.report import DOCUMENT, put_part

SCALE = Path(__file__).parents[1] / "docs" / "scale.md"
TITLE = "10 billion rows on paper"
ROWS, WIDTH, DIMS, CODES = 10**10, 1536, (64, 128, 256), (48, 96)
EXECUTORS, CORES, STORAGE = 100, 4, 1e9  # cores of an executor, and bytes it reads or writes a second
FILE_BYTES, SAMPLE = 307_200_000, 100_000
CORE_HOUR, GIGABYTE_MONTH = 0.05, 0.023  # as in conf/cluster.yaml
MEASURED_WIDTH, MEASURED_CORES = 768, 2


@dataclass(frozen=True)
class Measured:
    """What the documents say; None for what was not measured yet."""

    row_us: float  # of an apply, wall time of a row of 768 on 2 cores
    fit_seconds: float | None  # of 100,000 x 768
    log_seconds: float | None  # to read the log and draw files
    apply_log_seconds: float | None  # to read it, plan, commit chunks and publish
    python_mb: float | None
    java_mb: float | None

    @classmethod
    def read(cls) -> Measured:
        """The figures in docs/performance.md and docs/scale.md."""
        performance, scale = DOCUMENT.read_text(), SCALE.read_text()

        def many(name: str) -> float | None:
            """The figure for most files in the section of benchmarks.log, where that was 200,000."""
            found = re.search(rf"^\| {name}[^|]*\|[^|]*\| ([\d,.]+) (?:s|MB) \|", scale, re.MULTILINE)
            return float(found[1].replace(",", "")) if found and "| 200,000 files |" in scale else None

        def together(*names: str) -> float | None:
            parts = [many(name) for name in names]
            return None if None in parts else sum(part or 0 for part in parts)

        row = re.search(r"^\| b, of a row \| ([\d.]+) us", performance, re.MULTILINE)
        fit = re.search(r"^\| adaptor\.fit, in memory \| ([\d.]+) s", performance, re.MULTILINE)
        of_100_000 = "fit_baseline fit`: 100,000 x 768" in performance
        if row is None:
            raise SystemExit("docs/performance.md has no time of a row: run make bench-apply")
        return cls(
            float(row[1]),
            float(fit[1]) if fit and of_100_000 else None,
            together("read the log", "draw a sample"),
            together("read the log", "cut it", "their rows", "commit the chunks", "read the staging", "publish all"),
            many("peak of the driver's Python"),
            many("peak of its JVM"),
        )


def size(number: float) -> str:
    """Bytes in the largest unit of which there is one."""
    power = min(int(math.log10(max(number, 1)) // 3), 5)
    return f"{number / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"


def applied(found: Measured) -> list[tuple[str, str, str]]:
    """Lines of an apply: what, its formula, its value."""
    core_us = MEASURED_CORES * found.row_us
    work = ROWS * core_us * WIDTH / MEASURED_WIDTH / 3.6e9
    read, written = 4 * ROWS * WIDTH, 4 * ROWS * sum(DIMS)
    computing, moving = work / EXECUTORS / CORES, (read + written) / EXECUTORS / STORAGE / 3600
    driver = (found.apply_log_seconds or 0) / 3600
    hours = max(computing, moving) + driver
    paid = hours * EXECUTORS * CORES
    said = "log and commits were not measured" if found.apply_log_seconds is None else "as measured below"
    chunks = math.ceil(read / (ROUNDS * EXECUTORS * CORES * SLOT_BYTES))
    return [
        ("apply, work", f"n x {core_us:.1f} core-us x D / {MEASURED_WIDTH}", f"{work:,.0f} core-hours"),
        ("bytes read", f"4 n D, in {math.ceil(read / FILE_BYTES):,} files", size(read)),
        ("bytes written", f"4 n ({' + '.join(map(str, DIMS))})", size(written)),
        ("the same as codes", f"n ({' + '.join(map(str, CODES))}) bytes", size(ROWS * sum(CODES))),
        ("hours of computing", f"work / ({EXECUTORS} x {CORES})", f"{computing:.2f}"),
        ("hours of storage", f"(read + written) / ({EXECUTORS} x {size(STORAGE)}/s)", f"{moving:.2f}"),
        ("hours of the driver", f"log, {chunks} chunks, one commit: {said}", f"{driver:.2f}"),
        ("**apply, hours**", "the longer of computing and storage, and the driver", f"**{hours:.2f}**"),
        ("**apply, core-hours and money**", f"hours x {EXECUTORS * CORES} x {CORE_HOUR}", f"**{paid:,.0f}, "
         f"{paid * CORE_HOUR:,.2f}**"),
        ("a month of what it wrote", f"written x {GIGABYTE_MONTH} a GB", f"{written / 1e9 * GIGABYTE_MONTH:,.0f}"),
    ]  # fmt: skip


def fitted(found: Measured) -> list[tuple[str, str, str]]:
    """Lines of a fit."""
    files = math.ceil(4 * ROWS * WIDTH / FILE_BYTES)
    drawn = max(FEWEST_FILES, math.ceil(OVERREAD * SAMPLE / ROWS * files))
    read = drawn * FILE_BYTES
    sampling = (found.log_seconds or 0) + read / min(drawn, EXECUTORS) / STORAGE
    lines = [
        ("fit, bytes read", f"max({FEWEST_FILES}, {OVERREAD:g} x {SAMPLE:,} / n x files) files", size(read)),
        ("its sample", f"4 x {SAMPLE:,} x D", size(4 * SAMPLE * WIDTH)),
        ("sampling, hours", "log, and the files by as many executors", f"{sampling / 3600:.3f}"),
    ]
    if found.fit_seconds is None:
        return [*lines, ("fitting", f"{SAMPLE:,} x {MEASURED_WIDTH} was not measured yet", "")]
    hours = (sampling + found.fit_seconds * (WIDTH / MEASURED_WIDTH) ** 2) / 3600
    alone, waiting = hours * MEASURED_CORES, hours * EXECUTORS * CORES
    formula = f"sampling, and {found.fit_seconds:.0f} s x (D / {MEASURED_WIDTH})^2 on {MEASURED_CORES} cores"
    return [
        *lines,
        ("**fit, hours**", formula, f"**{hours:.2f}**"),
        ("**fit, core-hours and money**", f"on {MEASURED_CORES} cores", f"**{alone:.1f}, {alone * CORE_HOUR:.2f}**"),
        ("the same, while all executors wait", f"hours x {EXECUTORS * CORES}", f"{waiting:,.0f}, "
         f"{waiting * CORE_HOUR:,.2f}"),
    ]  # fmt: skip


def breaking(found: Measured) -> str:
    """What gives way first."""
    memory, seconds = "was not measured at 200,000 files", ""
    if found.python_mb is not None and found.java_mb is not None:
        memory = f"took {found.python_mb / 1000:.1f} GB in Python and {found.java_mb / 1000:.1f} GB in its JVM"
    if found.apply_log_seconds is not None:
        seconds = f", {found.apply_log_seconds / 60:.1f} minutes with all commits"
    return f"""What breaks first, as far as we can see; the whole was never tried at this size:

1. The driver: it holds an action of each file, in Python and in the JVM; that {memory}.
   With files of 30 MB it is ten times as much: `OPTIMIZE` the source first.
2. The log: every job reads it whole at its start{seconds}. Publishing is one
   commit with a line a file; whoever else commits to the target meanwhile lets the whole build start again.
3. Object storage that gives {EXECUTORS * CORES} readers less than {size(STORAGE)}/s an executor: hours grow with it.
4. Shuffles: `apply` has none of vectors. `incremental` shuffles the ids that changed and joins them with those of all
   files of the target that may hold them: where ids are random, with all 10 billion.
"""


def main() -> None:
    found = Measured.read()
    lines = [*applied(found), *fitted(found)]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    table = f"n = {ROWS:,} rows of D = {WIDTH:,} float32, files of {size(FILE_BYTES)}"
    machine = f"{EXECUTORS} executors of {CORES} cores"
    text = f"""`python -m benchmarks.estimate`: {table}; {machine};
prices of `conf/cluster.yaml`. Measured were {found.row_us} us a row of {MEASURED_WIDTH} on {MEASURED_CORES} cores
([performance](performance.md#time-by-number-of-rows)), of which nearly all grows with D, and a simulated log (below).
Of a fit, neighbours grow with D, closed forms and training about with its square.

| | formula | |
|---|---|---|
{rows}

{breaking(found)}"""
    put_part(SCALE, TITLE, text)
    print(text)


if __name__ == "__main__":
    main()
