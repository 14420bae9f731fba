"""Measure artifacts on a table: search it for every variant in one pass, and take each query's figures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.evaluation import figures, trec
from adaptor.evaluation.measurement import ADAPTOR, Measurement, Values, Variant
from adaptor.evaluation.variants import CORRECTED, baselines, by_variant, mapped, search_seconds
from adaptor.evaluation.views import Hits, Numbering, View
from adaptor.layout import Encoding, column_of
from adaptor.metrics import NEIGHBOURS, RETRIEVAL
from adaptor.spark.progress import Progress
from adaptor.spark.queries import vectors_by_id
from adaptor.spark.query_set import QuerySet, ask, good_rows, open_source
from adaptor.spark.sampling import sample
from adaptor.spark.search import search_views
from adaptor.spark.tables import TableRef
from adaptor.vectors import Float32

BASELINE_ROWS = 50_000  # rows the SVD baseline is fitted on, those of the table if it has fewer
COMPARED_ROWS = 1000  # rows to which each query's similarities are ranked
USUAL_SHORTLIST = 200  # beyond it, what reaches the driver would be mostly short lists
DEPTH = 100  # hits of a query, where no measure looks further


@dataclass(frozen=True)
class Nested:
    """A target as `id` and a prefix a dim, or decoded code a length in bytes, and the encoding it is stored in."""

    rows: DataFrame
    encoding: Encoding
    lengths: tuple[int, ...]


@dataclass(frozen=True)
class Searched:
    """What was measured, and the hits it was measured on."""

    measurement: Measurement
    asking: QuerySet
    hits: Mapping[Variant, Hits]
    numbering: Numbering

    def run(self, variant: Variant, depth: int) -> trec.Run:
        """Query id -> corpus id -> score."""
        return dict(zip(self.asking.ids, self.numbering.runs(self.hits[variant], depth)))

    def write_trec(self, folder: str, depth: int) -> None:
        """A run file for each variant of one step, and the judgments as qrels where there are any."""
        there, data_set = Path(folder), self.measurement.data_set.replace("/", "-")
        there.mkdir(parents=True, exist_ok=True)
        for variant in self.hits:
            if not variant.shortlist:
                tag = f"{variant.label.replace('/', '-')}-{variant.dim}"
                trec.write_run(there / f"{data_set}.{tag}.run", self.run(variant, depth), tag)
        if self.asking.judgments is not None:
            trec.write_qrels(there / f"{data_set}.qrels", self.asking.judgments)


def measure(
    spark: SparkSession,
    config: Config,
    source: TableRef,
    adaptors: Mapping[str, Adaptor],
    report: Progress,
    nested: Nested | None = None,
) -> Searched:
    """Search the source at full width, by truncation, by SVD, and through the maps of `adaptors`, by name.

    The dims are those that all of them have. With `nested`, the target that the only one wrote, its columns are
    searched too, and stand for it in the encoding they have. Raises `AdaptorError` where nothing can be found.
    """
    settings = config.evaluate
    assert settings is not None  # load_config has seen to it
    newest = list(adaptors.values())[-1]
    for name, adaptor in adaptors.items():
        if "paired" in adaptor.config:
            raise AdaptorError(
                f"{name} {adaptor.version} takes an old model's rows for a newer model's queries, which can't "
                "search the rows as they are: its card says what it keeps; to evaluate more, embed the rows anew"
            )
    dims = tuple(sorted(set.intersection(*(set(one.dims) for one in adaptors.values()))))
    report(f"counting the good rows of {source}")
    all_rows = open_source(spark, source, config)[1]
    rows, total = good_rows(all_rows, source, newest.width, 1 if settings.queries else 2)
    report(f"fitting the SVD baseline on {min(total, BASELINE_ROWS):,} rows of {source}")
    few = vectors_by_id(sample(rows, "id", BASELINE_ROWS, 0, total))[1]
    asking = ask(rows, config, newest.width)
    depth = depth_of(config)
    plain = baselines(few, asking.vectors, dims, newest, depth)
    hits_of = _hits_of_encodings(config)
    adapted = [
        view
        for name, adaptor in adaptors.items()
        for view in mapped(name, adaptor, _lengths(config, adaptor, dims, hits_of), asking.through(adaptor), hits_of)
    ]
    tables = [(rows, [*plain, *adapted])]
    if nested is not None:
        written = _written(nested, newest, asking.through(newest), depth)
        tables.append((nested.rows, list(written.values())))
    report(f"searching {total:,} rows with {len(asking.ids):,} queries at dims {list(dims)} and {newest.width}")
    numbering = Numbering()
    hits = _hits(tables, total, asking, numbering, report)
    reference = hits.pop((CORRECTED, newest.width))
    views = [view for view in (*plain, *adapted) if view.name != CORRECTED]
    variants = by_variant(hits, views, settings.shortlists)
    if nested is not None:
        variants |= {variant: hits[view.name, view.dims[0]] for variant, view in written.items()}
    report(f"taking the figures of {len(variants)} variants")
    empty = _described(config, newest, dims, total, asking, nested)
    searched = Searched(empty, asking, variants, numbering)
    values = _values(searched, config, views, few, reference)
    seconds = search_seconds([plain[0], *adapted], few)
    return replace(searched, measurement=replace(empty, values=values, search_seconds=seconds))


def depth_of(config: Config) -> int:
    """How many hits of a query its measures look at."""
    assert config.evaluate is not None
    cutoffs = [int(number) for name in config.evaluate.metrics for number in re.findall(r"@(\d+)", name)]
    return max(DEPTH, *cutoffs)


def _lengths(
    config: Config, adaptor: Adaptor, dims: tuple[int, ...], encodings: Iterable[Encoding]
) -> dict[Encoding, tuple[int, ...]]:
    """The prefixes of each encoding that are searched: those dims, and codes of the bytes that the config names."""
    codes = config.bytes or adaptor.lengths("bits")
    return {encoding: codes if encoding == "bits" else dims for encoding in encodings}


def _written(nested: Nested, adaptor: Adaptor, queries: Float32, k: int) -> dict[Variant, View]:
    """The target's columns as they are searched, decoded."""
    views = {}
    for length in nested.lengths:
        name, width = column_of(length, nested.encoding), adaptor.codec(nested.encoding, length).width
        views[Variant(ADAPTOR, length, nested.encoding)] = View(name, name, (width,), queries[:, :width], k=k)
    return views


