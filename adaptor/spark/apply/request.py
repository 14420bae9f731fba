"""What an apply is to do, checked before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StringType, StructType

from adaptor.artifact import Adaptor
from adaptor.config import SAME, Apply, Config, Source
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.evaluation.gate import require_passed
from adaptor.release import Versions
from adaptor.spark.apply.stamp import BUILD, is_ours
from adaptor.spark.columns import column, field_of, full_name
from adaptor.spark.delta_log import DataFile, DeltaLog, Snapshot
from adaptor.spark.names import parts_of
from adaptor.spark.preflight import require_commits
from adaptor.spark.row_checks import shares_of_widths
from adaptor.spark.tables import TableRef, require_columns, require_embeddings, require_rows, restricted

RARE = 0.05  # share of the vectors under which the artifact's width is not this table's
SAMPLED_PLACES = 20  # evenly among the table's rows: the files there tell the widths


@dataclass(frozen=True)
class Request:
    """From which table, pinned to a version, to which, by which kernel.

    `kept` are the source columns that the target has too, the id first; in place, all of them.
    """

    spark: SparkSession
    kernel: Kernel
    settings: Apply
    source: TableRef
    columns: Source
    kept: tuple[str, ...]
    target: TableRef
    quarantine: TableRef
    artifact: str  # the folder that the kernel was loaded from
    table_id: str = ""  # of the source: another table in the same folder has another
    partitioned_by: tuple[str, ...] = ()  # of `kept`
    id_type: DataType = field(default_factory=StringType)  # of the source

    @property
    def in_place(self) -> bool:
        """Whether the nested columns go into the source itself."""
        return self.settings.target == SAME

    @property
    def keeps_bad(self) -> bool:
        """Whether bad rows stay in the target, with null columns: in place no row may get lost."""
        return self.in_place or self.settings.bad_rows == "null"

    @property
    def lists_bad(self) -> bool:
        """Whether bad rows go to the quarantine."""
        return self.settings.bad_rows == "quarantine"

    @cached_property
    def key(self) -> str:
        """What decides the target's content, but for the source's version: equal keys share a build."""
        parts = [
            self.kernel.adaptor.fingerprint,
            self.source.identity(self.spark),
            self.table_id,
            self.target.identity(self.spark),
            self.columns.model_dump(exclude={"table", "version"}),
            self.settings.model_dump(include={"carry", "bad_rows", "layout", "encoding"}),
        ]
        if self.partitioned_by and not self.in_place:
            parts.append(self.partitioned_by)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def at(self, version: int) -> Request:
        """The same from another version of the source."""
        return replace(self, source=self.source.at(version))

    def log(self, table: TableRef) -> DeltaLog:
        """The log of the source, the target or the quarantine."""
        return DeltaLog(self.spark, table.location(self.spark))

    def snapshot(self) -> Snapshot:
        """The source at its pinned version."""
        return self.log(self.source).snapshot(self.source.version)

    def count(self, snapshot: Snapshot) -> int:
        """Rows of the source: by its log where that says so, and no condition leaves any out."""
        rows = snapshot.rows if self.columns.where is None else None
        return self.frame(snapshot, snapshot.files).count() if rows is None else rows

    def promoted(self) -> str | None:
        """The version that has become current since this one was loaded; None where none has, or one was named."""
        current = Versions(self.artifact).current
        return None if current in (None, self.kernel.adaptor.version) else current

    def require_width(self) -> None:
        """`AdaptorError` when the source has no rows, or hardly any embeddings of the artifact's width."""
        shares = shares_of_widths(self._sample(), "embedding", "weight")
        common, fitted = next(iter(shares)), self.kernel.adaptor.width
        if shares.get(fitted, 0) < RARE:
            raise AdaptorError(
                f"{self.source.where} holds embeddings of width {common}, the artifact was fitted on width {fitted}; "
                "fit one on this table"
            )

    def _sample(self) -> DataFrame:
        """`embedding, weight`: rows of files that stand evenly in the table, or all rows where the log can't say."""
        source = self.snapshot()
        if self.columns.where is not None or not source.rows:
            rows = require_rows(self.source.read(self.spark), self.columns.where, self.source)
            return self.prepared(rows).select("embedding", F.lit(1.0).alias("weight"))
        counts = [file.rows or 0 for file in source.files]
        places = (np.arange(SAMPLED_PLACES) + 0.5) / SAMPLED_PLACES * source.rows
        hits = Counter(np.searchsorted(np.cumsum(counts), places, side="right").tolist())
        picked = [(self.frame(source, [source.files[number]]), hit / counts[number]) for number, hit in hits.items()]
        return reduce(
            DataFrame.unionAll, (rows.select("embedding", F.lit(weight).alias("weight")) for rows, weight in picked)
        )

    def frame(self, snapshot: Snapshot, files: Sequence[DataFile]) -> DataFrame:
        """These files of the source as `kept, id, embedding`; without the rows that `source.where` leaves out."""
        rows = snapshot.read(files)
        return self.prepared(rows if self.columns.where is None else rows.where(self.columns.where))

    def prepared(self, rows: DataFrame, *more: str) -> DataFrame:
        """Rows of the source as `kept, id, embedding, *more`: `kept` a struct, so its columns may have any name."""
        return rows.select(
            *more,
            F.struct(*(column(rows, name).alias(name) for name in self.kept)).alias("kept"),
            column(rows, self.columns.id).alias("id"),
            column(rows, self.columns.embedding).cast("array<float>").alias("embedding"),
        )


