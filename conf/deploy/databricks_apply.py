"""Nested columns of a table by the UDF, where the apply job can't run: `databricks_apply.py ARTIFACT SOURCE TARGET`."""

import sys

from pyspark.sql import SparkSession

from adaptor.spark import adapt_udf


def main(artifact: str, source: str, target: str) -> None:
    """Write `target` anew: the id of each row of `source`, and a struct of its nested embeddings.

    A row whose embedding can't be adapted has nulls: nothing sets it aside here.
    """
    spark = SparkSession.builder.getOrCreate()
    rows = spark.table(source).select("id", adapt_udf(artifact)("embedding").alias("nested"))
    rows.select("id", "nested.*").write.format("delta").mode("overwrite").saveAsTable(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
