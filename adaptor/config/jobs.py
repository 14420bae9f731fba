"""Sections of what is read and written: source, sample, artifact, query log, workers, apply; and the whole config."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from adaptor.config.evaluating import (
    Evaluate,
    GateSettings,
    MonitorSettings,
    Rates,
    RecommendSettings,
    ReportSettings,
    TrackingSettings,
)
from adaptor.config.section import Name, Section, as_value_error
from adaptor.errors import AdaptorError
from adaptor.evaluation.rules import WORST_STRATUM, Rule, parse_rules
from adaptor.fitting.settings import Count, FitSettings
from adaptor.layout import Encoding, Layout
from adaptor.metrics import MEANING
from adaptor.vectors import check_dims

WHOLE_SAMPLE_BYTES = 4 << 30  # about 1,400,000 rows of 768
SAME = "same"  # the target that is the source itself


class Source(Section):
    """The Delta table with the embeddings."""

    table: Name  # a path or URL, or a name such as catalog.schema.table
    version: Annotated[int, Field(ge=0)] | None = None  # null: the latest, pinned at the start
    id: Name = "id"
    embedding: Name = "embedding"
    where: Name | None = None  # an SQL condition on rows


class SampleSettings(Section):
    """The rows a fit reads: chosen by a hash of the id, so the same ones on any cluster."""

    folder: Name  # where it is materialised; every worker must see it
    rows: Count = 100_000
    seed: int = 0
    stratum: Name | None = None  # a column, such as language: as many rows of each, and each reported apart
    exact: bool = False  # true: every row is looked at, not those of some files
    moments: Literal["sample", "all"] = "sample"  # all: the winner is made of the moments of all rows, by a pass

    @model_validator(mode="after")
    def _moments(self) -> SampleSettings:
        if self.moments == "all" and self.stratum is not None:
            raise ValueError(
                "moments: all weighs each stratum by its rows, stratum gives all of them as many; take one of both out"
            )
        return self


class ArtifactSettings(Section):
    """The folder of the artifact's versions, and when a new one becomes current. A name alone is the folder."""

    folder: Name
    promote: Literal["by_hand", "always"] = "by_hand"  # always: a fit is current at once, no candidate


class QueryLog(Section):
    """Queries to learn from, and judgments of some of them; never those an evaluation will use."""

    table: Name  # a Delta table with the queries' embeddings
    judgments: Name | None = None  # a Delta table: query_id, corpus_id, grade
    id: Name = "id"
    embedding: Name = "embedding"


class WorkersSettings(Section):
    """Where training runs, and what feeds it."""

    kind: Literal["local", "horovod", "torch"] = "local"
    processes: Count = 1
    batches: Literal["petastorm", "arrow"] | None = None  # null: petastorm where it is installed, else arrow
    whole_sample_bytes: Annotated[int, Field(ge=0)] = WHOLE_SAMPLE_BYTES  # float32 rows up to which each holds all
    gpus: bool = False  # whether a worker without a GPU of its own is an error
    resume: Literal["auto", "never"] = "auto"  # auto: a training that was cut off goes on from its checkpoint
    restarts: Annotated[int, Field(ge=0)] = 2  # of a training of which a worker was killed


class Apply(Section):
    """The table with the nested columns."""

    target: Name  # or `same`: the nested columns are added to the source itself
    mode: Literal["full", "incremental", "stream"] = "full"
    rebuild: bool = False  # whether a target that another artifact or layout made may be replaced
    quarantine: Name | None = None  # the table of bad rows; null: the target's with _quarantine
    carry: tuple[Name, ...] = ()  # further source columns to take along
    partition_by: tuple[Name, ...] | None = None  # carried columns; null: as the source, where it carries them
    bad_rows: Literal["quarantine", "fail", "null"] = "quarantine"
    layout: Layout = "columns"
    encoding: Encoding = "float32"
    engine: Literal["auto", "direct", "arrow", "pandas_udf"] = "auto"
    view: Name | None = None  # of the prefixes in `bands`, in a catalog; null: a named target's with _prefixes
    chunk_bytes: Count | None = None  # of source files, a commit; null: eight rounds of all task slots

    @model_validator(mode="after")
    def _in_place(self) -> Apply:
        if self.target == SAME:
            if self.mode != "full":
                raise ValueError(f"target: same needs mode: full, not {self.mode}; or name a target of its own")
            if self.carry:
                raise ValueError("target: same keeps every column of the source; take carry out")
            if self.partition_by is not None:
                raise ValueError("target: same keeps the partitions of the source; take partition_by out")
        return self

    @model_validator(mode="after")
    def _view(self) -> Apply:
        if self.view is None or (self.layout, self.encoding) == ("bands", "float32"):
            return self
        if self.encoding != "float32":
            raise ValueError(
                f"view can't decode {self.encoding}; take it out, and call adaptor.spark.register_decoders"
            )
        raise ValueError(f"view puts bands together, and layout: {self.layout} has none; take it out")

    @model_validator(mode="after")
    def _partitions(self) -> Apply:
        missing = [name for name in self.partition_by or () if name not in self.carry]
        if missing and self.target != SAME:
            raise ValueError(f"partition_by names {', '.join(missing)}; add it to carry, so that the target has it")
        return self


