"""What a fit measured: typed, and as it stands in an artifact's metrics.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import numpy as np

from adaptor.artifact import Side
from adaptor.fitting.profile import Profile
from adaptor.fitting.settings import Keep
from adaptor.vectors import SHORTEST, Float32

T = TypeVar("T")
OLDER = "overlap@10"

ByDim = dict[int, float]
"""A figure at each dim."""


@dataclass(frozen=True)
class Score:
    """What a candidate reached on held-out rows; candidates are ranked by agreement."""

    candidate: str
    figures: dict[str, ByDim]  # by metric, the one that decides first
    agreement: float  # the geometric mean of that one over dims
    seconds: float

    @property
    def others(self) -> list[ByDim]:
        """The figures that stand beside the one that decides."""
        return list(self.figures.values())[1:]


@dataclass(frozen=True)
class StratumScore:
    """What candidates keep of one stratum's held-out rows, their neighbours looked for among rows of all strata."""

    held_out_rows: int
    kept: dict[str, ByDim]  # by candidate, of the metric that decides


@dataclass(frozen=True)
class SupervisionGain:
    """The share of the way from the unsupervised maps that was taken, and its held-out gain in nDCG@10.

    `weight` is that of the judged terms in the training; the unlabelled ones weigh the rest.
    """

    share: float
    gain: float
    labelled: int
    weight: float = 0.5


@dataclass(frozen=True)
class TuningReport:
    """A search's trials, the settings as given first, the number of the best one, and all that in a sentence."""

    summary: str
    best: int
    trials: list[dict[str, Any]]


@dataclass(frozen=True)
class ZeroPrefixes:
    """How many of the sample's rows have no direction at the shortest dim once they are mapped."""

    rows: int
    dim: int
    summary: str

    @classmethod
    def of(cls, y: Float32, dim: int, winner: str) -> ZeroPrefixes | None:
        """Those among the mapped rows `y (n, K)`; None where each has a direction in its first `dim` numbers."""
        count = int((np.linalg.norm(y[:, :dim], axis=1) < SHORTEST).sum())
        if not count:
            return None
        summary = (
            f"{count} of {len(y)} sample rows are zero at dim {dim} once they are mapped: to apply such rows are bad, "
            f"and encode refuses them there; leave {dim} out of dims, or {winner} out of fit.candidates"
        )
        return cls(count, dim, summary)


@dataclass(frozen=True)
class PairedReport:
    """What an old model's vectors keep, at each dim, of what a new model's own find of the same held-out rows."""

    pairs: int
    query_width: int
    kept: ByDim


@dataclass(frozen=True)
class TrainingRun:
    """One training: who was trained, on what, the step its maps come from, and its curve of loss and held-out score."""

    name: str
    workers: int
    device: str
    step: int
    score: float | None
    seconds: float
    curve: list[dict[str, float | None]]
    shares: list[int] = field(default_factory=list)  # rows that each worker held, where none held the whole sample


@dataclass(frozen=True)
class TrainingRecord:
    """All trainings of a fit, with the versions of what they ran on and, of a job, its section `workers`."""

    runs: list[TrainingRun]
    versions: dict[str, str]
    workers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, runs: list[TrainingRun]) -> TrainingRecord | None:
        """The record of these trainings; None where nothing was trained."""
        return cls(runs, versions()) if runs else None

    @property
    def sharing(self) -> str | None:
        """A sentence on who held how many rows; None where each worker held the whole sample."""
        shared = [run for run in self.runs if run.shares]
        if not shared:
            return None
        counts = sorted({count for run in shared for count in run.shares})
        between = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        most = max(sum(run.shares) for run in shared)
        return (
            f"{shared[0].workers} workers held shares of {between} rows, of {most} at most, in {len(shared)} of "
            f"{len(self.runs)} trainings: what was trained depends on how many workers there were"
        )


@dataclass(frozen=True)
class Origin:
    """Where a fit job's sample came from; a fit in memory has none."""

    source: str
    source_version: int | None  # None for a view
    stratum: str | None
    bad_rows: dict[str, int]
    started_at: str
    sample: str | None = None  # which files it was drawn from; None: every row was looked at
    moments: int | None = None  # good rows of the source, all of them, whose moments the winner has; None: the sample's


