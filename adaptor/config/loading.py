"""YAML into a config: every mistake is one sentence, before Spark starts."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError
from yaml import YAMLError

from adaptor.config.jobs import Config
from adaptor.errors import ConfigError

SectionName = Literal["apply", "evaluate", "gate"]


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
        config = Config.model_validate_json(json.dumps(_with_dims(_moved(document)), default=str))
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


def _with_dims(document: Any) -> Any:
    """A document of codes alone gets dims: prefixes as long as codes have bytes, as those of int8 are."""
    if not isinstance(document, dict) or "dims" in document or not document.get("bytes"):
        return document
    return document | {"dims": document["bytes"]}


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