class Config(Section):
    """One file a situation: all jobs read the same one and need their own section of it."""

    source: Source
    sample: SampleSettings
    dims: tuple[int, ...]  # may be left out beside bytes: prefixes are then as long as codes have bytes
    bytes: tuple[int, ...] | None = None  # lengths of codes; null: a 64th, a 32nd and a 16th of the original's
    artifact: ArtifactSettings
    runs: Name  # the Delta table of all figures
    query_log: QueryLog | None = None
    fit: FitSettings = FitSettings()
    workers: WorkersSettings = WorkersSettings()
    apply: Apply | None = None
    evaluate: Evaluate | None = None
    gate: GateSettings | None = None
    recommend: RecommendSettings = RecommendSettings()
    monitor: MonitorSettings = MonitorSettings()
    report: ReportSettings = ReportSettings()
    rates: Rates = Rates()
    tracking: TrackingSettings | None = None

    @property
    def gate_rules(self) -> tuple[Rule, ...]:
        """The rules of the gate; none without one."""
        return parse_rules(self.gate.rules, self.figures, self.dims) if self.gate else ()

    @property
    def recommend_rules(self) -> tuple[Rule, ...]:
        """The rules by which a width and encoding is recommended."""
        return parse_rules(self.recommend.rules, self.figures, ())

    @property
    def figures(self) -> tuple[str, ...]:
        """What an evaluation measures of each query."""
        judged = self.evaluate.metrics if self.evaluate and self.evaluate.judgments else ()
        return (*judged, *MEANING)

    @property
    def report_file(self) -> str:
        """Where the report goes."""
        return self.report.file or f"{self.artifact.folder}/report.html"

    @property
    def target_table(self) -> str:
        """The table that holds the nested columns."""
        assert self.apply is not None  # load_config has seen to it
        return self.source.table if self.apply.target == SAME else self.apply.target

    @field_validator("artifact", mode="before")
    @classmethod
    def _artifact(cls, artifact: object) -> object:
        return {"folder": artifact} if isinstance(artifact, str) else artifact

    @field_validator("dims", "bytes")
    @classmethod
    def _dims(cls, dims: tuple[int, ...] | None) -> tuple[int, ...] | None:
        with as_value_error():
            return None if dims is None else check_dims(dims)

    @model_validator(mode="after")
    def _rules(self) -> Config:
        with as_value_error():
            for rule in (*self.gate_rules, *self.recommend_rules):
                if rule.scope == WORST_STRATUM and self.sample.stratum is None:
                    raise AdaptorError(f"rule {rule.text!r} needs sample.stratum, the column that tells strata apart")
            for rule in self.recommend_rules:
                if rule.dim is not None or rule.against in ("run", "current"):
                    raise AdaptorError(
                        f"rule {rule.text!r}: recommend.rules name no dim and no run, only the gate's do"
                    )
        return self

    @model_validator(mode="after")
    def _pairs(self) -> Config:
        if self.fit.paired is None:
            return self
        if self.fit.tune or self.fit.keep != "retrieval":
            key = "fit.tune" if self.fit.tune else "fit.keep: neighbours"
            raise ValueError(f"{key} is for fits of one model; take it out, or fit.paired")
        if self.sample.moments == "all":
            raise ValueError("sample.moments: all is for fits of one model; take it out, or fit.paired")
        if self.query_log and self.query_log.judgments:
            raise ValueError("query_log.judgments is for fits of one model; take it out, or fit.paired")
        return self

    @model_validator(mode="after")
    def _prefix_on_the_map(self) -> Config:
        if self.report.dim is not None and self.report.dim not in self.dims:
            raise ValueError(f"report.dim is {self.report.dim}, none of dims {list(self.dims)}")
        return self

    @model_validator(mode="after")
    def _latest(self) -> Config:
        if self.apply and self.apply.mode == "stream" and self.source.version is not None:
            raise ValueError("apply.mode: stream goes up to the latest version; take source.version out")
        return self

    @model_validator(mode="after")
    def _whole_bytes(self) -> Config:
        """Bands of bits are put together byte by byte."""
        if self.apply and (self.apply.layout, self.apply.encoding) == ("bands", "binary"):
            odd = [dim for dim in self.dims[:-1] if dim % 8]
            if odd:
                raise ValueError(f"binary bands need dims that are multiples of 8, not {odd[0]}; or layout: columns")
        return self