def open_request(spark: SparkSession, config: Config) -> Request:
    """Everything an apply needs, checked.

    Raises `AdaptorError` when the artifact is missing, when the source can't be read as embeddings,
    and when tables that must be apart are the same.
    """
    settings = config.apply
    assert settings is not None  # load_config has seen to it
    fitted = Adaptor.load(config.artifact.folder)
    if config.gate is not None and config.gate.required:
        require_passed(config.artifact.folder, fitted.version, config.gate_rules)
    lengths = config.bytes if settings.encoding == "bits" else None
    kernel = Kernel(fitted, settings.layout, settings.encoding, dims=lengths)
    source = TableRef(config.source.table, config.source.version).pinned(spark)
    if source.is_view(spark):
        raise AdaptorError(
            f"{source} is a view, and apply works through the files of a Delta table: name the table behind it, with "
            "its condition as source.where, or CREATE TABLE ... USING delta AS SELECT * FROM the view, and name that"
        )
    target = TableRef(config.target_table)
    quarantine = TableRef(settings.quarantine) if settings.quarantine else target.beside("_quarantine")
    request = Request(spark, kernel, settings, source, config.source, (), target, quarantine, config.artifact.folder)
    _require_apart(request)
    _require_lasting_view(request)
    df = source.read(spark)
    require_columns(df, [config.source.id, config.source.embedding, *settings.carry], source)
    require_embeddings(df, config.source.embedding, source)
    restricted(df, config.source.where)
    nested = kernel.schema.names
    named = {key: full_name(df.schema, getattr(config.source, key)) for key in ("id", "embedding")}
    kept = (named["id"], *(full_name(df.schema, name) for name in settings.carry))
    if request.in_place:
        kept = tuple(name for name in df.columns if name.lower() not in nested)
    every = [name.lower() for name in (*kept, *nested)]
    twice = sorted(name for name in {*kept, *nested} if every.count(name.lower()) > 1)
    if twice:
        raise AdaptorError(f"the target would have column {', '.join(twice)} twice; take it out of apply.carry")
    columns = config.source.model_copy(update=named)
    snapshot = request.snapshot()
    return replace(
        request,
        columns=columns,
        kept=kept,
        table_id=snapshot.metadata["id"],
        partitioned_by=_partitions(request, df.schema, kept, snapshot.definition.partitioned_by),
        id_type=field_of(snapshot.schema, named["id"]).dataType,
    )


def _partitions(request: Request, schema: StructType, kept: Sequence[str], of_source: Sequence[str]) -> tuple[str, ...]:
    """The columns by which the target is partitioned: as the config says, or as the source is, if all are kept."""
    by_config = request.settings.partition_by
    if by_config is not None:
        return tuple(full_name(schema, name) for name in by_config)
    return tuple(of_source) if set(of_source) <= set(kept) else ()


def _require_apart(request: Request) -> None:
    """What is written must never be the source, unless that was asked for, nor the other one that is written."""
    if request.in_place and (request.columns.where or request.columns.version is not None):
        raise AdaptorError("apply.target=same writes the whole table as it is now; take source.where and .version out")
    apart = [("apply.quarantine", request.quarantine)] + (
        [] if request.in_place else [("apply.target", request.target)]
    )
    for key, table in apart:
        if table.is_same(request.source, request.spark):
            raise AdaptorError(f"{key} is the source table itself, {request.source}; name another table")
    if request.target.is_same(request.quarantine, request.spark):
        raise AdaptorError(f"apply.target and apply.quarantine are both {request.target}; name another table")
    there = request.lists_bad and request.quarantine.exists(request.spark)
    properties = request.quarantine.properties(request.spark) if there else {}
    if there and (not is_ours(properties) or BUILD in properties):
        raise AdaptorError(f"{request.quarantine} is no quarantine that apply wrote; name another apply.quarantine")


def _require_lasting_view(request: Request) -> None:
    """A view of a folder has no other place than the catalog, and some catalogs end with the session."""
    view = request.settings.view
    if view is None or not request.target.is_path:
        return
    parts, conf = parts_of(view), request.spark.conf
    named = parts[0] if len(parts) == 3 else request.spark.catalog.currentCatalog()
    if named == "spark_catalog" and conf.get("spark.sql.catalogImplementation") == "in-memory":
        raise AdaptorError(
            f"apply.view {view} would end with this job, whose catalog is kept in memory: submit with "
            "--conf spark.sql.catalogImplementation=hive, name a lasting catalog, or take apply.view out"
        )


def require_writable(request: Request, runs: str) -> None:
    """`AdaptorError` where the target, the quarantine or the runs table can't be written as apply will write them."""
    require_commits(request.spark, request.target, "apply.target", replaced=True)
    if request.lists_bad:
        require_commits(request.spark, request.quarantine, "apply.quarantine", replaced=True)
    require_commits(request.spark, TableRef(runs), "runs", replaced=False)
