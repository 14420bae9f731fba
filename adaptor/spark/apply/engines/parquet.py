"""A task of the direct engine: row groups of Parquet files in, one file of the target out. No Spark in here."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate, chain
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from adaptor.encode.kernel import Kernel
from adaptor.spark.apply.engines.reading import Reading, Unlike, as_table_has_it, columns_of
from adaptor.storage import is_local, open_folder

READ_BUFFER = 1 << 18  # pages are read as they are needed, not whole row groups
GROUP_BYTES = 16 << 20  # of rows in memory that become a row group
LONGEST = 32  # characters of a string in Delta's statistics
# Spark reads dates of files it did not write as if their calendar were in doubt; these are as it writes them itself.
WRITTEN_LIKE = {"org.apache.spark.version": "4.0.0"}


@dataclass(frozen=True)
class Split:
    """The row groups of a file whose middle lies between two of its bytes."""

    path: str
    start: int
    stop: int


@dataclass(frozen=True)
class OutputFile:
    """A file that was written, and what Delta wants to know of it."""

    name: str
    bytes: int
    modified: int  # ms since 1970
    stats: dict[str, Any]


@dataclass(frozen=True)
class Output:
    """What a task brings back: at most one file of good rows and one of bad ones.

    `odd` are paths of files that Spark must read, all of each, and why.
    """

    seen: int
    good: list[OutputFile]
    bad: list[OutputFile]
    odd: dict[str, str]


@dataclass(frozen=True)
class Listing:
    """How bad rows are listed: the quarantine's columns, and the source's version."""

    schema: pa.Schema
    source_version: int

    def rows(self, ids: pa.Array, reasons: pa.Array) -> pa.RecordBatch:
        """The bad ones among rows, which have a reason."""
        bad = reasons.is_valid()
        ids, reasons = ids.filter(bad), reasons.filter(bad)
        said = (self.source_version, datetime.now(UTC))
        constants = [pa.repeat(pa.scalar(value, f.type), len(ids)) for value, f in zip(said, list(self.schema)[2:])]
        return pa.RecordBatch.from_arrays([ids.cast(self.schema[0].type), reasons, *constants], schema=self.schema)


def adapt_splits(  # noqa: PLR0913 - all that a task needs travels with it
    kernel: Kernel,
    id_column: str,
    embedding: str,
    kept: pa.Schema,
    keep_bad: bool,
    folder: str,
    bad_folder: str,
    splits: Sequence[Split],
    listing: Listing,
    reading: Reading = Reading(),
    device: str | None = None,
) -> Output:
    """Adapt the rows of `splits` into one file below `folder`, bad ones as `listing` has them below `bad_folder`.

    Files that Spark might read otherwise are not read.
    """
    plain = listing.schema.names[:3]
    schema = pa.schema([*kept, *kernel.schema])
    table = {embedding: reading.embedding, **dict(zip(kept.names, kept.types))}
    seen, odd = 0, dict[str, str]()
    with ParquetFile(folder, schema, kept.names) as good, ParquetFile(bad_folder, listing.schema, plain) as bad:
        for batch in batches(splits, table, kernel.rows_per_batch(device), reading, odd):
            seen += len(batch)
            ids = _column(batch, id_column, table[id_column])
            adapted = kernel(batch.column(embedding), device)
            reasons = with_null_ids(ids, adapted.reasons)
            columns = [_column(batch, f.name, f.type) for f in kept]
            rows = pa.RecordBatch.from_arrays([*columns, *adapted.columns], schema=schema)
            if reasons.null_count < len(batch):
                bad.write(listing.rows(ids, reasons))
                rows = rows if keep_bad else rows.filter(reasons.is_null())
            good.write(rows)
    return Output(seen, good.written, bad.written, odd)


def with_null_ids(ids: pa.Array, reasons: pa.Array) -> pa.Array:
    """Why rows are bad, a missing id being the first of reasons."""
    return pc.if_else(ids.is_null(), "the id is null", reasons) if ids.null_count else reasons


def _column(batch: pa.RecordBatch, name: str, kind: pa.DataType) -> pa.Array:
    return as_table_has_it(batch.column(name), kind)


def batches(
    splits: Sequence[Split], table: dict[str, pa.DataType], rows: int, reading: Reading, odd: dict[str, str]
) -> Iterator[pa.RecordBatch]:
    """The table's columns of all row groups, at most `rows` rows at a time, with nulls where a file lacks one.

    Files that Spark might read otherwise come into `odd` instead, with the reason.
    """
    for split in splits:
        fs, path = open_folder(split.path)
        source = path if is_local(fs) else fs.open(path, "rb")
        # Spark's old kind of timestamp counts nanoseconds, in which a year 9999 would not fit.
        options = {"buffer_size": READ_BUFFER, "pre_buffer": False, "coerce_int96_timestamp_unit": "us"}
        with parquet.ParquetFile(source, **options) as file:
            try:
                names = columns_of(file, table, reading)
            except Unlike as why:
                odd[split.path] = str(why)
                continue
            groups = [number for number in range(file.num_row_groups) if _within(file.metadata, number, split)]
            if groups:
                columns_there = list(names.values())
                for batch in file.iter_batches(rows, row_groups=groups, columns=columns_there, use_threads=False):
                    columns = [
                        batch.column(names[name]) if name in names else pa.nulls(len(batch), kind)
                        for name, kind in table.items()
                    ]
                    yield pa.RecordBatch.from_arrays(columns, names=list(table))


def _within(metadata: parquet.FileMetaData, number: int, split: Split) -> bool:
    group = metadata.row_group(number)
    first = group.column(0)
    start = first.dictionary_page_offset or first.data_page_offset
    middle = start + sum(group.column(i).total_compressed_size for i in range(group.num_columns)) // 2
    return split.start <= middle < split.stop


class ParquetFile:
    """A Parquet file that is created with its first rows, and removed where an error ends the writing."""

    def __init__(self, folder: str, schema: pa.Schema, plain: Sequence[str]) -> None:
        self._fs, self._folder = open_folder(folder)
        self._schema, self._plain = schema.with_metadata(WRITTEN_LIKE), list(plain)
        self._name = f"part-{uuid4()}.snappy.parquet"
        self._writer: parquet.ParquetWriter | None = None
        self._sink: Any = None
        self._gathered: list[pa.RecordBatch] = []
        self._footers: list[parquet.FileMetaData] = []
        self.written: list[OutputFile] = []

    def write(self, rows: pa.RecordBatch) -> None:
        """Append rows; as many as `GROUP_BYTES` become a row group."""
        if not len(rows):
            return
        self._gathered.append(rows)
        if sum(batch.nbytes for batch in self._gathered) >= GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._writer is None:
            self._fs.makedirs(self._folder, exist_ok=True)
            self._sink = self._fs.open(f"{self._folder}/{self._name}", "wb")
            # Random numbers gain nothing by a dictionary, and their smallest one says nothing.
            self._writer = parquet.ParquetWriter(
                self._sink,
                self._schema,
                compression="snappy",
                use_dictionary=self._plain,
                write_statistics=self._plain,
                metadata_collector=self._footers,
                coerce_timestamps="us",  # what is said of the file goes into it with Arrow's schema only
            )
        group = pa.Table.from_batches(self._gathered)
        self._gathered = []
        self._writer.write_table(group, row_group_size=len(group))

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        path = f"{self._folder}/{self._name}"
        try:
            if error is None and self._gathered:
                self._write_group()
            if self._writer is None:
                return
            self._writer.close()
            self._sink.close()
        except OSError:
            if self._sink is not None:
                self._fs.rm_file(path)
            raise
        if error is not None:
            self._fs.rm_file(path)
            return
        size = int(self._fs.size(path))
        stats = delta_statistics(self._footers[0], self._plain)
        self.written.append(OutputFile(self._name, size, int(time.time() * 1000), stats))


def delta_statistics(metadata: parquet.FileMetaData, columns: Sequence[str]) -> dict[str, Any]:
    """Delta's statistics of a file from its footer: rows, and of each column nulls, and bounds where they are exact.

    Bounds of whole numbers and texts: without them a file is always read, which is right. Delta cuts long texts off.
    """
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    nulls, bounds = {}, {}
    for name, leaf in _flat_columns(metadata.schema.to_arrow_schema()).items():
        if name not in columns:
            continue
        parts = [(group.num_rows, group.column(leaf).statistics) for group in groups]
        nulls[name] = sum(part.null_count for _, part in parts)
        bounds[name] = _exact_bounds([part for rows, part in parts if part.null_count < rows])
    known = {name: both for name, both in bounds.items() if both is not None}
    return {
        "numRecords": metadata.num_rows,
        "minValues": {name: low for name, (low, _) in known.items()},
        "maxValues": {name: high for name, (_, high) in known.items()},
        "nullCount": nulls,
    }


def _flat_columns(schema: pa.Schema) -> dict[str, int]:
    """Columns without columns inside, each with its number among the leaves of a file: a path might be another's."""

    def leaves(kind: pa.DataType) -> int:
        return sum(leaves(kind.field(number).type) for number in range(kind.num_fields)) if kind.num_fields else 1

    first = accumulate((leaves(field.type) for field in schema), initial=0)
    return {field.name: number for field, number in zip(schema, first) if not field.type.num_fields}


def _exact_bounds(parts: Sequence[parquet.Statistics]) -> tuple[Any, Any] | None:
    """The smallest and the largest value of a column's row groups; None where they are not known for certain."""
    try:
        ends = [(part.min, part.max) for part in parts if part.has_min_max]
    except UnicodeDecodeError:  # a text of other bytes
        return None
    # Where a text is too long for the footer, Arrow hands out an empty one.
    if len(ends) < len(parts) or not ends or any(type(end) not in (int, str) or end == "" for end in chain(*ends)):
        return None
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return (low, high) if isinstance(low, int) or max(len(low), len(high)) <= LONGEST else None
