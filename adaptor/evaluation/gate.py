"""Gates: whether an artifact's figures hold every rule, kept beside its versions and as JUnit XML for CI systems."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from adaptor.errors import AdaptorError, GateFailed
from adaptor.evaluation import records
from adaptor.evaluation.measurement import Measurement
from adaptor.evaluation.rules import Rule, Verdict, judge_rule
from adaptor.storage import open_folder, write_whole

GATES = "gates"


@dataclass(frozen=True)
class Gate:
    """What every rule said of a version on every data set."""

    version: str
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every rule holds."""
        return all(verdict.holds for verdict in self.verdicts)

    @property
    def failures(self) -> int:
        """How many rules do not hold."""
        return sum(not verdict.holds for verdict in self.verdicts)


def require_references(root: str, rules: Sequence[Rule]) -> None:
    """`AdaptorError` where a rule names a reference run that is not there: before anything is searched."""
    for rule in rules:
        if rule.run is not None:
            records.reference(root, rule.run)


def decide(root: str, rules: Sequence[Rule], measurements: Sequence[Measurement], current: str | None) -> Gate:
    """Judge what was measured of one version by every rule, and keep what came out beside the versions in `root`.

    `current` is the version that `drop against current` compares with: what was measured of it last. Raises
    `AdaptorError` for a reference run, or a data set in it, that is not there.
    """
    verdicts = tuple(
        judge_rule(rule, measurement, _other(root, rule, measurement, current))
        for rule in rules
        for measurement in measurements
    )
    gate = Gate(measurements[0].version, verdicts)
    content = {
        "passed": gate.passed,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rules": [rule.text for rule in rules],
        "sentences": [verdict.sentence for verdict in verdicts],
    }
    write_whole(root, f"{GATES}/{gate.version}.json", json.dumps(content, indent=2).encode())
    return gate


def require_passed(root: str, version: str, rules: Sequence[Rule]) -> None:
    """`AdaptorError` unless this version has passed a gate of all these rules."""
    fs, folder = open_folder(root)
    path = f"{folder}/{GATES}/{version}.json"
    way_out = f"run `adaptor gate --version {version}`, or take gate.required out"
    if not fs.exists(path):
        raise AdaptorError(f"version {version} in {root} has not been through the gate; {way_out}")
    content = json.loads(fs.cat_file(path))
    unjudged = [rule.text for rule in rules if rule.text not in content["rules"]]
    if unjudged:
        raise AdaptorError(f"version {version} in {root} was not judged by the rule {unjudged[0]!r}; {way_out}")
    if not content["passed"]:
        said = next(sentence for sentence in content["sentences"] if ": fails" in sentence)
        raise AdaptorError(f"version {version} in {root} has failed its gate ({said}); promote another version")


def _other(root: str, rule: Rule, measurement: Measurement, current: str | None) -> Measurement | None:
    """The measurement of the same data set that the rule compares with."""
    if rule.run is not None:
        called, runs = f"reference run {rule.run!r}", records.reference(root, rule.run)
    elif rule.against == "current":
        if current is None or current == measurement.version:
            return measurement  # nothing was current before it
        called, runs = f"the current version {current}", records.last_of(root, current)
    else:
        return None
    for run in runs:
        if run.data_set == measurement.data_set:
            return run
    raise AdaptorError(
        f"rule {rule.text!r}: {called} was not measured on {measurement.data_set}; run jobs/evaluate.py with it first"
    )


def write_junit(gates: Sequence[Gate], path: str) -> None:
    """Gates as JUnit XML: a suite each, a test case for each rule and data set."""
    from junitparser import Failure, JUnitXml, TestCase, TestSuite

    document = JUnitXml()
    for gate in gates:
        suite = TestSuite(f"gate of {gate.version}")
        for verdict in gate.verdicts:
            case = TestCase(verdict.rule.text, classname=verdict.data_set)
            if not verdict.holds:
                case.result = [Failure(verdict.sentence)]
            suite.add_testcase(case)
        document.add_testsuite(suite)
    document.write(path, pretty=True)


def require_held(gates: Sequence[Gate]) -> None:
    """`GateFailed` where a rule does not hold."""
    failed = [verdict for gate in gates for verdict in gate.verdicts if not verdict.holds]
    if failed:
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise GateFailed(f"the gate has failed: {failed[0].sentence}{more}")
