"""What the target looks like: columns with comments, constraints, and properties that say where it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

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

from adaptor.codecs import BinaryCodec
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.layout import Nested
from adaptor.spark.apply.request import Work
from adaptor.spark.columns import field_of
from adaptor.spark.decoders import prefix_sql
from adaptor.spark.delta_log import Definition, Snapshot
from adaptor.spark.names import quoted
from adaptor.spark.tables import TableRef, make_table

SKIPPABLE = (NumericType, StringType, DateType, TimestampType, TimestampNTZType)  # Delta refuses all others by name
OURS = ("matryoshka.", "delta.constraints.matryoshka_")
MAPPING, STATISTICS, MARKS = "delta.columnMapping.mode", "delta.dataSkippingStatsColumns", "delta.enableDeletionVectors"
UNFIT = re.compile(r"[ ,;{}()\n\t=]")  # characters that Delta refuses in a column's name unless it maps names
HISTORY = (
    "delta.enableRowTracking", "delta.rowTracking.", "delta.enableInCommitTimestamps", "delta.inCommitTimestamp",
    "delta.columnMapping.maxColumnId", "delta.coordinatedCommits.", "delta.requireCheckpointProtectionBeforeVersion",
    "delta.redirect", "delta.universalFormat.",
)  # fmt: skip
"""Properties, or how they begin, that speak of one table's own history and not of how its files are written."""
FINGERPRINT, BUILD, VERSION = "matryoshka.fingerprint", "matryoshka.build", "matryoshka.source_version"
SOURCE_COLUMNS = "matryoshka.source_columns"  # that the source had at that version
ITEMS: dict[str, DataType] = {
    "float32": ArrayType(FloatType()),
    "int8": ArrayType(ByteType()),
    "binary": BinaryType(),
}


def target_definition(work: Work, source: Snapshot) -> Definition:
    """The target as `source` makes it, where no other is there yet; in place with all that the source has."""
    schema = _schema(work, source)
    ours = _properties(work, source, schema)
    if not work.in_place:
        return Definition(schema, ours)
    others = {key: value for key, value in source.properties.items() if not key.startswith(HISTORY)}
    return Definition(schema, merged(others, ours, in_place=True), source.metadata["partitionColumns"])


def mapping_of(work: Work) -> str:
    """How a target of its own maps its columns' names: `name` where Delta would refuse one of them, else `none`."""
    return "name" if any(UNFIT.search(name) for name in work.kept) else "none"


def _schema(work: Work, source: Snapshot) -> StructType:
    """The kept columns of the source and the nested ones."""
    fields = []
    for name in work.kept:
        field = field_of(source.schema, name)
        comment = {key: value for key, value in field.metadata.items() if key == "comment"}
        fields.append(field if work.in_place else StructField(name, field.dataType, True, comment))
    return StructType([*fields, *(_field(work.kernel, column) for column in work.kernel.nested)])


def _field(kernel: Kernel, column: Nested) -> StructField:
    numbers = f"numbers {column.start} to {column.stop - 1} of the adapted embedding"
    said = {
        "float32": "not renormalised" if kernel.layout == "bands" else "of length 1",
        "int8": "int8 codes; the artifact holds their scales",
        "binary": "a bit a number, its sign; the first in the highest bit",
    }[kernel.encoding]
    comment = f"{numbers}, {said}; artifact {kernel.adaptor.fingerprint[:12]}"
    return StructField(column.name, ITEMS[kernel.encoding], True, {"comment": comment})


def _properties(work: Work, source: Snapshot, schema: StructType) -> dict[str, str]:
    """Provenance, lengths as CHECK constraints, and which columns Delta gathers statistics on.

    Statistics are gathered where Delta can skip files by them. On vectors they would say nothing
    and cost a pass over every number.
    """
    kernel = work.kernel
    found = {**provenance(work), "matryoshka.key": work.key, SOURCE_COLUMNS: json.dumps(source.schema.names)}
    size = "length" if kernel.encoding == "binary" else "size"
    for column in kernel.nested:
        width = BinaryCodec(column.width).bytes if kernel.encoding == "binary" else column.width
        found[f"delta.constraints.matryoshka_{column.name}"] = (
            f"`{column.name}` IS NULL OR {size}(`{column.name}`) = {width}"
        )
    partitions = source.metadata["partitionColumns"] if work.in_place else []
    plain = [f.name for f in schema if isinstance(f.dataType, SKIPPABLE) and f.name not in partitions]
    found[STATISTICS] = ",".join(map(quoted, plain))
    if not work.in_place:
        found[MAPPING] = mapping_of(work)  # whatever a session gives new tables: engines must know it beforehand
    if work.settings.mode != "full":
        found[MARKS] = "true"  # a night's changes touch rows, not whole files
    return found


