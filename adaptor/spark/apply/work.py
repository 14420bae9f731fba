"""What an apply is to do, checked before anything is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.config import SAME, Apply, Config, Source
from adaptor.errors import AdaptorError
from adaptor.kernel import Kernel
from adaptor.spark.delta_log import DataFile, DeltaLog, Snapshot
from adaptor.spark.rows import common_width
from adaptor.spark.tables import TableRef, quoted, require_columns, require_embeddings, require_rows, restricted

FEW = 100  # files whose first rows tell the width


@dataclass(frozen=True)
class Work:
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
    table_id: str = ""  # of the source: another table in the same folder has another

    @property
    def in_place(self) -> bool:
        return self.settings.target == SAME

    @property
    def keeps_bad(self) -> bool:
        """Whether bad rows stay in the target, with null columns: in place no row may get lost."""
        return self.in_place or self.settings.bad_rows == "null"

    @property
    def lists_bad(self) -> bool:
        """Whether bad rows go to the quarantine."""
        return self.settings.bad_rows == "quarantine"

    @property
    def key(self) -> str:
        """What decides the target's content, but for the source's version: equal keys share a build."""
        asked = [
            self.kernel.adaptor.fingerprint,
            self.source.where,
            self.table_id,
            self.target.where,
            self.columns.model_dump(exclude={"table", "version"}),
            self.settings.model_dump(include={"carry", "bad_rows", "layout", "encoding"}),
        ]
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]

    def at(self, version: int) -> Work:
        """The same from another version of the source."""
        return replace(self, source=replace(self.source, version=version))

    def snapshot(self) -> Snapshot:
        """The source at its pinned version."""
        return DeltaLog(self.spark, self.source.location(self.spark)).snapshot(self.source.version)

    def count(self, snapshot: Snapshot) -> int:
        """Rows of the source: by its log where that says so, and no condition leaves any out."""
        rows = snapshot.rows if self.columns.where is None else None
        return self.frame(snapshot, snapshot.files).count() if rows is None else rows

    def require_width(self) -> None:
        """`AdaptorError` when the source has no rows, or embeddings of another width than the artifact."""
        source = self.snapshot()
        if self.columns.where is None and source.rows:  # the log knows, mostly
            rows = source.read(source.files[:FEW])  # named, so that nothing looks for them in the log
        else:
            rows = require_rows(self.source.read(self.spark), self.columns.where, self.source)
        width, fitted = common_width(rows, self.columns.embedding, first=1000), self.kernel.adaptor.width
        if width != fitted:
            raise AdaptorError(
                f"{self.source.where} holds embeddings of width {width}, the artifact was fitted on width {fitted}; "
                "fit one on this table"
            )

    def frame(self, snapshot: Snapshot, files: Sequence[DataFile]) -> DataFrame:
        """These files of the source as `kept, id, embedding`; without the rows that `source.where` leaves out."""
        rows = snapshot.read(files)
        return self.prepared(rows if self.columns.where is None else rows.where(self.columns.where))

    def prepared(self, rows: DataFrame, *more: str) -> DataFrame:
        """Rows of the source as `kept, id, embedding, *more`: `kept` a struct, so its columns may have any name."""
        return rows.select(
            *more,
            F.struct(*map(quoted, self.kept)).alias("kept"),
            F.col(quoted(self.columns.id)).alias("id"),
            F.col(quoted(self.columns.embedding)).cast("array<float>").alias("embedding"),
        )


def open_work(spark: SparkSession, config: Config) -> Work:
    """Everything an apply needs, checked.

    Raises `AdaptorError` when the artifact is missing, when the source can't be read as embeddings,
    and when tables that must be apart are the same.
    """
    settings = config.apply
    assert settings is not None  # load_config has seen to it
    kernel = Kernel(Adaptor.load(config.artifact), settings.layout, settings.encoding)
    source = TableRef(config.source.table, config.source.version).pinned(spark)
    target = TableRef(config.target_table)
    quarantine = TableRef(settings.quarantine or f"{config.target_table}_quarantine")
    work = Work(spark, kernel, settings, source, config.source, (), target, quarantine)
    _require_apart(work)
    df = source.read(spark)
    require_columns(df, [config.source.id, config.source.embedding, *settings.carry], source)
    require_embeddings(df, config.source.embedding, source)
    nested = kernel.schema.names
    kept = (config.source.id, *settings.carry)
    if work.in_place:
        kept = tuple(name for name in df.columns if name not in nested)
    twice = {name for name in (*kept, *nested) if (*kept, *nested).count(name) > 1}
    if twice:
        raise AdaptorError(f"the target would have column {', '.join(sorted(twice))} twice; take it out of apply.carry")
    restricted(df, config.source.where)
    return replace(work, kept=kept, table_id=work.snapshot().metadata["id"])


def _require_apart(work: Work) -> None:
    """What is written must never be the source, unless that was asked for, nor the other one that is written."""
    if work.in_place and (work.columns.where or work.columns.version is not None):
        raise AdaptorError("apply.target=same writes the whole table as it is now; take source.where and .version out")
    apart = [("apply.quarantine", work.quarantine)] + ([] if work.in_place else [("apply.target", work.target)])
    for key, table in apart:
        if table.identifier == work.source.identifier:
            raise AdaptorError(f"{key} is the source table itself, {work.source}; name another table")
    if work.target.identifier == work.quarantine.identifier:
        raise AdaptorError(f"apply.target and apply.quarantine are both {work.target}; name another table")
    there = work.lists_bad and work.quarantine.exists(work.spark)
    found = work.quarantine.properties(work.spark) if there else {}
    if there and ("matryoshka.source" not in found or "matryoshka.build" in found):
        raise AdaptorError(f"{work.quarantine} is no quarantine that apply wrote; name another apply.quarantine")
