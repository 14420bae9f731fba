"""The sample of a fit: chosen by a hash of the id, materialised for the training workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from adaptor.config import SampleSettings
from adaptor.errors import AdaptorError
from adaptor.fitting.sample import Fold
from adaptor.fitting.strata import MOST_STRATA, Labels, check_count, quotas
from adaptor.spark.delta_log import DataFile
from adaptor.spark.row_checks import common_width, count_reasons, ids_and_vectors, reason, stratum
from adaptor.storage import as_url, open_folder, remove_folder
from adaptor.training.batches import Batches, gather
from adaptor.training.batches.arrow import ArrowBatches
from adaptor.training.batches.petastorm import PetastormBatches
from adaptor.vectors import Float32

HELD_OUT_SHARE, HELD_OUT_MOST = 0.1, 1000
ROW_GROUP_BYTES = 16 << 20  # of the sample's files: a worker reads row groups whole, and only those it has rows in


@dataclass(frozen=True)
class Materialised:
    """A sample on disk, read back through the batches that training gets."""

    train: Fold
    held_out: Fold
    ids: list[str]  # of the rows of `whole`
    bad_rows: dict[str, int]
    url: str
    strata: Labels | None = None  # of the rows of `held_out`

    @property
    def whole(self) -> Fold:
        """Both folds as one."""
        folds = (self.train, self.held_out)
        batches = type(self.train.batches)(  # type: ignore[call-arg]
            urls=tuple(url for fold in folds for url in fold.batches.urls),  # type: ignore[attr-defined]
            rows=sum(fold.batches.rows for fold in folds),
        )
        return Fold(np.concatenate([fold.rows for fold in folds]), batches)

    def delete(self) -> None:
        """Remove the materialised files; bad rows stay in the sample's folder."""
        remove_folder(self.url)


def place(id_column: str, seed: int) -> Column:
    """A row's place in [0, 1), from a hash of its id: the same on any cluster, for any layout."""
    bucket = F.pmod(F.xxhash64(F.col(id_column).cast("string"), F.lit(seed)), F.lit(1 << 30))
    return bucket / float(1 << 30)


def sample(df: DataFrame, id_column: str, rows: int, seed: int, total: int) -> DataFrame:
    """About `rows` of the `total` rows of `df`, or all of them; the same for equal seeds."""
    return df if rows >= total else df.where(place(id_column, seed) < rows / total)


def draw_files(files: Sequence[DataFile], most_bytes: float, seed: int) -> list[DataFile]:
    """Files in an order drawn by `seed`, as many as `most_bytes` have room for, and one at least."""
    chosen: list[DataFile] = []
    for number in np.random.default_rng(seed).permutation(len(files)):
        file = files[number]
        if not chosen or file.bytes <= most_bytes:
            chosen.append(file)
            most_bytes -= file.bytes
    return chosen


def balanced(df: DataFrame, at: Column, rows: int) -> DataFrame:
    """`rows` of `df`, as many of each value of its column `stratum`: those lowest in the order of `at`, in [0, 1].

    Small strata give all their rows, and the others fill up. Raises `AdaptorError` where there are
    too many strata to tell apart.
    """
    strata = df.groupBy("stratum").count().limit(MOST_STRATA + 1).collect()
    check_count(len(strata), "sample.stratum")
    counts = {row["stratum"]: row["count"] for row in strata}
    # Only rows up to `reach` are ranked, not the table: of evenly spread places more than enough.
    reach_of_strata = [
        (name, quota, (quota + 6 * quota**0.5 + 10) / counts[name]) for name, quota in quotas(counts, rows).items()
    ]
    of_stratum = df.sparkSession.createDataFrame(reach_of_strata, "stratum string, quota long, reach double")
    near = df.join(F.broadcast(of_stratum), "stratum").where(at <= F.col("reach"))
    rank = F.row_number().over(Window.partitionBy("stratum").orderBy(at, "id"))
    return near.withColumn("rank", rank).where("rank <= quota").select(df.columns)


