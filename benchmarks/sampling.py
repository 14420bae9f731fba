"""What a sample of a table of many files reads: `python -m benchmarks.sampling [ROWS [FILES]]`, 5,000,000 in 2,000.

Beside it `sample.exact: true`, which looks at every row, three times in turn; the sample is a hundredth of the rows.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time

from pyspark.sql import functions as F

from adaptor.config import SampleSettings, Source
from adaptor.spark import open_session
from adaptor.spark.file_sample import files_for
from adaptor.spark.sampling import materialise
from adaptor.spark.tables import TableRef

WIDTH, REPEATS = 16, 3


def main() -> None:
    """Write a table, its rows mixed or sorted by kind, and sample it in both ways."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    files = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000
    spark = open_session("what a sample reads")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("mixed", "sorted"):
            shift = F.lit(0.0) if kind == "mixed" else F.floor(F.col("id") / (rows / 20))
            numbers = F.array(*(F.randn(seed) + (shift if seed < 8 else 0) for seed in range(WIDTH)))
            table = spark.range(0, rows, 1, files).select(
                F.col("id").cast("string").alias("id"), numbers.cast("array<float>").alias("embedding")
            )
            table.write.format("delta").save(f"{folder}/{kind}")
            source = Source(table=f"{folder}/{kind}")
            seconds: dict[bool, list[float]] = {False: [], True: []}
            said, ids, count = "every row is looked at, as its files hold rows of one kind", set(), 0
            for _ in range(REPEATS):
                for exact in (False, True):
                    settings = SampleSettings(folder=f"{folder}/sample", rows=rows // 100, exact=exact)
                    started = time.perf_counter()
                    ref = TableRef(source.table).pinned(spark)
                    all_rows = ref.read(spark)
                    drawn = files_for(spark, ref, source, all_rows, settings, print)
                    sample = materialise(
                        all_rows, "id", "embedding", settings, "arrow", (), drawn.rows if drawn else None
                    )
                    seconds[exact].append(time.perf_counter() - started)
                    if drawn is not None:
                        said = drawn.sentence
                    if not exact:
                        ids.add(frozenset(sample.ids))
                        count = len(sample.ids)
                    sample.delete()
            by_files, of_all = (statistics.median(seconds[exact]) for exact in (False, True))
            same = "the same rows each time" if len(ids) == 1 else "other rows each time"
            print(
                f"{kind}: {count:,} of {rows:,} rows, {same}; {said}; {by_files:.1f} s, exact {of_all:.1f} s "
                f"({by_files / of_all:.2f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