def _hits_of_encodings(config: Config) -> dict[Encoding, int]:
    """How many hits of a query are taken of each encoding: all short lists of float32, the usual ones of the others."""
    settings = config.evaluate
    assert settings is not None
    encodings = dict.fromkeys((*settings.encodings, config.apply.encoding if config.apply else "float32"))
    usual = [length for length in settings.shortlists if length <= USUAL_SHORTLIST]
    return {
        encoding: max(depth_of(config), *(settings.shortlists if encoding == "float32" else usual), 0)
        for encoding in encodings
    }


def _hits(
    tables: list[tuple[DataFrame, list[View]]], total: int, asking: QuerySet, numbering: Numbering, report: Progress
) -> dict[tuple[str, int], Hits]:
    """What each view finds; a row of the table finds others, not itself."""
    hits: dict[tuple[str, int], Hits] = {}
    with report.rows(len(tables) * total) as count:
        for table, views in tables:
            count.expect(total)
            hits |= search_views(table, views, numbering)
            count.advance(total)
    if asking.side == "query":
        return hits
    itself = numbering(asking.ids)
    return {key: found.without(itself) for key, found in hits.items()}


def _described(
    config: Config, adaptor: Adaptor, dims: tuple[int, ...], total: int, asking: QuerySet, nested: Nested | None
) -> Measurement:
    """What was measured on, without values."""
    settings = config.evaluate
    assert settings is not None
    keep = adaptor.config.get("settings", {}).get("keep", "retrieval")
    without_labels = NEIGHBOURS if keep == "neighbours" else RETRIEVAL
    strata = None if asking.strata is None else tuple(asking.strata[name] for name in asking.ids)
    return Measurement(
        data_set=settings.data_set,
        fingerprint=adaptor.fingerprint,
        made_by=str(adaptor.config.get("candidate", "made by hand")),
        width=adaptor.width,
        dims=dims,
        encoding="float32" if nested is None else nested.encoding,
        metric=settings.metrics[0] if asking.judgments is not None else without_labels,
        rows=total,
        queries=tuple(asking.ids),
        values={},
        strata=strata,
    )


def _values(
    searched: Searched, config: Config, views: list[View], rows: Float32, reference: Hits
) -> dict[Variant, dict[str, Values]]:
    """Every figure of every variant and query."""
    settings, full = config.evaluate, searched.measurement.full
    assert settings is not None
    values = figures.without_labels(searched.hits, full, reference)
    for variant, by_metric in figures.similarities(views, rows[:COMPARED_ROWS], full).items():
        values[variant] |= by_metric
    judgments = searched.asking.judgments
    if judgments is None:
        return values
    queries, depth = searched.asking.ids, depth_of(config)
    for variant in searched.hits:
        labelled = figures.with_labels(searched.run(variant, depth), judgments, queries, settings.metrics)
        values[variant] = labelled | values[variant]
    for path in settings.trec_runs:
        variant = Variant(Path(path).stem, 0)
        if variant in values or variant.candidate in {known.candidate for known in values}:
            raise AdaptorError(
                f"evaluate.trec_runs: {path} is called {variant.candidate}, as another candidate; rename it"
            )
        values[variant] = figures.with_labels(trec.read_run(path), judgments, queries, settings.metrics)
    return values