def materialise(  # noqa: PLR0913 - a table, its columns, and how to sample it
    df: DataFrame,
    id_column: str,
    embedding: str,
    settings: SampleSettings,
    kind: str,
    judged: Sequence[str] = (),
    drawn: DataFrame | None = None,
) -> Materialised:
    """Sample `df`, or in its stead the rows of `drawn`, set bad rows aside, and write both folds as Parquet.

    Rows whose id is in `judged` come in whatever their hash. Bad rows go to `<folder>/set_aside`,
    with id and reason. Held-out rows are a tenth, 1,000 at most. With `settings.stratum` the sample
    is balanced, and the tenth is one of each stratum. Rows lie in the order of their hash, so
    workers read them in the same order everywhere.
    """
    everything = _read(df, id_column, embedding, settings)
    rows = everything if drawn is None else _read(drawn, id_column, embedding, settings)
    total = rows.count()
    if settings.stratum is None:
        chosen = sample(rows, "id", settings.rows, settings.seed, total)
    else:
        chosen = balanced(rows, F.col("place"), settings.rows)
    chosen = _with_judged(chosen, everything, judged).persist()
    folder = as_url(settings.folder).rstrip("/")
    url = f"{folder}/{uuid4().hex}"
    try:
        if chosen.isEmpty():
            raise AdaptorError(f"sample.rows={settings.rows} chose none of {total} rows; raise it")
        width = common_width(chosen, "embedding")
        checked = chosen.withColumn("reason", reason("id", "embedding", width))
        bad = checked.where("reason IS NOT NULL").select("id", "reason")
        bad_rows = count_reasons(bad)
        if bad_rows:
            bad.coalesce(1).write.mode("overwrite").parquet(f"{folder}/set_aside")
        else:
            remove_folder(f"{folder}/set_aside")  # what an earlier fit left
        share = min(HELD_OUT_SHARE, HELD_OUT_MOST / min(total, settings.rows))
        good = checked.where("reason IS NULL").withColumn("held_out", _held_out(settings, share))
        counts = {row["held_out"]: row["count"] for row in good.groupBy("held_out").count().collect()}
        for held_out, name in ((False, "train"), (True, "held_out")):
            fold = good.where(F.col("held_out") == held_out).orderBy("place", "id")
            writer = fold.select("id", "embedding", "stratum").write.option("parquet.block.size", ROW_GROUP_BYTES)
            writer.parquet(f"{url}/{name}")
        return Materialised(
            train=_fold(kind, f"{url}/train", counts.get(False, 0), width),
            held_out=_fold(kind, f"{url}/held_out", counts.get(True, 0), width),
            ids=[name for fold in ("train", "held_out") for name in _column(f"{url}/{fold}", "id")],
            bad_rows=bad_rows,
            url=url,
            strata=None if settings.stratum is None else np.array(_column(f"{url}/held_out", "stratum"), dtype=object),
        )
    except BaseException:
        remove_folder(url)
        raise
    finally:
        chosen.unpersist()


def _read(df: DataFrame, id_column: str, embedding: str, settings: SampleSettings) -> DataFrame:
    """What of a table a sample is made of."""
    return df.select(
        *ids_and_vectors(df, id_column, embedding),
        stratum(df, settings.stratum).alias("stratum"),
    ).withColumn("place", place("id", settings.seed))


def _with_judged(chosen: DataFrame, rows: DataFrame, judged: Sequence[str]) -> DataFrame:
    if not judged or chosen is rows:
        return chosen
    is_judged = F.coalesce(F.col("id").isin(list(judged)), F.lit(False))
    return chosen.where(~is_judged).unionByName(rows.where(is_judged))


def _held_out(settings: SampleSettings, share: float) -> Column:
    """Whether a row is held out. A second hash decides, and one place orders all: no row meets both folds."""
    at = place("id", settings.seed + 1)
    if settings.stratum is None:
        return at < share
    of_stratum = Window.partitionBy("stratum")
    count = F.count("*").over(of_stratum)
    least = (count > 1).cast("int")  # a stratum of a single row is left to training
    return F.row_number().over(of_stratum.orderBy(at, "id")) <= F.greatest(F.floor(share * count), least)


def _column(url: str, name: str) -> list[str]:
    import pyarrow.dataset as dataset

    fs, folder = open_folder(url)
    return list(dataset.dataset(folder, filesystem=fs, format="parquet").to_table(columns=[name])[name].to_pylist())


def _fold(kind: str, url: str, rows: int, width: int) -> Fold:
    batches: Batches = PetastormBatches((url,), rows) if kind == "petastorm" else ArrowBatches((url,), rows)
    array: Float32 = gather(batches).numpy() if rows else np.zeros((0, width), np.float32)
    return Fold(array, batches)
