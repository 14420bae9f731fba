"""Sections of what is measured, demanded and recorded: evaluate, gate, recommend, monitor, report, rates, tracking."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from adaptor.config.section import Name, Section, as_value_error
from adaptor.fitting.settings import Count, Positive
from adaptor.layout import Encoding
from adaptor.metrics import check_measures


class Evaluate(Section):
    """What the figures are measured on: queries with judgments, queries alone, or without them held-out rows."""

    data_set: Name
    queries: Name | None = None  # a Delta table with the source's id and embedding columns
    judgments: Name | None = None  # a Delta table: query_id, corpus_id, grade; or a file of TREC qrels
    held_out: Count = 1000  # rows whose neighbours are compared, where there are no queries
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)] = ("nDCG@10", "R@10", "R@100", "RR@10", "AP@100")
    encodings: tuple[Encoding, ...] = ("float32", "int8", "binary", "bits")  # compared at each dim, whatever is stored
    shortlists: tuple[Count, ...] = (50, 100, 200, 500)  # hits that the full width puts in order afterwards
    trec_runs: tuple[Name, ...] = ()  # files of other systems' runs, judged beside

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        with as_value_error():
            return check_measures(metrics)

    @model_validator(mode="after")
    def _asked(self) -> Evaluate:
        for key in ("judgments", "trec_runs"):
            if getattr(self, key) and self.queries is None:
                raise ValueError(f"{key} needs queries, the table with the queries' embeddings")
        if self.trec_runs and self.judgments is None:
            raise ValueError("trec_runs needs judgments")
        return self


class GateSettings(Section):
    """What an artifact must keep: rules in words, all of which must hold."""

    rules: Annotated[tuple[Name, ...], Field(min_length=1)]
    required: bool = False  # whether apply and promote refuse an artifact that has not passed


class MonitorSettings(Section):
    """What is looked at between fits, and who hears of it."""

    rows: Annotated[int, Field(ge=200)] = 2000  # of those that came since the fit, or of all where none did
    queries: Name | None = None  # a Delta table of fresh queries, with the source's id and embedding columns
    quiet_days: Positive = 7  # without a new version of the source until it is an alert
    versions_behind: Count = 50  # of the source that apply may lack until it is an alert
    usage: Name | None = None  # a Delta table with columns dim and reads
    alerts: Name | None = None  # a Delta table, a row an alert
    file: Name | None = None  # a line of JSON an alert
    webhook: Annotated[str, Field(pattern="^https?://")] | None = None  # gets all alerts of a run as JSON
    webhook_seconds: Positive = 5  # to wait for an answer, each of three times


class ReportSettings(Section):
    """The page that `jobs/report.py` writes, and the rows on its maps."""

    file: Name | None = None  # null: report.html in the artifact's folder
    title: Name | None = None  # null: the data sets' names
    points: Annotated[int, Field(ge=0, le=50_000)] = 2000  # rows of the source on the maps; 0: no maps
    dim: Count | None = None  # of the prefix that is beside the original; null: the shortest of at least 64
    colour_by: Name | None = None  # a column; null: sample.stratum, or groups that are alike
    named_by: Name | None = None  # a column that says what a row is, such as title; null: the id


class Rates(Section):
    """What things cost, in one currency: for prices beside figures."""

    core_hour: Positive | None = None
    gigabyte_month: Positive | None = None  # of storage, 10^9 bytes


class RecommendSettings(Section):
    """What a width and encoding must hold to be recommended: rules that name no dim."""

    rules: Annotated[tuple[Name, ...], Field(min_length=1)] = ("retention >= 0.95",)


class TrackingSettings(Section):
    """Where MLflow keeps a record of each fit, beside the one in its artifact."""

    uri: Name  # any of MLflow's tracking URIs: https://HOST, databricks, sqlite:///lake/mlflow.db, postgresql://...
    experiment: Name = "matryoshka-adaptor"  # made where it is not there

    @field_validator("uri")
    @classmethod
    def _uri(cls, uri: str) -> str:
        if (uri != "databricks" and not re.match(r"\w[\w+.-]*:", uri)) or uri.startswith("file:"):
            raise ValueError(
                "MLflow keeps runs in no plain folder any more; write sqlite:///lake/mlflow.db or https://HOST"
            )
        return uri
