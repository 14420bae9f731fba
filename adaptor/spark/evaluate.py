"""The evaluate job: what each dim keeps, beside truncation and SVD, on one data set or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyspark.sql import SparkSession

from adaptor.artifact import Adaptor
from adaptor.config import Config
from adaptor.encode.kernel import Kernel
from adaptor.errors import AdaptorError
from adaptor.evaluation import gate, records
from adaptor.evaluation.gate import Gate
from adaptor.evaluation.measurement import ADAPTOR, SVD, Measurement, Variant, require_different
from adaptor.evaluation.recommendation import Recommendation, recommend_for
from adaptor.layout import column_of
from adaptor.metrics import NEIGHBOURS, RETRIEVAL, told_apart
from adaptor.release import Versions
from adaptor.spark.apply.stamp import Stamp
from adaptor.spark.causes import named_causes
from adaptor.spark.decoders import prefix_column
from adaptor.spark.measuring import Nested, depth_of, measure
from adaptor.spark.preflight import require_commits
from adaptor.spark.progress import Progress, as_progress
from adaptor.spark.query_set import open_source
from adaptor.spark.row_checks import legible
from adaptor.spark.runs import Figure, Run, record, recording_failure
from adaptor.spark.session import Clock
from adaptor.spark.tables import TableRef, require_columns


@dataclass(frozen=True)
class Evaluated:
    """What was measured of one config, what its gate says, and what is recommended."""

    measurement: Measurement
    figures: list[Figure]
    gate: Gate | None
    recommendation: Recommendation
    seconds: float

    @property
    def metric(self) -> str:
        """The one that leads: the first of judgments, or without them that by which the fit chose."""
        return self.measurement.metric

    @property
    def beside(self) -> str | None:
        """Without judgments the figure by which the fit did not choose."""
        pair = {RETRIEVAL: NEIGHBOURS, NEIGHBOURS: RETRIEVAL}
        return pair.get(self.metric)

    @property
    def dims(self) -> tuple[int, ...]:
        """The dims that were searched."""
        return self.measurement.dims

    @property
    def width(self) -> int:
        """That of the original."""
        return self.measurement.width

    @property
    def strata(self) -> tuple[str, ...]:
        """The labels of the strata, in order."""
        return tuple(label for label in self.measurement.parts if label is not None)

    def variant(self, candidate: str, dim: int) -> Variant:
        """A candidate's prefix, the adaptor's as the target holds it."""
        return self.measurement.shipped(dim) if candidate == ADAPTOR else Variant(candidate, dim)

    def value(self, candidate: str, dim: int, metric: str | None = None, stratum: str | None = None) -> float:
        """One figure; of the metric that leads and of all strata together, unless another is named."""
        return self.measurement.mean(self.variant(candidate, dim), metric, stratum)

    @cached_property
    def intervals(self) -> dict[tuple[str | None, int], tuple[float, float]]:
        """Of the adaptor's gain over SVD, by stratum, None for all, and dim."""
        gains = {
            (label, dim): self.measurement.gain(self.measurement.shipped(dim), Variant(SVD, dim), label)
            for label in self.measurement.parts
            for dim in self.dims
        }
        return {key: (gain.low, gain.high) for key, gain in gains.items()}

    def verdict(self) -> str:
        """Who is ahead of SVD at which dims, by the intervals, in one sentence."""
        words = ("ahead of", "behind", "not told apart from")
        groups = told_apart({dim: self.intervals[None, dim] for dim in self.dims})
        parts = [f"{word} SVD at {', '.join(map(str, dims))}" for word, dims in zip(words, groups) if dims]
        return f"By {self.metric} the adaptor is {', '.join(parts)}."

    def stored_bytes(self, dim: int) -> int:
        """What the adaptor's prefix takes in a row of the target."""
        return self.measurement.shipped(dim).bytes


def evaluate_tables(
    spark: SparkSession,
    configs: Sequence[Config],
    report: Callable[[str], None],
    freeze: str | None = None,
    trec: str | None = None,
) -> list[Evaluated]:
    """Evaluate each config's table; with `freeze` keep what was measured as a reference run of that name.

    With `trec`, a folder, write runs and judgments there as TREC's files. Raises `AdaptorError` where two configs say
    the same, and before anything is searched where the name is taken.
    """
    for config in configs if freeze else ():
        records.require_name_is_free(config.artifact.folder, str(freeze))
    evaluated = []
    for config in configs:
        evaluated.append(evaluate_table(spark, config, report, trec))
        require_different([one.measurement for one in evaluated])
    if freeze:
        by_folder: dict[str, list[Measurement]] = {}
        for config, one in zip(configs, evaluated):
            by_folder.setdefault(config.artifact.folder, []).append(one.measurement)
        for folder, measurements in by_folder.items():
            records.freeze(folder, freeze, measurements)
    return evaluated


