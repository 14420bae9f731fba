"""A build beside its target: chunks are written to a staging table in its folder, then published in one commit.

Publishing moves no file: the target's log takes over those of the staging table, of which its readers see nothing.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.chunks import Chunk
from adaptor.spark.apply.stamp import ABANDONED, BUILD, CHUNK_BYTES, OVER, VERSION
from adaptor.spark.apply.target import merged
from adaptor.spark.delta_log import (
    Conflict,
    DataFile,
    Definition,
    DeltaLog,
    Snapshot,
    Transaction,
    Update,
    Write,
    rows_of,
)
from adaptor.spark.tables import refusal

CHECKPOINTS = "delta.checkpointInterval"
SCAFFOLD = (CHUNK_BYTES, OVER, CHECKPOINTS)  # properties that are taken off before a build is published


class Site:
    """Where the builds of one key stand: the staging tables of rows and of bad rows, and the target."""

    def __init__(self, spark: SparkSession, location: str, key: str, bad_rows: StructType) -> None:
        self.location, self._key, self.bad_rows = location, key, bad_rows
        self.folder = f"staging-{key}"
        self.log = DeltaLog(spark, f"{location}/{self.folder}")
        self.bad_log = DeltaLog(spark, f"{location}/{self.folder}-bad")
        self.target = DeltaLog(spark, location)

    def unfinished(self) -> Build | None:
        """A build of many chunks that began and was not published, from here on shared; None where there is none.

        It is over too when another build was published meanwhile, or changes were merged.
        """
        staged = self.log.snapshot()
        if staged.version < 0 or ABANDONED in staged.properties:
            return None
        if _held(self.target.snapshot()) != staged.properties.get(OVER):
            return None
        return BuildOfMany(self, staged.definition)

    def begin(self, target: Definition, chunk_bytes: int, single: bool) -> Build | None:
        """An empty build of `target`, of a `single` chunk or many; None where another run has just begun one."""
        over = _held(self.target.snapshot())
        # Runs at once that have nowhere to meet make the same of the same, so they share this name.
        same = hashlib.sha256(f"{self._key} {target.properties[VERSION]} {over}".encode()).hexdigest()[:32]
        build = {
            BUILD: same if single else uuid4().hex,
            CHUNK_BYTES: str(chunk_bytes),
            OVER: over,
            CHECKPOINTS: "100",  # one costs a second, ten chunks' commits together less
        }
        transaction = self.log.start()
        try:
            with refusal(f"a table in {self.location} can't be made"):
                transaction.define(target.having(build))
            if not single:
                transaction.remove_all()
                transaction.commit(build)
        except Conflict:
            return None
        return (BuildOfOne if single else BuildOfMany)(self, transaction.definition)


@dataclass(frozen=True)
class Build(ABC):
    """A build: rows of the target-to-be, and bad rows with their reasons.

    The last chunk's rows have no commit of their own: they come with what is published. Several runs may share a
    build. If another run restarts it, this run must stop.
    """

    site: Site
    definition: Definition  # of the target, and what the build needs besides
    last: Transaction | None = None  # of the last chunk, once it is written

    @property
    def name(self) -> str:
        """What tells builds apart."""
        return self.definition.properties[BUILD]

    @property
    def source_version(self) -> int:
        """The version of the source that is built from."""
        return int(self.definition.properties[VERSION])

    @property
    def chunk_bytes(self) -> int:
        """How much of the source goes into one chunk."""
        return int(self.definition.properties[CHUNK_BYTES])

    @abstractmethod
    def start(self, chunk: Chunk) -> Transaction | None:
        """A transaction for the chunk's rows; None where they are there already."""

    @abstractmethod
    def abandon(self) -> None:
        """Never go on with this build: the next run begins anew."""

    @abstractmethod
    def _committed(self) -> list[DataFile]:
        """Files of chunks that have a commit of their own."""

    def start_bad(self, chunk: Chunk) -> Transaction | None:
        """A transaction for the chunk's bad rows; None where they are there already."""
        transaction = self.site.bad_log.start()
        if transaction.before.properties.get(BUILD) != self.name:
            transaction.define(Definition(self.site.bad_rows, {BUILD: self.name}))
            transaction.remove_all()  # those of a build before
        return None if transaction.seen(self._once(chunk)) else transaction

    def with_last(self, transaction: Transaction) -> Self:
        """The build with the last chunk's rows, which are committed with what is published."""
        return replace(self, last=transaction)

    @property
    def files(self) -> list[DataFile]:
        """What is staged by now; `AdaptorError` where another run has begun the build anew or given it up."""
        return [*self._committed(), *(self.last.added if self.last else [])]

    @property
    def rows(self) -> int:
        """Rows that were staged; `AdaptorError` where the session gathers no statistics."""
        rows = rows_of(self.files)
        if rows is None:
            raise AdaptorError(
                "rows can't be counted without statistics; leave spark.databricks.delta.stats.collect on"
            )
        return rows

    def bad_rows(self) -> DataFrame | None:
        """The bad rows of all chunks, as the quarantine has them; None where there are none."""
        bad = self._bad()
        return bad.read(bad.files) if bad is not None and bad.files else None

    def _bad(self) -> Snapshot | None:
        """This build's bad rows: those of a build before stay until there are others, or VACUUM takes them."""
        snapshot = self.site.bad_log.snapshot()
        return snapshot if snapshot.properties.get(BUILD) == self.name else None

    def require_whole(self) -> None:
        """Raise `AdaptorError` when files of the build are gone; nobody goes on with it then."""
        bad, log, bad_log = self._bad(), self.site.log, self.site.bad_log
        missing = [*log.missing(self.files), *bad_log.missing(bad.files if bad is not None else [])]
        if missing:
            self.abandon()
            raise AdaptorError(
                f"{len(missing)} files that this build wrote are gone, such as {missing[0]}: {self.site.location} was "
                "vacuumed meanwhile; nothing was changed: run apply again, it begins anew"
            )

    @property
    def published(self) -> bool:
        """Whether a run that shares this build has published it."""
        return self.site.target.snapshot().properties.get(BUILD) == self.name

    def publish(self, in_place: bool, note: Mapping[str, str], allow: Callable[[Mapping[str, str]], None]) -> None:
        """Give the target these rows and no others, in one commit; once, whoever does it.

        `allow` gets the properties of the target that is to be replaced and raises where it must not be.
        Raises `AdaptorError` when the target, or in place the source, was changed meanwhile.
        """
        transaction = self.site.target.start()
        before = transaction.before
        if before.properties.get(BUILD) == self.name:
            return
        ours = {key: value for key, value in self.definition.properties.items() if key not in SCAFFOLD}
        if in_place and before.version != self.source_version:
            self.abandon()
            raise AdaptorError(
                f"{self.site.location} went from version {self.source_version} to {before.version} while its rows were "
                "adapted; nothing was changed: run apply again, when nothing else writes to it"
            )
        if _held(before) != self.definition.properties[OVER]:
            raise self._overtaken()
        if before.version >= 0:
            allow(before.properties)
        properties = merged(before.properties if before.version >= 0 else {}, ours, in_place)
        try:
            transaction.define(replace(self.definition, properties=properties))
            transaction.remove_all()
            transaction.add([file.below(self.site.folder) for file in self.files])
            transaction.commit(note, Update(self.rows) if in_place else Write(self.rows))
        except Conflict as error:
            if not self.published:
                raise self._overtaken() from error

    def _overtaken(self) -> AdaptorError:
        return AdaptorError(
            f"something else wrote to {self.site.location} while this build was made; nothing was changed: run apply "
            "again"
        )

    def _once(self, chunk: Chunk) -> str:
        """What makes a chunk's commit happen once: the same for the same files in the same build."""
        return hashlib.sha256("\n".join([self.name, *(file.key for file in chunk.files)]).encode()).hexdigest()


