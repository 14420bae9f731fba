"""YAML into typed, validated config: every mistake is one sentence, before Spark starts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from yaml import YAMLError

from adaptor.errors import AdaptorError, ConfigError
from adaptor.evaluation.rules import WORST_STRATUM, Rule, parse_rules
from adaptor.fitting.settings import Count, FitSettings, Positive
from adaptor.layout import Encoding, Layout
from adaptor.metrics import MEANING, check_measures
from adaptor.vectors import check_dims

Name = Annotated[str, Field(min_length=1)]
SectionName = Literal["apply", "evaluate", "gate"]
SAME = "same"  # the target that is the source itself


class Section(BaseModel):
    """A part of the config: unknown keys and loose types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


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

    kind: Literal["local", "horovod"] = "local"
    processes: Count = 1
    batches: Literal["petastorm", "arrow"] = "petastorm"


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


class Evaluate(Section):
    """What the figures are measured on: queries with judgments, queries alone, or without them held-out rows."""

    data_set: Name
    queries: Name | None = None  # a Delta table with the source's id and embedding columns
    judgments: Name | None = None  # a Delta table: query_id, corpus_id, grade; or a file of TREC qrels
    held_out: Count = 1000  # rows whose neighbours are compared, where there are no queries
    metrics: Annotated[tuple[Name, ...], Field(min_length=1)] = ("nDCG@10", "R@10", "R@100", "RR@10", "AP@100")
    encodings: tuple[Encoding, ...] = ("float32", "int8", "binary")  # compared at each dim, whatever is stored
    shortlists: tuple[Count, ...] = (50, 100, 200, 500)  # hits that the full width puts in order afterwards
    trec_runs: tuple[Name, ...] = ()  # files of other systems' runs, judged beside

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return check_measures(metrics)
        except AdaptorError as error:
            raise ValueError(str(error)) from error

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


class Rates(Section):
    """What things cost, in one currency: for prices beside figures."""

    core_hour: Positive | None = None
    gigabyte_month: Positive | None = None  # of storage, 10^9 bytes


class RecommendSettings(Section):
    """What a width and encoding must hold to be recommended: rules that name no dim."""

    rules: Annotated[tuple[Name, ...], Field(min_length=1)] = ("retention >= 0.95",)


class Config(Section):
    """One file a situation: all jobs read the same one and need their own section of it."""

    source: Source
    sample: SampleSettings
    dims: tuple[int, ...]
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
    rates: Rates = Rates()

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
    def target_table(self) -> str:
        """The table that holds the nested columns."""
        assert self.apply is not None  # load_config has seen to it
        return self.source.table if self.apply.target == SAME else self.apply.target

    @field_validator("artifact", mode="before")
    @classmethod
    def _artifact(cls, artifact: object) -> object:
        return {"folder": artifact} if isinstance(artifact, str) else artifact

    @field_validator("dims")
    @classmethod
    def _dims(cls, dims: tuple[int, ...]) -> tuple[int, ...]:
        try:
            return check_dims(dims)
        except AdaptorError as error:
            raise ValueError(str(error)) from error

    @model_validator(mode="after")
    def _rules(self) -> Config:
        try:
            for rule in (*self.gate_rules, *self.recommend_rules):
                if rule.scope == WORST_STRATUM and self.sample.stratum is None:
                    raise AdaptorError(f"rule {rule.text!r} needs sample.stratum, the column that tells strata apart")
            for rule in self.recommend_rules:
                if rule.dim is not None or rule.against in ("run", "current"):
                    raise AdaptorError(
                        f"rule {rule.text!r}: recommend.rules name no dim and no run, only the gate's do"
                    )
        except AdaptorError as error:
            raise ValueError(str(error)) from error
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


def load_config(path: str, overrides: Sequence[str] = (), section: SectionName | None = None) -> Config:
    """The config in the YAML file at `path` with `overrides` such as "fit.training.steps=50" laid over it.

    `section` names one that must be there. Raises `ConfigError` with a sentence for every
    mistake: the key, what was given, what is allowed and the nearest right key.
    """
    if not Path(path).is_file():
        raise ConfigError(f"no config file at {path}; conf/ holds examples")
    for override in overrides:
        if "=" not in override:
            raise ConfigError(
                f"--set {override!r} lacks a value; write --set KEY=VALUE, such as --set sample.rows=5000"
            )
    try:
        merged = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(list(overrides)))
        document = OmegaConf.to_container(merged, resolve=True)
    except (YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        raise ConfigError(f"{path} can't be read: {' '.join(str(error).split())}") from error
    try:
        # JSON mode, so that a YAML list may become a tuple and everything else stays strict.
        config = Config.model_validate_json(json.dumps(_moved(document), default=str))
    except ValidationError as error:
        raise ConfigError("\n".join(f"{path}: {line}" for line in _sentences(error))) from error
    if section and getattr(config, section) is None:
        raise ConfigError(f"{path}: section {section!r} is missing; conf/quickstart.yaml shows one")
    return config


def _moved(document: Any) -> Any:
    """A document with keys where they are now: apply.price_per_core_hour is rates.core_hour."""
    apply = document.get("apply") if isinstance(document, dict) else None
    if not isinstance(apply, dict) or "price_per_core_hour" not in apply:
        return document
    rest = {key: value for key, value in apply.items() if key != "price_per_core_hour"}
    rates = {"core_hour": apply["price_per_core_hour"]} | (document.get("rates") or {})
    return document | {"apply": rest, "rates": rates}


def load_configs(
    paths: Sequence[str], overrides: Sequence[str] = (), section: SectionName | None = None
) -> list[Config]:
    """Several configs, each as `load_config` reads it; `ConfigError` where a file is named twice."""
    twice = sorted({path for path in paths if list(paths).count(path) > 1})
    if twice:
        raise ConfigError(f"--config names {twice[0]} twice")
    return [load_config(path, overrides, section) for path in paths]


def _sentences(error: ValidationError) -> Iterator[str]:
    problems = error.errors()
    for problem in problems:
        if any(other["loc"] and other["loc"][:-1] == problem["loc"] for other in problems):
            continue  # what is wrong inside a list has been said, not that the list is short of it
        location = [str(part) for part in problem["loc"]]
        key = ".".join(location)
        if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            allowed = _keys(location[:-1])
            nearest = difflib.get_close_matches(location[-1], allowed, n=1, cutoff=0.5)
            hint = f"; did you mean {'.'.join([*location[:-1], nearest[0]])}?" if nearest else ""
            yield f"unknown key {key}{hint} (allowed here: {', '.join(allowed)})"
        elif problem["type"] in ("missing", "missing_argument"):
            yield f"{key} is missing"
        else:
            said = problem["msg"].removeprefix("Value error, ")
            value = "" if isinstance(problem["input"], dict) else f" is {problem['input']!r}"
            yield f"{key}{value}: {said}" if key else said  # no key: of the file as a whole


def _keys(location: Sequence[str]) -> list[str]:
    """The keys that are allowed in the section at `location`."""
    section: Any = Config
    for part in location:
        hint = get_type_hints(section)[part]
        section = next(kind for kind in (hint, *get_args(hint)) if isinstance(kind, type))
    return [name for name in get_type_hints(section) if not name.startswith(("model_", "_"))]
