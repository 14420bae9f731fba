"""Load a collection of Parquet and TSV files into Delta tables.

    spark-submit tools/load_collection.py data/scifact lake/scifact

`corpus.parquet` and `queries.parquet` hold id, text and embedding; `qrels.tsv` query id, corpus id
and grade below a header.
"""

import sys

from adaptor.console.app import one_sentence, progress
from adaptor.spark.session import open_session


def main(collection: str, lake: str) -> None:
    """Write the collection's corpus, queries and judgments as Delta tables below `lake`."""
    spark = open_session("load collection")
    tables = {
        "corpus": spark.read.parquet(f"{collection}/corpus.parquet").repartition(4, "id"),
        "queries": spark.read.parquet(f"{collection}/queries.parquet"),
        "judgments": spark.read.csv(f"{collection}/qrels.tsv", sep="\t", header=True).toDF(
            "query_id", "corpus_id", "grade"
        ),
    }
    tables["judgments"] = tables["judgments"].selectExpr("query_id", "corpus_id", "cast(grade as int) grade")
    for name, df in tables.items():
        df.write.format("delta").mode("overwrite").save(f"{lake}/{name}")
        progress(f"{lake}/{name}: {df.count()} rows")


if __name__ == "__main__":
    with one_sentence("load_collection"):
        main(*sys.argv[1:])
