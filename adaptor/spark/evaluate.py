"""The evaluate job: what each dim keeps, beside truncation and SVD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.layout import Encoding, bytes_of, column_of
from adaptor.metrics import paired_interval, told_apart
from adaptor.spark.apply.stamp import Stamp
from adaptor.spark.causes import named_causes
from adaptor.spark.decoders import prefix_column
from adaptor.spark.preflight import require_commits
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.query_set import QuerySet, Search, leading_metrics, open_source
from adaptor.spark.row_checks import legible
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.search import View, exact_search
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns


@dataclass(frozen=True)
class Evaluated:
    """Figures by candidate, dim, metric and stratum; intervals of the adaptor's gain over SVD."""

    metric: str  # the one that leads: nDCG@10, or without judgments that by which the fit chose
    beside: str | None  # without judgments the other one
    width: int
    dims: tuple[int, ...]
    figures: list[Figure]
    intervals: dict[tuple[str | None, int], tuple[float, float]]  # by stratum, None for all, and dim
    strata: tuple[str, ...]
    candidate: str
    seconds: float

    def value(self, candidate: str, dim: int, metric: str | None = None, stratum: str | None = None) -> float:
        """One figure; of the metric that leads and of all strata together, unless another is named."""
        key = (candidate, dim, metric or self.metric, stratum)
        return next(f.value for f in self.figures if (f.candidate, f.dim, f.metric, f.stratum) == key)

    def verdict(self) -> str:
        """Who is ahead of SVD at which dims, by the intervals, in one sentence."""
        words = ("ahead of", "behind", "not told apart from")
        groups = told_apart({dim: self.intervals[None, dim] for dim in self.dims})
        parts = [f"{word} SVD at {', '.join(map(str, dims))}" for word, dims in zip(words, groups) if dims]
        return f"By {self.metric} the adaptor is {', '.join(parts)}."

    def stored_bytes(self, dim: int) -> int:
        """What the adaptor's prefix takes in a row of the target."""
        return next(f.bytes for f in self.figures if (f.candidate, f.dim) == ("adaptor", dim) and f.bytes)


def evaluate_table(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Evaluated:
    """Search the target's nested columns, and the source by truncation, SVD and full width.

    With queries and judgments: nDCG@10, R@10, R@100, RR@10. Without: what `fit.keep` asked for leads,
    retrieval@10 or neighbours@10 (`adaptor.metrics.MEANING`), of held-out rows. With `sample.stratum` the
    figures of each stratum stand beside those of all: of queries, where their table has the column;
    without judgments of held-out rows, as many of each.
    """
    with recording_failure(spark, config, "evaluate") as clock:
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        require_commits(spark, TableRef(config.runs), "runs", replaced=False)
        with named_causes(spark, source, config.source):
            return _evaluate(spark, source, config, as_progress(report), clock)


def _evaluate(spark: SparkSession, source: TableRef, config: Config, report: Progress, clock: Clock) -> Evaluated:
    settings = config.evaluate
    assert settings is not None  # load_config has seen to it
    adaptor = Adaptor.load(config.artifact.folder)
    name, rows = open_source(spark, source, config)
    nested, encoding = _open_target(spark, config, adaptor, name)
    search = Search.of(config, source, rows, adaptor, adaptor.dims, report)
    total, query_set = search.total, search.query_set
    report(f"searching {total} rows with {len(query_set.ids)} queries at dims {list(adaptor.dims)} and {adaptor.width}")
    hits: dict[tuple[str, int], list[dict[str, float]]] = {}
    searches = ((search.rows, search.views), (nested, _nested_views(adaptor, query_set)))
    with report.rows(len(searches) * total) as count:
        for table, views in searches:
            count.expect(total)
            hits |= exact_search(table, "id", views, 100)
            count.advance(total)

    values = query_set.measure(hits, adaptor.width)
    metric, beside = leading_metrics(next(iter(values.values())), adaptor, bool(settings.judgments))
    parts = query_set.parts()
    figures = [
        Figure(
            name,
            dim,
            measure,
            float(by_query[chosen].mean()),
            bytes_of(dim, encoding) if name == "adaptor" else None,
            label,
        )
        for label, chosen in parts.items()
        for (name, dim), measures in values.items()
        for measure, by_query in measures.items()
    ]
    intervals = {
        (label, dim): paired_interval(values["adaptor", dim][metric][chosen], values["svd", dim][metric][chosen])
        for label, chosen in parts.items()
        for dim in adaptor.dims
    }
    run = Run.finish(clock, "evaluate", settings.data_set, adaptor.fingerprint, source, total)
    record(spark, config.runs, run, figures)
    strata = tuple(label for label in parts if label is not None)
    candidate = str(adaptor.config.get("candidate"))
    return Evaluated(metric, beside, adaptor.width, adaptor.dims, figures, intervals, strata, candidate, run.seconds)


def _nested_views(adaptor: Adaptor, query_set: QuerySet) -> list[View]:
    return [View("adaptor", column_of(dim), dim, query_set.through(adaptor, dim)) for dim in adaptor.dims]


def _open_target(spark: SparkSession, config: Config, adaptor: Adaptor, name: str) -> tuple[DataFrame, Encoding]:
    """The target as `id`, its column `name`, and a prefix a dim, whatever its layout; the encoding it is stored in."""
    if config.apply is None:
        raise AdaptorError("the config has no section 'apply': evaluate reads the table that apply wrote")
    target = TableRef(config.target_table)
    if not target.exists(spark):
        raise AdaptorError(f"there is no table at {target.where}; run jobs/apply.py first")
    stamp = Stamp.from_properties(target.properties(spark))
    if stamp is None:
        raise AdaptorError(f"{target.where} is a table that apply did not write; run jobs/apply.py first")
    if stamp.fingerprint != adaptor.fingerprint:
        raise AdaptorError(
            f"{target.where} was written by artifact {stamp.fingerprint[:12]}, {config.artifact.folder} now holds "
            f"{adaptor.fingerprint[:12]}; run jobs/apply.py with --set apply.rebuild=true"
        )
    kernel = Kernel(adaptor, stamp.layout, stamp.encoding)
    nested = target.read(spark)
    require_columns(nested, [name, *kernel.schema.names], target)
    good = nested.where(F.col(kernel.schema.names[0]).isNotNull())
    prefixes = [
        prefix_column(adaptor, kernel.layout, kernel.encoding, dim).alias(column_of(dim)) for dim in adaptor.dims
    ]
    return good.select(legible(good, name).alias("id"), *prefixes), kernel.encoding
