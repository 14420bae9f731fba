"""What the target looks like: columns with comments, constraints, and properties that say where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    ByteType,
    DataType,
    DateType,
    FloatType,
    NumericType,
    StringType,
    StructField,
    StructType,
    TimestampNTZType,
    TimestampType,
)

from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.layout import Nested
from adaptor.release.table_stamp import FINGERPRINT
from adaptor.spark.apply.request import Request
from adaptor.spark.apply.stamp import PREFIX, SOURCE, Stamp, is_ours
from adaptor.spark.columns import field_of
from adaptor.spark.decoders import prefix_sql
from adaptor.spark.delta_log import Definition, Snapshot
from adaptor.spark.names import quoted
from adaptor.spark.tables import TableRef, make_table

SKIPPABLE = (NumericType, StringType, DateType, TimestampType, TimestampNTZType)  # Delta refuses all others by name
OURS = (PREFIX, "delta.constraints.matryoshka_")
MAPPING, STATISTICS, MARKS = "delta.columnMapping.mode", "delta.dataSkippingStatsColumns", "delta.enableDeletionVectors"
UNFIT = re.compile(r"[ ,;{}()\n\t=]")  # characters that Delta refuses in a column's name unless it maps names
HISTORY = (
    "delta.enableRowTracking", "delta.rowTracking.", "delta.enableInCommitTimestamps", "delta.inCommitTimestamp",
    "delta.columnMapping.maxColumnId", "delta.coordinatedCommits.", "delta.requireCheckpointProtectionBeforeVersion",
    "delta.redirect", "delta.universalFormat.",
)  # fmt: skip
"""Properties, or how they begin, that speak of one table's own history and not of how its files are written."""
ITEMS: dict[str, DataType] = {
    "float32": ArrayType(FloatType()),
    "int8": ArrayType(ByteType()),
    "binary": BinaryType(),
    "bits": BinaryType(),
}


def target_definition(request: Request, source: Snapshot) -> Definition:
    """The target as `source` makes it, where no other is there yet; in place with all that the source has."""
    schema = _schema(request, source)
    ours = _properties(request, source, schema)
    if not request.in_place:
        return Definition(schema, ours, request.partitioned_by)
    others = {key: value for key, value in source.properties.items() if not key.startswith(HISTORY)}
    return Definition(schema, merged(others, ours, in_place=True), request.partitioned_by)


def mapping_of(request: Request) -> str:
    """How a target of its own maps its columns' names: `name` where Delta would refuse one of them, else `none`."""
    return "name" if any(UNFIT.search(name) for name in request.kept) else "none"


def _schema(request: Request, source: Snapshot) -> StructType:
    """The kept columns of the source and the nested ones."""
    fields = []
    for name in request.kept:
        field = field_of(source.schema, name)
        comment = {key: value for key, value in field.metadata.items() if key == "comment"}
        fields.append(field if request.in_place else StructField(name, field.dataType, True, comment))
    return StructType([*fields, *(_field(request.kernel, column) for column in request.kernel.nested)])


def _field(kernel: Kernel, column: Nested) -> StructField:
    unit, whole = ("bytes", "code") if kernel.encoding == "bits" else ("numbers", "adapted embedding")
    numbers = f"{unit} {column.start} to {column.stop - 1} of the {whole}"
    said = {
        "float32": "not renormalised" if kernel.layout == "bands" else "of length 1",
        "int8": "int8 codes; the artifact holds their scales",
        "binary": "a bit a number, its sign; the first in the highest bit",
        "bits": "any beginning of which is an embedding; the artifact decodes it",
    }[kernel.encoding]
    comment = f"{numbers}, {said}; artifact {kernel.adaptor.fingerprint[:12]}"
    return StructField(column.name, ITEMS[kernel.encoding], True, {"comment": comment})


