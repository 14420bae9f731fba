"""A build beside its target: chunks are committed one at a time to a table of their own, then published in one commit.

The staging table lies in the target's folder, so that publishing moves no file: the target's log
takes them over. Readers of the target never see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.stamp import ABANDONED, BUILD, CHUNK_BYTES, OVER, VERSION
from adaptor.spark.apply.target import merged
from adaptor.spark.delta_log import Conflict, DataFile, Definition, DeltaLog, Snapshot, Transaction, rows_of
from adaptor.spark.tables import refusal

CHECKPOINTS = "delta.checkpointInterval"
SCAFFOLD = (CHUNK_BYTES, OVER, CHECKPOINTS)  # properties that are taken off before a build is published
BAD_ROWS = StructType([StructField("id", StringType()), StructField("reason", StringType())])


@dataclass(frozen=True)
class Chunk:
    """Source files that are written and committed together."""

    number: int
    files: tuple[DataFile, ...]

    @property
    def rows(self) -> int | None:
        """Rows by the log; None where a file has no statistics."""
        return rows_of(self.files)


def cut(files: Sequence[DataFile], chunk_bytes: int) -> list[Chunk]:
    """Files in their order, a chunk as soon as it has `chunk_bytes`; the same for equal input."""
    chunks: list[Chunk] = []
    gathered: list[DataFile] = []
    size = 0
    for file in files:
        gathered.append(file)
        size += file.bytes
        if size >= chunk_bytes:
            chunks.append(Chunk(len(chunks), tuple(gathered)))
            gathered, size = [], 0
    return [*chunks, Chunk(len(chunks), tuple(gathered))] if gathered else chunks


class Staging:
    """The build of one key: `rows` of the target, and `bad` rows with their reasons.

    The last chunk's rows have no commit of their own, they come with what is published: a build of
    one chunk has no staging table. Several runs may share a build. If another run restarts the build, this run
    must stop.
    """

    def __init__(self, spark: SparkSession, location: str, key: str) -> None:
        self._spark, self._location, self._key = spark, location, key
        self.folder = f"staging-{key}"
        self.log = DeltaLog(spark, f"{location}/{self.folder}")
        self.bad_log = DeltaLog(spark, f"{location}/{self.folder}-bad")
        self._target = DeltaLog(spark, location)
        self.definition: Definition  # of the target, and what this build needs besides; from `join` or `begin` on
        self._alone = False  # without a staging table
        self._last: Transaction | None = None

    @property
    def _build(self) -> str:
        return self.definition.properties[BUILD]

    def join(self) -> int | None:
        """The source version of a build that began and was not published, from here on ours; None where there is none.

        It is over too when another build was published meanwhile, or changes were merged.
        """
        unfinished = self.log.snapshot()
        if unfinished.version < 0 or ABANDONED in unfinished.properties:
            return None
        if _held(self._target.snapshot()) != unfinished.properties.get(OVER):
            return None
        self.definition = unfinished.definition
        return int(unfinished.properties[VERSION])

    def begin(self, target: Definition, chunk_bytes: int, alone: bool) -> bool:
        """An empty build of `target`, `alone` for one chunk; False where another run has just begun one, or goes on."""
        over = _held(self._target.snapshot())
        # Runs at once that have nowhere to meet make the same of the same, so they share this name.
        same = hashlib.sha256(f"{self._key} {target.properties[VERSION]} {over}".encode()).hexdigest()[:32]
        build = {
            BUILD: same if alone else uuid4().hex,
            CHUNK_BYTES: str(chunk_bytes),
            OVER: over,
            CHECKPOINTS: "100",  # one costs a second, ten chunks' commits together less
        }
        transaction = self.log.start()
        try:
            with refusal(f"a table in {self._location} can't be made"):
                transaction.define(target.having(build))
            if not alone:
                transaction.remove_all()
                transaction.commit(build)
        except Conflict:
            return False
        self.definition, self._alone = transaction.definition, alone
        return True

    def started(self, chunk: Chunk) -> Transaction | None:
        """A transaction for the chunk's rows; None where they are there already."""
        transaction = self.log.start()
        if self._alone:
            transaction.define(self.definition)
            return transaction
        self._ours(transaction.before)
        return None if transaction.seen(_once(self._build, chunk)) else transaction

    def started_bad(self, chunk: Chunk) -> Transaction | None:
        """The same for its bad rows."""
        transaction = self.bad_log.start()
        if transaction.before.properties.get(BUILD) != self._build:
            transaction.define(Definition(BAD_ROWS, {BUILD: self._build}))
            transaction.remove_all()  # those of a build before
        return None if transaction.seen(_once(self._build, chunk)) else transaction

    def finish(self, transaction: Transaction, last: bool) -> None:
        """Commit a chunk's rows, the `last` one's with what is published."""
        if last:
            self._last = transaction
        else:
            transaction.commit({})

    def _ours(self, snapshot: Snapshot) -> Snapshot:
        if snapshot.properties.get(BUILD) != self._build or ABANDONED in snapshot.properties:
            raise AdaptorError(
                f"another run gave up this build of {self._location}, or began it anew; "
                "when no other is at work, run apply again"
            )
        return snapshot

    def abandon(self) -> None:
        """Never go on with this build: the next run begins anew."""
        if self._alone:
            if self._bad() is not None:
                self.bad_log.delete_folder()
            return
        transaction = self.log.start()
        before = transaction.before
        if before.properties.get(BUILD) != self._build:
            return
        transaction.define(before.definition.having({ABANDONED: "true"}))
        with suppress(*Conflict):  # another run has done the same
            transaction.commit({})

    def delete(self) -> None:
        """Delete all in its folders: only where no build of this key was published, whose files lie there too."""
        self.log.delete_folder()
        self.bad_log.delete_folder()

    @property
    def files(self) -> list[DataFile]:
        """What is staged by now; `AdaptorError` where another run has begun the build anew or given it up."""
        committed = [] if self._alone else self._ours(self.log.snapshot()).files
        return [*committed, *(self._last.added if self._last else [])]

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
        """`id, reason` of the bad rows of all chunks; None where there are none."""
        bad = self._bad()
        return bad.read(bad.files) if bad is not None and bad.files else None

    def _bad(self) -> Snapshot | None:
        """This build's bad rows: those of a build before stay until there are others, or VACUUM takes them."""
        snapshot = self.bad_log.snapshot()
        return snapshot if snapshot.properties.get(BUILD) == self._build else None

    def require_whole(self) -> None:
        """Raise `AdaptorError` when files of the build are gone; nobody goes on with it then."""
        bad = self._bad()
        missing = [*self.log.missing(self.files), *self.bad_log.missing(bad.files if bad is not None else [])]
        if missing:
            self.abandon()
            raise AdaptorError(
                f"{len(missing)} files that this build wrote are gone, such as {missing[0]}: {self._location} was "
                "vacuumed meanwhile; nothing was changed: run apply again, it begins anew"
            )

    @property
    def published(self) -> bool:
        """Whether a run that shares this build has published it."""
        return self._target.snapshot().properties.get(BUILD) == self._build

    def publish(self, in_place: bool, note: Mapping[str, str], allow: Callable[[Mapping[str, str]], None]) -> None:
        """Give the target these rows and no others, in one commit; once, whoever does it.

        `allow` gets the properties of the target that is to be replaced and raises where it must not be.
        Raises `AdaptorError` when the target, or in place the source, was changed meanwhile.
        """
        transaction = self._target.start()
        before = transaction.before
        if before.properties.get(BUILD) == self._build:
            return
        ours = {key: value for key, value in self.definition.properties.items() if key not in SCAFFOLD}
        if in_place and before.version != int(ours[VERSION]):
            self.abandon()
            raise AdaptorError(
                f"{self._location} went from version {ours[VERSION]} to {before.version} while its rows were adapted; "
                "nothing was changed: run apply again, when nothing else writes to it"
            )
        if _held(before) != self.definition.properties[OVER]:
            raise self._overtaken()
        if before.version >= 0:
            allow(before.properties)
        properties = merged(before.properties if before.version >= 0 else {}, ours, in_place)
        try:
            transaction.define(replace(self.definition, properties=properties))
            transaction.remove_all()
            transaction.add([file.below(self.folder) for file in self.files])
            transaction.commit(note)
        except Conflict as error:
            if not self.published:
                raise self._overtaken() from error

    def _overtaken(self) -> AdaptorError:
        return AdaptorError(
            f"something else wrote to {self._location} while this build was made; nothing was changed: run apply again"
        )


def _held(target: Snapshot) -> str:
    """What the target holds: which build, and the source's version that has been merged into it since."""
    properties = target.properties if target.version >= 0 else {}
    return f"{properties.get(BUILD, '')} {properties.get(VERSION, '')}"


def _once(build: str, chunk: Chunk) -> str:
    """What makes a chunk's commit happen once: the same for the same files in the same build."""
    return hashlib.sha256("\n".join([build, *(file.key for file in chunk.files)]).encode()).hexdigest()
