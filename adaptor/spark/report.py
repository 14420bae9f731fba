"""The report job: what was measured, paid and noticed, read from an artifact and its tables, as one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.evaluation import records
from adaptor.evaluation.measurement import Measurement, require_different
from adaptor.evaluation.recommendation import recommend
from adaptor.release import Versions
from adaptor.report.contents import Contents
from adaptor.report.embedding_map import FEWEST, EmbeddingMap, map_points
from adaptor.report.page import render
from adaptor.spark.causes import named_causes
from adaptor.spark.delta_log import DeltaLog
from adaptor.spark.history import History
from adaptor.spark.query_set import rows_of
from adaptor.spark.row_checks import reason
from adaptor.spark.sampling import draw_files, place
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef
from adaptor.storage import require_writable_folder, write_whole

MAP_BYTES = 250_000_000  # of the source, read for its map at most, unless one file is more
NAME_LENGTH = 60


@dataclass(frozen=True)
class Reported:
    """Where the page lies, how large it is, and what it has to say that it could not show."""

    file: str
    size: int
    missing: Sequence[str]
    seconds: float


def write_report(spark: SparkSession, configs: Sequence[Config], report: Callable[[str], None]) -> Reported:
    """Read what is known of each config's current version, and write one page to the first config's `report.file`.

    What there is not, such as a runs table, is said on the page. Raises `AdaptorError` where nothing was measured.
    """
    clock, first = Clock(spark), configs[0]
    folder, _, name = first.report_file.rpartition("/")
    require_writable_folder(folder or ".", "report.file")
    measurements = [
        one for root in dict.fromkeys(config.artifact.folder for config in configs) for one in _measured(root)
    ]
    require_different(measurements)
    report("reading runs and alerts")
    history = History.read(spark, configs, measurements)
    embedding_map, why_none = _map(spark, first, report)
    report("drawing")
    contents = Contents(
        title=first.report.title or _title(measurements),
        made_at=datetime.now(),
        version=", ".join(dict.fromkeys(one.version for one in measurements)),
        measurements=measurements,
        recommendation=recommend(measurements, first.recommend_rules, first.rates.gigabyte_month),
        runs=history.runs,
        quality=history.quality,
        drift=history.drift,
        alerts=history.alerts,
        embedding_map=embedding_map,
        missing=[*history.missing, *why_none],
    )
    page = render(contents).encode()
    write_whole(folder or ".", name, page)
    return Reported(first.report_file, len(page), contents.missing, clock.seconds())


def _measured(root: str) -> list[Measurement]:
    """Of the current version, on every data set."""
    versions = Versions(root)
    return records.require_measured(root, versions.current or versions.candidate)


def _title(measurements: Sequence[Measurement]) -> str:
    names = list(dict.fromkeys(one.data_set for one in measurements))
    return f"Smaller embeddings of {names[0] if len(names) == 1 else f'{len(names)} data sets'}"


def _map(spark: SparkSession, config: Config, report: Callable[[str], None]) -> tuple[EmbeddingMap | None, list[str]]:
    """Some rows of the source and their prefixes on two maps, or a sentence that says why not."""
    settings = config.report
    if not settings.points:
        return None, []
    source = TableRef(config.source.table, config.source.version).pinned(spark)
    fitted = Adaptor.load(config.artifact.folder)
    report(f"reading {settings.points:,} rows of {source} for the maps")
    colour_by = settings.colour_by or config.sample.stratum
    with named_causes(spark, source, config.source):
        snapshot = DeltaLog(spark, source.location(spark)).snapshot(source.version)
        files = draw_files(snapshot.files, MAP_BYTES, config.sample.seed)
        named_by = settings.named_by or config.source.id
        rows = rows_of(snapshot.read(files), source, config, colour_by, named_by)
        good = rows.where(reason("id", "embedding", fitted.width).isNull())
        few = good.orderBy(place("id", config.sample.seed + 2), "id").limit(settings.points)
        name = F.coalesce(F.substring("name", 1, NAME_LENGTH), F.col("id").cast("string"))
        table = few.select("embedding", "stratum", name.alias("name")).toArrow().combine_chunks()
    if table.num_rows < FEWEST:
        return None, [f"{source} has {table.num_rows} good rows: too few for a map."]
    vectors = np.stack(table["embedding"].to_numpy())
    report(f"laying out {len(vectors):,} rows")
    dim = settings.dim or next((dim for dim in fitted.dims if dim >= 64), fitted.dims[-1])
    prefixes = fitted.encode(vectors, dim=dim)
    labels = None if colour_by is None else [label or "none" for label in table["stratum"].to_pylist()]
    return map_points(vectors, prefixes, table["name"].to_pylist(), labels, config.sample.seed), []