def evaluate_table(
    spark: SparkSession, config: Config, report: Callable[[str], None], trec: str | None = None
) -> Evaluated:
    """Search the target's nested columns, and the source by truncation, SVD, full width and other encodings.

    With queries and judgments the metrics are `evaluate.metrics`. Without judgments, what `fit.keep` asked for leads,
    retrieval@10 or neighbours@10 (`adaptor.metrics.MEANING`), of the queries, or of held-out rows. With
    `sample.stratum` the figures of each stratum stand beside those of all: of queries, where their table has the
    column; of held-out rows, as many of each. The gate judges the version, where the config has one.
    """
    with recording_failure(spark, config, "evaluate") as clock:
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        require_commits(spark, TableRef(config.runs), "runs", replaced=False)
        with named_causes(spark, source, config.source):
            return _evaluate(spark, source, config, as_progress(report), clock, trec)


def _evaluate(
    spark: SparkSession, source: TableRef, config: Config, report: Progress, clock: Clock, trec: str | None
) -> Evaluated:
    assert config.evaluate is not None  # load_config has seen to it
    gate.require_references(config.artifact.folder, config.gate_rules)
    fitted = Adaptor.load(config.artifact.folder)
    nested = _open_target(spark, config, fitted, open_source(spark, source, config)[0])
    searched = measure(spark, config, source, {ADAPTOR: fitted}, report, nested)
    if trec is not None:
        searched.write_trec(trec, depth_of(config))
    return conclude(spark, config, source, searched.measurement, clock, "evaluate")


def conclude(
    spark: SparkSession, config: Config, source: TableRef, measurement: Measurement, clock: Clock, job: str
) -> Evaluated:
    """Keep what was measured of a version, record the figures, judge it by the gate, and recommend."""
    versions, version, rates = Versions(config.artifact.folder), measurement.version, config.rates
    records.save(versions.root, measurement)
    figures = figures_of(measurement)
    run = Run.finish(clock, job, measurement.data_set, measurement.fingerprint, source, measurement.rows, rates)
    record(spark, config.runs, run, figures)
    decided = None
    if config.gate is not None:
        decided = gate.decide(versions.root, config.gate_rules, [measurement], _current(versions, measurement))
    advice = recommend_for(versions.root, version, config.recommend_rules, rates.gigabyte_month)
    versions.write_in_card(version, "Recommendation", advice.sentence())
    return Evaluated(measurement, figures, decided, advice, run.seconds)


def _current(versions: Versions, measurement: Measurement) -> str | None:
    """The version that rules call current: of the current one itself the one before, if that was measured alike."""
    if measurement.version != versions.current:
        return versions.current
    for before in versions.history[::-1][:1]:
        if any(other.data_set == measurement.data_set for other in records.last_of(versions.root, before)):
            return before
    return None


def figures_of(measurement: Measurement) -> list[Figure]:
    """Every mean, with the tails of what has one step, and the means of each stratum."""
    figures = []
    for variant, by_metric in measurement.values.items():
        for metric in by_metric:
            values = {metric: measurement.mean(variant, metric)}
            if not variant.shortlist:
                values[f"{metric} 5th percentile"] = measurement.tail(variant, metric)
                worst = measurement.worst_stratum(variant, metric) if variant.dim else None
                values |= {f"{metric} worst stratum": worst[1]} if worst else {}
            figures += [
                Figure(variant.label, variant.dim, name, value, variant.bytes) for name, value in values.items()
            ]
            figures += [
                Figure(
                    variant.label, variant.dim, metric, measurement.mean(variant, metric, label), variant.bytes, label
                )
                for label in measurement.parts
                if label is not None and not variant.shortlist
            ]
    return [figure for figure in figures if figure.value == figure.value]  # what has no value is no figure


def _open_target(spark: SparkSession, config: Config, fitted: Adaptor, name: str) -> Nested:
    """The target as `id`, its column `name`, and a prefix a dim, whatever its layout; the encoding it is stored in."""
    if config.apply is None:
        raise AdaptorError("the config has no section 'apply': evaluate reads the table that apply wrote")
    target = TableRef(config.target_table)
    if not target.exists(spark):
        raise AdaptorError(f"there is no table at {target.where}; run jobs/apply.py first")
    stamp = Stamp.from_properties(target.properties(spark))
    if stamp is None:
        raise AdaptorError(f"{target.where} is a table that apply did not write; run jobs/apply.py first")
    if stamp.fingerprint != fitted.fingerprint:
        raise AdaptorError(
            f"{target.where} was written by artifact {stamp.fingerprint[:12]}, {config.artifact.folder} now holds "
            f"{fitted.version}; run jobs/apply.py with --set apply.rebuild=true"
        )
    kernel = Kernel(fitted, stamp.layout, stamp.encoding, dims=stamp.dims)
    rows = target.read(spark)
    require_columns(rows, [name, *kernel.schema.names], target)
    prefixes = [prefix_column(kernel, length).alias(column_of(length, kernel.encoding)) for length in kernel.lengths]
    return Nested(rows.select(legible(rows, name).alias("id"), *prefixes), kernel.encoding, kernel.lengths)
