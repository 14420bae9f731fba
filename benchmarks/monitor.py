"""What the monitor reads of a large table: `python -m benchmarks.monitor [ROWS]`, 2,000,000 by default."""

from __future__ import annotations

import sys
import tempfile

from pyspark.sql import functions as F

from adaptor.config import Config
from adaptor.spark import fit_table, open_session
from adaptor.spark.monitor import monitor_table

WIDTH, FILES = 64, 100


def main() -> None:
    """Write a table of normal numbers, later ones smaller, fit on 10,000 rows, and look at it twice."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000_000
    spark = open_session("what the monitor reads")
    with tempfile.TemporaryDirectory() as folder:
        numbers = F.array(*(F.randn(seed) * (1 / (1 + seed / 8)) for seed in range(WIDTH))).cast("array<float>")
        table = spark.range(0, rows, 1, FILES).select(
            F.col("id").cast("string").alias("id"), numbers.alias("embedding")
        )
        table.write.format("delta").save(f"{folder}/docs")
        config = Config.model_validate_json(
            f'{{"source": {{"table": "{folder}/docs"}}, "sample": {{"folder": "{folder}/sample", "rows": 10000}}, '
            f'"dims": [16, 32], "artifact": "{folder}/artifact", "runs": "{folder}/runs", '
            '"fit": {"effort": "quick"}, "workers": {"batches": "arrow"}}'
        )
        fit_table(spark, config, print)
        before = monitor_table(spark, config, print)
        table.limit(rows // 50).write.format("delta").mode("append").save(f"{folder}/docs")
        after = monitor_table(spark, config, print)
        for what, one in (("nothing new", before), ("a fiftieth more rows", after)):
            seen = f"{one.rows:,} rows, {one.seconds:.0f} s, {len(one.alerts)} alerts"
            print(f"{what}: {one.read_share:.1%} of the bytes, {seen}")


if __name__ == "__main__":
    main()
