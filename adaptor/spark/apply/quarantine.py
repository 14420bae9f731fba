"""The quarantine: rows that could not be adapted, each with its reason, the source's version, and the time."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pyspark.errors import PySparkTypeError
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, LongType, StringType, StructField, StructType, TimestampType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.target import UNFIT, stamp_of
from adaptor.spark.arrow_types import arrow_type
from adaptor.spark.delta_log import Conflict, Definition
from adaptor.spark.row_checks import legible
from adaptor.spark.tables import make_table, write_table

BESIDE_THE_ID = (
    StructField("reason", StringType()),
    StructField("source_version", LongType()),  # of the source, in which the row was read
    StructField("set_aside_at", TimestampType()),
)


def quarantine_schema(request: Request) -> StructType:
    """The id under its own name and type, then what is said of the row."""
    name = re.sub(UNFIT, "_", request.columns.id)  # characters that Delta refuses in a plain table
    if name.lower() in (field.name for field in BESIDE_THE_ID):
        raise AdaptorError(
            f"the quarantine has a column {name} of its own, so the id can't be called that there; set "
            "apply.bad_rows to null or fail, or give the source's id another name"
        )
    return StructType([StructField(name, _id_type(request)), *BESIDE_THE_ID])


def _id_type(request: Request) -> DataType:
    """The id's own type, but text for one that Arrow does not take."""
    try:
        arrow_type(request.id_type)
    except PySparkTypeError:
        return StringType()
    return request.id_type


def listed_id(request: Request, rows: DataFrame) -> Column:
    """The column `id` of `rows` as the quarantine has it."""
    kind = _id_type(request)
    return F.col("id") if rows.schema["id"].dataType == kind else legible(rows, "id").cast(kind)


def listed(request: Request, bad: DataFrame) -> DataFrame:
    """Bad rows, `id, reason`, as the quarantine has them."""
    said = F.lit(request.source.version).cast("long"), F.current_timestamp()
    schema = quarantine_schema(request)
    values = (listed_id(request, bad), F.col("reason"), *said)
    return bad.select(*(value.alias(name) for value, name in zip(values, schema.names)))


def replace_quarantine(request: Request, bad: DataFrame | None, note: Mapping[str, str]) -> None:
    """Write the bad rows of a whole build to their table, or take those of an earlier run out of it."""
    if not request.lists_bad or (bad is None and not request.quarantine.exists(request.spark)):
        return
    rows = request.spark.createDataFrame([], quarantine_schema(request)) if bad is None else bad
    try:
        write_table(rows, request.quarantine, note)
    except Conflict:  # a run that shares this build has just written the same
        write_table(rows, request.quarantine, note)


def merge_quarantine(request: Request, last: DataFrame, bad: DataFrame | None, merge: str) -> bool:
    """Changed rows leave the quarantine, or come into it, or stay with their new reason.

    `request` is for the version of the source up to which this merges; `merge` is an id shared by concurrent
    merges that start from the same version of the target. False where another one has merged further already.
    """
    schema, note = quarantine_schema(request), stamp_of(request).to_properties()
    if bad is not None:
        make_table(request.spark, request.quarantine, schema, note)
    elif not request.quarantine.exists(request.spark):
        return True
    version = int(request.source.version or 0)
    transaction = request.log(request.quarantine).start()
    before = transaction.before
    if transaction.last(merge) > version:
        return False
    if transaction.seen(merge, version):
        return True
    names = last.select(listed_id(request, last).alias(schema.names[0]))
    rows = _as_now(before.read(before.files), schema).join(names, schema.names[0], "left_anti")
    if bad is not None:
        rows = rows.unionByName(listed(request, bad))
    elif not before.files or rows.count() == before.rows:
        return True
    if before.schema.names != schema.names:
        transaction.define(Definition(schema, before.properties))
    transaction.remove_all()
    transaction.write(rows)
    transaction.commit(note)
    return True


def _as_now(rows: DataFrame, schema: StructType) -> DataFrame:
    """Rows of a quarantine; of one that says less than today's, an id as text and the reason, what it says."""
    if rows.columns == schema.names:
        return rows
    name, kind = schema[0].name, schema[0].dataType.simpleString()
    read = F.unhex("id") if kind == "binary" else F.col("id").cast(kind)
    unknown = (F.lit(None).cast(field.dataType).alias(field.name) for field in BESIDE_THE_ID[1:])
    return rows.select(read.alias(name), "reason", *unknown)