def _properties(request: Request, source: Snapshot, schema: StructType) -> dict[str, str]:
    """The stamp, lengths as CHECK constraints, and which columns Delta gathers statistics on.

    Statistics are gathered where Delta can skip files by them. On vectors they would say nothing
    and cost a pass over every number.
    """
    kernel = request.kernel
    stamp = replace(stamp_of(request), key=request.key, source_columns=tuple(source.schema.names))
    properties = stamp.to_properties()
    size = "length" if kernel.encoding in ("binary", "bits") else "size"
    for column in kernel.nested:
        width = kernel.stored_width(column)
        properties[f"delta.constraints.matryoshka_{column.name}"] = (
            f"`{column.name}` IS NULL OR {size}(`{column.name}`) = {width}"
        )
    in_files = [field for field in schema if field.name not in request.partitioned_by]
    plain = [field.name for field in in_files if isinstance(field.dataType, SKIPPABLE)]
    properties[STATISTICS] = ",".join(map(quoted, plain))
    if not request.in_place:
        # Whatever a session gives new tables: engines must know it beforehand.
        properties[MAPPING] = mapping_of(request)
    if request.settings.mode != "full":
        properties[MARKS] = "true"  # a night's changes touch rows, not whole files
    return properties


def stamp_of(request: Request) -> Stamp:
    """What every commit of this request says: where the rows come from and what made them."""
    kernel = request.kernel
    return Stamp(
        kernel.adaptor.fingerprint,
        request.source.where,
        request.source.version,
        kernel.lengths,
        kernel.layout,
        kernel.encoding,
    )


def merged(before: Mapping[str, str], ours: Mapping[str, str], in_place: bool) -> dict[str, str]:
    """A table's properties with ours for those of an earlier build; in place its statistics stay as they were.

    Of `ours` nothing counts but what apply asks for: what a session gives new tables, Delta gives them, and
    what it gave the staging table is that one's.
    """
    others = {key: value for key, value in before.items() if not key.startswith(OURS)}
    ours_begin = (*OURS, STATISTICS) if in_place else (*OURS, STATISTICS, MAPPING, MARKS)
    theirs = {STATISTICS} & set(others) if in_place else set()
    return {
        **others,
        **{key: value for key, value in ours.items() if key.startswith(ours_begin) and key not in theirs},
    }


def require_replaceable(request: Request, before: Mapping[str, str]) -> None:
    """`AdaptorError` where the target belongs to someone else, or to another artifact and no rebuild was asked for."""
    if request.in_place and FINGERPRINT not in before:
        return
    if not is_ours(before):
        raise AdaptorError(f"{request.target.where} is a table that apply did not write; name another apply.target")
    if before.get(MAPPING, "none") != mapping_of(request) and not request.in_place:
        maps = "has plain" if mapping_of(request) == "name" else "maps its"
        raise AdaptorError(f"{request.target.where} {maps} columns' names by now; name another apply.target")
    old, new = Stamp.from_properties(before), stamp_of(request)
    if old is None or request.settings.rebuild:
        return
    differs = [] if old.fingerprint == new.fingerprint else [f"artifact {old.fingerprint[:12]}"]
    differs += [] if old.layout == new.layout else [f"layout {old.layout}"]
    differs += [] if old.encoding == new.encoding else [f"encoding {old.encoding}"]
    if differs:
        raise AdaptorError(
            f"{request.target.where} was written by {', '.join(differs)}, and this run is for artifact "
            f"{new.fingerprint[:12]}, layout {new.layout}, encoding {new.encoding}; "
            "rows of both must not mix: set apply.rebuild=true to replace it in one commit, or name another target"
        )


def target_location(request: Request) -> str:
    """The target's folder; a name that a catalog does not know yet becomes an empty table first."""
    if not request.target.is_path and not request.target.exists(request.spark):
        schema = _schema(request, request.snapshot())
        properties = {SOURCE: request.source.where, MAPPING: mapping_of(request)}
        make_table(request.spark, request.target, schema, properties)
    return request.target.location(request.spark)


def make_view(request: Request) -> str | None:
    """The view that puts the prefixes of `bands` together, of length 1; its name, or None where there is none."""
    name = request.settings.view or (None if request.target.is_path else request.target.beside("_prefixes").where)
    if name is None or (request.kernel.layout, request.kernel.encoding) != ("bands", "float32"):
        return None
    dims = request.kernel.adaptor.dims
    kept = [quoted(column) for column in request.kept]
    prefixes = [f"{prefix_sql('bands', dims, dim)} AS embedding_{dim}" for dim in dims]
    view = TableRef(name).identifier
    columns = ", ".join([*kept, *prefixes])
    request.spark.sql(f"CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {request.target.identifier}")
    return name
