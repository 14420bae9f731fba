"""Two versions of an artifact side by side, paired, and the gate of one that is not in the table yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from pyspark.sql import SparkSession

from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.evaluation.gate import require_references
from adaptor.evaluation.measurement import ADAPTOR, Measurement, Variant
from adaptor.evaluation.statistics import Difference
from adaptor.metrics import told_apart
from adaptor.release import Versions
from adaptor.spark.causes import named_causes
from adaptor.spark.evaluate import Evaluated, conclude, figures_of
from adaptor.spark.measuring import measure
from adaptor.spark.progress import as_progress
from adaptor.spark.runs import Run, record, recording_failure
from adaptor.spark.tables import TableRef


@dataclass(frozen=True)
class Comparison:
    """What the current version and another one keep at each dim that both have, on the same rows and queries."""

    current: str
    other: str
    measurement: Measurement
    gains: dict[int, Difference]  # of the other one over the current one

    def value(self, candidate: str, dim: int) -> float:
        """What SVD, the current version or the other one keeps."""
        return self.measurement.mean(Variant(candidate, dim))

    def verdict(self) -> str:
        """Which is better at which dims, in one sentence."""
        metric = self.measurement.metric
        better, worse, _ = told_apart({dim: (gain.low, gain.high) for dim, gain in self.gains.items()})
        groups = (("better", better), ("worse", worse))
        parts = [f"{word} at {', '.join(map(str, dims))}" for word, dims in groups if dims]
        if not parts:
            return f"By {metric} {self.other} is not told apart from the current one at any dim."
        return f"By {metric} {self.other} is {' and '.join(parts)} than the current one."


def compare_versions(
    spark: SparkSession, config: Config, report: Callable[[str], None], version: str | None = None
) -> Comparison:
    """Search the source through the current version and another one, the candidate unless `version` names one.

    Raises `AdaptorError` where there are not two versions, or they share no dim.
    """
    with recording_failure(spark, config, "compare") as clock:
        versions = Versions(config.artifact.folder)
        current, other = versions.current, version or versions.candidate
        if current is None or other is None or current == other:
            raise AdaptorError(
                f"{versions.root} has no candidate beside the current version {current}: fit one, or name a version"
            )
        pair = {name: versions.load(name) for name in (current, other)}
        if len({one.width for one in pair.values()}) > 1 or not set.intersection(*(set(p.dims) for p in pair.values())):
            raise AdaptorError(f"versions {current} and {other} share no dim of one width, so nothing can be compared")
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        assert config.evaluate is not None  # load_config has seen to it
        one_step = config.evaluate.model_copy(update={"encodings": ("float32",), "shortlists": (), "trec_runs": ()})
        with named_causes(spark, source, config.source):
            asked = config.model_copy(update={"evaluate": one_step})
            measurement = measure(spark, asked, source, pair, as_progress(report)).measurement
        gains = {dim: measurement.gain(Variant(other, dim), Variant(current, dim)) for dim in measurement.dims}
        run = Run.finish(
            clock, "compare", measurement.data_set, measurement.fingerprint, source, measurement.rows, config.rates
        )
        record(spark, config.runs, run, figures_of(measurement))
        return Comparison(current, other, measurement, gains)


def gate_version(
    spark: SparkSession, config: Config, report: Callable[[str], None], version: str | None = None
) -> Evaluated:
    """Measure a version through its map, the candidate unless `version` names one, and judge it by the gate.

    The target need not be written by it, so it can be judged before it is promoted. Where there is no candidate, the
    current version is judged.
    """
    with recording_failure(spark, config, "gate") as clock:
        versions = Versions(config.artifact.folder)
        name = version or versions.candidate or versions.current
        if name is None:
            raise AdaptorError(f"{versions.root} has no version to judge: run jobs/fit.py first")
        require_references(versions.root, config.gate_rules)
        judged = versions.load(name)
        source = TableRef(config.source.table, config.source.version).pinned(spark)
        with named_causes(spark, source, config.source):
            searched = measure(spark, config, source, {ADAPTOR: judged}, as_progress(report))
            encoding = config.apply.encoding if config.apply else "float32"
            return conclude(spark, config, source, replace(searched.measurement, encoding=encoding), clock, "gate")
