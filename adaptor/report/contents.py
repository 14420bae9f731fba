"""What a report shows, as it was read from measurements and tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import altair as alt

from adaptor.evaluation.measurement import Measurement
from adaptor.evaluation.recommendation import Recommendation
from adaptor.report.embedding_map import EmbeddingMap


@dataclass(frozen=True)
class JobRun:
    """One run of a job, from the runs table."""

    job: str
    data_set: str
    started_at: datetime
    rows: int
    seconds: float
    core_seconds: float
    price: float | None


@dataclass(frozen=True)
class DatedFigure:
    """A figure of a run: what the adaptor kept at a dim, or what a check of the monitor saw."""

    at: datetime
    data_set: str
    name: str
    dim: int
    value: float


@dataclass(frozen=True)
class DatedAlert:
    """A row of the alerts table."""

    at: datetime
    name: str
    value: float | None
    sentence: str


@dataclass(frozen=True)
class Contents:
    """All that a report is made of; what is missing is empty or None, and `missing` says why in a sentence each."""

    title: str
    made_at: datetime
    version: str
    measurements: Sequence[Measurement]
    recommendation: Recommendation
    runs: Sequence[JobRun]
    quality: Sequence[DatedFigure]
    drift: Sequence[DatedFigure]
    alerts: Sequence[DatedAlert]
    embedding_map: EmbeddingMap | None
    missing: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """A chart, and what it shows for those who do not see it."""

    says: str
    chart: alt.TopLevelMixin
    title: str = ""


@dataclass(frozen=True)
class Panel:
    """A part of the page: what it says in a sentence, its charts, and their numbers as a table."""

    title: str
    says: str
    charts: Sequence[Chart]
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    marked: frozenset[int] = frozenset()  # rows of the table that stand out
    is_open: bool = False  # whether the table is what there is to see
