"""Promoting a version and going back: the table first, then the pointer that readers follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pyspark.sql import SparkSession

from adaptor.artifact import version_of
from adaptor.config import Config
from adaptor.errors import AdaptorError
from adaptor.evaluation.gate import require_passed
from adaptor.release import Versions
from adaptor.spark.apply import Applied, apply_table
from adaptor.spark.apply.stamp import Stamp
from adaptor.spark.tables import TableRef


@dataclass(frozen=True)
class Release:
    """What has become current, in place of what, and what was written for it."""

    version: str
    instead_of: str | None
    applied: Applied | None  # None where the target held its rows already, or the config has none


def promote(spark: SparkSession, config: Config, report: Callable[[str], None], version: str | None = None) -> Release:
    """Make a version current, the candidate unless `version` names one.

    The target is written by it first, in one commit; then `current.json` names it. Whoever loads by
    `Adaptor.load(..., for_table=...)` has the right map before, between and after. Killed in between, it can be run
    again. Raises `AdaptorError` where there is no such version, and where another run promotes.
    """
    versions = Versions(config.artifact.folder)
    version = version or versions.candidate
    if version is None:
        raise AdaptorError(f"{versions.root} has no candidate to promote: fit one, or name a version")
    return _release(spark, config, report, versions, version, f"promote {version}")


def roll_back(spark: SparkSession, config: Config, report: Callable[[str], None]) -> Release:
    """Make the version current that was so before, in the same order."""
    versions = Versions(config.artifact.folder)
    return _release(spark, config, report, versions, versions.before, "roll back", back=True)


def _release(  # noqa: PLR0913 - what both directions share
    spark: SparkSession,
    config: Config,
    report: Callable[[str], None],
    versions: Versions,
    version: str,
    what: str,
    back: bool = False,
) -> Release:
    versions.load(version)
    if config.gate is not None and config.gate.required and not back:
        require_passed(versions.root, version, config.gate_rules)
    with versions.alone(what):
        before = versions.current
        applied = None if config.apply is None else _write_target(spark, config, report, versions, version)
        versions.go_back() if back else versions.make_current(version)
    return Release(version, before, applied)


def _write_target(
    spark: SparkSession, config: Config, report: Callable[[str], None], versions: Versions, version: str
) -> Applied | None:
    """The target by this version, unless it is so already."""
    target = TableRef(config.target_table)
    stamp = Stamp.from_properties(target.properties(spark)) if target.exists(spark) else None
    if stamp is not None and version_of(stamp.fingerprint) == version:
        report(f"{target.where} was written by {version} already")
        return None
    assert config.apply is not None
    apply = config.apply.model_copy(update={"rebuild": True})
    artifact = config.artifact.model_copy(update={"folder": versions.folder(version)})
    changes = {"apply": apply, "artifact": artifact, "gate": None}  # which has been asked for already
    return apply_table(spark, config.model_copy(update=changes), report)
