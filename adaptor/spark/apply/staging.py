"""A build beside its target: chunks are committed one at a time to a table of their own, then published in one commit.

The staging table lies in the target's folder, so that publishing moves no file: the target's log
takes them over. Readers of the target never see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

from adaptor.errors import AdaptorError
from adaptor.spark.apply.target import BUILD, VERSION, merged
from adaptor.spark.delta_log import Conflict, DataFile, DeltaLog, Snapshot, Transaction

CHUNK_BYTES = "matryoshka.chunk_bytes"
ABANDONED = "matryoshka.abandoned"
OVER = "matryoshka.over"  # what the target held when this build began
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
        counts = [file.rows for file in self.files]
        return None if None in counts else sum(count or 0 for count in counts)


def cut(files: Sequence[DataFile], chunk_bytes: int) -> list[Chunk]:
    """Files in their order, a chunk as soon as it has `chunk_bytes`; the same for equal input."""
    chunks: list[Chunk] = []
    gathered: list[DataFile] = []
    for file in files:
        gathered.append(file)
        if sum(f.bytes for f in gathered) >= chunk_bytes:
            chunks.append(Chunk(len(chunks), tuple(gathered)))
            gathered = []
    return [*chunks, Chunk(len(chunks), tuple(gathered))] if gathered else chunks


class Staging:
    """The build of one key: `rows` of the target, and `bad` rows with their reasons.

    Several runs may share a build; one that was begun anew by another is no longer theirs.
    """

    def __init__(self, spark: SparkSession, location: str, key: str) -> None:
        self._spark, self._location = spark, location
        self.folder = f"staging-{key}"
        self.log = DeltaLog(spark, f"{location}/{self.folder}")
        self.bad_log = DeltaLog(spark, f"{location}/{self.folder}-bad")
        self._target = DeltaLog(spark, location)
        self._build = ""

    @property
    def table(self) -> Snapshot:
        """What is staged by now; `AdaptorError` where another run has begun the build anew or given it up."""
        return self._ours(self.log.snapshot())

    def join(self) -> int | None:
        """The source version of a build that began and was not published, from here on ours; None where there is none.

        It is over too when another build was published meanwhile, or changes were merged.
        """
        found = self.log.snapshot()
        if found.version < 0 or ABANDONED in found.properties:
            return None
        if _held(self._target.snapshot()) != found.properties.get(OVER):
            return None
        self._build = found.properties[BUILD]
        return int(found.properties[VERSION])

    def begin(
        self, schema: StructType, properties: Mapping[str, str], partitioned_by: Sequence[str], chunk_bytes: int
    ) -> bool:
        """An empty build; False where another run has just begun one, or goes on with it."""
        build = {
            BUILD: uuid4().hex,
            CHUNK_BYTES: str(chunk_bytes),
            OVER: _held(self._target.snapshot()),
            CHECKPOINTS: "100",  # one costs a second, ten chunks' commits together less
        }
        transaction = self.log.start()
        try:
            transaction.define(schema, {**properties, **build}, partitioned_by)
            transaction.remove_all()
            transaction.commit(build)
        except Conflict:
            return False
        self._build = build[BUILD]
        return True

    def started(self, chunk: Chunk) -> Transaction | None:
        """A transaction for the chunk's rows; None where they are there already."""
        transaction = self.log.start()
        self._ours(transaction.before)
        return None if transaction.seen(_once(self._build, chunk)) else transaction

    def started_bad(self, chunk: Chunk) -> Transaction | None:
        """The same for its bad rows."""
        transaction = self.bad_log.start()
        if transaction.before.properties.get(BUILD) != self.table.properties[BUILD]:
            transaction.define(BAD_ROWS, {BUILD: self._build})
            transaction.remove_all()  # those of a build before
        return None if transaction.seen(_once(self._build, chunk)) else transaction

    def _ours(self, found: Snapshot) -> Snapshot:
        if found.properties.get(BUILD) != self._build or ABANDONED in found.properties:
            raise AdaptorError(
                f"another run gave up this build of {self._location}, or began it anew; "
                "when no other is at work, run apply again"
            )
        return found

    def abandon(self) -> None:
        """Never go on with this build: the next run begins anew."""
        transaction = self.log.start()
        if transaction.before.properties.get(BUILD) != self._build:
            return
        transaction.define(
            transaction.before.schema,
            {**transaction.before.properties, ABANDONED: "true"},
            transaction.before.metadata["partitionColumns"],
        )
        with suppress(*Conflict):  # another run has done the same
            transaction.commit({})

    def delete(self) -> None:
        """Delete the build with its files: only where it can't have been published."""
        self.log.delete_folder()
        self.bad_log.delete_folder()

    def rows(self) -> int:
        """Rows that were staged; `AdaptorError` where the session gathers no statistics."""
        found = self.table.rows
        if found is None:
            raise AdaptorError(
                "rows can't be counted without statistics; leave spark.databricks.delta.stats.collect on"
            )
        return found

    def bad_rows(self) -> DataFrame | None:
        """`id, reason` of the bad rows of all chunks; None where there are none."""
        found = self.bad_log.snapshot()
        if found.version < 0 or found.properties[BUILD] != self.table.properties[BUILD] or not found.files:
            return None
        return found.read(found.files)

    def require_whole(self) -> None:
        """Raise `AdaptorError` when files of the build are gone; nobody goes on with it then."""
        missing = [name for log in (self.log, self.bad_log) for name in log.missing(log.snapshot().files)]
        if missing:
            self.abandon()
            raise AdaptorError(
                f"{len(missing)} files that this build wrote are gone, such as {missing[0]}: {self._location} was "
                "vacuumed meanwhile; nothing was changed: run apply again, it begins anew"
            )

    def publish(self, in_place: bool, note: Mapping[str, str], allow: Callable[[Mapping[str, str]], None]) -> None:
        """Give the target these rows and no others, in one commit; once, whoever does it.

        `allow` gets the properties of the target that is to be replaced and raises where it must not be.
        Raises `AdaptorError` when the target, or in place the source, was changed meanwhile.
        """
        transaction = self._target.start()
        before = transaction.before
        if before.version >= 0 and before.properties.get(BUILD) == self._build:
            return
        staged = self.table
        ours = {key: value for key, value in staged.properties.items() if key not in SCAFFOLD}
        if in_place and before.version != int(ours[VERSION]):
            self.abandon()
            raise AdaptorError(
                f"{self._location} went from version {ours[VERSION]} to {before.version} while its rows were adapted; "
                "nothing was changed: run apply again, when nothing else writes to it"
            )
        if _held(before) != staged.properties[OVER]:
            raise self._overtaken()
        if before.version >= 0:
            allow(before.properties)
        properties = merged(before.properties if before.version >= 0 else {}, ours, in_place)
        try:
            transaction.define(staged.schema, properties, staged.metadata["partitionColumns"])
            transaction.remove_all()
            transaction.add([file.below(self.folder) for file in staged.files])
            transaction.commit(note)
        except Conflict as error:
            if self._target.snapshot().properties.get(BUILD) != self._build:
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