RUN_ON = ("matryoshka-adaptor", "numpy", "torch", "horovod", "pyspark")
ORIGIN = tuple(Origin.__dataclass_fields__)


@dataclass(frozen=True)
class FitReport:
    """All that a fit measured and decided by."""

    held_out_rows: int
    held_out_side: Side
    already_nested: bool
    candidates: list[Score]
    left_out: dict[str, str]  # candidate -> why
    keep: Keep = "retrieval"
    supervised: SupervisionGain | None = None
    tuning: TuningReport | None = None
    strata: dict[str, StratumScore] = field(default_factory=dict)
    zero_prefixes: ZeroPrefixes | None = None
    origin: Origin | None = None
    paired: PairedReport | None = None
    training: TrainingRecord | None = None
    profile: Profile | None = None  # arrays, which metrics.json does not hold

    @property
    def metric(self) -> str:
        """The figure that decided, and that stands in `strata`."""
        return next(iter(self.candidates[0].figures))

    def to_json(self) -> dict[str, Any]:
        """As it stands in metrics.json, where keys are text and the origin's fields stand beside the others."""
        said = asdict(replace(self, profile=None))
        said.pop("profile")
        origin = said.pop("origin")
        for score in said["candidates"]:
            score["figures"] = {metric: _with_text_keys(values) for metric, values in score["figures"].items()}
        for part in said["strata"].values():
            part["kept"] = {name: _with_text_keys(values) for name, values in part["kept"].items()}
        if self.paired:
            said["paired"]["kept"] = _with_text_keys(self.paired.kept)
        return said | (origin or {})

    @classmethod
    def from_json(cls, metrics: Mapping[str, Any]) -> FitReport:
        """What `to_json` wrote; an artifact of before 0.2 says `mean` for agreement, and has one figure, overlap@10."""
        return cls(
            metrics["held_out_rows"],
            metrics["held_out_side"],
            metrics["already_nested"],
            [
                Score(
                    score["candidate"],
                    {
                        metric: _with_dims(values)
                        for metric, values in score.get("figures", {OLDER: score.get("overlap")}).items()
                    },
                    score["agreement"] if "agreement" in score else score["mean"],
                    score["seconds"],
                )
                for score in metrics["candidates"]
            ],
            dict(metrics["left_out"]),
            metrics.get("keep", "retrieval"),
            _of(SupervisionGain, metrics.get("supervised")),
            _of(TuningReport, metrics.get("tuning")),
            {
                label: StratumScore(
                    part["held_out_rows"],
                    {name: _with_dims(values) for name, values in part.get("kept", part.get("overlap")).items()},
                )
                for label, part in metrics.get("strata", {}).items()
            },
            _of(ZeroPrefixes, metrics.get("zero_prefixes")),
            _of(Origin, {name: metrics.get(name) for name in ORIGIN} if "source" in metrics else None),
            _paired(metrics.get("paired")),
            _training(metrics.get("training")),
        )


def _training(record: Mapping[str, Any] | None) -> TrainingRecord | None:
    if record is None:
        return None
    return TrainingRecord([TrainingRun(**run) for run in record["runs"]], record["versions"], record["workers"])


def versions() -> dict[str, str]:
    """Those of the packages that decide what a fit comes to, of which not all need be here."""
    return {name: version(name) for name in RUN_ON if _is_installed(name)}


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _of(kind: type[T], fields: Mapping[str, Any] | None) -> T | None:
    return None if fields is None else kind(**fields)


def _paired(said: Mapping[str, Any] | None) -> PairedReport | None:
    return None if said is None else PairedReport(**(dict(said) | {"kept": _with_dims(said["kept"])}))


def _with_text_keys(values: ByDim) -> dict[str, float]:
    return {str(dim): value for dim, value in values.items()}


def _with_dims(values: Mapping[str, float]) -> ByDim:
    return {int(dim): value for dim, value in values.items()}