class BuildOfOne(Build):
    """A build of a single chunk: its rows come with what is published, so its staging table has no commit."""

    def start(self, chunk: Chunk) -> Transaction:
        """A transaction for the chunk's rows."""
        transaction = self.site.log.start()
        transaction.define(self.definition)
        return transaction

    def abandon(self) -> None:
        """Delete the bad rows: nothing else is there."""
        if self._bad() is not None:
            self.site.bad_log.delete_folder()

    def _committed(self) -> list[DataFile]:
        return []


class BuildOfMany(Build):
    """A build of many chunks, each but the last committed to the staging table, so that another run can go on."""

    def start(self, chunk: Chunk) -> Transaction | None:
        """A transaction for the chunk's rows; None where they are there already."""
        transaction = self.site.log.start()
        self._require_ours(transaction.before)
        return None if transaction.seen(self._once(chunk)) else transaction

    def abandon(self) -> None:
        """Say in the staging table that the next run begins anew."""
        transaction = self.site.log.start()
        before = transaction.before
        if before.properties.get(BUILD) != self.name:
            return
        transaction.define(before.definition.having({ABANDONED: "true"}))
        with suppress(*Conflict):  # another run has done the same
            transaction.commit({})

    def _committed(self) -> list[DataFile]:
        return self._require_ours(self.site.log.snapshot()).files

    def _require_ours(self, staged: Snapshot) -> Snapshot:
        if staged.properties.get(BUILD) != self.name or ABANDONED in staged.properties:
            raise AdaptorError(
                f"another run gave up this build of {self.site.location}, or began it anew; "
                "when no other is at work, run apply again"
            )
        return staged


def _held(target: Snapshot) -> str:
    """What the target holds: which build, and the source's version that has been merged into it since."""
    properties = target.properties if target.version >= 0 else {}
    return f"{properties.get(BUILD, '')} {properties.get(VERSION, '')}"
