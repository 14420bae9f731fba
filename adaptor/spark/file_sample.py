"""Which files of a table a sample reads, so that its cost follows the sample and not the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.config import SampleSettings, Source
from adaptor.spark.columns import column
from adaptor.spark.delta_log import DataFile, DeltaLog
from adaptor.spark.sampling import place
from adaptor.spark.tables import TableRef, restricted

OVERREAD = 2.0  # times the sample's share of the rows: the share of the files that is read for it
FEWEST_FILES = 40  # that a sample comes from, where not every file is read
WORTHWHILE = 0.5  # of the files, from which on all are read
PILOT_FILES, PILOT_ROWS, NUMBERS = 10, 200, 8  # a look at how alike the rows of a file are, by a vector's first numbers
MOST_EFFECT, MOST_FILES = 2.0, 5.0  # a design effect that is put up with, and how many times the files it may cost


@dataclass(frozen=True)
class FileSample:
    """Rows of some of a table's files, each row as likely as any other: `rows` is to be sampled in their stead.

    `design_effect` is how many times the variance of a mean over the sample is that of as many rows drawn one by one:
    1 where files are mixed, more where each holds rows of one kind.
    """

    rows: DataFrame
    files: int
    of_files: int
    byte_share: float
    design_effect: float

    @property
    def sentence(self) -> str:
        """What was drawn."""
        return (
            f"{self.files:,} of {self.of_files:,} files are read, {self.byte_share:.1%} of the bytes; "
            f"design effect {self.design_effect:.1f}"
        )


def files_for(
    spark: SparkSession,
    source: TableRef,
    columns: Source,
    rows: DataFrame,
    settings: SampleSettings,
    report: Callable[[str], None],
) -> FileSample | None:
    """Files drawn by `settings.seed` for a sample of `rows`, the table under `columns.where`; None: all are to be read.

    All are, where `settings.exact` or a stratum asks for it, of a view, where the log has no row counts, which a
    line says, and where it would spare less than half of the files. Rows marked as deleted don't count, nor do files
    that by their partition or statistics hold none of `rows`.
    """
    if settings.exact or settings.stratum is not None or source.version is None:
        return None
    snapshot = DeltaLog(spark, source.location(spark)).snapshot(source.version)
    files = snapshot.files if columns.where is None else _left_by(rows, snapshot.files)
    counts = np.array([-1 if file.rows is None else file.rows for file in files])
    if (counts < 0).any():
        report(f"sample: {source} has files without row counts in its log, so every row is looked at")
        return None
    if files_needed(len(files), settings.rows, counts.sum()) is None:
        return None
    order = np.random.default_rng(settings.seed).permutation(len(files))

    def read(some: NDArray[np.int64]) -> DataFrame:
        return restricted(snapshot.read([files[number] for number in some]), columns.where)

    pilot = order[:PILOT_FILES]
    matching = 1.0
    if columns.where is not None:
        matching = read(pilot).count() / max(int(counts[pilot].sum()), 1)
    count = files_needed(len(files), settings.rows, counts.sum() * matching)
    if count is None:
        return None
    per_file = settings.rows / count
    likeness = _likeness(read(pilot), columns.embedding, counts[pilot].sum() * matching)
    wanted = count
    if design_effect(per_file, likeness) > MOST_EFFECT:
        wanted = int(min(settings.rows * likeness / (MOST_EFFECT - 1) + 1, MOST_FILES * count))
    if wanted >= WORTHWHILE * len(files):
        return None
    drawn = order[: max(wanted, count)]
    share = sum(files[number].bytes for number in drawn) / max(sum(file.bytes for file in snapshot.files), 1)
    effect = design_effect(settings.rows / len(drawn), likeness)
    return FileSample(read(drawn), len(drawn), len(snapshot.files), share, effect)


def files_needed(files: int, rows: int, total: float) -> int | None:
    """How many of `files` a sample of `rows` of `total` rows reads; None where reading all costs little more."""
    count = max(FEWEST_FILES, int(np.ceil(OVERREAD * rows / max(total, 1) * files)))
    return None if count >= WORTHWHILE * files else count


def design_effect(rows_of_a_file: float, likeness: float) -> float:
    """Kish's: `1 + (b - 1) rho`, b rows of each file, rho how alike they are, 0 to 1."""
    return 1 + max(rows_of_a_file - 1, 0) * likeness


def likeness_of(groups: Sequence[NDArray[np.floating]]) -> float:
    """The intraclass correlation of numbers `(n_i, c)` in groups, by analysis of variance: their mean, 0 to 1."""
    sizes = np.array([len(group) for group in groups], dtype=float)
    if len(groups) < 2 or sizes.sum() <= len(groups):
        return 0.0
    means = np.array([group.mean(axis=0) for group in groups])
    grand = (sizes[:, None] * means).sum(axis=0) / sizes.sum()
    between = (sizes[:, None] * np.square(means - grand)).sum(axis=0) / (len(groups) - 1)
    within = sum(np.square(group - mean).sum(axis=0) for group, mean in zip(groups, means))
    within = within / (sizes.sum() - len(groups))
    b = (sizes.sum() - np.square(sizes).sum() / sizes.sum()) / (len(groups) - 1)
    spread = between + (b - 1) * within
    alike = np.divide(between - within, spread, out=np.zeros_like(spread), where=spread > 0)
    return float(np.clip(alike.mean(), 0, 1))


def _likeness(rows: DataFrame, embedding: str, count: float) -> float:
    """How alike rows of one file are, by some rows of the pilot's files."""
    vector = column(rows, embedding)
    numbers = F.transform(F.slice(vector, 1, NUMBERS), lambda x: x.cast("double"))
    some = rows.select(F.input_file_name().alias("file"), numbers.alias("numbers")).where(F.size("numbers") == NUMBERS)
    share = min(1.0, PILOT_FILES * PILOT_ROWS / max(count, 1))
    by_file: dict[str, list[list[float]]] = {}
    for row in some.where(place("numbers", 0) < share).collect():
        by_file.setdefault(row["file"], []).append(row["numbers"])
    groups = [np.array(numbers) for numbers in by_file.values()]
    return likeness_of([group[np.isfinite(group).all(axis=1)] for group in groups])


def _left_by(rows: DataFrame, files: Sequence[DataFile]) -> list[DataFile]:
    """The files that partitions and statistics leave for `rows`, as Delta plans to read them."""
    names = {unquote(path).rpartition("/")[2] for path in rows.inputFiles()}
    return [file for file in files if unquote(file.path).rpartition("/")[2] in names]
