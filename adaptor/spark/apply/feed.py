"""What a piece of the change feed says: of each id its last word, and the rows that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from adaptor.spark.apply.request import Request
from adaptor.spark.columns import column


def _fed(request: Request, changes: DataFrame) -> DataFrame:
    """The change feed, and `__there`: whether the row is among the source's afterwards.

    What a row was before an update says that its id is gone, unless a row of the same commit has it too.
    """
    there = ~F.col("_change_type").isin("delete", "update_preimage")
    if request.columns.where is not None:
        there = there & F.coalesce(F.expr(request.columns.where), F.lit(False))
    return changes.select("*", there.alias("__there"))


def last_words(request: Request, changes: DataFrame) -> DataFrame:
    """The last word on each id: `id, version, there, fed`.

    An id that was deleted and inserted in one commit is there. `fed` is how many rows the feed has for it.
    """
    # One number of both, as Spark aggregates numbers without sorting rows or making objects of them.
    word = 2 * F.col("_commit_version") + F.col("__there").cast("long")
    ids = _fed(request, changes).select(column(changes, request.columns.id).alias("id"), word.alias("word"))
    last = ids.groupBy("id").agg(F.max("word").alias("word"), F.sum(F.col("word") % 2).alias("fed"))
    return last.select("id", F.shiftright("word", 1).alias("version"), (F.col("word") % 2 == 1).alias("there"), "fed")


def new_rows(request: Request, changes: DataFrame, last: DataFrame, summary: FeedSummary) -> DataFrame:
    """The rows that the target gets: `kept, id, embedding`."""
    rows = _fed(request, changes).where("__there")
    if summary.fed == summary.there:
        return request.prepared(rows)
    named = last.where("there").select("id", F.col("version").alias("_commit_version"))
    return request.prepared(rows, "_commit_version").join(named, ["id", "_commit_version"]).drop("_commit_version")


@dataclass(frozen=True)
class FeedSummary:
    """How many ids changed, between which they lie, and how many of them are in the source still."""

    ids: int
    fed: int  # rows that the feed has for them
    there: int  # ids that the source has afterwards
    low: Any
    high: Any
    nulls: int


def summarise(last: DataFrame) -> FeedSummary:
    """The summary of the changed ids, in one pass over them."""
    seen = last.agg(
        F.count("*"),
        F.coalesce(F.sum("fed"), F.lit(0)),
        F.count_if("there"),
        F.min("id"),
        F.max("id"),
        F.count_if(F.col("id").isNull()),
    )
    return FeedSummary(*seen.collect()[0])