def provenance(work: Work) -> dict[str, str]:
    """Where the rows come from and what made them: table properties, and every commit's metadata."""
    return {
        FINGERPRINT: work.kernel.adaptor.fingerprint,
        "matryoshka.source": work.source.where,
        VERSION: str(work.source.version),
        "matryoshka.dims": json.dumps(work.kernel.adaptor.dims),
        "matryoshka.layout": work.kernel.layout,
        "matryoshka.encoding": work.kernel.encoding,
    }


def merged(before: Mapping[str, str], ours: Mapping[str, str], in_place: bool) -> dict[str, str]:
    """A table's properties with ours for those of an earlier build; in place its statistics stay as they were.

    Of `ours` nothing counts but what apply asks for: what a session gives new tables, Delta gives them, and
    what it gave the staging table is that one's.
    """
    others = {key: value for key, value in before.items() if not key.startswith(OURS)}
    asked = (*OURS, STATISTICS) if in_place else (*OURS, STATISTICS, MAPPING, MARKS)
    kept = {STATISTICS} & set(others) if in_place else set()
    return {**others, **{key: value for key, value in ours.items() if key.startswith(asked) and key not in kept}}


def require_replaceable(work: Work, before: Mapping[str, str]) -> None:
    """`AdaptorError` where the target belongs to someone else, or to another artifact and no rebuild was asked for."""
    if work.in_place and FINGERPRINT not in before:
        return
    if "matryoshka.source" not in before:
        raise AdaptorError(f"{work.target.where} is a table that apply did not write; name another apply.target")
    if before.get(MAPPING, "none") != mapping_of(work) and not work.in_place:
        maps = "has plain" if mapping_of(work) == "name" else "maps its"
        raise AdaptorError(f"{work.target.where} {maps} columns' names by now; name another apply.target")
    stamp = before.get(FINGERPRINT, work.kernel.adaptor.fingerprint)
    made = {key: before.get(f"matryoshka.{key}", getattr(work.kernel, key)) for key in ("layout", "encoding")}
    differs = [f"{key} {found}" for key, found in made.items() if found != getattr(work.kernel, key)]
    if stamp != work.kernel.adaptor.fingerprint:
        differs.insert(0, f"artifact {stamp[:12]}")
    if differs and not work.settings.rebuild:
        raise AdaptorError(
            f"{work.target.where} was written by {', '.join(differs)}, and this run is for artifact "
            f"{work.kernel.adaptor.fingerprint[:12]}, layout {work.kernel.layout}, encoding {work.kernel.encoding}; "
            "rows of both must not mix: set apply.rebuild=true to replace it in one commit, or name another target"
        )


def target_location(work: Work) -> str:
    """The target's folder; a name that a catalog does not know yet becomes an empty table first."""
    if not work.target.is_path and not work.target.exists(work.spark):
        schema = _schema(work, work.snapshot())
        properties = {"matryoshka.source": work.source.where, MAPPING: mapping_of(work)}
        make_table(work.spark, work.target, schema, properties)
    return work.target.location(work.spark)


def make_view(work: Work) -> str | None:
    """The view that puts the prefixes of `bands` together, of length 1; its name, or None where there is none."""
    name = work.settings.view or (None if work.target.is_path else work.target.beside("_prefixes").where)
    if name is None or (work.kernel.layout, work.kernel.encoding) != ("bands", "float32"):
        return None
    dims = work.kernel.adaptor.dims
    kept = [quoted(column) for column in work.kept]
    prefixes = [f"{prefix_sql('bands', dims, dim)} AS embedding_{dim}" for dim in dims]
    view = TableRef(name).identifier
    columns = ", ".join([*kept, *prefixes])
    work.spark.sql(f"CREATE OR REPLACE VIEW {view} AS SELECT {columns} FROM {work.target.identifier}")
    return name
